// The page as it was written is painted first; then come its modules, which
// would keep the browser from painting.
(() => {
  const later = () => {
    const modules = document.getElementById('later').content;
    document.body.append(document.importNode(modules, true));
  };
  let kept = true;
  try {
    kept = sessionStorage.length > 0;
  } catch {
    // Storage is off: nothing is put back.
    kept = false;
  }
  // A page in the background is not painted; one with a conversation to put
  // back would show that nothing was asked yet.
  if (kept || document.hidden) later();
  else requestAnimationFrame(() => setTimeout(later));
})();
