// The desk: the platter with the lanes of all upstreams, the meters, who is
// simulated, what the last run has used.

import { byId, h, s, setText } from '/assets/dom.js';
import { duration } from '/assets/words.js';

const upstreams = [
  ['anthropic', 'Anthropic', 'one'],
  ['spotify', 'Spotify', 'two'],
  ['deezer', 'Deezer', 'three'],
  ['lastfm', 'Last.fm', 'four'],
];
const kinds = { real: 'Live', simulated: 'Simulated', custom: 'Custom' };

// How far a needle goes to either side, in degrees.
const SWING = 48;
const LONGEST_WAIT_MS = 30_000;

/** The instruments beside the conversation. */
export class Desk {
  #platter = new Platter(byId('platter'));
  #meters = {
    wait: new Meter('Lane wait', ['0', '½', '30 s'], { redFrom: 0.75 }),
    cache: new Meter('Cache', ['0', '50', '100']),
    budget: new Meter('Budget', ['0', '½', '1'], { redTo: 0.2 }),
  };
  #rows = new Map();
  #budget = 950;

  constructor() {
    byId('meters').append(...Object.values(this.#meters).map((meter) => meter.element));
    byId('upstreams').append(h('h2', { class: 'etched' }, 'Lanes'), this.#list());
    this.showUsage(null);
  }

  #list() {
    const row = ([name, label, lane]) => {
      const cells = { state: h('span', { class: 'state' }), slots: h('span', { class: 'slots' }) };
      this.#rows.set(name, cells);
      const dot = h('span', { class: `dot ${lane}`, 'aria-hidden': 'true' });
      return h('li', {}, dot, h('span', { class: 'name' }, label), cells.slots, cells.state);
    };
    return h('ul', {}, upstreams.map(row));
  }

  /** What `GET /api/status` knows. */
  showStatus(status) {
    byId('aside').classList.remove('dark');
    this.#budget = status.limits?.subrequestBudget ?? this.#budget;
    for (const [name, { state, slots }] of this.#rows) {
      const upstream = status.upstreams?.[name];
      const lane = status.limits?.lanes?.[name];
      const kind = !upstream ? 'unknown' : upstream.configured === false ? 'unset' : upstream.kind;
      state.className = `state ${kind}`;
      setText(state, kinds[kind] ?? (kind === 'unset' ? 'Not set up' : '–'));
      if (upstream?.baseUrl) state.title = upstream.baseUrl;
      showSlots(slots, lane);
    }
    this.#platter.show(status.limits?.lanes ?? {});
    const simulated = upstreams.filter(([name]) => status.upstreams?.[name]?.kind === 'simulated');
    const all = simulated.length === upstreams.length;
    const brief = all
      ? 'All services simulated'
      : simulated.length
        ? `Simulated: ${simulated.map(([, label]) => label).join(', ')}`
        : 'Live services';
    setText(byId('brief'), brief);
  }

  /** Nothing is known of the server: what was is not shown as if it still were. */
  showUnreachable() {
    byId('aside').classList.add('dark');
    for (const { state, slots } of this.#rows.values()) {
      state.className = 'state unknown';
      state.removeAttribute('title');
      setText(state, 'Not known');
      showSlots(slots, null);
    }
    this.#platter.show({});
    setText(byId('brief'), 'No connection');
  }

  /** The `usage` frame of the newest turn that has one. */
  showUsage(usage) {
    const { wait, cache, budget } = this.#meters;
    if (!usage) {
      for (const meter of [wait, cache, budget]) meter.rest();
      return this.#counts([]);
    }
    // Calls wait side by side: all their waits together may be longer than the
    // run, and mean nothing to a person.
    const waited = (usage.laneWaitMs ?? 0) / Math.max(1, usage.upstreamCalls ?? 1);
    wait.show(waitPosition(waited), `⌀ ${duration(waited)}`, `${duration(waited)} for each call on average`);
    showCache(cache, usage.cache);
    const left = usage.budgetLeft ?? this.#budget;
    budget.show(left / this.#budget, `${left} left`);
    this.#counts([
      ['Upstream calls', usage.upstreamCalls],
      ['Tokens in', usage.inputTokens],
      ['from prompt cache', usage.cacheReadTokens],
      ['Tokens out', usage.outputTokens],
    ]);
  }

  #counts(pairs) {
    const known = pairs.filter(([, value]) => value !== undefined);
    const rows = known.map(([name, value]) =>
      h('div', {}, h('dt', {}, name), h('dd', {}, value.toLocaleString('en'))),
    );
    byId('counts').replaceChildren(...rows);
  }

  /** Whether the record turns. */
  spin(on) {
    this.#platter.spin(on);
  }

  /** The counter under the record. */
  showTime(ms) {
    this.#platter.time(ms);
  }
}

// Half a lane's wait is nothing, and 30 s the end: a needle needs a logarithm.
const waitPosition = (ms) => Math.min(1, Math.log10(1 + ms / 10) / Math.log10(1 + LONGEST_WAIT_MS / 10));

function showCache(meter, cache) {
  const { hits = 0, staleHits = 0, negativeHits = 0, shared = 0, misses = 0 } = cache ?? {};
  const served = hits + staleHits + negativeHits + shared;
  const asked = served + misses;
  if (asked === 0) return meter.rest();
  meter.show(served / asked, `${served} of ${asked}`);
}

function showSlots(element, lane) {
  const limit = Math.min(lane?.limit ?? 0, 12);
  const held = lane?.held ?? 0;
  element.title = lane ? `${held} of ${lane.limit} slots taken` : '';
  const paused = lane?.pausedForMs ? ' paused' : '';
  const slots = Array.from({ length: limit }, (_, at) =>
    h('i', { class: at < held ? `lit${paused}` : paused.trim() || null }),
  );
  const said = lane ? h('span', { class: 'unseen' }, element.title) : null;
  element.replaceChildren(...slots, ...(said ? [said] : []));
}

// A meter with a needle, as on a tape deck.
class Meter {
  element;
  #name;
  #needle = s('line', { x1: 60, y1: 62, x2: 60, y2: 17, class: 'needle' });
  #value = h('span', { class: 'reading' });

  constructor(name, scale, { redFrom = 1, redTo = 0 } = {}) {
    this.#name = name;
    const ticks = scale.map((text, at) => {
      const angle = (at / (scale.length - 1)) * 2 * SWING - SWING;
      return s('text', { x: 60, y: 12, transform: `rotate(${angle} 60 62)`, 'text-anchor': 'middle' }, text);
    });
    const face = s(
      'svg',
      { viewBox: '0 -2 120 68', 'aria-hidden': 'true' },
      arc(0, 1, 'scale'),
      redFrom < 1 ? arc(redFrom, 1, 'red') : null,
      redTo > 0 ? arc(0, redTo, 'red') : null,
      ...ticks,
      this.#needle,
      s('circle', { cx: 60, cy: 64, r: 6, class: 'pivot' }),
    );
    this.element = h(
      'div',
      { class: 'meter', role: 'meter', 'aria-label': name, 'aria-valuemin': '0', 'aria-valuemax': '100' },
      face,
      h('span', { class: 'meter-name' }, name),
      this.#value,
    );
  }

  /** `position`: 0 to 1; `said`: what a screen reader says instead of `text`. */
  show(position, text, said = text) {
    const at = Math.max(0, Math.min(1, position));
    this.#turn(at * 2 * SWING - SWING);
    this.#say(Math.round(at * 100), text, said);
  }

  /** Nothing to show. */
  rest() {
    this.#turn(-SWING - 6);
    this.#say(0, '–', 'nothing measured yet');
  }

  #turn(angle) {
    // Through the object model: the page's policy forbids style attributes.
    this.#needle.style.transform = `rotate(${angle}deg)`;
  }

  #say(value, text, said) {
    this.element.setAttribute('aria-valuenow', String(value));
    this.element.setAttribute('aria-valuetext', said);
    setText(this.#value, text);
  }
}

function arc(from, to, kind) {
  const point = (part) => {
    const angle = ((part * 2 * SWING - SWING) * Math.PI) / 180;
    return `${(60 + 46 * Math.sin(angle)).toFixed(1)} ${(62 - 46 * Math.cos(angle)).toFixed(1)}`;
  };
  return s('path', { d: `M${point(from)}A46 46 0 0 1 ${point(to)}`, class: kind });
}

// The record: a ring for each upstream, a segment for each slot of its lane; a
// segment is lit while a call holds the slot, on any instance.
class Platter {
  #record = s('g', { class: 'turning' });
  #rings = new Map();
  #time = h('output', { class: 'clock', 'aria-hidden': 'true' }, '00:00.0');
  #element;

  constructor(element) {
    this.#element = element;
    const circle = (r, kind) => s('circle', { cx: 100, cy: 100, r, class: kind });
    const grooves = [94, 91, 74, 71, 54].map((r) => circle(r, 'groove'));
    upstreams.forEach(([name, , lane], at) => {
      const ring = s('g', { class: `ring ${lane}` });
      this.#rings.set(name, { ring, radius: 85 - at * 13, drawn: '' });
      this.#record.append(ring);
    });
    this.#record.append(
      circle(30, 'label'),
      s('text', { x: 100, y: 92, 'text-anchor': 'middle' }, 'SPINLANE'),
      s('path', { d: 'M82 112h36', class: 'label-line' }),
      circle(3, 'hole'),
    );
    const arm = s('path', { class: 'arm', d: 'M208 26v62l-34 52-10 7' });
    const joint = s('circle', { cx: 208, cy: 26, r: 9, class: 'joint' });
    const disc = circle(98, 'vinyl');
    const box = { viewBox: '0 0 234 200', 'aria-hidden': 'true' };
    element.append(s('svg', box, disc, ...grooves, this.#record, arm, joint), this.#time);
    this.show({});
  }

  show(lanes) {
    for (const [name, known] of this.#rings) {
      const lane = lanes[name];
      const limit = Math.min(Math.max(lane?.limit ?? 1, 1), 24);
      const held = Math.min(lane?.held ?? 0, limit);
      const drawn = `${limit}/${held}`;
      if (known.drawn === drawn) continue;
      known.drawn = drawn;
      known.ring.replaceChildren(
        ...Array.from({ length: limit }, (_, at) => segment(known.radius, at, limit, at < held)),
      );
    }
  }

  spin(on) {
    this.#element.classList.toggle('spinning', on);
  }

  time(ms) {
    const tenths = Math.floor(ms / 100);
    const part = (value) => String(value).padStart(2, '0');
    const text = `${part(Math.floor(tenths / 600))}:${part(Math.floor(tenths / 10) % 60)}.${tenths % 10}`;
    setText(this.#time, text);
  }
}

function segment(radius, at, count, lit) {
  const gap = 7 / radius;
  const from = (at / count) * 2 * Math.PI;
  const to = ((at + 1) / count) * 2 * Math.PI - gap;
  const point = (angle) =>
    `${(100 + radius * Math.sin(angle)).toFixed(2)} ${(100 - radius * Math.cos(angle)).toFixed(2)}`;
  const large = to - from > Math.PI ? 1 : 0;
  const d = `M${point(from)}A${radius} ${radius} 0 ${large} 1 ${point(to)}`;
  return s('path', { d, class: lit ? 'lit' : null });
}
