// What the page knows of the server beside a run: its status, who is connected;
// and that other tabs, the network and time change that.

const BUSY_MS = 1500;
const IDLE_MS = 30_000;
const DOWN_MS = 5000;

const SESSION = 'session';

/** Watches. Tells `onStatus(status | null)`, `onSession(session)` and `onNetwork(isOnline)`. */
export class Server {
  /** How long a stream may be silent: twice the heartbeat. */
  silenceMs = 30_000;
  #on;
  #busy = false;
  #timer = null;
  #tabs = globalThis.BroadcastChannel ? new BroadcastChannel('spinlane') : null;

  constructor(on) {
    this.#on = on;
    this.#tabs?.addEventListener('message', ({ data }) => data === SESSION && this.readSession());
    addEventListener('online', () => this.#network(true));
    addEventListener('offline', () => this.#network(false));
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) return;
      this.readStatus();
      this.readSession();
    });
  }

  /** A run is under way, or none: how often the lanes are looked at. */
  set busy(is) {
    this.#busy = is;
    this.readStatus();
  }

  async readStatus() {
    clearTimeout(this.#timer);
    let status = null;
    try {
      const response = await fetch('/api/status');
      if (response.ok) status = await response.json();
    } catch {
      // Nobody is there.
    }
    const heartbeat = status?.heartbeatMs ?? status?.configuration?.heartbeatMs;
    if (heartbeat > 0) this.silenceMs = 2 * heartbeat;
    this.#on.onStatus(status);
    clearTimeout(this.#timer);
    const pause = this.#busy ? BUSY_MS : status ? IDLE_MS : DOWN_MS;
    this.#timer = setTimeout(() => (document.hidden ? null : this.readStatus()), pause);
  }

  async readSession() {
    try {
      const response = await fetch('/api/auth/session');
      if (response.ok) this.#on.onSession(await response.json());
    } catch {
      // The page works without: a route that needs a session says so.
    }
  }

  /** Ends the session; the other tabs learn of it. */
  async logOut() {
    try {
      await fetch('/api/auth/logout', { method: 'POST' });
    } catch {
      // The session then ends by itself; the next look says whether it has.
    }
    this.tell();
    await this.readSession();
  }

  /** The session has changed: the other tabs look. */
  tell() {
    this.#tabs?.postMessage(SESSION);
  }

  #network(isOnline) {
    this.#on.onNetwork(isOnline);
    if (isOnline) this.readSession();
    this.readStatus();
  }
}
