// One turn on the page: the request, the lanes its tools ran in, the answer,
// what it has made, the end, the tracks.

import { card, playlists } from '/assets/cards.js';
import { copyButton, trackList } from '/assets/clip.js';
import { h, setText } from '/assets/dom.js';
import { ToolRow } from '/assets/tools.js';
import { Tracks } from '/assets/tracks.js';
import { isEmpty, lostSession, side } from '/assets/turn.js';
import { explain, incomplete, modeName, untilThen } from '/assets/words.js';

// A text that takes long to lay out is laid out less often while it grows.
const CALM = 5;

// The parser of the model's text comes when there is something to parse; until
// then paragraphs are enough.
let render = (element, text) =>
  element.replaceChildren(...text.split(/\n{2,}/).map((part) => h('p', { dir: 'auto' }, part)));
let rendering = null;

/** Loads the parser; `then` is called when texts have to be looked at again. */
export function loadNotes(then) {
  rendering ??= import('/assets/notes.js').then(
    (module) => {
      render = module.render;
      then();
    },
    () => (rendering = null),
  );
}

/**
 * Shows a turn. `page` is what it is part of: `again(turn)`, `edit(turn)`,
 * `goOn(turn)`, `announce(text)` and the state `{connected, simulated}`.
 */
export class TurnView {
  element;
  #page;
  #turn;
  #lanes = h('ol', { class: 'runs', 'aria-label': 'Calls', hidden: true });
  #rows = new Map();
  #progress = h('div', { class: 'progress' });
  #text = h('div', { class: 'notes' });
  #said = null;
  #renderedAt = 0;
  #renderMs = 0;
  #thinking = h('p', { class: 'thinking', dir: 'auto', hidden: true });
  #away = h('p', { class: 'thinking away', hidden: true });
  #cards = h('div', { class: 'cards' });
  #carded = '';
  #ending = h('div', { class: 'ending' });
  #shownEnding = '';
  #edit;
  #tracks;
  #restored;
  #isLast = true;
  #countdown = null;

  constructor(turn, page) {
    this.#page = page;
    this.#turn = turn;
    this.#restored = turn.ending !== null;
    const name = side(turn.number);
    const id = `request-${turn.number}`;
    const long = turn.message.length > 90 ? 'request long' : 'request';
    const about = [turn.mode === 'analyze' ? null : modeName(turn.mode), turn.playlistId ? `playlist ${turn.playlistId}` : null, turn.isPublic ? 'public' : null];
    this.#tracks = new Tracks(name, `tracks-${turn.number}`);
    this.#edit = h('button', { type: 'button', class: 'quiet edit', 'aria-describedby': id, onclick: () => page.edit(turn) }, 'Edit');
    this.element = h(
      'li',
      { class: 'turn' },
      h('span', { class: 'side', 'aria-hidden': 'true' }, name),
      h(
        'article',
        { 'aria-labelledby': id, tabindex: '-1' },
        h('h2', { class: long, id, dir: 'auto' }, turn.message),
        h('p', { class: 'about' }, h('span', {}, about.filter(Boolean).join(' · ')), this.#edit),
        this.#lanes,
        this.#progress,
        this.#text,
        this.#thinking,
        this.#away,
        this.#cards,
        this.#ending,
        this.#tracks.element,
      ),
    );
  }

  /** Brings the page in step with the turn. `now`: ms since the turn began. */
  update(now) {
    const turn = this.#turn;
    const running = turn.ending === null;
    this.element.classList.toggle('running', running);
    this.#edit.hidden = running;
    this.#showTools(turn.tools, running ? now : null);
    this.#showProgress(turn.progress, running);
    this.#prose(turn.text, !running);
    if (!running) this.away(null);
    this.#thinking.hidden = !running || !this.#away.hidden || (turn.thinking === null && turn.text !== '');
    setText(this.#thinking, turn.thinking ?? 'Putting the needle down');
    this.#showCards(turn.tools);
    this.#tracks.update(turn);
    if (!running) this.#showEnding();
  }

  /** The answer goes on without this page, which says so; `null`: it is back. */
  away(text) {
    this.#away.hidden = text === null;
    setText(this.#away, text ?? '');
  }

  /** The parser has come, or the session is another: what depends on it is shown anew. */
  refresh() {
    this.#said = null;
    this.#carded = '';
    this.update(0);
  }

  /** Only the newest turn can be asked again or be gone on from. */
  setLast(is) {
    this.#isLast = is;
    if (this.#turn.ending) this.#showEnding();
  }

  /** The element in which something happens: what a reader follows. */
  needle() {
    if (this.#ending.firstChild) return this.#ending;
    return [this.#away, this.#thinking].find((line) => !line.hidden) ?? this.#text;
  }

  /** Puts the focus on what helps, or else on the turn. */
  focus() {
    const button = this.#ending.querySelector('.fault .plate:not(:disabled)');
    (button ?? this.element.querySelector('article')).focus({ preventScroll: true });
  }

  /** Tracks that the answer is about. */
  get picks() {
    return this.#tracks.picks;
  }

  #prose(text, final) {
    const now = performance.now();
    if (text === this.#said || (!final && now - this.#renderedAt < this.#renderMs * CALM)) return;
    this.#said = text;
    render(this.#text, text, this.#page.announce);
    this.#renderedAt = performance.now();
    this.#renderMs = this.#renderedAt - now;
  }

  #showTools(tools, now) {
    this.#lanes.hidden = tools.length === 0;
    if (tools.length === 0) return;
    const until = (tool) => tool.from + (tool.ms ?? Math.max(0, (now ?? tool.from) - tool.from));
    const from = Math.min(...tools.map((tool) => tool.from));
    const span = Math.max(...tools.map(until), from + 1) - from;
    for (const tool of tools) {
      let row = this.#rows.get(tool.id);
      if (!row) {
        row = new ToolRow(tool);
        this.#rows.set(tool.id, row);
        this.#lanes.append(row.element);
      }
      row.update(tool, (tool.from - from) / span, (until(tool) - tool.from) / span, now);
    }
  }

  #showProgress(progress, running) {
    this.#progress.hidden = progress.length === 0;
    progress.forEach(({ done, total, label }, at) => {
      const row = this.#progress.children[at] ?? this.#progressRow(label);
      const [name, bar, count] = row.children;
      setText(name, label);
      bar.max = total || 1;
      bar.value = done;
      setText(count, `${done} / ${total}`);
    });
    this.#progress.classList.toggle('over', !running);
  }

  #progressRow(label) {
    const bar = h('progress', { 'aria-label': label, max: '1', value: '0' });
    const row = h('div', {}, h('span'), bar, h('span', { class: 'number' }));
    this.#progress.append(row);
    return row;
  }

  #showCards(tools) {
    const lists = playlists(tools);
    const key = JSON.stringify(lists);
    if (key === this.#carded) return;
    this.#carded = key;
    this.#cards.replaceChildren(...lists.map((list) => card(list, this.#page.simulated)));
  }

  #showEnding() {
    const turn = this.#turn;
    const key = JSON.stringify([turn.ending, this.#isLast, this.#page.connected]);
    if (key === this.#shownEnding) return;
    this.#shownEnding = key;
    clearInterval(this.#countdown);
    const { kind, reason, error } = turn.ending;
    const parts = [];
    if (kind === 'error') parts.push(this.#fault(explain(error)));
    else if (lostSession(turn)) parts.push(this.#fault(explain({ code: 'session_expired' })));
    else if (isEmpty(turn)) parts.push(this.#cutoff('The DJ said nothing.'));
    else if (kind === 'incomplete') parts.push(this.#cutoff(incomplete(reason)));
    else if (kind === 'interrupted') parts.push(this.#cutoff(reason ?? 'Interrupted: the page was left, or the connection broke.'));
    this.#ending.replaceChildren(...parts, ...this.#acts(kind));
    this.#restored = true;
  }

  #cutoff(said) {
    const again = this.#isLast ? this.#again() : null;
    return h('p', { class: 'cutoff' }, h('span', {}, said), this.#goOn(), again);
  }

  // Where something was said that could be gone on from.
  #goOn() {
    return this.#isLast && this.#turn.text.trim() ? this.#button('Go on', () => this.#page.goOn(this.#turn)) : null;
  }

  // What can be done with an answer, and what leads to its tracks.
  #acts(kind) {
    const { text, tracks } = this.#turn;
    const { announce } = this.#page;
    const acts = [];
    const cue = this.#tracks.cue(tracks);
    if (cue) acts.push(h('a', { class: 'cue-to', href: `#${this.#tracks.element.id}` }, `${cue} ↓`));
    if (text.trim()) acts.push(copyButton('Copy answer', () => text, announce));
    const listed = this.picks.length ? this.picks : tracks;
    if (listed.length) acts.push(copyButton('Copy tracks', () => trackList(listed), announce));
    if (kind === 'whole' && this.#isLast && text.trim()) acts.push(this.#again('Another answer', 'quiet'));
    return acts.length ? [h('div', { class: 'acts' }, acts)] : [];
  }

  #fault({ title, hint, detail, action }) {
    const signed = action === 'connect';
    const ready = signed && this.#page.connected && lostSession(this.#turn);
    const button = signed && !ready ? this.#connect() : action && this.#isLast ? this.#again() : null;
    const { until } = this.#turn.ending;
    if (button && action === 'again' && until > Date.now()) this.#wait(button, until);
    return h(
      'div',
      // Said once, when it happens; a conversation that is put back says nothing.
      { class: 'fault', role: this.#restored ? 'group' : 'alert', 'aria-label': this.#restored ? 'What went wrong' : null },
      h('p', { class: 'fault-title' }, ready ? 'Spotify is connected now' : title),
      h('p', {}, ready ? 'Your request can go on.' : hint),
      detail && !ready ? h('details', { class: 'fault-detail' }, h('summary', {}, 'Details'), h('p', { dir: 'auto' }, detail)) : null,
      action === 'again' ? this.#goOn() : null,
      button,
    );
  }

  #button(text, onclick, kind = 'plate') {
    return h('button', { type: 'button', class: kind, onclick }, text);
  }

  #again(text = 'Ask again', kind = 'plate') {
    return this.#button(text, () => this.#page.again(this.#turn), kind);
  }

  #connect() {
    return h('a', { class: 'plate', href: '/api/auth/login?return_to=/', onclick: () => this.#page.leave() }, 'Connect Spotify');
  }

  // A button that says when it makes sense.
  #wait(button, until) {
    const tick = () => {
      const left = until - Date.now();
      button.disabled = left > 0;
      button.textContent = left > 0 ? `Ask again ${untilThen(left)}` : 'Ask again';
      if (left > 0) return;
      clearInterval(this.#countdown);
      this.#page.announce('You can ask again now.');
    };
    tick();
    this.#countdown = setInterval(tick, 1000);
  }
}
