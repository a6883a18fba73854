// Before the first paint, so that a chosen theme does not flash: a classic
// script in the head, where modules come too late.
(() => {
  const root = document.documentElement;
  const media = matchMedia('(prefers-color-scheme: dark)');
  let chosen = null;
  try {
    chosen = localStorage.getItem('spinlane.theme');
  } catch {
    // Storage is off: follow the system.
  }
  const paint = () => {
    root.dataset.theme = chosen ?? (media.matches ? 'dark' : 'light');
  };
  media.addEventListener('change', paint);
  paint();
  const other = () => {
    chosen = root.dataset.theme === 'dark' ? 'light' : 'dark';
    // Back at what the system says: follow it again.
    if ((chosen === 'dark') === media.matches) chosen = null;
    try {
      if (chosen) localStorage.setItem('spinlane.theme', chosen);
      else localStorage.removeItem('spinlane.theme');
    } catch {
      // It holds until the page is left.
    }
    paint();
  };
  // Another tab has chosen.
  addEventListener('storage', ({ key, newValue }) => {
    if (key !== 'spinlane.theme') return;
    chosen = newValue;
    paint();
  });
  addEventListener('DOMContentLoaded', () => document.getElementById('theme')?.addEventListener('click', other));
})();
