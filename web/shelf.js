// The conversations of this tab, and the help sheet. They come when they are
// first asked for.

import { byId, h } from '/assets/dom.js';
import { shortcutsOn } from '/assets/keys.js';

// Keys, and what they do.
const SHORTCUTS = [
  ['Enter', 'Send'],
  ['Shift Enter', 'A new line'],
  ['Esc', 'Stop the answer'],
  ['↑', 'In an empty request: edit the last one'],
  ['/', 'To the request'],
  ['n', 'New record'],
  ['r', 'Records'],
  ['l', 'To what is newest'],
  ['?', 'This sheet'],
];

function sheet(id, title, ...content) {
  byId(id)?.remove();
  const close = h('button', { type: 'button', class: 'quiet', onclick: () => dialog.close() }, 'Close');
  const head = h('div', { class: 'sheet-head' }, h('h2', { id: `${id}-title` }, title), close);
  const dialog = h('dialog', { class: 'sheet', id, 'aria-labelledby': `${id}-title` }, head, ...content);
  // A click beside the sheet.
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** What keys do, and whether single ones may. */
export function help() {
  const row = ([keys, what]) => h('div', {}, h('dt', {}, keys.split(' ').map((key) => h('kbd', {}, key))), h('dd', {}, what));
  const toggle = h('input', { type: 'checkbox', checked: shortcutsOn() });
  toggle.addEventListener('change', () => shortcutsOn(toggle.checked));
  sheet(
    'help',
    'Shortcuts',
    h('dl', { class: 'keys' }, SHORTCUTS.map(row)),
    h('label', { class: 'toggle' }, toggle, ' Single keys work outside of text fields'),
  );
}

/** The list of conversations. `open(id)` and `remove(id)` do what they say. */
export function shelf(records, { open, remove }) {
  const when = (at) => new Date(at).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
  const items = () =>
    records.list.map(({ id, at, title, count }) => {
      const isPresent = id === records.present.id;
      const choose = h(
        'button',
        { type: 'button', class: 'record-name', 'aria-current': isPresent ? 'true' : null, onclick: () => (dialog.close(), open(id)) },
        h('span', { dir: 'auto' }, title),
        h('span', { class: 'soft' }, `${count === 1 ? '1 request' : `${count} requests`} · ${when(at)}`),
      );
      const forget = h('button', { type: 'button', class: 'quiet', 'aria-label': `Remove “${title}”`, onclick: () => drop(id) }, 'Remove');
      return h('li', {}, choose, isPresent ? null : forget);
    });
  const list = h('ul', { class: 'shelf' }, items());
  const drop = (id) => {
    remove(id);
    list.replaceChildren(...items());
    list.querySelector('button').focus();
  };
  const kept = records.keeps
    ? 'They are kept in this tab until it is closed, and nowhere else.'
    : 'This browser keeps nothing for this page: they are gone with a reload.';
  const dialog = sheet('records', 'Records', h('p', { class: 'soft' }, kept), list);
}
