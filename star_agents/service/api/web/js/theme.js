// Dark or light: as the system has it until a person chooses; and the colours that charts draw with.

const KEY = "star-agents-theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const changed = new EventTarget();

// Okabe and Ito's colours, which the colour-blind can tell apart; the ones too faint for a ground are set darker or
// lighter on it. Lines differ by their dashes too.
const LIGHT = {
  text: "#1a1f25",
  soft: "#55606c",
  line: "#e3e6ea",
  ground: "#ffffff",
  faint: "#aab2bb",
  series: ["#0072b2", "#d55e00", "#009e73", "#b0588c", "#b87d00", "#3a9bd0", "#4d4d4d", "#8c8100"],
};
const DARK = {
  text: "#e6eaee",
  soft: "#a3aeba",
  line: "#2d353e",
  ground: "#181d23",
  faint: "#55606c",
  series: ["#56b4e9", "#ff8a3d", "#1fc99a", "#e09cc4", "#f0b53c", "#5b8ff0", "#d0d4d9", "#f0e442"],
};
export const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [14, 4], [1, 5], [6, 2, 2, 2]];

export function isDark() {
  return (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
}

export const colours = () => (isDark() ? DARK : LIGHT);

export const onTheme = (redraw) => changed.addEventListener("change", redraw);

export function startTheme(button) {
  const kept = localStorage.getItem(KEY);
  if (kept) document.documentElement.dataset.theme = kept;
  const tell = () => changed.dispatchEvent(new Event("change"));
  system.addEventListener("change", tell);
  button.addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    localStorage.setItem(KEY, chosen);
    tell();
  });
}
