// A request that waits for Spotify is remembered over the way to its consent page
// and back.

const LOGIN = 'spinlane.login';
const KEPT_MS = 10 * 60_000;

/** The reader leaves for Spotify; the conversation `record` has a request that waits. */
export function remember(record) {
  try {
    sessionStorage.setItem(LOGIN, JSON.stringify({ record, at: Date.now() }));
  } catch {
    // Storage is off. Then it is offered to be asked again.
  }
}

/** The conversation that a reader has come back to, once; `null`: none. */
export function returned() {
  try {
    const login = JSON.parse(sessionStorage.getItem(LOGIN));
    sessionStorage.removeItem(LOGIN);
    return login && Date.now() - login.at < KEPT_MS ? login.record : null;
  } catch {
    return null;
  }
}
