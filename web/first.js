// The page as it was written is painted first; then come its modules, which
// would keep the browser from painting. What is asked before they are there
// waits for them.
(() => {
  // Where there is nothing, nothing has to come.
  if (document.documentElement.dataset.way) return;
  const byId = (id) => document.getElementById(id);
  const [form, message, hint] = [byId('composer'), byId('message'), byId('hint')];
  const wait = () => {
    if (message.value.trim() === '') return;
    form.dataset.waiting = 'yes';
    hint.textContent = 'Sent as soon as the page is all here.';
  };
  const early = new AbortController();
  const { signal } = early;
  form.addEventListener('submit', (event) => (event.preventDefault(), wait()), { signal });
  message.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    wait();
  }, { signal });
  // Whoever goes on typing has not finished.
  message.addEventListener('input', () => delete form.dataset.waiting, { signal });
  byId('examples').addEventListener('click', ({ target }) => {
    const example = target.closest('button');
    if (!example) return;
    message.value = example.textContent;
    wait();
  }, { signal });
  // What was asked before this script was here.
  const { asked } = document.documentElement.dataset;
  if (asked !== undefined) {
    message.value ||= asked;
    wait();
  }
  // The page takes over.
  document.addEventListener('spinlane:ready', () => early.abort());

  let begun = false;
  const later = () => {
    if (begun) return;
    begun = true;
    const modules = document.importNode(byId('later').content, true);
    modules.querySelector('script').addEventListener('error', () => {
      hint.textContent = 'A part of the page did not come. Copy what you wrote, and reload.';
    });
    document.body.append(modules);
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
