// The page: joins the conversation, its runs and the desk.

import { Desk } from '/assets/desk.js';
import { Announcer, byId, h, setText } from '/assets/dom.js';
import { RequestError, Run } from '/assets/run.js';
import { apply, codePoints, end, history, load, newTurn, playlistId, save } from '/assets/turn.js';
import { TurnView } from '/assets/view.js';
import { examples, explain, incomplete, toolName } from '/assets/words.js';

const LONGEST_MESSAGE = 2000;
const STATUS_EVERY_MS = 1500;
const SAVE_EVERY_MS = 300;

const [form, message, playlist] = [byId('composer'), byId('message'), byId('playlist')];
const [send, stop, clear] = [byId('send'), byId('stop'), byId('clear')];
const [turnList, latest] = [byId('turns'), byId('latest')];

const kept = load();
const turns = kept.turns;
const views = new Map();
const desk = new Desk();
const announcer = new Announcer(byId('status'), byId('spoken'));
/** The run under way: `{run, turn, began}`. */
let current = null;
let connected = null;
let simulated = false;

const actions = {
  again: (turn) => ask({ ...turn }),
  announce: (text) => announcer.say(text),
};

// --- The conversation

function show(turn) {
  const view = new TurnView(turn, actions);
  views.set(turn, view);
  view.update(turn, 0);
  turnList.append(view.element);
}

function mode() {
  return new FormData(form).get('mode') ?? 'analyze';
}

function submit() {
  const text = message.value.trim();
  const pasted = playlist.value.trim();
  const id = pasted === '' ? null : playlistId(pasted);
  const fault = pasted !== '' && id === null ? playlist : codePoints(text) > LONGEST_MESSAGE ? message : null;
  if (current || fault || text === '') {
    (fault ?? message).focus();
    return checkForm();
  }
  message.value = '';
  grow();
  ask({ message: text, mode: mode(), playlistId: id });
}

async function ask({ message: text, mode: wanted, playlistId: id }) {
  if (current) return;
  const request = { message: text, mode: wanted, conversationHistory: history(turns) };
  if (id) request.playlistId = id;
  const turn = newTurn((turns.at(-1)?.number ?? 0) + 1, { message: text, mode: wanted, playlistId: id });
  turns.push(turn);
  show(turn);
  begin(turn);
  try {
    const how = await current.run.start(request, (frame) => take(turn, frame));
    if (how === 'stopped') end(turn, { kind: 'incomplete', reason: 'stopped' });
    else end(turn, { kind: 'interrupted' });
  } catch (error) {
    end(turn, { kind: 'error', error: error instanceof RequestError ? error.error : { message: String(error) } });
  }
  finish(turn);
}

function begin(turn) {
  current = { run: new Run(), turn, began: performance.now() };
  announcer.begin();
  showRunning(true);
  scrollToEnd();
  requestAnimationFrame(tick);
}

function take(turn, frame) {
  apply(turn, frame, performance.now() - current.began);
  if (frame.type === 'tool_start') announcer.say(`${toolName(frame.data.tool)}…`);
  if (frame.type === 'usage') desk.showUsage(frame.data);
  current.dirty = true;
}

function finish(turn) {
  const ms = performance.now() - current.began;
  const followed = follows();
  views.get(turn).update(turn, ms);
  if (followed) follow();
  current = null;
  desk.showTime(ms);
  announcer.text(turn.text, true);
  if (turn.ending.kind === 'error' && turn.ending.error.code?.startsWith('session_')) forgetSession();
  announcer.say(summary(turn));
  const wasOnStop = document.activeElement === stop;
  showRunning(false);
  // The stop button goes away: whoever was on it should not be nowhere.
  if (wasOnStop) message.focus();
  latest.hidden = true;
  keep();
  readStatus();
}

function summary({ ending, tracks }) {
  if (ending.kind === 'error') return explain(ending.error).title;
  if (ending.kind === 'incomplete') return incomplete(ending.reason);
  if (ending.kind === 'interrupted') return 'The connection broke.';
  return tracks.length ? `The answer is complete, with ${tracks.length} tracks.` : 'The answer is complete.';
}

// One look at the turn for each picture, however many frames came.
let savedAt = 0;
function tick(now) {
  if (!current) return;
  const { turn, began } = current;
  const followed = follows();
  views.get(turn).update(turn, now - began);
  desk.showTime(now - began);
  if (current.dirty) {
    current.dirty = false;
    announcer.text(turn.text, false);
    if (followed) follow();
    if (now - savedAt > SAVE_EVERY_MS) {
      savedAt = now;
      keep();
    }
  }
  latest.hidden = followed;
  requestAnimationFrame(tick);
}

function keep() {
  save({ turns, draft: message.value, mode: mode(), playlist: playlist.value });
}

function showRunning(on) {
  document.body.classList.toggle('running', on);
  send.hidden = on;
  stop.hidden = !on;
  stop.removeAttribute('aria-disabled');
  clear.hidden = on || turns.length === 0;
  byId('intro').hidden = turns.length > 0;
  desk.spin(on);
}

// --- Scrolling

// The reader follows the needle: the end of what is being said, not of the page,
// for the tracks below it grow too.
const page = document.scrollingElement;

function needleDepth() {
  const limit = form.getBoundingClientRect().top - 24;
  return current ? views.get(current.turn).needle().getBoundingClientRect().bottom - limit : 0;
}

const follows = () => needleDepth() < 100;

function follow() {
  const depth = needleDepth();
  if (depth > 0) page.scrollBy({ top: depth, behavior: 'instant' });
}

const scrollToEnd = () => page.scrollTo({ top: page.scrollHeight, behavior: 'instant' });

// --- The form

function grow() {
  message.style.height = 'auto';
  message.style.height = `${message.scrollHeight}px`;
}

function checkForm() {
  const [hint, bad] = formFault();
  setText(byId('hint'), hint);
  byId('hint').classList.toggle('bad', bad !== null);
  for (const field of [message, playlist]) {
    if (field === bad) field.setAttribute('aria-invalid', 'true');
    else field.removeAttribute('aria-invalid');
  }
}

function formFault() {
  const over = codePoints(message.value.trim()) - LONGEST_MESSAGE;
  if (over > 0) return [`${over} characters too many.`, message];
  const pasted = playlist.value.trim();
  if (pasted !== '' && playlistId(pasted) === null) {
    return ['That is no playlist link: paste it as Spotify’s “Share” gives it.', playlist];
  }
  if (mode() !== 'analyze' && connected === false) {
    return ['To make or change playlists, connect Spotify first.', null];
  }
  if (mode() === 'edit' && pasted === '') return ['Which playlist? Paste its link.', null];
  return ['', null];
}

function showExamples() {
  const slips = examples(mode(), simulated).map(({ text, playlist: id }) =>
    h('li', {}, h('button', { type: 'button', onclick: () => useExample(text, id) }, text)),
  );
  byId('examples').replaceChildren(...slips);
}

function useExample(text, id) {
  message.value = text;
  if (id) playlist.value = id;
  submit();
  message.focus();
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  submit();
});
form.addEventListener('input', () => {
  grow();
  checkForm();
});
byId('modes').addEventListener('change', showExamples);
message.addEventListener('keydown', (event) => {
  // An Enter that chooses a word in an input method does not send.
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit();
  }
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && current) stopRun();
});
stop.addEventListener('click', stopRun);
latest.addEventListener('click', follow);
clear.addEventListener('click', () => {
  turns.length = 0;
  turnList.replaceChildren();
  views.clear();
  desk.showUsage(null);
  desk.showTime(0);
  showRunning(false);
  keep();
  message.focus();
});
addEventListener('pagehide', keep);
byId('theme').addEventListener('click', () => document.dispatchEvent(new Event('spinlane:theme')));

function stopRun() {
  if (!current) return;
  // Not `disabled`: that would take the focus away.
  stop.setAttribute('aria-disabled', 'true');
  current.run.stop();
}

// --- The server

async function readStatus() {
  try {
    const response = await fetch('/api/status');
    if (!response.ok) return;
    const status = await response.json();
    desk.showStatus(status);
    const was = simulated;
    simulated = status.upstreams.spotify.kind === 'simulated';
    if (simulated !== was) showExamples();
  } catch {
    desk.showUnreachable();
  }
}

async function readSession() {
  try {
    const response = await fetch('/api/auth/session');
    if (!response.ok) return;
    const session = await response.json();
    showSession(session.connected, session.name);
    // Without Spotify's keys there is nothing to connect to.
    if (session.available === false) byId('account').hidden = true;
  } catch {
    // The page works without: a route that needs a session says so.
  }
}

function showSession(is, name) {
  connected = is;
  byId('connect').hidden = is;
  byId('logout').hidden = !is;
  byId('who').hidden = !is;
  setText(byId('who'), is ? name || 'Connected' : '');
  checkForm();
}

const forgetSession = () => showSession(false);

byId('logout').addEventListener('click', async () => {
  try {
    await fetch('/api/auth/logout', { method: 'POST' });
  } catch {
    // The session then ends by itself; the next look says whether it has.
  }
  await readSession();
  announcer.say('Disconnected.');
  (byId('connect').hidden ? byId('logout') : byId('connect')).focus();
});

setInterval(() => {
  if (current && !document.hidden) readStatus();
}, STATUS_EVERY_MS);

// --- At the start

message.value = kept.draft;
playlist.value = kept.playlist;
for (const input of form.elements.mode) input.checked = input.value === kept.mode;
turns.forEach(show);
desk.showUsage(turns.findLast((turn) => turn.usage)?.usage ?? null);
if (matchMedia('(max-width: 1040px)').matches) byId('desk').open = false;
showExamples();
showRunning(false);
grow();
checkForm();
readStatus();
readSession();
if (turns.length) scrollToEnd();
