// Connecting Spotify as a person does, against the stand-in's consent page.
import assert from 'node:assert/strict';
import test, { beforeEach } from 'node:test';
import { control } from './harness.js';
import { chromium, dj } from './started.js';

const SESSION = '__Host-spinlane-session';

let context;
let page;
let accounts;

beforeEach(async () => {
  await context?.close();
  context = await chromium.newContext();
  page = await context.newPage();
});

/** Opens the DJ's page and follows its link to Spotify's. */
async function toConsent(origin = dj.origin) {
  await page.goto(`${origin}/`);
  await page.getByRole('link', { name: 'Connect Spotify' }).click();
  await page.getByRole('button', { name: 'Agree' }).waitFor();
  accounts = new URL(page.url()).origin;
}

/** The callback that `click` leads to, as it stands in the address bar. */
async function callbackOf(click) {
  const called = page.waitForRequest((request) => request.url().includes('/api/auth/callback'));
  await click();
  return (await called).url();
}

async function logIn() {
  await toConsent();
  const agree = page.getByRole('button', { name: 'Agree' });
  const callback = await callbackOf(() => agree.click());
  await page.getByRole('button', { name: 'Disconnect' }).waitFor();
  return callback;
}

const session = () => page.evaluate(async () => (await fetch('/api/auth/session')).json());

const cookie = async (name) => (await context.cookies()).find((cookie) => cookie.name === name);

/** What a page that tells of an error must be for everybody. */
async function tellsOf(code, heading) {
  await page.getByRole('heading', { level: 1, name: heading }).waitFor();
  const main = page.getByRole('main');
  assert.equal(await main.getAttribute('data-code'), code);
  assert.equal(await page.locator('html').getAttribute('lang'), 'en');
  assert.match(await page.title(), new RegExp(heading));
  // Its own style is let in by its policy, and nothing else is there to load.
  const width = await page.evaluate(() => getComputedStyle(document.body).maxWidth);
  assert.notEqual(width, 'none');
  await page.keyboard.press('Tab');
  const focused = page.locator(':focus');
  assert.equal(await focused.textContent(), 'Try again');
  assert.equal(await main.getByRole('link', { name: 'Back to the DJ' }).count(), 1);
}

test('consent: the page knows who is connected, and scripts get no token', async () => {
  await logIn();
  assert.equal(page.url(), `${dj.origin}/`);
  await page.getByText('Sim Listener').waitFor();
  assert.deepEqual(await session(), { connected: true, available: true, name: 'Sim Listener' });
  const kept = await cookie(SESSION);
  const { httpOnly, secure, sameSite, path } = kept;
  assert.deepEqual(
    { httpOnly, secure, sameSite, path },
    { httpOnly: true, secure: true, sameSite: 'Lax', path: '/' },
  );
  const hours = (kept.expires - Date.now() / 1000) / 3600;
  assert.ok(hours > 3.9 && hours <= 4, `${hours} h`);
  assert.equal(await cookie('__Host-spinlane-login'), undefined);
  assert.equal(await page.evaluate(() => document.cookie), '');
});

test('refusal: a page says so, and leads on', async () => {
  await toConsent();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await tellsOf('login_denied', 'Spotify is not connected');
  assert.equal(await cookie(SESSION), undefined);
  await page.getByRole('link', { name: 'Try again' }).click();
  await page.getByRole('button', { name: 'Agree' }).click();
  await page.getByRole('button', { name: 'Disconnect' }).waitFor();
});

test('a wrong state opens nothing', async () => {
  await toConsent();
  const response = await page.goto(`${dj.origin}/api/auth/callback?code=x&state=wrong`);
  assert.equal(response.status(), 400);
  await tellsOf('login_state', 'Connecting Spotify did not work');
  assert.equal(await cookie(SESSION), undefined);
  await page.getByRole('link', { name: 'Back to the DJ' }).click();
  await page.getByRole('link', { name: 'Connect Spotify' }).waitFor();
});

test('a replayed code opens nothing, and the session stays', async () => {
  const used = await logIn();
  await page.goto(used);
  await tellsOf('login_state', 'Connecting Spotify did not work');
  // In a login of its own the old code is as useless.
  await page.getByRole('link', { name: 'Try again' }).click();
  await page.getByRole('button', { name: 'Agree' }).waitFor();
  const state = new URL(page.url()).searchParams.get('state');
  const code = new URL(used).searchParams.get('code');
  await page.goto(`${dj.origin}/api/auth/callback?${new URLSearchParams({ code, state })}`);
  await tellsOf('login_code', 'Connecting Spotify did not work');
  await page.getByRole('link', { name: 'Back to the DJ' }).click();
  await page.getByText('Sim Listener').waitFor();
});

test('an expired access token is renewed behind the scenes', async () => {
  await logIn();
  const search = { name: 'search_tracks', input: { query: 'love' } };
  await control(dj.upstreams.anthropic, 'reset', {});
  await control(dj.upstreams.anthropic, 'push', { deltas: [], tools: [search] });
  await control(dj.upstreams.anthropic, 'push', { deltas: ['Found.'] });
  await control(accounts, 'tokens', { expire: true });
  const before = (await control(accounts, 'counts')).started;
  const stream = await page.evaluate(async () => {
    const response = await fetch('/api/chat-stream/message', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: 'Something about love', mode: 'create' }),
    });
    return response.text();
  });
  const frames = stream.split('\n').filter((line) => line.startsWith('data: '));
  const events = frames.map((line) => JSON.parse(line.slice('data: '.length)));
  const tool = events.find((event) => event.type === 'tool_end');
  assert.ok(tool && !tool.data.error, stream);
  assert.deepEqual(events.at(-1), { type: 'done', data: null });
  assert.equal((await control(accounts, 'counts')).started, before + 1);
  assert.equal((await session()).connected, true);
});

test('log out: the page forgets, and so does the server', async () => {
  await logIn();
  const old = await cookie(SESSION);
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByRole('link', { name: 'Connect Spotify' }).waitFor();
  assert.equal(await cookie(SESSION), undefined);
  await context.addCookies([{ ...old, url: undefined }]);
  assert.equal((await session()).connected, false);
  assert.equal(await cookie(SESSION), undefined, 'a cookie that is no good is cleared');
  const bearer = await fetch(`${dj.origin}/api/auth/session`, {
    headers: { authorization: `Bearer ${old.value}` },
  });
  assert.equal(bearer.status, 401);
  assert.equal((await bearer.json()).code, 'session_invalid');
});

test('a login begun under another host name ends under the public one', async () => {
  await toConsent(dj.origin.replace('127.0.0.1', 'localhost'));
  await page.getByRole('button', { name: 'Agree' }).click();
  await page.getByText('Sim Listener').waitFor();
  assert.equal(page.url(), `${dj.origin}/`);
});

test('a page of another origin cannot act with the cookie', async () => {
  await logIn();
  const other = await context.newPage();
  await other.goto(`${accounts}/authorize`);
  const outcome = await other.evaluate(async (url) => {
    try {
      return (await fetch(url, { method: 'POST', credentials: 'include', mode: 'no-cors' })).type;
    } catch (error) {
      return String(error);
    }
  }, `${dj.origin}/api/auth/logout`);
  // Sent, but not read: ports do not make another site, so the cookie went along.
  assert.equal(outcome, 'opaque');
  assert.equal((await session()).connected, true);
});
