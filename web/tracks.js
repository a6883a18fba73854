// A list of tracks: a table that can be sorted, and its tempi as a histogram.

import { h, s } from '/assets/dom.js';

// A long list is cut here until somebody wants it all.
const SHORT = 12;
const BIN = 10;
const [WIDTH, HEIGHT, FOOT] = [320, 72, 16];

const columns = [
  { name: '#', class: 'no', key: (_, at) => at, label: ' order of the list' },
  { name: 'Track', class: 'what', key: (track) => track.title?.toLowerCase() },
  { name: 'Year', class: 'year', key: (track) => track.year },
  { name: 'BPM', class: 'bpm', key: (track) => track.bpm },
  { name: 'Tags', class: 'tags' },
  { name: 'Time', class: 'time', key: (track) => track.durationMs },
];

/** What is known of tracks, in an element of its own. */
export class Tracks {
  element = h('section', { class: 'tracks', 'aria-label': 'Tracks', hidden: true });
  #tracks = [];
  #shown = '';
  #sort = { column: 0, down: false };
  #all = false;
  #more = h('button', { type: 'button', class: 'plate', onclick: () => this.#showAll() });
  #histogram = h('figure', { class: 'tempo' });
  #head = h('tr');
  #body = h('tbody');
  #caption = h('caption');

  constructor() {
    const table = h('table', {}, this.#caption, h('thead', {}, this.#head), this.#body);
    this.element.append(this.#histogram, table, this.#more);
    this.#head.append(...columns.map((column, at) => this.#heading(column, at)));
  }

  update(tracks) {
    const now = JSON.stringify(tracks);
    if (now === this.#shown) return;
    this.#shown = now;
    this.#tracks = tracks;
    this.element.hidden = tracks.length === 0;
    this.#caption.textContent = caption(tracks);
    this.#histogram.replaceChildren(...histogram(tracks));
    this.#histogram.hidden = this.#histogram.childElementCount === 0;
    this.#rows();
  }

  #heading({ name, class: kind, key, label }, at) {
    if (!key) return h('th', { scope: 'col', class: kind }, name);
    const said = label ? h('span', { class: 'unseen' }, label) : null;
    const button = h('button', { type: 'button', onclick: () => this.#sortBy(at) }, name, said);
    return h('th', { scope: 'col', class: kind }, button);
  }

  #sortBy(column) {
    const down = this.#sort.column === column && !this.#sort.down;
    this.#sort = { column, down };
    this.#rows();
  }

  #showAll() {
    this.#all = true;
    this.#rows();
    // The button goes away: what it has shown takes the focus.
    this.#body.children[SHORT].tabIndex = -1;
    this.#body.children[SHORT].focus();
  }

  #rows() {
    const { column, down } = this.#sort;
    [...this.#head.children].forEach((cell, at) => {
      if (at !== column) cell.removeAttribute('aria-sort');
      else cell.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    });
    const { key } = columns[column];
    const keyed = this.#tracks.map((track, at) => ({ track, at, key: key(track, at) }));
    keyed.sort((a, b) => compare(a.key, b.key, down) || a.at - b.at);
    const shown = this.#all ? keyed : keyed.slice(0, SHORT);
    this.#body.replaceChildren(...shown.map(({ track, at }) => row(track, at)));
    this.#more.hidden = shown.length === keyed.length;
    this.#more.textContent = `All ${keyed.length} tracks`;
  }
}

// What is not known comes last, whichever way.
function compare(a, b, down) {
  if (a === b) return 0;
  if (a === undefined || a === null) return 1;
  if (b === undefined || b === null) return -1;
  return (a < b ? -1 : 1) * (down ? -1 : 1);
}

function row(track, at) {
  const tags = () => (track.tags ?? []).slice(0, 4).map((tag) => h('li', {}, tag));
  return h(
    'tr',
    {},
    h('td', { class: 'no' }, String(at + 1)),
    h(
      'th',
      { scope: 'row', class: 'what' },
      h('span', { class: 'title' }, track.title ?? '?'),
      h('span', { class: 'artists' }, names(track.artists)),
      track.tags?.length ? h('ul', { class: 'chips inline' }, tags()) : null,
    ),
    h('td', { class: 'year' }, track.year ? String(track.year) : '–'),
    h('td', { class: 'bpm' }, tempo(track.bpm)),
    h('td', { class: 'tags' }, track.tags?.length ? h('ul', { class: 'chips' }, tags()) : '–'),
    h('td', { class: 'time' }, clock(track.durationMs)),
  );
}

const names = (artists) =>
  (artists ?? []).map((artist) => (typeof artist === 'string' ? artist : artist.name)).join(', ');

// The number, and where it lies between 60 and 180.
function tempo(bpm) {
  if (!bpm) return h('span', { class: 'unknown', title: 'not known' }, '–');
  const at = Math.max(0, Math.min(1, (bpm - 60) / 120)) * 100;
  const groove = s(
    'svg',
    { viewBox: '0 0 100 6', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    s('rect', { width: 100, height: 2, y: 2, class: 'groove' }),
    s('rect', { width: 5, height: 6, x: at * 0.95, class: 'mark' }),
  );
  return [h('span', { class: 'number' }, String(Math.round(bpm))), groove];
}

function clock(ms) {
  if (!ms) return '–';
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

function caption(tracks) {
  const known = tempi(tracks);
  const count = tracks.length === 1 ? '1 track' : `${tracks.length} tracks`;
  if (known.length === 0) return count;
  const middle = known[Math.floor(known.length / 2)];
  return `${count}, ${Math.round(known[0])}–${Math.round(known.at(-1))} BPM, median ${Math.round(middle)}`;
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
