// When what has failed is worth trying at once: the network is back, or the reader.

/**
 * Calls `listener` when the browser has a network again, and when the page is thawed
 * or in sight again. Returns what ends that.
 */
export function onWake(listener) {
  const seen = () => document.hidden || listener();
  const over = new AbortController();
  const { signal } = over;
  addEventListener('online', () => listener(), { signal });
  document.addEventListener('resume', () => listener(), { signal });
  document.addEventListener('visibilitychange', seen, { signal });
  return () => over.abort();
}
