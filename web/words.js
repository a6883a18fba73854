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
  too_many_runs: () => [
    'Two of your requests are still being answered',
    'One listener may have two at a time, over all tabs and devices. Stop one of them, or wait until it is done.',
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
  account_not_registered: () => [
    'Spotify does not know you here',
    'This Spinlane may serve registered accounts only. Whoever runs it has to register yours with Spotify.',
  ],
  owner_not_premium: () => [
    'Spotify does not serve this Spinlane',
    'Whoever runs it needs Spotify Premium for that.',
  ],
  missing_scope: () => [
    'Your login does not allow that',
    'Connect Spotify again and allow it; your request is kept.',
    'connect',
  ],
  not_configured: () => ['Not set up yet', 'Whoever runs this Spinlane has to set one variable.'],
  misconfigured: () => ['Not set up right', 'Whoever runs this Spinlane has to correct its variables.'],
  store_unavailable: () => [
    'Spinlane cannot look after itself right now',
    'The store that it counts requests and keeps sessions in does not answer. It usually comes back within seconds.',
    'again',
  ],
  cross_site: () => ['The request came from another site', 'Open Spinlane itself, and ask there.'],
  run_lost: () => ['The rest of the answer was lost', 'Whatever was working on it has gone. What had come of it is here.', 'again'],
  run_gone: () => ['The rest of the answer was not kept', 'It cannot be read on. What had come of it is here.', 'again'],
  too_many_readers: () => [
    'Your answers are being read in many places',
    'Close a tab that shows one, or wait until it is done.',
    'again',
  ],
  key_pending: () => [
    'Nobody has begun to answer this yet',
    'It was sent before. Ask again; should that not help, edit it and send it anew.',
    'again',
  ],
  key_reused: () => ['This is not what was sent before', 'Ask again: it is sent as another request.', 'again'],
  budget_exhausted: () => [
    'Too much for one request',
    'It would take more calls than one request may make. Ask for less at a time.',
  ],
  invalid_request: () => ['The request was not accepted', 'Change it and send it again.'],
  internal: () => ['Something broke on our side', 'The log has the details.', 'again'],
  // What the page itself finds out.
  offline: () => ['You are offline', 'This device has no network connection.', 'again'],
  unreachable: () => ['Spinlane does not answer', 'The server may be restarting.', 'again'],
  run_unknown: () => [
    'The answer cannot be read on',
    'It has been over for a while, or belongs to another login. What had come of it is here.',
    'again',
  ],
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

/** How long something takes that is to come: `in 45 s`, `in 8 min (14:32)`. */
export function untilThen(ms, now = Date.now()) {
  if (ms < 90_000) return `in ${Math.max(1, Math.ceil(ms / 1000))} s`;
  const at = new Date(now + ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return `in ${Math.ceil(ms / 60_000)} min (${at})`;
}

/** What is said while an answer goes on and its page is cut off from it. */
export function away({ offline, error, waitMs }, now) {
  if (error) return `${explain(error).title}. The answer goes on, and is read on ${waitMs < 90_000 ? 'in a moment' : untilThen(waitMs, now)}.`;
  if (offline) return 'You are offline. The answer goes on, and is read on when you are back.';
  return 'The connection broke. The answer goes on; reconnecting …';
}

const reasons = {
  stopped: 'You stopped it here.',
  upstream_cut: 'The model’s answer broke off here. What was said is kept.',
  turn_limit: 'Spinlane looked things up as often as one request may. Ask for the next step.',
  max_tokens: 'The answer reached its longest length. Ask it to go on.',
  refusal: 'The model did not want to go on with this one.',
  abandoned: 'Nobody was there to read on, so it ended here.',
  deadline: 'Time for one request ran out. Ask it to go on.',
};

/** Why an answer is not whole. */
export const incomplete = (reason) => reasons[reason] ?? `The answer is not whole (${reason}).`;

const tools = {
  search_tracks: 'Search tracks',
  analyze_playlist: 'Analyze playlist',
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

/** What should happen, for people. */
export const modeName = (mode) => ({ analyze: 'Analyze', create: 'Create', edit: 'Edit' })[mode] ?? mode;

/** The tab's title: what state the run is in, then what it is about. */
export function tabTitle(state, message = '') {
  const short = message.length > 40 ? `${message.slice(0, 40).trim()}…` : message;
  return [state, short].filter(Boolean).join(': ') + (state ? ' – Spinlane' : 'Spinlane');
}

/** The state of a turn in a word. */
export function stateName({ ending }) {
  if (ending === null) return 'Answering';
  if (ending.kind === 'error') return 'Failed';
  if (ending.kind === 'interrupted') return 'Interrupted';
  return ending.reason === 'stopped' ? 'Stopped' : 'Answered';
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

/**
 * What one could ask after an answer: `{text, mode, playlist?}`. `picks` are the
 * tracks that it is about, `made` the id of a playlist that it has made.
 */
export function suggestions({ mode, playlistId, text }, picks, made) {
  if (text.trim() === '') return [];
  const playlist = made ?? playlistId;
  if (playlist) {
    return [
      { text: 'Which tracks would you add to it?', mode: 'analyze', playlist },
      { text: 'Sort it so that the tempo rises', mode: 'edit', playlist },
      { text: 'What breaks its mood?', mode: 'analyze', playlist },
    ];
  }
  const first = picks[0]?.title;
  return [
    picks.length > 1 ? { text: 'Make a playlist of these', mode: 'create' } : null,
    first ? { text: `More like “${first}”`, mode: 'analyze' } : null,
    { text: 'The same mood, but slower', mode: 'analyze' },
    mode === 'analyze' ? { text: 'Surprise me with something less known', mode: 'analyze' } : null,
  ].filter(Boolean).slice(0, 3);
}
