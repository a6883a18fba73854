// What the walks through the page share: visits, requests, what is looked at.
//
// The model is scripted where a walk needs it to wait or to fail. Screenshots of
// every state are kept in SPINLANE_SCREENSHOTS.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterEach, before, beforeEach } from 'node:test';
import { control } from './harness.js';
import { chromium, dj } from './started.js';

const axe = createRequire(import.meta.url).resolve('axe-core');
const screenshots = process.env.SPINLANE_SCREENSHOTS;
export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

/** A window of 1280 × 800 at 200 %. */
export const ZOOMED = { width: 640, height: 400 };

export const TEXT = 'Here is a set for the rain.\n\n- **Paper Lanterns**, slow\n- *Salt on the Window*, slower\n\nLet the last one fade.';
// The stand-in for Spotify has this one, and does not have the other.
export const PLAYLIST = '37i9dQZF1DXsimulated01';
const NO_PLAYLIST = '37i9dQZF1DXnosuchlist1';
export const words = (text) => text.split(/(?<= )/);

/** What the browser complained of in the present test. */
let complaints = [];

/** A walk that is about this expects it. */
export const forgive = (what) => (complaints = complaints.filter((text) => !text.includes(what)));

let contexts = [];

before(async () => {
  if (screenshots) await mkdir(screenshots, { recursive: true });
});

beforeEach(async () => {
  complaints = [];
  await control(dj.upstreams.anthropic, 'reset', {});
});

afterEach(async () => {
  await Promise.all(contexts.map((context) => context.close()));
  contexts = [];
  assert.deepEqual(complaints, []);
});

/** A page of its own, that nothing was opened in yet. */
export async function blank(options = {}) {
  const context = await chromium.newContext({ viewport: DESKTOP, ...options });
  contexts.push(context);
  return context.newPage();
}

/** A visit of its own, with nothing kept from another one. */
export async function visit({ origin = dj.origin, path = '/', expect = [], ...options } = {}) {
  const page = await blank(options);
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (!['error', 'warning'].includes(message.type())) return;
    // Chromium logs every answer of 400 and more; those that a walk is about are not errors.
    if (expect.some((status) => message.text().includes(`status of ${status}`))) return;
    complaints.push(message.text());
  });
  await page.goto(`${origin}${path}`);
  // Nothing comes where nothing is.
  if (path === '/') await filled(page);
  return page;
}

/** The status has been read: the desk shows it. */
export const filled = (page) => page.waitForFunction(() => document.querySelector('.state.simulated, .state.custom'));

export async function shot(page, name) {
  if (screenshots) await page.screenshot({ path: join(screenshots, `${name}.png`) });
}

export async function ask(page, text) {
  await page.locator('#message').fill(text);
  await page.locator('#message').press('Enter');
}

/** What `page` asks for ends with its connection, as on a host without a shared store. */
export const unresumable = (page) =>
  page.route('**/api/chat-stream/message', (route) => {
    const asked = route.request();
    const { 'idempotency-key': _, ...headers } = asked.headers();
    return route.continue({ headers, postData: { ...asked.postDataJSON(), resume: false } });
  });

export const ended = (page) => page.waitForFunction(() => !document.body.classList.contains('running'));
export const script = (what) => control(dj.upstreams.anthropic, 'script', what);
/** What the model says next, once. */
export const next = (what) => control(dj.upstreams.anthropic, 'push', what);
export const counts = () => control(dj.upstreams.anthropic, 'counts');

/** What axe finds wrong, in a line each. */
export async function violations(page) {
  await page.addScriptTag({ path: axe });
  const { violations: found } = await page.evaluate(() =>
    globalThis.axe.run(document, { resultTypes: ['violations'] }),
  );
  return found.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`),
  );
}

// The policy of the page keeps axe out, as it keeps everybody out.
export const inspected = (options) => visit({ bypassCSP: true, ...options });

/** A request for which the model uses tools: one of them finds nothing. */
export async function askWithTools(page) {
  const tool = (id, name, input) => ({ id: `toolu_${id}`, name, input });
  await next({
    deltas: ['Let me look.'],
    pace_ms: 0,
    tools: [
      tool(1, 'analyze_playlist', { playlistId: PLAYLIST, maxTracks: 24 }),
      tool(2, 'search_tracks', { query: 'rain', limit: 5 }),
      tool(3, 'get_playlist_tracks', { playlistId: NO_PLAYLIST }),
    ],
  });
  await script({ deltas: words(TEXT), pace_ms: 10 });
  await ask(page, 'How does this playlist flow?');
}

/** Connects Spotify, as the button does. */
export async function connect(page) {
  await page.getByRole('banner').getByRole('link', { name: 'Connect Spotify' }).click();
  await page.getByRole('button', { name: 'Agree' }).click();
  await page.getByRole('button', { name: 'Disconnect' }).waitFor();
}
