// What the page says: what went wrong and what to do, how things are called,
// what one could ask.

const names = { anthropic: 'the model', spotify: 'Spotify', deezer: 'Deezer', lastfm: 'Last.fm' };
const who = (error) => names[error.context?.upstream ?? error.context?.lane] ?? 'a music service';
const capital = (text) => text[0].toUpperCase() + text.slice(1);

const signedOut = () => [
  'You were signed out',
  'Your Spotify session has ended. Connect again; your request is kept.',
  'connect',
];

// code → [title, what to do, action]. An action is a button: ask again, connect.
const errors = {
  session_required: () => [
    'Connect Spotify first',
    'To make or change a playlist, Spinlane needs your Spotify account. Your request is kept.',
    'connect',
  ],
  session_expired: signedOut,
  // One that was swept, or ended elsewhere: to a person that is the same.
  session_invalid: signedOut,
  too_many_requests: () => [
    'That was a lot of requests',
    'You have used what one listener may ask for in this time.',
    'again',
  ],
  busy: () => ['The deck is busy', 'No slot became free in time. It usually helps to wait.', 'again'],
  rate_limited: (error) => [
    `${capital(who(error))} asks us to slow down`,
    'Nothing is wrong with your request.',
    'again',
  ],
  overloaded: (error) => [
    `${capital(who(error))} is overloaded`,
    'Nothing is wrong with your request.',
    'again',
  ],
  upstream_unreachable: (error) => [
    `${capital(who(error))} is offline`,
    'Spinlane is up, but it got no connection. Ask again in a while.',
    'again',
  ],
  upstream_timeout: (error) => [
    `${capital(who(error))} did not answer in time`,
    'It may be slow at the moment.',
    'again',
  ],
  upstream_error: (error) => [`${capital(who(error))} failed`, 'This is on its side.', 'again'],
  upstream_cut: (error) => [`${capital(who(error))} hung up`, 'The answer ended early.', 'again'],
  no_answer: () => ['The model gave no answer', 'Ask in another way, or for less at once.', 'again'],
  upstream_protocol: (error) => [`${capital(who(error))} gave an answer that makes no sense`, 'This is on its side.', 'again'],
  upstream_rejected: (error) => [`${capital(who(error))} did not take our request`, 'Ask for it in another way.', 'again'],
  upstream_denied: (error) => [
    `${capital(who(error))} may not be called from here`,
    'Whoever runs this Spinlane has to allow its address.',
  ],
  upstream_auth: (error) => [
    `${capital(who(error))} refused our key`,
    'Whoever runs this Spinlane has to check it.',
  ],
  not_configured: () => ['Not set up yet', 'Whoever runs this Spinlane has to set one variable.'],
  misconfigured: () => ['Not set up right', 'Whoever runs this Spinlane has to correct its variables.'],
  store_unavailable: () => ['The store does not answer', 'Spinlane keeps sessions there. It usually comes back soon.', 'again'],
  budget_exhausted: () => [
    'Too much for one request',
    'It would take more calls than one request may make. Ask for less at a time.',
  ],
  invalid_request: () => ['The request was not accepted', 'Change it and send it again.'],
  internal: () => ['Something broke on our side', 'The log has the details.', 'again'],
  // What the page itself finds out.
  offline: () => ['You are offline', 'This device has no network connection.', 'again'],
  unreachable: () => ['Spinlane does not answer', 'The server may be restarting.', 'again'],
};

/** An error object → `{title, hint, detail, action, waitMs}`. */
export function explain(error) {
  const status = { 401: 'session_required', 429: 'too_many_requests' }[error.status];
  const known = errors[error.code] ?? (error.code ? null : errors[status]);
  const [title, hint, action] = known?.(error) ?? ['That did not work', '', 'again'];
  const fields = (error.errors ?? []).map(({ pointer, message }) => `${pointer || 'body'} ${message}`);
  const detail = fields.length > 1 ? fields.join('; ') : error.message;
  return { title, hint, detail, action: action ?? null, waitMs: error.retryAfterMs ?? 0 };
}

const reasons = {
  stopped: 'You stopped it here.',
  upstream_cut: 'The model’s answer broke off here. What was said is kept.',
  turn_limit: 'Spinlane looked things up as often as one request may. Ask for the next step.',
  max_tokens: 'The answer reached its longest length. Ask it to go on.',
  refusal: 'The model did not want to go on with this one.',
  deadline: 'Time for one request ran out. Ask it to go on.',
};

/** Why an answer is not whole. */
export const incomplete = (reason) => reasons[reason] ?? `The answer is not whole (${reason}).`;

const tools = {
  search_tracks: 'Search tracks',
  analyze_playlist: 'Analyse playlist',
  get_playlist_tracks: 'Read playlist',
  get_track_details: 'Look up tracks',
  get_recommendations: 'Find similar',
  create_playlist: 'Create playlist',
  modify_playlist: 'Change playlist',
};

/** A tool's name for people. */
export const toolName = (tool) => tools[tool] ?? tool.replaceAll('_', ' ');

/** `87 ms`, `1.4 s`, `2 min 5 s`. */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

// Requests to begin with, by mode.
const slips = {
  analyze: [
    'Something slow for a rainy evening, nothing above 90 BPM',
    'Find me tracks for a 25 minute run that builds up',
    'Which songs go from dusk to the dance floor?',
  ],
  create: [
    'A two-hour dinner playlist that never gets loud',
    'Ten tracks for a night drive, from 80 to 120 BPM',
    'A birthday set for people between 8 and 80',
  ],
  edit: [
    'Sort this playlist so that the tempo rises',
    'Take out whatever breaks the mood',
    'Add three tracks that fit between the slow ones',
  ],
};

// A playlist that the stand-in for Spotify has.
const SIMULATED_PLAYLIST = '37i9dQZF1DXsimulated01';

/** What one could ask in this mode: `{text, playlist?}`. */
export function examples(mode, simulated) {
  const found = (slips[mode] ?? slips.analyze).map((text) => ({ text }));
  if (simulated && mode === 'analyze') {
    found[2] = { text: 'How does this playlist flow, and what breaks it?', playlist: SIMULATED_PLAYLIST };
  }
  return found;
}
