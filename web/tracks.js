// The tracks of a turn: those that the answer is about, then what was looked at
// beside them; and their tempi as a histogram.

import { h, s } from '/assets/dom.js';
import { pick } from '/assets/picks.js';
import { Table } from '/assets/table.js';

const BIN = 10;
const [WIDTH, HEIGHT, FOOT] = [320, 72, 16];

/** What is known of tracks, in an element of its own. */
export class Tracks {
  element;
  /** Those that the answer is about. */
  picks = [];
  #shown = '';
  #histogram = h('figure', { class: 'tempo' });
  #title = h('h3');
  #first = new Table('pick');
  #rest = new Table();
  #summary = h('summary');
  #others = h('details', { class: 'others' }, this.#summary, this.#rest.element);

  /** `side` tells this turn's tracks from those of others. */
  constructor(side, id) {
    this.element = h(
      'section',
      { class: 'tracks', id, tabindex: '-1', 'aria-label': `Tracks of ${side}`, hidden: true },
      this.#title,
      this.#histogram,
    );
  }

  update({ tracks, text, tools, ending }) {
    const key = JSON.stringify([tracks, text, ending, tools.length]);
    if (key === this.#shown) return;
    this.#shown = key;
    const { picks, others } = pick(tracks, text, tools);
    this.picks = picks;
    this.element.hidden = tracks.length === 0;
    // Without a choice everything is what there is; while the answer is being
    // written it may still make one.
    const chosen = picks.length > 0;
    const all = !chosen && ending !== null;
    this.#title.textContent = chosen ? 'In the answer' : 'Looked at';
    this.#title.hidden = !chosen && !all;
    const main = chosen ? picks : all ? tracks : [];
    const rest = all ? [] : others;
    this.#first.update(main, caption(main));
    this.#summary.textContent = `${chosen ? 'Also looked at' : 'Looked at so far'}: ${counted(rest.length)}`;
    this.#rest.update(rest, caption(rest));
    show(this.element, this.#first.element, main.length > 0);
    show(this.element, this.#others, rest.length > 0);
    this.#histogram.replaceChildren(...histogram(main));
    this.#histogram.hidden = this.#histogram.childElementCount === 0;
  }

  /** What leads here, in a few words; empty where there is nothing. */
  cue(tracks) {
    if (tracks.length === 0) return '';
    const others = tracks.length - this.picks.length;
    if (this.picks.length === 0) return counted(tracks.length);
    return `${counted(this.picks.length)}${others ? `, ${others} more looked at` : ''}`;
  }
}

// A table without rows is nowhere. The first one stands before the others.
function show(section, part, is) {
  if (!is) part.remove();
  else if (!part.isConnected) section.insertBefore(part, part.tagName === 'DETAILS' ? null : section.querySelector('.others'));
}

const counted = (count) => (count === 1 ? '1 track' : `${count} tracks`);

function caption(tracks) {
  const known = tempi(tracks);
  const count = counted(tracks.length);
  if (known.length === 0) return count;
  const [low, high, middle] = [known[0], known.at(-1), known[Math.floor(known.length / 2)]].map(Math.round);
  if (low === high) return `${count}, ${low} BPM`;
  return `${count}, ${low}–${high} BPM, median ${middle}`;
}

const tempi = (tracks) =>
  tracks
    .map((track) => track.bpm)
    .filter((bpm) => bpm > 0)
    .sort((a, b) => a - b);

/** Counts of tempi by tens: `[{from, count}]`, without holes. */
export function bins(known) {
  if (known.length === 0) return [];
  const bin = (bpm) => Math.floor(bpm / BIN) * BIN;
  const [first, last] = [bin(known[0]), bin(known.at(-1))];
  const made = [];
  for (let from = first; from <= last; from += BIN) {
    made.push({ from, count: known.filter((bpm) => bin(bpm) === from).length });
  }
  return made;
}

function histogram(tracks) {
  const known = tempi(tracks);
  // Two tempi are no distribution.
  if (known.length < 3) return [];
  const bars = bins(known);
  const most = Math.max(...bars.map((bar) => bar.count));
  const fullest = bars.find((bar) => bar.count === most);
  const step = WIDTH / Math.max(bars.length, 6);
  const every = Math.ceil(bars.length / 8);
  const said =
    `Tempi of ${known.length} tracks, from ${Math.round(known[0])} to ` +
    `${Math.round(known.at(-1))} BPM; most lie between ${fullest.from} and ${fullest.from + BIN}.`;
  const drawn = bars.map(({ from, count }, at) => bar({ from, count, at, step, most, every }));
  const foot = s('line', { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, class: 'axis' });
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT + FOOT}`, role: 'img', 'aria-label': said };
  return [h('figcaption', {}, 'Tempo'), s('svg', box, ...drawn, foot)];
}

// A stack of one block for each track, as on a level meter, while they fit.
function bar({ from, count, at, step, most, every }) {
  const unit = (HEIGHT - 4) / Math.max(most, 4);
  const [x, gap, width] = [at * step, unit > 5 ? 2 : 0, step - 3];
  const block = (n) =>
    s('rect', { x, width, y: HEIGHT - (n + 1) * unit, height: unit - gap, class: 'block' });
  const label =
    at % every === 0
      ? s('text', { x: x + width / 2, y: HEIGHT + 12, 'text-anchor': 'middle' }, String(from))
      : null;
  const title = s('title', {}, `${from}–${from + BIN - 1} BPM: ${count}`);
  return s('g', {}, title, ...Array.from({ length: count }, (_, n) => block(n)), label);
}
