// Conversations: what outlives a reload. They are kept in this tab and nowhere
// else, each under a key of its own, so that only the present one is written
// again and again.

import { goesOn } from '/assets/turn.js';

const STATE = 'spinlane.session';
const RECORD = 'spinlane.record.';

/** As many conversations as the list shows. */
const MOST_RECORDS = 12;

const store = () => {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
};

function read(key) {
  try {
    return JSON.parse(store().getItem(key));
  } catch {
    // Storage is off, or holds what another version wrote.
    return null;
  }
}

/** Writes it; whether there was room. */
function write(key, value) {
  try {
    store().setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

const newRecord = () => ({ id: crypto.randomUUID?.() ?? String(Math.random()), at: Date.now(), turns: [], lost: 0, playlist: null });

/** The conversations of this tab; `present` is the one on the page. */
export class Records {
  present;
  /** Of all, the newest first: `{id, at, title, count}`. */
  list;
  /** What is being typed: `{draft, mode}`. */
  typed;
  /** Whether anything can be kept. */
  keeps = true;

  constructor() {
    const state = read(STATE) ?? {};
    this.list = Array.isArray(state.list) ? state.list : [];
    this.typed = { draft: '', mode: 'analyze', ...state.typed };
    this.present = this.#load(state.present) ?? newRecord();
  }

  #load(id) {
    const record = id && read(RECORD + id);
    if (!record || !Array.isArray(record.turns)) return null;
    for (const turn of record.turns) {
      // A run that a reload cut off, unless it can be read on.
      if (turn !== record.turns.at(-1) || !goesOn(turn)) turn.ending ??= { kind: 'interrupted' };
      turn.thinking = null;
    }
    return record;
  }

  /** Keeps the present conversation, and what is being typed. */
  save(typed = this.typed) {
    this.typed = typed;
    const { present } = this;
    if (present.turns.length) {
      present.at = Date.now();
      this.list = this.list.filter(({ id }) => id !== present.id);
      this.list.unshift({ id: present.id, at: present.at, title: present.turns[0].message.slice(0, 120), count: present.turns.length });
      while (this.list.length > MOST_RECORDS) this.remove(this.list.at(-1).id);
      this.#keep(present);
    }
    this.keeps = write(STATE, { list: this.list, present: present.id, typed }) && this.keeps;
  }

  // A tab has about 5 MB. What is dearest goes last: first what tools have
  // answered, then other conversations, then the first turns of this one.
  #keep(record) {
    const key = RECORD + record.id;
    let kept = record;
    this.keeps = true;
    if (write(key, kept)) return;
    kept = { ...record, turns: record.turns.map(light) };
    while (!write(key, kept)) {
      const oldest = this.list.at(-1);
      if (oldest && oldest.id !== record.id) this.remove(oldest.id);
      else if (kept.turns.length > 1) kept = { ...kept, turns: kept.turns.slice(1), lost: kept.lost + 1 };
      else return (this.keeps = false);
    }
  }

  /** Begins a new conversation; resolves to the id of the one before. */
  begin() {
    this.save();
    const before = this.present.turns.length ? this.present.id : null;
    this.present = newRecord();
    this.save();
    return before;
  }

  /** Puts another conversation on the page; whether it is still there. */
  open(id) {
    this.save();
    const record = this.#load(id);
    if (!record) return false;
    this.present = record;
    this.save();
    return true;
  }

  /** Forgets a conversation. */
  remove(id) {
    this.list = this.list.filter((one) => one.id !== id);
    try {
      store()?.removeItem(RECORD + id);
    } catch {
      // Then it was not kept either.
    }
  }
}

// A turn without what only its details show.
function light(turn) {
  return { ...turn, tools: turn.tools.map((tool) => ({ ...tool, result: slim(tool.result) })) };
}

// What the page reads of a result: its errors, and what a card says.
function slim(result) {
  if (result === null || typeof result !== 'object') return null;
  const { tracks, ...rest } = result;
  return rest;
}
