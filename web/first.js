// The page as it was written is painted first; then come its modules, which
// would keep the browser from painting.
(() => {
  let begun = false;
  const later = () => {
    if (begun) return;
    begun = true;
    const modules = document.getElementById('later').content;
    document.body.append(document.importNode(modules, true));
  };
  let kept = false;
  try {
    kept = sessionStorage.length > 0;
  } catch {
    // Storage is off: nothing is put back.
  }
  // A page in the background is not painted; one with a conversation to put
  // back would show that nothing was asked yet.
  if (kept || document.hidden) return later();
  // Not in a frame's callback: that comes before the frame is on the screen.
  new PerformanceObserver(later).observe({ type: 'paint', buffered: true });
  // A browser that does not tell of its paints shall not wait for them.
  setTimeout(later, 500);
})();
