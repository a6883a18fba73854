// How the page follows a run: over broken connections, sleep and reloads, each frame
// once, and no prompt twice. In virtual time, against a server of a few lines.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { load } from './modules.js';

const { Run, waitMs } = await load('run.js');
const { apply, goesOn, isNew, newTurn } = await load('turn.js');
const { away, explain } = await load('words.js');

const ID = 'ab'.repeat(16);
const SILENCE_MS = 30_000;

// What the modules need of a browser.
let surroundings;
globalThis.addEventListener = (...listening) => surroundings.addEventListener(...listening);
Object.defineProperty(globalThis, 'navigator', { value: { onLine: true }, configurable: true });

/** What was requested: `{path, method, headers, body, stream}`. */
let asked;
/** What comes of the next requests, one each: a function of the request. */
let answers;

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  // Runs of other tests hear nothing.
  surroundings = new EventTarget();
  globalThis.document = Object.assign(new EventTarget(), { hidden: false });
  asked = [];
  answers = [];
  globalThis.fetch = async (path, { method = 'GET', headers = {}, body, signal } = {}) => {
    const request = { path, method, headers, body };
    asked.push(request);
    const answer = answers.shift();
    assert.ok(answer, `nobody answers ${method} ${path}`);
    return answer(request, signal);
  };
});

afterEach(() => mock.timers.reset());

const text = (id, frame) => `id: ${id}\ndata: ${JSON.stringify(frame)}\n\n`;
const run = (id, resumable = true) => text(id, { type: 'run', data: { id: ID, resumable } });
const content = (id, data = `${id} `) => text(id, { type: 'content', data });
const done = (id, data = null) => text(id, { type: 'done', data });

/** A stream that says `parts`, and then stays open, to be cut, ended or said more in. */
const stream = (...parts) => (request, signal) => {
  const body = new ReadableStream({
    start(controller) {
      request.stream = controller;
      request.say = (part) => controller.enqueue(new TextEncoder().encode(part));
      parts.forEach(request.say);
      signal?.addEventListener('abort', () => controller.error(signal.reason));
    },
  });
  return new Response(body, { headers: { 'content-type': 'text/event-stream', 'x-run-id': ID } });
};
const refuse = (status, body = {}, headers = {}) => () => new Response(JSON.stringify({ status, ...body }), { status, headers });
const nothing = (status) => () => new Response(null, { status });
const unreachable = () => Promise.reject(new TypeError('failed to fetch'));
/** Takes the request, and says nothing. */
const silent = (_, signal) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

/** Lets everything happen that waits for nothing. */
async function settled() {
  for (let n = 0; n < 30; n += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function pass(ms) {
  mock.timers.tick(ms);
  await settled();
}

/** A run of `turn`, followed: `{run, turn, frames, notices, how}`; `how` once it is over. */
function follow(turn, begin) {
  const followed = { turn, frames: [], notices: [], how: null, error: null };
  followed.run = new Run(turn, {
    onFrame: (frame) => {
      followed.frames.push(frame);
      apply(turn, frame, 0);
    },
    onAway: (how) => followed.notices.push(how),
    silenceMs: () => SILENCE_MS,
  });
  begin(followed.run).then((how) => (followed.how = how), (error) => (followed.error = error.error));
  return followed;
}

const turnOf = (kept) => ({ ...newTurn(1, { message: 'Rain', mode: 'analyze' }), ...kept });
const ask = () => follow(turnOf(), (one) => one.ask({ message: 'Rain' }));
const begun = { run: ID, resumable: true, seen: 3, text: '2 3 ', key: null };
const readOn = () => follow(turnOf(begun), (one) => one.goOn());
const wake = (place, type) => place.dispatchEvent(new Event(type));

test('a run that is cut is read on, each frame once, after 0.5, 1, 2, 4 and then 8 s', async () => {
  answers = [stream(run(1), content(2), content(3)), unreachable, unreachable, unreachable, unreachable, unreachable];
  const { turn, notices, ...followed } = ask();
  await settled();
  asked[0].stream.error(new TypeError('network error'));
  await settled();
  assert.equal(asked.length, 1);
  for (const [at, ms] of [500, 1000, 2000, 4000, 8000].entries()) {
    await pass(ms - 1);
    assert.equal(asked.length, at + 1, `before ${ms} ms`);
    await pass(1);
    assert.equal(asked.length, at + 2, `after ${ms} ms`);
  }
  assert.equal(turn.text, '2 3 ');
  // The server says again what had come, or not.
  answers = [stream(content(2), content(3), content(4))];
  await pass(8000);
  const { path, method, headers } = asked.at(-1);
  assert.deepEqual([path, method, headers['last-event-id']], [`/api/chat-stream/${ID}`, 'GET', '3']);
  assert.equal(notices.at(-1), null);
  assert.equal(turn.text, '2 3 4 ');
  // What was new has set the waits back.
  answers = [stream(content(4), content(5), done(6))];
  asked.at(-1).stream.close();
  await settled();
  await pass(500);
  assert.equal(asked.at(-1).headers['last-event-id'], '4');
  assert.equal(turn.text, '2 3 4 5 ');
  assert.deepEqual(turn.ending, { kind: 'whole' });
  assert.equal(followed.frames.length, 6);
  assert.deepEqual(Array.from({ length: 7 }, (_, tries) => waitMs(tries)), [500, 1000, 2000, 4000, 8000, 8000, 8000]);
});

for (const [name, event] of [
  ['the network is back', () => wake(surroundings, 'online')],
  ['the page is thawed', () => wake(document, 'resume')],
  ['the page is in sight', () => wake(document, 'visibilitychange')],
]) {
  test(`it is tried at once when ${name}, and then soon again`, async () => {
    answers = [unreachable, unreachable, unreachable, unreachable];
    readOn();
    await settled();
    await pass(500);
    await pass(1000);
    assert.equal(asked.length, 3);
    event();
    await settled();
    assert.equal(asked.length, 4);
    answers = [stream()];
    await pass(500);
    assert.equal(asked.length, 5);
  });
}

test('a page that goes out of sight tries nothing', async () => {
  answers = [unreachable];
  readOn();
  await settled();
  document.hidden = true;
  wake(document, 'visibilitychange');
  document.hidden = false;
  await settled();
  assert.equal(asked.length, 1);
});

test('after a long sleep the connection is another, without a word', async () => {
  answers = [stream(content(4)), stream(content(5))];
  const { turn, notices } = readOn();
  await settled();
  // It was heard of a moment ago.
  wake(document, 'resume');
  await settled();
  assert.equal(asked.length, 1);
  mock.timers.setTime(Date.now() + SILENCE_MS / 2 + 1);
  wake(document, 'resume');
  await settled();
  assert.equal(asked.length, 2);
  assert.equal(turn.text, '2 3 4 5 ');
  assert.deepEqual(notices, [null, null]);
});

test('a stream that says nothing is another one, and so is a server that does not', async () => {
  answers = [stream(content(4)), silent, stream(content(5), done(6))];
  const followed = readOn();
  await settled();
  await pass(SILENCE_MS);
  await pass(500);
  assert.equal(asked.length, 2);
  await pass(SILENCE_MS);
  await pass(1000);
  assert.equal(followed.how, 'ended');
  assert.equal(followed.turn.text, '2 3 4 5 ');
});

test('a run that ends with its connection is not read on', async () => {
  answers = [stream(run(1, false), content(2))];
  const followed = ask();
  await settled();
  assert.equal(goesOn(followed.turn), false);
  asked[0].stream.error(new TypeError('network error'));
  await settled();
  assert.equal(followed.how, 'cut');
  answers = [stream(text(1, { type: 'run', data: { id: ID } }))];
  const old = ask();
  await settled();
  await pass(SILENCE_MS);
  assert.equal(old.how, 'silent');
  assert.equal(asked.length, 2);
});

test('a run that cannot be read any more says why, once', async () => {
  for (const [status, code] of [[404, 'run_unknown'], [410, 'run_gone'], [401, 'session_expired']]) {
    answers = [refuse(status, { code: status === 404 ? 'not_found' : code, message: 'm' })];
    const followed = readOn();
    await settled();
    assert.equal(followed.error.code, code);
    const { title, hint } = explain(followed.error);
    assert.ok(title !== explain({ code: 'of_tomorrow' }).title && hint, code);
  }
  // That all of it was read is no news.
  answers = [nothing(204)];
  const whole = readOn();
  await settled();
  assert.equal(whole.how, 'ended');
});

test('who is asked to wait, waits, whatever comes back; others in between pass', async () => {
  const busy = refuse(503, { code: 'store_unavailable', message: 'm' }, { 'retry-after': '5' });
  const page = () => new Response('<h1>Log in to the airport</h1>', { headers: { 'content-type': 'text/html' } });
  answers = [busy, page, refuse(502), () => new Response('not here', { status: 404 }), stream(content(4), done(5))];
  const { turn, notices, run: one } = readOn();
  await settled();
  wake(surroundings, 'online');
  await pass(4999);
  assert.equal(asked.length, 1);
  assert.equal(notices[0].error.code, 'store_unavailable');
  assert.equal(notices[0].waitMs, 5000);
  await pass(1);
  assert.equal(asked.length, 2);
  for (const ms of [1000, 2000, 4000]) await pass(ms);
  assert.deepEqual(notices.slice(1).map((how) => how?.error ?? null), [null, null, null, null]);
  assert.equal(turn.text, '2 3 4 ');
  await one.stop();
});

test('a frame that cannot be read is left out, and nothing else', async () => {
  answers = [stream('id: 4\ndata: {"type":\n\n'), stream(content(5)), stream(text(6, { type: 'run' })), stream(done(7))];
  const { turn } = readOn();
  await settled();
  await pass(500);
  assert.equal(turn.text, '2 3 5 ');
  asked[1].stream.close();
  await settled();
  await pass(500);
  await pass(500);
  assert.deepEqual(turn.ending, { kind: 'whole' });
});

test('one send has one key, for as long as nobody knows what became of it', async () => {
  const key = () => asked.at(-1).headers['idempotency-key'];
  // There may be a run by now, or there is none, and the key is free.
  const refusals = [[409, 'key_pending'], [429, 'too_many_runs'], [503, 'store_unavailable'], [401, 'session_required']];
  for (const answer of [unreachable, refuse(502), ...refusals.map(([status, code]) => refuse(status, { code, message: 'm' }))]) {
    answers = [answer];
    const { turn } = ask();
    await settled();
    assert.match(key(), /^[\x21-\x7e]{16,255}$/);
    const [first, body] = [key(), asked.at(-1).body];
    answers = [stream(run(1), done(2))];
    const again = follow(newTurn(2, turn), (one) => one.ask({ message: 'Rain' }));
    await settled();
    assert.deepEqual([key(), asked.at(-1).body], [first, body]);
    // It has its run: what is asked next is another send.
    assert.equal(again.turn.key, null);
    assert.notEqual(newTurn(3, again.turn).key, first);
  }
  // It stands for what is not to be had.
  for (const [status, code] of [[410, 'run_gone'], [422, 'key_reused']]) {
    answers = [refuse(status, { code, message: 'm' })];
    const refused = ask();
    await settled();
    assert.equal(refused.error.code, code);
    assert.equal(refused.turn.key, null, code);
  }
});

test('stop is told by name, and the run’s last words are read', async () => {
  answers = [unreachable, nothing(204), stream(text(4, { type: 'usage', data: {} }), done(5, { incomplete: true, reason: 'stopped' }))];
  const { run: one, turn, ...followed } = readOn();
  await settled();
  one.stop();
  await settled();
  assert.deepEqual(asked.slice(1).map(({ path, method }) => [path, method]), [[`/api/chat-stream/${ID}/stop`, 'POST'], [`/api/chat-stream/${ID}`, 'GET']]);
  assert.deepEqual(turn.ending, { kind: 'incomplete', reason: 'stopped' });
  assert.equal(followed.frames.at(-1).type, 'done');
});

test('stop before the head is told when the head tells the name', async () => {
  let open;
  answers = [(request, signal) => new Promise((resolve) => (open = () => resolve(stream(run(1))(request, signal)))), nothing(204)];
  const followed = ask();
  await settled();
  followed.run.stop();
  await settled();
  assert.equal(asked.length, 1);
  open();
  await settled();
  assert.equal(asked[1].path, `/api/chat-stream/${ID}/stop`);
  asked[0].say(done(2, { incomplete: true, reason: 'stopped' }));
  await settled();
  assert.equal(followed.how, 'ended');
  // A head that does not come is not waited for.
  answers = [silent];
  const other = ask();
  await settled();
  other.run.stop();
  await pass(1000);
  assert.equal(other.how, 'stopped');
});

test('a stop that cannot be told is told when the network is back', async () => {
  answers = [stream(content(4)), unreachable, nothing(204)];
  const followed = readOn();
  await settled();
  followed.run.stop();
  await settled();
  assert.equal(followed.how, 'stopped');
  wake(surroundings, 'online');
  wake(surroundings, 'online');
  await settled();
  assert.deepEqual(asked.slice(1).map(({ path }) => path), Array(2).fill(`/api/chat-stream/${ID}/stop`));
});

test('frames are told apart by number, and those without one are new', () => {
  const turn = newTurn(1, {});
  assert.deepEqual(['1', '2', '2', '1', '10', '9', '11', null, null, 'x'].map((id) => isNew(turn, id)), [true, true, false, false, true, false, true, true, true, true]);
  assert.equal(turn.seen, 11);
});

test('what was begun out of sight has its length', () => {
  const turn = newTurn(1, {});
  apply(turn, { type: 'tool_start', data: { id: 't', tool: 'x', args: {} } }, 60_000);
  apply(turn, { type: 'tool_end', data: { id: 't', tool: 'x', ms: 2000, result: {} } }, 60_001);
  assert.deepEqual([turn.tools[0].from, turn.tools[0].ms], [58_001, 2000]);
});

test('after a reload only what may be under way is', async () => {
  const kept = new Map();
  globalThis.sessionStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
  const { Records } = await load('records.js');
  const reloaded = (...turns) => {
    const records = new Records();
    records.present.turns = turns;
    records.save();
    return new Records().present.turns.map(({ ending }) => ending?.kind ?? null);
  };
  const over = { ending: { kind: 'whole' } };
  assert.deepEqual(reloaded(turnOf(over), turnOf(begun)), ['whole', null]);
  assert.deepEqual(reloaded(turnOf({ run: ID })), ['interrupted']);
  assert.deepEqual(reloaded(turnOf(begun), turnOf(over)), ['interrupted', 'whole']);
});

test('what is said while the page is cut off', () => {
  const said = [{}, { offline: true }, { error: { code: 'store_unavailable' }, waitMs: 5000 }, { error: { code: 'too_many_requests' }, waitMs: 480_000 }].map((how) => away(how));
  assert.match(said[0], /broke.*goes on.*reconnecting/);
  assert.match(said[1], /offline.*when you are back/);
  assert.match(said[2], /cannot look after itself.*in a moment/);
  assert.match(said[3], /a lot of requests.*in 8 min/);
});
