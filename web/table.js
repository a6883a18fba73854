// One table of tracks, which can be sorted.

import { h, outward, s } from '/assets/dom.js';
import { trackUrl } from '/assets/picks.js';

// A long list is cut here until somebody wants it all.
const SHORT = 12;

const columns = [
  { name: '#', class: 'no', key: (_, at) => at, label: ' order of the list' },
  { name: 'Track', class: 'what', key: (track) => track.title?.toLowerCase() },
  { name: 'Year', class: 'year', key: (track) => track.year },
  { name: 'BPM', class: 'bpm', key: (track) => track.bpm },
  { name: 'Tags', class: 'tags' },
  { name: 'Time', class: 'time', key: (track) => track.durationMs },
];

/** A list of tracks, in an element of its own. */
export class Table {
  element;
  #tracks = [];
  #shown = '';
  #sort = { column: 0, down: false };
  #all = false;
  #more = h('button', { type: 'button', class: 'plate', onclick: () => this.#showAll() });
  #head = h('tr');
  #body = h('tbody');
  #caption = h('caption');

  /** `mark`: what is said of each of these tracks, if anything. */
  constructor(mark = null) {
    const table = h('table', { class: mark ? 'marked' : null }, this.#caption, h('thead', {}, this.#head), this.#body);
    this.element = h('div', {}, table, this.#more);
    this.#head.append(...columns.map((column, at) => this.#heading(column, at)));
    // Paper shows it all.
    addEventListener('beforeprint', () => this.element.isConnected && this.#open());
  }

  update(tracks, caption) {
    const now = JSON.stringify([tracks, caption]);
    if (now === this.#shown) return;
    this.#shown = now;
    this.#tracks = tracks;
    this.#caption.textContent = caption;
    this.#rows();
  }

  #open() {
    this.#all = true;
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
    this.#open();
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
  const tags = () => (track.tags ?? []).slice(0, 4).map((tag) => h('li', { dir: 'auto' }, tag));
  const url = trackUrl(track);
  const title = track.title ?? '?';
  return h(
    'tr',
    {},
    h('td', { class: 'no' }, String(at + 1)),
    h(
      'th',
      { scope: 'row', class: 'what' },
      h('span', { class: 'title', dir: 'auto' }, url ? outward(url, title) : title),
      h('span', { class: 'artists' }, names(track.artists)),
      track.tags?.length ? h('ul', { class: 'chips inline' }, tags()) : null,
    ),
    h('td', { class: 'year' }, track.year ? String(track.year) : '–'),
    h('td', { class: 'bpm' }, tempo(track.bpm)),
    h('td', { class: 'tags' }, track.tags?.length ? h('ul', { class: 'chips' }, tags()) : '–'),
    h('td', { class: 'time' }, clock(track.durationMs)),
  );
}

// Each in a direction of its own: none of them turns the other around.
const names = (artists) =>
  (artists ?? []).flatMap((artist, at) => [
    at ? ', ' : null,
    h('bdi', {}, typeof artist === 'string' ? artist : artist.name),
  ]);

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
