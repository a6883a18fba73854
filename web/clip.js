// Copying: with a word for those who do not see that it worked.

import { h } from '/assets/dom.js';

/** Puts text into the clipboard; whether that worked. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not a secure context, or not allowed: the old way.
  }
  const area = h('textarea', { class: 'unseen' });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}

/** A button that copies what `text()` gives; `announce` says how it went. */
export function copyButton(label, text, announce) {
  const button = h('button', { type: 'button', class: 'quiet' }, label);
  button.addEventListener('click', async () => {
    const done = await copy(text());
    // The old way has moved the focus.
    button.focus();
    button.textContent = done ? 'Copied' : 'Not copied';
    announce(done ? 'Copied.' : 'The browser did not let it be copied.');
    setTimeout(() => (button.textContent = label), 2000);
  });
  return button;
}

const artists = (track) => (track.artists ?? []).map((one) => (typeof one === 'string' ? one : one.name)).join(', ');

/** Tracks as people pass them on: a line each. */
export const trackList = (tracks) => tracks.map((track) => `${artists(track)} – ${track.title}`).join('\n');
