// Asking no more often than is worth it.

import { isTold } from "./api.js";
import { isOver } from "./overview.js";

// Runs `work` with a snapshot at most once in `ms`, one at a time, and with the last one of a run at once. What fails
// is left to the next time, for the stream tells why.
export function paced(ms, work) {
  let last = -Infinity;
  let isAtWork = false;
  return async (status) => {
    const isDue = isOver(status) || (!document.hidden && performance.now() - last >= ms);
    if (isAtWork || !isDue) return;
    isAtWork = true;
    last = performance.now();
    try {
      await work(status);
    } catch (error) {
      if (!isTold(error)) throw error;
    } finally {
      isAtWork = false;
    }
  };
}
