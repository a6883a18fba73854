// The page: joins the conversation, its runs, the form, the desk and the server.

import { Composer } from '/assets/composer.js';
import { Desk } from '/assets/desk.js';
import { Announcer, byId, setText } from '/assets/dom.js';
import { Follower } from '/assets/follow.js';
import { listen } from '/assets/keys.js';
import { remember, returned } from '/assets/login.js';
import { showExamples, showSuggestions } from '/assets/offers.js';
import { Records } from '/assets/records.js';
import { RequestError, Run, stopRun } from '/assets/run.js';
import { Server } from '/assets/server.js';
import { apply, end, failure, goesOn, history, lostSession, newTurn, side } from '/assets/turn.js';
import { hideUndo, listenUndo, offerUndo } from '/assets/undo.js';
import { TurnView, loadNotes } from '/assets/view.js';
import { away, incomplete, stateName, tabTitle, toolName } from '/assets/words.js';

const SAVE_EVERY_MS = 300;

const [message, send, stop, clear] = ['message', 'send', 'stop', 'clear'].map(byId);
const [turnList, connect] = ['turns', 'connect'].map(byId);
const narrow = matchMedia('(max-width: 1040px)');
const isTouch = matchMedia('(pointer: coarse)').matches;

const records = new Records();
const views = new Map();
const desk = new Desk();
const announcer = new Announcer(byId('status'), byId('spoken'));
/** The run under way: `{run, turn, began, over, away}`. */
let current = null;

const turns = () => records.present.turns;
const last = () => turns().at(-1);

/** What a turn's view asks of the page. */
const page = {
  connected: null,
  simulated: false,
  announce: (text) => announcer.say(text),
  again: (turn) => ask({ ...turn }, turn),
  edit: (turn) => {
    composer.mode = turn.mode;
    composer.setPlaylist(turn.playlistId ? { id: turn.playlistId } : null);
    composer.fill(turn.message);
    composer.setEditing(turn, side(turn.number));
    byId('public').checked = turn.isPublic;
    message.focus();
  },
  goOn: (turn) => ask({ ...turn, message: 'Go on from where you stopped.', key: null }),
  leave: () => leave(),
};

const composer = new Composer({
  onSubmit: (request, editing) => ask(request, editing && turns().includes(editing) ? editing : null),
  onMode: (mode) => showExamples(mode, page.simulated),
});

const follower = new Follower({
  // Above the deck, and above the button that stands on it.
  floor: () => Math.min(innerHeight, byId('composer').getBoundingClientRect().top) - 40,
  needle: () => views.get(last())?.needle() ?? null,
  button: byId('latest'),
});

const server = new Server({
  onStatus: (status) => {
    if (!status) return desk.showUnreachable();
    desk.showStatus(status);
    const was = page.simulated;
    page.simulated = status.upstreams?.spotify?.kind === 'simulated';
    if (page.simulated === was) return;
    showExamples(composer.mode, page.simulated);
    refresh();
  },
  onSession: showSession,
  onNetwork: (isOnline) => {
    composer.offline = !isOnline;
    composer.refresh();
    announcer.say(isOnline ? 'The network is back.' : 'You are offline.');
    // It never left this device: now it can.
    if (isOnline && !current && last()?.ending?.error?.code === 'offline') page.again(last());
  },
});

// --- The conversation

function show(turn) {
  const view = new TurnView(turn, page);
  views.set(turn, view);
  view.update(0);
  turnList.append(view.element);
}

/** The whole conversation anew. */
function showAll() {
  views.clear();
  turnList.replaceChildren();
  turns().forEach(show);
  if (turns().length) loadNotes(refresh);
  composer.setPlaylist(records.present.playlist);
  composer.setEditing(null);
  const { lost } = records.present;
  byId('lost').hidden = lost === 0;
  setText(byId('lost'), `This tab had no room for the first ${lost === 1 ? 'request' : `${lost} requests`} of this conversation.`);
  desk.showUsage(turns().findLast((turn) => turn.usage)?.usage ?? null);
  desk.showTime(0);
  showRunning();
}

const refresh = () => views.forEach((view) => view.refresh());

/** Asks; `instead`: the turn that this one replaces, with all that came after it. */
async function ask(asked, instead = null) {
  // One of this page's runs at a time: the older one has had its time.
  if (current) {
    stopCurrent();
    await current.over;
  }
  const cutOff = last() && isOutOfSight(last()) ? last().run : null;
  hideUndo();
  if (instead) replace(instead);
  const request = { message: asked.message, mode: asked.mode, conversationHistory: history(turns()), resume: true };
  if (asked.playlistId) request.playlistId = asked.playlistId;
  if (asked.isPublic) request.public = true;
  const turn = newTurn((last()?.number ?? 0) + 1, asked);
  turns().push(turn);
  loadNotes(refresh);
  show(turn);
  await follow(turn, async (run) => {
    if (cutOff) await stopRun(cutOff);
    return run.ask(request);
  });
}

/** Whether its run may still be under way, where nobody can read it. */
const isOutOfSight = ({ ending: { kind, error } }) => kind === 'interrupted' || error?.code === 'run_gone';

/** Goes on with the run of a conversation that is put back, where it has one. */
function readOn() {
  if (goesOn(last() ?? {})) follow(last(), (run) => run.goOn());
}

/** Follows a turn's run, which `begin` begins, to its end. */
async function follow(turn, begin) {
  const run = new Run(turn, {
    onFrame: (frame) => take(turn, frame),
    onAway: (how) => showAway(turn, how),
    silenceMs: () => server.silenceMs,
  });
  let over;
  const began = performance.now() - (Date.now() - turn.at);
  current = { run, turn, began, away: false, over: new Promise((resolve) => (over = resolve)) };
  showBegun(turn);
  try {
    const how = await begin(run);
    if (how === 'ended') end(turn, { kind: 'whole' });
    else if (how === 'stopped') end(turn, { kind: 'incomplete', reason: 'stopped' });
    else if (how === 'silent') end(turn, { kind: 'interrupted', reason: 'Nothing came any more, not even a sign of life. What was said is kept.' });
    else end(turn, { kind: 'interrupted' });
  } catch (error) {
    end(turn, failure(error instanceof RequestError ? error.error : { message: String(error) }));
  }
  finish(turn);
  over();
}

// Takes a turn and those after it away; what was answered can be had back.
function replace(turn) {
  const at = turns().indexOf(turn);
  const gone = turns().splice(at);
  for (const one of gone) {
    views.get(one)?.element.remove();
    views.delete(one);
  }
  if (!gone.some((one) => one.text.trim())) return;
  const { id } = records.present;
  takenBack(gone.length > 1 ? `${gone.length} requests were replaced.` : 'The answer was replaced.', async () => {
    if (current) stopCurrent();
    await current?.over;
    if (records.present.id !== id) return;
    turns().splice(at, Infinity, ...gone);
    showAll();
    records.save(typed());
  });
}

function showBegun({ seen, text }) {
  announcer.begin(text);
  showRunning();
  server.busy = true;
  // Whoever comes to a page is where the browser has put them.
  if (seen === 0) settle();
  follower.begin();
  requestAnimationFrame(tick);
}

/** The page is cut off from its run, and why; or, with `null`, it is not. */
function showAway(turn, how) {
  const was = current.away;
  current.away = how !== null;
  views.get(turn).away(how && away(how));
  // Once, however often it is tried.
  if (was === current.away) return;
  announcer.say(how ? away(how) : 'Connected again.');
  document.title = tabTitle(how ? 'Reconnecting' : stateName(turn), turn.message);
}

function take(turn, frame) {
  apply(turn, frame, performance.now() - current.began);
  if (frame.type === 'tool_start') announcer.say(`${toolName(frame.data.tool)}…`);
  // From here on a reload goes on with it.
  if (frame.type === 'run') records.save(typed());
  if (frame.type === 'usage') desk.showUsage(frame.data);
  current.dirty = true;
}

function finish(turn) {
  const ms = performance.now() - current.began;
  // Who was nowhere is left there: it may be a screen reader that reads.
  const isSomewhere = document.activeElement !== document.body;
  if (lostSession(turn)) {
    showSession({ connected: false, available: true });
    server.tell();
  }
  views.get(turn).update(ms);
  current = null;
  desk.showTime(ms);
  announcer.text(turn.text, true);
  // An error is an alert, and says itself.
  if (turn.ending.kind !== 'error') announcer.say(summary(turn));
  showRunning();
  if (isSomewhere) settle();
  follower.end();
  records.save(typed());
  server.busy = false;
}

function summary(turn) {
  const { kind, reason } = turn.ending;
  if (kind === 'incomplete') return incomplete(reason);
  if (kind === 'interrupted') return 'The connection broke.';
  if (turn.text.trim() === '') return 'The DJ said nothing.';
  const { length } = turn.tracks;
  return length ? `The answer is complete, with ${length} ${length === 1 ? 'track' : 'tracks'}.` : 'The answer is complete.';
}

// One look at the turn for each picture, however many frames came.
let savedAt = 0;
function tick(now) {
  if (!current) return;
  const { turn, began } = current;
  views.get(turn).update(performance.now() - began);
  desk.showTime(performance.now() - began);
  if (current.dirty) {
    current.dirty = false;
    announcer.text(turn.text, false);
    if (now - savedAt > SAVE_EVERY_MS) {
      savedAt = now;
      records.save(typed());
    }
  }
  follower.step();
  requestAnimationFrame(tick);
}

function typed() {
  records.present.playlist = composer.playlist;
  return { draft: composer.draft, mode: composer.mode };
}

function showRunning() {
  const on = current !== null;
  document.body.classList.toggle('running', on);
  send.hidden = on;
  stop.hidden = !on;
  stop.removeAttribute('aria-disabled');
  clear.hidden = turns().length === 0;
  byId('intro').hidden = turns().length > 0;
  byId('shelf').hidden = records.list.length === 0 && turns().length === 0;
  desk.spin(on);
  composer.running = on;
  composer.refresh();
  turns().forEach((turn) => views.get(turn)?.setLast(turn === last()));
  showSuggestions(last(), views.get(last())?.picks ?? [], use);
  document.title = last() ? tabTitle(stateName(last()), last().message) : tabTitle('');
}

function stopCurrent() {
  if (!current) return;
  // Not `disabled`: that would take the focus away.
  stop.setAttribute('aria-disabled', 'true');
  current.run.stop();
}

/** Whoever was on a button that is gone is not nowhere. A phone's keyboard stays away. */
function settle() {
  const at = document.activeElement;
  if (at && at !== document.body && at.checkVisibility()) return;
  if (isTouch) views.get(last())?.focus();
  else message.focus({ preventScroll: true });
}

// --- What to ask

function use(text, mode, playlist) {
  composer.mode = mode;
  composer.setPlaylist(playlist ? { id: playlist } : null);
  composer.fill(text);
  composer.submit();
}

byId('examples').addEventListener('click', ({ target }) => {
  const example = target.closest('button');
  if (example) use(example.textContent, composer.mode, example.dataset.playlist);
});

// --- Other conversations

function takenBack(text, act) {
  offerUndo(text, act);
  announcer.say(text);
}

async function openRecord(id) {
  if (current) stopCurrent();
  await current?.over;
  records.save(typed());
  if (!records.open(id)) announcer.say('That conversation is no longer there.');
  hideUndo();
  showAll();
  follower.toEnd();
  settle();
  readOn();
}

async function newRecord() {
  if (current) stopCurrent();
  await current?.over;
  records.save(typed());
  const before = records.begin();
  showAll();
  if (before) takenBack('The record is under “Records”.', () => openRecord(before));
  message.focus();
}

async function openShelf() {
  records.save(typed());
  const { shelf } = await import('/assets/shelf.js');
  shelf(records, { open: openRecord, remove: (id) => (records.remove(id), records.save(typed())) });
}

const openHelp = async () => (await import('/assets/shelf.js')).help();

// --- Who is connected

function showSession({ connected, available, name }) {
  const was = page.connected;
  page.connected = composer.connected = connected;
  connect.hidden = connected;
  byId('logout').hidden = !connected;
  byId('who').hidden = !connected;
  setText(byId('who'), connected ? name || 'Connected' : '');
  // Without Spotify's keys there is nothing to connect to.
  byId('account').hidden = available === false;
  composer.refresh();
  if (was === connected) return;
  refresh();
  if (was === null) comeBack(connected);
}

const isUnsigned = (turn) => Boolean(turn?.ending) && lostSession(turn);
const needsLogin = (turn) => isUnsigned(turn) || turn?.ending?.error?.code === 'missing_scope';

/** A request that waits for Spotify goes on when its reader comes back. */
function leave() {
  if (!needsLogin(last())) return;
  records.save(typed());
  remember(records.present.id);
}

function comeBack(connected) {
  const record = returned();
  if (!connected) return;
  if (record) server.tell();
  if (record === records.present.id && needsLogin(last())) page.again(last());
  else if (isUnsigned(last())) views.get(last()).focus();
}

// --- Keys and buttons

listen({
  Escape: () => stopCurrent(),
  ArrowUp: (event) => {
    if (current || !last()) return;
    event.preventDefault();
    page.edit(last());
  },
  '/': () => message.focus(),
  n: () => turns().length && newRecord(),
  r: () => !byId('shelf').hidden && openShelf(),
  l: () => follower.latest(),
  '?': openHelp,
});
stop.addEventListener('click', stopCurrent);
clear.addEventListener('click', newRecord);
connect.addEventListener('click', leave);
byId('shelf').addEventListener('click', openShelf);
byId('help-open').addEventListener('click', openHelp);
listenUndo(settle);
byId('latest').addEventListener('click', () => {
  follower.latest();
  if (last()) views.get(last()).focus();
});
byId('logout').addEventListener('click', async () => {
  await server.logOut();
  announcer.say('Disconnected.');
  (connect.hidden ? byId('logout') : connect).focus();
});
addEventListener('pagehide', () => records.save(typed()));
message.addEventListener('focus', () => loadNotes(refresh), { once: true });

// What stands first for the eye is first for the keyboard as well.
function place() {
  const [room, aside] = [byId('room'), byId('aside')];
  if (narrow.matches) room.prepend(aside);
  else room.append(aside);
}
narrow.addEventListener('change', place);

// --- At the start

const early = message.value;
const waits = 'waiting' in byId('composer').dataset;
document.dispatchEvent(new Event('spinlane:ready'));
place();
composer.fill(early || records.typed.draft);
// What was chosen before the page was all here is the newer choice.
if (!early) composer.mode = records.typed.mode;
showAll();
server.readStatus();
server.readSession();
if (turns().length) follower.toEnd();
readOn();
if (waits) composer.submit();
