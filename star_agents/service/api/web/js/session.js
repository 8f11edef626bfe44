// The token of this tab. It comes behind `#` in the address, which no browser sends to anybody, is taken out of the
// address at once, and lives in sessionStorage: it ends with the tab, and no other tab or site can read it.

const KEY = "star-agents-token";

export function takeToken() {
  const given = tokenIn(location.hash);
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(KEY) ?? "";
}

export const keepToken = (text) => sessionStorage.setItem(KEY, tokenIn(text.trim()) || text.trim());

export const forgetToken = () => sessionStorage.removeItem(KEY);

// A token out of an address that was pasted whole, or "" where there is none in it.
function tokenIn(text) {
  return new URLSearchParams(text.split("#")[1] ?? "").get("token") ?? "";
}
