// A run: the request, its stream, its end.

import { events } from '/assets/sse.js';

// What a server may take to end a stopped run by itself: then `done` says that
// it was stopped, and `usage` what it had cost.
const STOP_GRACE_MS = 1000;

/** A failed request, as the API's error object. */
export class RequestError extends Error {
  constructor(error) {
    super(error.message);
    this.error = error;
  }
}

/** One chat request under way. */
export class Run {
  #abort = new AbortController();
  #id = null;
  #stopping = false;
  #silent = false;
  #watch = null;

  /**
   * Sends the request and hands each frame to `onFrame`. Resolves to how the
   * stream ended: `'ended'`, `'stopped'` (the connection was closed on
   * purpose), `'silent'` (nothing came for `silenceMs()`, not even a heartbeat)
   * or `'cut'`.
   */
  async start(request, onFrame, silenceMs) {
    const heard = () => {
      clearTimeout(this.#watch);
      this.#watch = setTimeout(() => {
        this.#silent = true;
        this.#abort.abort();
      }, silenceMs());
    };
    try {
      heard();
      const response = await this.#request(request);
      this.#id = response.headers.get('x-run-id');
      for await (const { data } of events(response.body, heard)) {
        const frame = JSON.parse(data);
        if (frame.type === 'run') this.#id = frame.data.id;
        onFrame(frame);
        if (frame.type === 'done' || frame.type === 'error') return 'ended';
      }
      return 'cut';
    } catch (error) {
      if (this.#stopping) return 'stopped';
      if (error instanceof RequestError) throw error;
      return this.#silent ? 'silent' : 'cut';
    } finally {
      clearTimeout(this.#watch);
    }
  }

  /** Asks the server to end the run; hangs up if it does not do so soon. */
  async stop() {
    if (this.#stopping) return;
    this.#stopping = true;
    const hangUp = () => this.#abort.abort();
    if (!this.#id) return hangUp();
    if (!(await stopRun(this.#id))) return hangUp();
    setTimeout(hangUp, STOP_GRACE_MS);
  }

  async #request(request) {
    let response;
    try {
      response = await fetch('/api/chat-stream/message', {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
        body: JSON.stringify(request),
        signal: this.#abort.signal,
      });
    } catch {
      const code = navigator.onLine ? 'unreachable' : 'offline';
      throw new RequestError({ code, message: '' });
    }
    const type = response.headers.get('content-type') ?? '';
    if (response.ok && type.startsWith('text/event-stream')) return response;
    throw new RequestError(await problem(response));
  }
}

/** Asks the server to end a run; whether it has taken that. */
export async function stopRun(id) {
  try {
    const signal = AbortSignal.timeout(STOP_GRACE_MS);
    return (await fetch(`/api/chat-stream/${encodeURIComponent(id)}/stop`, { method: 'POST', signal })).ok;
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
