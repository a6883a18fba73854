// Bad networks, logins, other tabs: what is asked is not lost, and what is known
// is what is shown.
import assert from 'node:assert/strict';
import test from 'node:test';
import { control, up } from './harness.js';
import { dj } from './started.js';
import { ask, blank, connect, ended, filled, forgive, inspected, script, shot, violations, visit, words } from './walk.js';

const LAPTOP = { width: 1280, height: 800 };

/** A connection of 20 KB a second. */
async function slow(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('Network.enable');
  await session.send('Network.emulateNetworkConditions', { offline: false, latency: 50, downloadThroughput: 20_000, uploadThroughput: 20_000 });
}

for (const [name, send] of [
  ['by Enter', (page) => page.locator('#message').press('Enter')],
  ['by the button', (page) => page.locator('#send').click()],
]) {
  test(`what is sent before the page is all here waits, ${name}`, async () => {
    await script({ deltas: ['Here.'], pace_ms: 0 });
    const page = await blank({ viewport: LAPTOP });
    // The modules come when the walk lets them.
    let release;
    const held = new Promise((resolve) => (release = resolve));
    await page.route('**/assets/app*.js', async (route) => {
      await held;
      await route.continue();
    });
    await page.goto(`${dj.origin}/`, { waitUntil: 'commit' });
    await page.locator('#message').fill('Rain');
    await send(page);
    assert.equal(await page.locator('#message').inputValue(), 'Rain');
    assert.match(await page.locator('#hint').textContent(), /as soon as the page is all here/);
    release();
    await page.locator('.notes p').waitFor();
    await ended(page);
    assert.deepEqual(await page.locator('.request').allTextContents(), ['Rain']);
    assert.equal(new URL(page.url()).search, '');
  });
}

test('at 20 KB a second an example can be chosen at once', async () => {
  await script({ deltas: ['Here.'], pace_ms: 0 });
  const page = await blank({ viewport: LAPTOP });
  await slow(page);
  await page.goto(`${dj.origin}/`, { waitUntil: 'commit' });
  const example = page.locator('.slips button').first();
  const text = await example.textContent();
  await example.click();
  await page.locator('.notes p').waitFor();
  assert.deepEqual(await page.locator('.request').allTextContents(), [text]);
  await ended(page);
});

test('a request that waits for Spotify goes on by itself', async () => {
  const page = await visit({ expect: [401, 404] });
  await page.getByLabel('Create').check();
  await script({ deltas: ['Made.'], pace_ms: 0 });
  await ask(page, 'A dinner playlist');
  await ended(page);
  await page.getByRole('alert').getByRole('link', { name: 'Connect Spotify' }).click();
  await page.getByRole('button', { name: 'Agree' }).click();
  await page.locator('.notes', { hasText: 'Made.' }).waitFor();
  await ended(page);
  assert.deepEqual(await page.locator('.request').allTextContents(), ['A dinner playlist']);
  assert.equal(await page.locator('.fault').count(), 0);
  // Only that once: a reload asks nothing.
  const before = (await control(dj.upstreams.anthropic, 'counts')).started;
  await page.reload();
  await filled(page);
  assert.equal((await control(dj.upstreams.anthropic, 'counts')).started, before);
});

test('who connects elsewhere is offered to ask again, with the focus there', async () => {
  const page = await visit({ expect: [401, 404] });
  await page.getByLabel('Create').check();
  await ask(page, 'A dinner playlist');
  await ended(page);
  const other = await page.context().newPage();
  await other.goto(`${dj.origin}/`);
  await connect(other);
  await other.close();
  await page.reload();
  await page.getByText('Spotify is connected now').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Ask again');
});

test('tabs agree on who is connected', async () => {
  const page = await visit({ expect: [404] });
  await connect(page);
  const other = await page.context().newPage();
  await other.goto(`${dj.origin}/`);
  await other.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByRole('banner').getByRole('link', { name: 'Connect Spotify' }).waitFor();
});

test('a login that is over is said, with the button that helps', async () => {
  const page = await inspected({ viewport: LAPTOP, expect: [404] });
  await connect(page);
  // The run's own words, whatever the model made of them.
  const dead = { code: 'session_expired', message: 'the session has ended: connect Spotify again' };
  const frames = [
    { type: 'run', data: { id: 'r' } },
    { type: 'tool_start', data: { id: 't', tool: 'create_playlist', args: { name: 'N', trackIds: [] } } },
    { type: 'tool_end', data: { id: 't', tool: 'create_playlist', ms: 3, error: true, result: dead } },
    { type: 'content', data: 'I could not do that.' },
    { type: 'done', data: null },
  ];
  await page.route('**/api/chat-stream/message', (route) =>
    route.fulfill({ contentType: 'text/event-stream', body: frames.map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join('') }));
  await ask(page, 'Make it');
  await ended(page);
  const alert = page.getByRole('alert');
  assert.match(await alert.textContent(), /You were signed out/);
  assert.ok(await alert.getByRole('link', { name: 'Connect Spotify' }).isVisible());
  assert.ok(await page.getByRole('banner').getByRole('link', { name: 'Connect Spotify' }).isVisible());
  assert.deepEqual(await violations(page), []);
  await shot(page, 'signed-out');
});

test('errors of the limits and of the store have sentences of their own', async () => {
  for (const [code, status, words] of [
    ['too_many_runs', 429, /Two of your requests are still being answered/],
    ['store_unavailable', 503, /cannot look after itself right now/],
  ]) {
    const page = await visit({ expect: [status] });
    await page.route('**/api/chat-stream/message', (route) =>
      route.fulfill({ status, contentType: 'application/problem+json', body: JSON.stringify({ code, status, message: 'raw words', retryAfterMs: 5000 }) }));
    await ask(page, 'Rain');
    await ended(page);
    assert.match(await page.locator('.fault-title').textContent(), words);
    assert.match(await page.locator('.fault button').textContent(), /^Ask again in \d s$/);
    // What a program reads is there for who opens it.
    assert.equal(await page.locator('.fault').getByText('raw words').isVisible(), false);
  }
});

test('the network goes and comes back', async () => {
  await script({ deltas: ['Here.'], pace_ms: 0 });
  const page = await visit();
  await page.context().setOffline(true);
  await page.locator('#hint', { hasText: 'You are offline' }).waitFor();
  await page.locator('#brief', { hasText: 'No connection' }).waitFor({ state: 'attached' });
  await ask(page, 'Rain');
  await ended(page);
  assert.match(await page.getByRole('alert').textContent(), /You are offline/);
  await page.context().setOffline(false);
  // It is asked by itself: it had never left.
  await page.locator('.notes', { hasText: 'Here.' }).waitFor();
  await ended(page);
  assert.equal(await page.locator('.turn').count(), 1);
  await page.locator('.state.simulated').first().waitFor();
  forgive('net::ERR_');
});

test('lanes are dark when nothing is known of them, and light up again', async () => {
  const page = await visit({ viewport: LAPTOP, expect: [503] });
  await page.route('**/api/status', (route) => route.abort());
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await page.locator('.desk.dark').waitFor();
  assert.equal(await page.locator('.slots i').count(), 0);
  assert.deepEqual([...new Set(await page.locator('.state').allTextContents())], ['Not known']);
  await shot(page, 'dark-lanes');
  await page.unroute('**/api/status');
  // It looks again by itself.
  await page.locator('.state.simulated').first().waitFor();
  assert.equal(await page.locator('.desk.dark').count(), 0);
  forgive('net::ERR_');
});

test('a stream that is silent for two heartbeats is given up, one that beats is not', async () => {
  const quick = await up({ heartbeat_ms: 1000 });
  try {
    await control(quick.upstreams.anthropic, 'script', { deltas: words('It begins and'), pace_ms: 0, fault: { hang: 2 } });
    const page = await visit({ origin: quick.origin });
    await ask(page, 'Rain');
    await page.locator('.notes p').waitFor();
    // Four heartbeats, and nothing else.
    await page.waitForTimeout(4_500);
    assert.ok(await page.evaluate(() => document.body.classList.contains('running')));
    await page.keyboard.press('Escape');
    await ended(page);
    // A middle box that holds everything back.
    await page.evaluate(() => {
      const { fetch } = globalThis;
      globalThis.fetch = async (...args) => {
        const response = await fetch(...args);
        if (!String(args[0]).endsWith('/message')) return response;
        const held = new ReadableStream({
          start: (stream) => {
            stream.enqueue(new TextEncoder().encode('data: {"type":"content","data":"It begins"}\n\n'));
            args[1].signal.addEventListener('abort', () => stream.error(args[1].signal.reason));
          },
        });
        return new Response(held, { headers: response.headers });
      };
    });
    await ask(page, 'Rain again');
    await ended(page);
    assert.match(await page.locator('.turn').last().locator('.ending').textContent(), /not even a sign of life/);
    assert.ok(await page.getByRole('button', { name: 'Ask again' }).isVisible());
  } finally {
    await quick.stop();
  }
});

test('a denied consent is a page of the same design', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await blank({ viewport: LAPTOP, colorScheme, bypassCSP: true });
    await page.goto(`${dj.origin}/api/auth/login`);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('heading', { name: 'Spotify is not connected' }).waitFor();
    const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.deepEqual(await violations(page), []);
    await shot(page, `denied-${colorScheme}`);
    await page.getByRole('link', { name: 'Back to the DJ' }).click();
    await filled(page);
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), paper);
  }
});
