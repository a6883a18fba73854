// Shortcuts. Single keys work outside of text fields only, and can be switched
// off: who speaks to a computer says letters by accident.

const KEY = 'spinlane.keys';

/** Whether single keys work; with a value, sets it. */
export function shortcutsOn(value) {
  try {
    if (value !== undefined) localStorage.setItem(KEY, value ? 'on' : 'off');
    return localStorage.getItem(KEY) !== 'off';
  } catch {
    return true;
  }
}

const isField = (element) => element.matches?.('textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])');

/** Listens; `acts` has a function by key, `Escape` and `ArrowUp` among them. */
export function listen(acts) {
  document.addEventListener('keydown', (event) => {
    const { key, target } = event;
    // A key that an input method or a sheet takes is not for us.
    if (event.isComposing || event.keyCode === 229 || event.defaultPrevented) return;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (key === 'Escape') return acts.Escape();
    if (key === 'ArrowUp' && target.id === 'message' && target.value === '') return acts.ArrowUp(event);
    if (isField(target) || !acts[key] || key === 'ArrowUp' || !shortcutsOn()) return;
    event.preventDefault();
    acts[key](event);
  });
}
