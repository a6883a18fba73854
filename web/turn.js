// One exchange: what was asked, and what the stream has said until now. Plain
// data, so that it can be kept over a reload.

const HISTORY_ENTRIES = 20;
const ENTRY_LENGTH = 20_000;
// The API takes 512 KiB; some room for the message and JSON's own characters.
const HISTORY_BYTES = 400 * 1024;

const KEY_BYTES = 16;

/** A name for one send: whoever sends the same under it again gets the same run. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A turn to which nothing was answered yet. One that has a `key` was sent before, in vain. */
export function newTurn(number, { message, mode, playlistId, isPublic, key }) {
  return {
    number,
    message,
    mode,
    playlistId: playlistId || null,
    isPublic: Boolean(isPublic),
    at: Date.now(),
    // Until it is known what has become of it.
    key: key ?? newKey(),
    run: null,
    // Whether the run goes on without us, and the last of its frames that was taken.
    resumable: false,
    seen: 0,
    text: '',
    thinking: null,
    tools: [],
    progress: [],
    tracks: [],
    usage: null,
    // {kind: 'whole' | 'incomplete' | 'error' | 'interrupted', …} once it is over.
    ending: null,
  };
}

/** `A1` to `A6`, then the record is turned: `B1`. */
export function side(number) {
  const per = 6;
  const letter = String.fromCharCode(65 + (Math.floor((number - 1) / per) % 26));
  return `${letter}${((number - 1) % per) + 1}`;
}

/** Whether its run may still be under way, and can be read on. */
export const goesOn = ({ ending, resumable }) => ending === null && resumable === true;

/** Whether the turn has not had the frame of this id, which from now on it has. Frames without one are all new. */
export function isNew(turn, id) {
  const number = Number(id ?? NaN);
  if (number <= turn.seen) return false;
  if (number > turn.seen) turn.seen = number;
  return true;
}

/**
 * Takes one frame of the stream. `at` is the time since the turn began, in
 * milliseconds. Frames of a type that is not known are left alone: the API may
 * grow.
 */
export function apply(turn, { type, data }, at) {
  switch (type) {
    case 'run':
      Object.assign(turn, { run: data.id, resumable: data.resumable === true, key: null });
      break;
    case 'content':
      turn.text += after(turn) + data;
      turn.thinking = null;
      break;
    case 'thinking':
      turn.thinking = data;
      break;
    case 'tool_start':
      turn.tools.push({
        id: data.id,
        tool: data.tool,
        args: data.args,
        from: at,
        ms: null,
        failed: false,
        result: null,
      });
      break;
    case 'tool_end':
      endTool(turn, data, at);
      break;
    case 'progress':
      note(turn.progress, data);
      break;
    case 'usage':
      turn.usage = data;
      break;
    case 'done':
      end(turn, data?.incomplete ? { kind: 'incomplete', reason: data.reason } : { kind: 'whole' });
      break;
    case 'error':
      end(turn, failure(data));
      break;
  }
}

/** Nothing more will come. The first ending stays. */
export function end(turn, ending) {
  turn.ending ??= ending;
  turn.thinking = null;
}

/** An ending by an error. When to ask again is a time of day, and so outlives a reload. */
export function failure(error) {
  const until = error?.retryAfterMs > 0 ? Date.now() + error.retryAfterMs : null;
  return { kind: 'error', error: error ?? {}, until };
}

/** Whether nothing went wrong, and nothing was said. */
export const isEmpty = ({ ending, text }) => ending?.kind === 'whole' && text.trim() === '';

/** The error of a session that is none any more: of the whole turn or of a tool. */
export function lostSession({ ending, tools }) {
  const errors = [ending?.error, ...tools.filter((tool) => tool.failed).map((tool) => tool.result)];
  return errors.some((error) => error?.code?.startsWith?.('session_'));
}

// What is said after a tool is a paragraph of its own.
function after(turn) {
  const paused = turn.tools.length > (turn.toolsAtText ?? 0);
  turn.toolsAtText = turn.tools.length;
  return paused && turn.text !== '' && !turn.text.endsWith('\n') ? '\n\n' : '';
}

function endTool(turn, { id, ms, result, error }, at) {
  const tool = turn.tools.find((known) => known.id === id);
  if (!tool) return;
  // One that ran while nobody was here has begun before its start was read.
  tool.from = Math.max(0, Math.min(tool.from, at - ms));
  Object.assign(tool, { ms, result, failed: Boolean(error) });
  const tracks = Array.isArray(result?.tracks) ? result.tracks : [];
  for (const track of tracks) merge(turn.tracks, track);
}

// A later tool knows more of a track: its BPM, its tags.
function merge(tracks, track) {
  const key = (one) => one.id ?? `${one.title}\n${one.artists?.join('\n')}`;
  const known = tracks.find((one) => key(one) === key(track));
  if (!known) return tracks.push({ ...track });
  // A long list names each track's first artist only.
  const [before, now] = [known.artists ?? [], track.artists ?? []];
  return Object.assign(known, track, { artists: now.length < before.length ? before : now });
}

function note(progress, { done, total, label }) {
  const known = progress.find((one) => one.label === label);
  if (known) Object.assign(known, { done, total });
  else progress.push({ done, total, label });
}

/** What the model is told of earlier turns: oldest first, within the API's limits. */
export function history(turns) {
  const entries = turns
    .filter((turn) => turn.text.trim() !== '')
    .flatMap((turn) => [
      { role: 'user', content: turn.message },
      { role: 'assistant', content: cut(turn.text, ENTRY_LENGTH) },
    ])
    .slice(-HISTORY_ENTRIES);
  const bytes = (entry) => new TextEncoder().encode(JSON.stringify(entry)).length;
  let room = HISTORY_BYTES;
  // From the newest: what no longer fits is what was said first.
  let keep = entries.length;
  while (keep > 0 && (room -= bytes(entries[keep - 1])) >= 0) keep -= 1;
  // An answer without its question helps nobody.
  return entries.slice(keep + (keep % 2));
}

/** The first `length` code points: half an emoji is not valid JSON text. */
export function cut(text, length) {
  return text.length <= length ? text : Array.from(text).slice(0, length).join('');
}

/** How the API counts. */
export const codePoints = (text) => Array.from(text).length;

const LINK = String.raw`(?:https?:\/\/open\.spotify\.com\/(?:[\w-]+\/)*playlist\/|spotify:(?:user:[^\s:]+:)?playlist:)(\w+)`;

/** A playlist's id in what people paste: a link, a URI, the id. `null`: none. */
export function playlistId(pasted) {
  const text = pasted.trim();
  return new RegExp(`^${LINK}`).exec(text)?.[1] ?? (/^\w{8,64}$/.test(text) ? text : null);
}

/** The first link to a playlist within a text: `{id, link}`, or `null`. */
export function playlistWithin(text) {
  const found = new RegExp(String.raw`${LINK}(?:\?[^\s)]*)?`).exec(text);
  return found && { id: found[1], link: found[0] };
}
