// What was done last and can be undone, in a line of the form.

import { byId, setText } from '/assets/dom.js';

let undo = null;

/** Says what was done, and offers to undo it by `act`. */
export function offerUndo(text, act) {
  undo = act;
  setText(byId('toast-text'), text);
  byId('toast').hidden = false;
}

/** It is too late: something else was done. */
export function hideUndo() {
  undo = null;
  byId('toast').hidden = true;
}

/** Listens; `then` is called when something was undone. */
export function listenUndo(then) {
  byId('undo').addEventListener('click', async () => {
    const act = undo;
    hideUndo();
    await act?.();
    then();
  });
}
