// A run: the request, its stream, its end. One that outlives its connection is read
// on when that breaks, from where it broke.

import { events } from '/assets/sse.js';
import { isNew } from '/assets/turn.js';
import { onWake } from '/assets/wake.js';

const CHAT = '/api/chat-stream/';

// What a server may take to end a stopped run by itself: then `done` says that
// it was stopped, and `usage` what it had cost.
const STOP_GRACE_MS = 1000;

// The same, of a run whose frames may come by way of its log.
const LOG_GRACE_MS = 3000;

const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = [500, 8000];

/** How long to wait before a connection that broke is tried again, after so many tries, in ms. */
export const waitMs = (tries) => Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** tries);

/** A failed request, as the API's error object. */
export class RequestError extends Error {
  constructor(error) {
    super(error.message);
    this.error = error;
  }
}

/** The run of one turn, which has what is needed to go on with it: `run`, `seen`, `key`. */
export class Run {
  #turn;
  #on;
  /** Ends the present connection. */
  #line = new AbortController();
  #watch = null;
  #heardAt = 0;
  #silent = false;
  #stopping = false;
  #hungUp = false;
  /** Ends the present wait. */
  #endWait = null;
  #atOnce = false;
  /** How often it was tried in vain to read on. */
  #tries = 0;
  /** What the server said when it did not let us read on, this time. */
  #refusal = null;

  /**
   * `onFrame(frame)` is given each frame once; `onAway(away)` is told that the
   * connection broke and is tried again (`{offline, error, waitMs}`, anew for each
   * try), and with `null` that it is back; `silenceMs()`: how long a stream may be
   * silent.
   */
  constructor(turn, on) {
    this.#turn = turn;
    this.#on = on;
  }

  /**
   * Sends the request and reads its stream. Resolves to how that ended: `'ended'`,
   * `'stopped'` (nobody wanted to read on), and where a run ends with its connection
   * `'silent'` (nothing came for `silenceMs()`, not even a heartbeat) or `'cut'`.
   * Rejects with a `RequestError` when the server does not answer the request, or
   * refuses it, or refuses to let us read on.
   */
  ask(request) {
    return this.#follow(() => this.#post(request));
  }

  /** Reads on in a run that was begun before, as `ask`. */
  goOn() {
    return this.#follow(() => this.#get());
  }

  /** Asks the server to end the run; hangs up if it does not do so soon. */
  async stop() {
    if (this.#stopping) return;
    this.#stopping = true;
    if (this.#turn.run) return this.#tellStop();
    // The head tells which run it is: it comes at once, or not at all.
    setTimeout(() => this.#hangUp(), STOP_GRACE_MS);
  }

  async #tellStop() {
    const { run, resumable } = this.#turn;
    if (await stopRun(run)) {
      setTimeout(() => this.#hangUp(), resumable ? LOG_GRACE_MS : STOP_GRACE_MS);
      // Its last words are there to be read.
      return this.#endWait?.();
    }
    // A run that outlives its connection has to be told, however late.
    if (resumable) addEventListener('online', () => stopRun(run), { once: true });
    this.#hangUp();
  }

  #hangUp() {
    this.#hungUp = true;
    this.#line.abort();
    this.#endWait?.();
  }

  async #follow(begin) {
    const sleep = onWake(() => this.#wake());
    try {
      for (let open = begin; ; open = () => this.#get()) {
        const before = this.#turn.seen;
        const how = await this.#read(open);
        if (how === 'ended' || how === 'stopped') return how;
        if (this.#stopping && !this.#turn.resumable) return 'stopped';
        if (!this.#turn.resumable) return how;
        if (this.#turn.seen > before) this.#tries = 0;
        await this.#wait();
        if (this.#hungUp) return 'stopped';
      }
    } finally {
      sleep();
      clearTimeout(this.#watch);
    }
  }

  /** Reads one connection to its end. */
  async #read(open) {
    this.#line = new AbortController();
    this.#silent = false;
    this.#refusal = null;
    try {
      this.#heard();
      const response = await open();
      // It has ended, and all of it was read.
      if (response.status === 204) return 'ended';
      this.#on.onAway(null);
      for await (const { id, data } of events(response.body, () => this.#heard())) {
        if (!isNew(this.#turn, id)) continue;
        const frame = JSON.parse(data);
        this.#on.onFrame(frame);
        if (frame.type === 'done' || frame.type === 'error') return 'ended';
      }
      return 'cut';
    } catch (error) {
      if (this.#hungUp) return 'stopped';
      // A frame that is too long is so every time.
      if (error instanceof RangeError) throw new RequestError({ code: 'internal', message: error.message });
      if (error instanceof RequestError) throw error;
      return this.#silent ? 'silent' : 'cut';
    }
  }

  #heard() {
    this.#heardAt = Date.now();
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      this.#silent = true;
      this.#line.abort();
    }, this.#on.silenceMs());
  }

  #wait() {
    clearTimeout(this.#watch);
    if (this.#atOnce) {
      this.#atOnce = false;
      return null;
    }
    const ms = Math.max(waitMs(this.#tries++), this.#refusal?.retryAfterMs ?? 0);
    this.#on.onAway({ offline: navigator.onLine === false, error: this.#refusal, waitMs: ms });
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endWait = () => {
        clearTimeout(timer);
        resolve();
      };
    }).finally(() => (this.#endWait = null));
  }

  /** The network or the reader is back. */
  #wake() {
    // Who was asked to wait, waits.
    if (this.#refusal?.retryAfterMs) return;
    this.#tries = 0;
    if (this.#endWait) return this.#endWait();
    // A computer that slept has connections that nobody holds at the other end.
    const quiet = Date.now() - this.#heardAt > this.#on.silenceMs() / 2;
    if (!this.#turn.resumable || !quiet) return;
    this.#atOnce = true;
    this.#line.abort();
  }

  async #post(request) {
    const turn = this.#turn;
    let response;
    try {
      response = await fetch(`${CHAT}message`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'text/event-stream', 'idempotency-key': turn.key },
        body: JSON.stringify(request),
        signal: this.#line.signal,
      });
    } catch {
      const code = navigator.onLine ? 'unreachable' : 'offline';
      throw new RequestError({ code, message: '' });
    }
    if (isStream(response)) {
      turn.run = response.headers.get('x-run-id');
      if (this.#stopping && turn.run) this.#tellStop();
      return response;
    }
    const error = await problem(response);
    // What it stood for is another request, or is not there any more. All else leaves it
    // open whether there is a run by now.
    if (error.code === 'key_reused' || error.code === 'run_gone') turn.key = null;
    throw new RequestError(error);
  }

  async #get() {
    const { run, seen } = this.#turn;
    const response = await fetch(CHAT + encodeURIComponent(run), {
      headers: { accept: 'text/event-stream', 'last-event-id': String(seen) },
      cache: 'no-store',
      signal: this.#line.signal,
    });
    const { status } = response;
    if (status === 204 || isStream(response)) return response;
    const error = await problem(response);
    // A page of somebody in between says nothing, and a bad moment passes.
    if (error.code && status !== 429 && status < 500) {
      throw new RequestError({ ...error, code: status === 404 ? 'run_unknown' : error.code });
    }
    this.#refusal = error.code ? error : null;
    throw new Error(error.message);
  }
}

const isStream = ({ ok, headers }) => ok && (headers.get('content-type') ?? '').startsWith('text/event-stream');

/** Asks the server to end a run; whether it has taken that. */
export async function stopRun(id) {
  try {
    const signal = AbortSignal.timeout(STOP_GRACE_MS);
    return (await fetch(`${CHAT}${encodeURIComponent(id)}/stop`, { method: 'POST', signal })).ok;
  } catch {
    return false;
  }
}

/** What a response that is no stream says; a proxy's page says nothing. */
async function problem(response) {
  const { status, statusText, headers } = response;
  const seconds = Number(headers.get('retry-after'));
  const error = { status, message: `${status} ${statusText}`.trim() };
  if (seconds > 0) error.retryAfterMs = seconds * 1000;
  try {
    return { ...error, ...(await response.json()) };
  } catch {
    return error;
  }
}
