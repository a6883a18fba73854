// What one could ask: examples before anything was, suggestions after an answer.

import { playlists } from '/assets/cards.js';
import { byId, h } from '/assets/dom.js';
import { examples, suggestions } from '/assets/words.js';

/** Shows examples for a mode. They stand in the page already: only their words change. */
export function showExamples(mode, simulated) {
  examples(mode, simulated).forEach(({ text, playlist }, at) => {
    const button = byId('examples').children[at].firstElementChild;
    button.dataset.playlist = playlist ?? '';
    if (button.textContent !== text) button.textContent = text;
  });
}

/** Shows what could follow `turn`, if it was answered; `use(text, mode, playlist)` asks it. */
export function showSuggestions(turn, picks, use) {
  const made = turn && playlists(turn.tools).find((list) => list.made)?.id;
  const all = turn?.ending?.kind === 'whole' ? suggestions(turn, picks, made) : [];
  const ask = ({ text, mode, playlist }) =>
    h('li', {}, h('button', { type: 'button', dir: 'auto', onclick: () => use(text, mode, playlist) }, text));
  byId('asides').hidden = all.length === 0;
  byId('asides').replaceChildren(...all.map(ask));
}
