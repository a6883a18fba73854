// The calls of a turn.

import { h, s, setText } from '/assets/dom.js';
import { duration, toolName } from '/assets/words.js';

/**
 * A tool's call: a bar on the time of all calls of the turn, and what was asked
 * and answered for who opens it.
 */
export class ToolRow {
  element;
  #bar = s('rect', { y: 0, height: 8, rx: 0 });
  #time = h('span', { class: 'number' });
  #state = h('span', { class: 'unseen' });
  #answered = h('p', { class: 'peek', hidden: true }, 'Answered');
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
          h('span', { class: 'args', dir: 'auto' }, brief(tool.args)),
          s('svg', groove, s('rect', { width: 1000, height: 2, y: 3, class: 'groove' }), this.#bar),
          this.#time,
          this.#state,
        ),
        h('p', { class: 'peek' }, 'Asked'),
        h('pre', { tabindex: '0' }, JSON.stringify(tool.args, null, 2)),
        this.#answered,
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
    this.#result.hidden = this.#answered.hidden = false;
    const result = typeof tool.result === 'string' ? tool.result : JSON.stringify(tool.result, null, 2);
    this.#result.textContent = result;
  }
}

/** Arguments on one line. */
function brief(args) {
  if (args === null || typeof args !== 'object') return String(args ?? '');
  const values = Object.values(args);
  const [words, rest] = [true, false].map((is) => values.filter((one) => (typeof one === 'string') === is));
  return [...words, ...rest.map((one) => (Array.isArray(one) ? `${one.length} of them` : JSON.stringify(one)))].join(', ');
}
