// Numbers and times in words. What is not known is a dash, never a 0.

const NONE = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const known = (value) => typeof value === "number" && Number.isFinite(value);

export const count = (value) => (known(value) ? whole.format(value) : NONE);
export const brief = (value) =>
  !known(value) ? NONE : Math.abs(value) < 1000 ? String(+value.toPrecision(3)) : short.format(value);
export const fixed = (value, digits = 3) => (known(value) ? value.toFixed(digits) : NONE);
export const share = (value, digits = 1) => (known(value) ? `${(100 * value).toFixed(digits)} %` : NONE);

export function usd(value, isAtLeast = false) {
  if (!known(value)) return "no price";
  const digits = value !== 0 && Math.abs(value) < 0.1 ? 4 : 2;
  return `${isAtLeast ? "≥ " : ""}$${value.toFixed(digits)}`;
}

export function lasting(seconds) {
  if (!known(seconds)) return NONE;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// A moment on an axis whose ticks are so many seconds apart, in the time of whoever looks.
export function clock(seconds, step) {
  const at = new Date(seconds * 1000);
  const two = (number) => String(number).padStart(2, "0");
  if (step >= 86400) return `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const minutes = `${two(at.getHours())}:${two(at.getMinutes())}`;
  return step >= 60 ? minutes : `${minutes}:${two(at.getSeconds())}`;
}

// A wall time as it was written down, in the time of whoever looks.
export function moment(text) {
  const at = Date.parse(text);
  return Number.isNaN(at) ? NONE : clock(at / 1000, 1);
}

export function latency(seconds) {
  if (!known(seconds)) return NONE;
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}
