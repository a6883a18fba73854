// Answers outlive connections, pages and sleep: nothing is said twice or left out.
import assert from 'node:assert/strict';
import test, { afterEach, beforeEach } from 'node:test';
import { setTimeout as pass } from 'node:timers/promises';
import { sleepy } from './harness.js';
import { dj } from './started.js';
import { DESKTOP, PHONE, ask, counts, ended, filled, forgive, inspected, next, script, shot, violations, visit } from './walk.js';
import { wire } from './wire.js';

const AWAY_MS = 3_000;
const ASLEEP_MS = 50_000;

let line;

beforeEach(async () => (line = await wire(dj.origin)));
afterEach(() => line.stop());

/** An answer of so many numbered words, and the text that it is. */
const numbered = (count) => Array.from({ length: count }, (_, n) => `word${n + 1} `);
const whole = (count) => numbered(count).join('').trim();

const notes = (page, at = 0) => page.locator('.notes').nth(at);
const said = async (page) => (await notes(page).textContent()).trim();
/** So much has been said. */
const spoken = (page, count) => page.waitForFunction((word) => document.querySelector('.notes')?.textContent.includes(word), `word${count} `);
const isRunning = (page) => page.evaluate(() => document.body.classList.contains('running'));
const notice = (page) => page.locator('.away:not([hidden])');

/** A visit in which an answer of `count` words is under way, `pace` ms from word to word. */
async function answering({ count = 100, pace = 60, until = 10, visited = visit, ...options } = {}) {
  await script({ deltas: numbered(count), pace_ms: pace });
  const page = await visited({ origin: line.origin, ...options });
  await page.evaluate(() => {
    const watch = (element) => {
      const seen = [];
      new MutationObserver(() => seen.push(element.textContent)).observe(element, { childList: true, characterData: true, subtree: true });
      return seen;
    };
    globalThis.heard = watch(document.getElementById('status'));
    globalThis.titles = watch(document.querySelector('title'));
  });
  await ask(page, 'Count for me');
  await spoken(page, until);
  return page;
}

/** The model was asked once, and nothing of it is kept but in the tab. */
async function askedOnce(page) {
  assert.equal((await counts()).started, 1);
  assert.equal(await page.locator('.turn').count(), 1);
  assert.equal(await page.locator('.fault, .cutoff').count(), 0);
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), []);
}

/** Takes the network away: the browser knows that there is none, and its connections break. */
async function unplug(page) {
  await page.context().setOffline(true);
  line.cut();
}

async function plug(page) {
  line.mend();
  await page.context().setOffline(false);
}

/** The upstream call has come to its end, whoever reads. */
async function over() {
  let now = await counts();
  while (now.open > 0) now = await counts();
  assert.equal(now.cancelled, 0);
}

for (const [name, options, cut, mend, words] of [
  ['a server that cannot be reached', { viewport: DESKTOP }, () => line.cut(), () => line.mend(), /^The connection broke\. The answer goes on; reconnecting/],
  ['a browser without a network', { viewport: PHONE, colorScheme: 'dark' }, unplug, plug, /^You are offline\. The answer goes on/],
]) {
  test(`${name} for 3 s in mid-answer: the text goes on without a gap or a repeat`, async () => {
    const page = await answering({ count: 160, pace: 50, visited: inspected, ...options });
    await cut(page);
    await notice(page).waitFor();
    assert.match(await notice(page).textContent(), words);
    const before = await said(page);
    assert.match(before, /^word1 word2 /);
    assert.deepEqual(await violations(page), []);
    await shot(page, `reconnecting-${options.colorScheme ?? 'light'}`);
    await pass(AWAY_MS);
    assert.equal(await said(page), before);
    assert.ok(await isRunning(page));
    await mend(page);
    await notice(page).waitFor({ state: 'detached' });
    await ended(page);
    assert.equal(await said(page), whole(160));
    await askedOnce(page);
    await shot(page, `reconnected-${options.colorScheme ?? 'light'}`);
    const titles = await page.evaluate(() => globalThis.titles);
    assert.deepEqual(titles.slice(-3).map((title) => title.split(':')[0]), ['Reconnecting', 'Answering', 'Answered']);
    // Said once, however often it was tried.
    const heard = await page.evaluate(() => globalThis.heard);
    assert.equal(heard.filter((text) => /The answer goes on/.test(text)).length, 1, JSON.stringify(heard));
    assert.equal(heard.filter((text) => text === 'Connected again.').length, 1, JSON.stringify(heard));
    forgive('net::ERR_');
  });
}

test('a reload in mid-answer goes on with it', async () => {
  const page = await answering();
  await page.locator('#message').fill('half a tho');
  await page.reload();
  // What was said before is there at once.
  assert.match(await said(page), /^word1 .* word10( |$)/);
  assert.ok(await isRunning(page));
  await shot(page, 'reloaded');
  await ended(page);
  assert.equal(await said(page), whole(100));
  assert.equal(await page.locator('#message').inputValue(), 'half a tho');
  await askedOnce(page);
  // And once more, when it is over: nothing is asked for again.
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await page.reload();
  await filled(page);
  assert.equal(await said(page), whole(100));
  assert.deepEqual(asked.filter((path) => path.startsWith('/api/chat-stream/')), []);
});

test('tools that ran while the page was away are there, once', async () => {
  await script({ deltas: numbered(10), pace_ms: 0 });
  const tool = (id, query) => ({ id, name: 'search_tracks', input: { query, limit: 3 } });
  await next({ deltas: numbered(20), pace_ms: 60, tools: [tool('toolu_1', 'rain'), tool('toolu_2', 'night')] });
  const page = await visit({ origin: line.origin });
  await ask(page, 'Look for me');
  await spoken(page, 10);
  line.cut();
  await notice(page).waitFor();
  await over();
  line.mend();
  await ended(page);
  assert.equal(await page.locator('.runs li.over').count(), 2);
  const paragraphs = await notes(page).locator('p').allTextContents();
  assert.deepEqual(paragraphs.map((text) => text.trim()), [whole(20), whole(10)]);
  assert.equal((await counts()).started, 2);
  forgive('net::ERR_');
});

test('a laptop that is closed for 50 s in mid-answer goes on with it', async () => {
  const { page, close } = await sleepy();
  try {
    await script({ deltas: numbered(100), pace_ms: 700 });
    await page.goto(`${line.origin}/`);
    await page.evaluate(() => {
      globalThis.slept = [];
      for (const type of ['freeze', 'resume']) document.addEventListener(type, () => globalThis.slept.push(type));
    });
    await ask(page, 'Count for me');
    await spoken(page, 3);
    // Only what is out of sight freezes, and can be seen again.
    const before = await page.context().newPage();
    const session = await page.context().newCDPSession(page);
    await session.send('Page.setWebLifecycleState', { state: 'frozen' });
    // A computer that sleeps holds no connection.
    line.cut();
    await pass(ASLEEP_MS);
    line.mend();
    await session.send('Page.setWebLifecycleState', { state: 'active' });
    await before.close();
    await page.bringToFront();
    await spoken(page, 60);
    assert.deepEqual(await page.evaluate(() => globalThis.slept), ['freeze', 'resume']);
    assert.ok(await isRunning(page));
    await ended(page);
    assert.equal(await said(page), whole(100));
    await askedOnce(page);
  } finally {
    await close();
  }
});

test('a tab that is duplicated in mid-answer goes on with it, and so does the first', async () => {
  const page = await answering();
  const opened = page.waitForEvent('popup');
  // A window that a page opens has a copy of what is kept in its tab, as a duplicate has.
  await page.evaluate(() => void window.open('/'));
  const copy = await opened;
  await copy.waitForFunction(() => document.body.classList.contains('running'));
  assert.ok(await isRunning(page));
  await Promise.all([page, copy].map(ended));
  assert.deepEqual(await Promise.all([page, copy].map(said)), [whole(100), whole(100)]);
  await askedOnce(page);
});

test('stop works after a reload', async () => {
  await script({ deltas: numbered(20), pace_ms: 0, fault: { hang: 12 } });
  const page = await visit({ origin: line.origin });
  await ask(page, 'Count for me');
  await spoken(page, 11);
  await page.reload();
  await page.locator('#stop').click();
  await ended(page);
  assert.match(await page.locator('.ending').textContent(), /You stopped it here/);
  assert.match(await said(page), /^word1 .* word12$/);
  let now = await counts();
  while (now.open > 0) now = await counts();
  assert.equal(now.cancelled, 1);
  // That it was stopped has come from the run itself, with what it had cost.
  assert.match(await page.locator('.meter', { hasText: 'Budget' }).textContent(), /\d+ left/);
});

test('stop works while the page is cut off, and is told later', async () => {
  await script({ deltas: numbered(20), pace_ms: 0, fault: { hang: 12 } });
  const page = await visit({ origin: line.origin });
  await ask(page, 'Count for me');
  await spoken(page, 11);
  await unplug(page);
  await notice(page).waitFor();
  await page.keyboard.press('Escape');
  await ended(page);
  assert.match(await page.locator('.ending').textContent(), /You stopped it here/);
  assert.equal(await notice(page).count(), 0);
  await plug(page);
  let now = await counts();
  while (now.open > 0) now = await counts();
  assert.equal(now.cancelled, 1);
  forgive('net::ERR_');
});

test('an answer that ended while nobody was there is shown whole', async () => {
  const page = await answering({ count: 60, pace: 30 });
  // The reader has gone elsewhere, and comes back.
  await page.goto('about:blank');
  await over();
  await page.goto(`${line.origin}/`);
  await ended(page);
  assert.equal(await said(page), whole(60));
  assert.equal(await page.title(), 'Answered: Count for me – Spinlane');
  await askedOnce(page);
  await shot(page, 'ended-away');
  // The same for one whose connection was away.
  await script({ deltas: numbered(60), pace_ms: 30 });
  await ask(page, 'And again');
  await page.locator('.notes').nth(1).getByText('word10 ').waitFor();
  line.cut();
  await notice(page).waitFor();
  await over();
  line.mend();
  await ended(page);
  assert.equal((await notes(page, 1).textContent()).trim(), whole(60));
  forgive('net::ERR_');
});

test('a request that was sent again is run once', async () => {
  await script({ deltas: numbered(10), pace_ms: 0 });
  const page = await visit({ origin: line.origin });
  const keys = [];
  await page.route('**/api/chat-stream/message', async (route) => {
    const asked = route.request();
    keys.push(await asked.headerValue('idempotency-key'));
    if (keys.length > 1) return route.continue();
    // It has come to the server, and the page does not learn of it.
    const answer = await fetch(asked.url(), { method: 'POST', headers: await asked.allHeaders(), body: asked.postData() });
    assert.match(await answer.text(), /"done"/);
    await route.abort();
  });
  await ask(page, 'Count for me');
  await page.getByRole('button', { name: 'Ask again' }).click();
  await page.waitForFunction(() => document.querySelector('.notes')?.textContent.includes('word10'));
  await ended(page);
  assert.equal(await said(page), whole(10));
  assert.equal(keys[0], keys[1]);
  await askedOnce(page);
  // What is asked for anew is another request.
  await page.getByRole('button', { name: 'Another answer' }).click();
  await ended(page);
  assert.equal(new Set(keys).size, 2);
  assert.equal((await counts()).started, 2);
  forgive('net::ERR_');
});

const problem = (status, code) => ({ status, contentType: 'application/problem+json', body: JSON.stringify({ status, code, message: 'raw words' }) });
const lost = { type: 'error', data: { code: 'run_lost', message: 'raw words' } };

for (const [name, answer, title] of [
  ['lost', { contentType: 'text/event-stream', body: `id: 900\ndata: ${JSON.stringify(lost)}\n\n` }, 'The rest of the answer was lost'],
  ['gone', problem(410, 'run_gone'), 'The rest of the answer was not kept'],
  ['unknown', problem(404, 'not_found'), 'The answer cannot be read on'],
]) {
  test(`an answer whose rest is ${name} says so, and keeps what there is`, async () => {
    const page = await answering({ visited: inspected, expect: [404, 410] });
    await page.route(/\/api\/chat-stream\/[0-9a-f]{32}$/, (route) => route.fulfill(answer));
    await page.reload();
    await ended(page);
    const fault = page.locator('.fault');
    assert.equal(await fault.locator('.fault-title').textContent(), title);
    assert.ok(await fault.getByRole('button', { name: 'Go on' }).isVisible());
    assert.ok(await fault.getByRole('button', { name: 'Ask again' }).isVisible());
    assert.match(await said(page), /^word1 .* word10( |$)/);
    assert.deepEqual(await violations(page), []);
    await shot(page, `rest-${name}`);
  });
}
