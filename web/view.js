// One turn on the page: the request, the lanes its tools ran in, the answer,
// the tracks, the end.

import { h, s, setText } from '/assets/dom.js';
import { Notes } from '/assets/notes.js';
import { Tracks } from '/assets/tracks.js';
import { side } from '/assets/turn.js';
import { duration, explain, incomplete, toolName } from '/assets/words.js';

/** Shows a turn; `actions` are what its buttons do: `again(turn)`, `connect()`. */
export class TurnView {
  element;
  #actions;
  #lanes = h('ol', { class: 'runs', 'aria-label': 'Calls', hidden: true });
  #rows = new Map();
  #progress = h('div', { class: 'progress' });
  #text = h('div', { class: 'notes' });
  #notes = new Notes(this.#text);
  #thinking = h('p', { class: 'thinking', hidden: true });
  #tracks = new Tracks();
  #ending = h('div', { class: 'ending' });
  #ended = false;
  #countdown = null;

  constructor(turn, actions) {
    this.#actions = actions;
    const number = side(turn.number);
    const long = turn.message.length > 90 ? 'request long' : 'request';
    const about = [turn.mode === 'analyze' ? null : turn.mode, turn.playlistId];
    this.element = h(
      'li',
      { class: 'turn' },
      h('span', { class: 'side', 'aria-hidden': 'true' }, number),
      h(
        'article',
        { 'aria-labelledby': `request-${number}` },
        h('h2', { class: long, id: `request-${number}` }, turn.message),
        about.some(Boolean)
          ? h('p', { class: 'about' }, about.filter(Boolean).join(' · '))
          : null,
        this.#lanes,
        this.#progress,
        this.#text,
        this.#thinking,
        this.#tracks.element,
        this.#ending,
      ),
    );
  }

  /** Brings the page in step with the turn. `now`: ms since the turn began. */
  update(turn, now) {
    const running = turn.ending === null;
    this.element.classList.toggle('running', running);
    this.#showTools(turn.tools, running ? now : null);
    this.#showProgress(turn.progress, running);
    this.#notes.update(turn.text);
    this.#thinking.hidden = !running || (turn.thinking === null && turn.text !== '');
    setText(this.#thinking, turn.thinking ?? 'Putting the needle down');
    this.#tracks.update(turn.tracks);
    if (!running && !this.#ended) {
      this.#ended = true;
      this.#end(turn);
    }
  }

  /** The element in which something happens: what a reader follows. */
  needle() {
    if (this.#ended && this.#ending.firstChild) return this.#ending;
    return this.#thinking.hidden ? this.#text : this.#thinking;
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

  #end(turn) {
    const { kind, reason, error } = turn.ending;
    if (kind === 'whole') return;
    if (kind === 'error') return this.#fail(turn, explain(error));
    const said =
      kind === 'incomplete' ? incomplete(reason) : 'Interrupted: the page was left, or the connection broke.';
    this.#ending.append(h('p', { class: 'cutoff' }, h('span', {}, said), this.#again(turn)));
  }

  #fail(turn, { title, hint, detail, action, waitMs }) {
    const button = action === 'connect' ? this.#connect() : action === 'again' ? this.#again(turn) : null;
    this.#ending.append(
      h(
        'div',
        { class: 'fault', role: 'alert' },
        h('p', { class: 'fault-title' }, title),
        hint ? h('p', {}, hint) : null,
        detail ? h('p', { class: 'fault-detail' }, detail) : null,
        button,
      ),
    );
    if (button && action === 'again' && waitMs > 0) this.#wait(button, waitMs);
  }

  #again(turn) {
    return h('button', { type: 'button', class: 'plate', onclick: () => this.#actions.again(turn) }, 'Ask again');
  }

  #connect() {
    return h('a', { class: 'plate', href: '/api/auth/login?return_to=/' }, 'Connect Spotify');
  }

  // A button that says when it makes sense.
  #wait(button, ms) {
    const until = Date.now() + ms;
    button.disabled = true;
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      button.disabled = left > 0;
      button.textContent = left > 0 ? `Ask again in ${left} s` : 'Ask again';
      if (left <= 0) {
        clearInterval(this.#countdown);
        this.#actions.announce('You can ask again now.');
      }
    };
    tick();
    this.#countdown = setInterval(tick, 1000);
  }
}

// A tool's call: a bar on the time of all calls of the turn, and what was asked
// and answered for who opens it.
class ToolRow {
  element;
  #bar = s('rect', { y: 0, height: 8, rx: 0 });
  #time = h('span', { class: 'number' });
  #state = h('span', { class: 'unseen' });
  #result = h('pre', { tabindex: '0', hidden: true });

  constructor(tool) {
    const groove = { viewBox: '0 0 1000 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' };
    this.element = h(
      'li',
      {},
      h(
        'details',
        {},
        h(
          'summary',
          {},
          h('span', { class: 'tool' }, toolName(tool.tool)),
          h('span', { class: 'args' }, brief(tool.args)),
          s('svg', groove, s('rect', { width: 1000, height: 2, y: 3, class: 'groove' }), this.#bar),
          this.#time,
          this.#state,
        ),
        h('p', { class: 'peek' }, 'Asked ', h('code', {}, tool.tool)),
        h('pre', { tabindex: '0' }, JSON.stringify(tool.args, null, 2)),
        this.#result,
      ),
    );
  }

  update(tool, from, length, now) {
    const over = tool.ms !== null;
    const state = tool.failed ? 'failed' : over ? 'over' : now === null ? 'cut' : 'open';
    this.element.className = state;
    this.#bar.setAttribute('x', String(Math.round(from * 1000)));
    this.#bar.setAttribute('width', String(Math.max(12, Math.round(length * 1000))));
    setText(this.#state, { failed: 'failed', over: 'done', cut: 'not finished', open: 'running' }[state]);
    if (over) setText(this.#time, duration(tool.ms));
    else setText(this.#time, now === null ? '–' : duration(Math.max(0, now - tool.from)));
    if (tool.result === null || !this.#result.hidden) return;
    this.#result.hidden = false;
    const result = typeof tool.result === 'string' ? tool.result : JSON.stringify(tool.result, null, 2);
    this.#result.textContent = result;
  }
}

/** Arguments on one line. */
function brief(args) {
  if (args === null || typeof args !== 'object') return String(args ?? '');
  const values = Object.values(args);
  const [words, rest] = [true, false].map((is) => values.filter((one) => (typeof one === 'string') === is));
  return [...words, ...rest.map((one) => JSON.stringify(one))].join(', ');
}
