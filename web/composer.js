// Where one asks: the message, what should happen, and the playlist it is about.

import { byId, setText } from '/assets/dom.js';
import { codePoints, playlistId, playlistWithin } from '/assets/turn.js';

const LONGEST_MESSAGE = 2000;
// From here on the length is counted in sight.
const COUNTED_FROM = 0.8 * LONGEST_MESSAGE;

const [form, message, field, chip] = [byId('composer'), byId('message'), byId('playlist'), byId('chip')];
const characters = (count) => `${count.toLocaleString('en')} ${count === 1 ? 'character' : 'characters'}`;

/** The form. Tells `onSubmit(request, editing)` and `onMode(mode)`. */
export class Composer {
  /** The playlist that it is about: `{id, name}`, or null. */
  playlist = null;
  /** The turn that is being edited, or null. */
  editing = null;
  /** Whether Spotify is connected; null while nobody knows. */
  connected = null;
  offline = false;
  /** Whether an answer is under way: the next request ends it. */
  running = false;
  #on;

  constructor(on) {
    this.#on = on;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.submit();
    });
    form.addEventListener('input', () => this.#look());
    form.addEventListener('change', ({ target }) => target === field && this.#takeField());
    byId('modes').addEventListener('change', () => {
      this.#look();
      on.onMode(this.mode);
    });
    field.addEventListener('paste', () => setTimeout(() => this.#takeField()));
    message.addEventListener('paste', (event) => this.#paste(event));
    message.addEventListener('keydown', (event) => {
      // An Enter that chooses a word in an input method does not send.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    byId('unchip').addEventListener('click', () => {
      this.setPlaylist(null);
      message.focus();
    });
    byId('unedit').addEventListener('click', () => {
      this.setEditing(null);
      this.fill('');
      message.focus();
    });
  }

  get mode() {
    return new FormData(form).get('mode') ?? 'analyze';
  }

  set mode(mode) {
    for (const input of form.elements.mode) input.checked = input.value === mode;
    this.#look();
    this.#on.onMode(this.mode);
  }

  get draft() {
    return message.value;
  }

  /** Puts text into the message. */
  fill(text) {
    message.value = text;
    this.#look();
  }

  /** What it is about from now on; it stays in sight until it is taken away. */
  setPlaylist(playlist) {
    this.playlist = playlist;
    field.value = '';
    byId('paste').hidden = playlist !== null;
    chip.hidden = playlist === null;
    setText(byId('chip-name'), playlist ? (playlist.name ?? playlist.id) : '');
    chip.title = playlist?.id ?? '';
    this.#look();
  }

  /** The message takes the place of a turn that was asked before. */
  setEditing(turn, name = '') {
    this.editing = turn;
    byId('editing').hidden = turn === null;
    setText(byId('editing-what'), turn ? `Instead of ${name}` : '');
  }

  /** Sends it, if it is good. */
  submit() {
    this.#takeField();
    const text = message.value.trim();
    const [, bad] = this.#fault();
    if (bad || text === '') {
      (bad ?? message).focus();
      return this.#look();
    }
    const request = { message: text, mode: this.mode, playlistId: this.playlist?.id ?? null, isPublic: this.mode === 'create' && byId('public').checked };
    const { editing } = this;
    this.fill('');
    this.setEditing(null);
    this.#on.onSubmit(request, editing);
  }

  /** What is known has changed: the hints may be others. */
  refresh() {
    this.#look();
  }

  // A field of its own for those who look for one: what is good in it is a chip.
  #takeField() {
    const id = playlistId(field.value);
    if (id) this.setPlaylist({ id, name: null });
  }

  // A link that is pasted alone is what the message is about, and not the message.
  #paste(event) {
    const text = event.clipboardData?.getData('text/plain') ?? '';
    const found = playlistWithin(text);
    if (!found) return;
    event.preventDefault();
    this.setPlaylist({ id: found.id, name: null });
    const rest = text.replace(found.link, '').trim();
    message.setRangeText(rest, message.selectionStart, message.selectionEnd, 'end');
    this.#look();
  }

  #takeMessage() {
    const found = playlistWithin(message.value);
    // Not while its end may still be typed.
    if (!found || found.id.length < 22) return;
    message.value = message.value.replace(found.link, '').trimStart();
    this.setPlaylist({ id: found.id, name: null });
  }

  #look() {
    if (playlistWithin(message.value)) this.#takeMessage();
    message.style.height = 'auto';
    message.style.height = `${message.scrollHeight}px`;
    const length = codePoints(message.value.trim());
    setText(byId('count'), length >= COUNTED_FROM ? `${length.toLocaleString('en')} / ${LONGEST_MESSAGE.toLocaleString('en')}` : '');
    byId('public-label').hidden = this.mode !== 'create';
    const [hint, bad] = this.#fault();
    setText(byId('hint'), hint);
    byId('hint').classList.toggle('bad', bad !== null);
    for (const input of [message, field]) {
      if (input === bad) input.setAttribute('aria-invalid', 'true');
      else input.removeAttribute('aria-invalid');
    }
  }

  #fault() {
    const over = codePoints(message.value.trim()) - LONGEST_MESSAGE;
    if (over > 0) return [`${characters(over)} too many.`, message];
    const pasted = field.value.trim();
    if (pasted !== '' && playlistId(pasted) === null) {
      return ['That is no playlist link: paste it as Spotify’s “Share” gives it.', field];
    }
    if (this.offline) return ['You are offline. What you write here is kept.', null];
    if (this.running && message.value.trim()) return ['Enter stops the answer and asks this.', null];
    if (this.mode !== 'analyze' && this.connected === false) {
      return ['To make or change playlists, connect Spotify first.', null];
    }
    if (this.mode === 'edit' && !this.playlist && pasted === '') return ['Which playlist? Paste its link.', null];
    return ['', null];
  }
}
