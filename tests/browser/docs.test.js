// The API's documentation: everything that the document says is on the page, and
// nothing beyond this server is asked for it.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { chromium, dj } from './started.js';

const axe = createRequire(import.meta.url).resolve('axe-core');

/** What the page may weigh, compressed, in bytes. */
const WEIGHT = 60 * 1024;

/** Opens `path`; `complaints` and `asked` fill up as the page lives. */
async function open(path, options = {}) {
  const context = await chromium.newContext(options);
  const page = await context.newPage();
  const complaints = [];
  const asked = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('response', (response) => asked.push(response));
  await page.goto(`${dj.origin}${path}`);
  await page.locator('article').first().waitFor();
  return { page, complaints, asked, close: () => context.close() };
}

test('every operation, frame, type and problem is there', async () => {
  const { page, complaints, asked, close } = await open('/api/docs');
  const api = await (await fetch(`${dj.origin}/api/openapi.json`)).json();
  for (const item of Object.values(api.paths)) {
    for (const operation of Object.values(item)) {
      const shown = page.locator(`article[id="${operation.operationId}"]`);
      await assert.doesNotReject(shown.waitFor({ timeout: 1_000 }), operation.operationId);
      for (const status of Object.keys(operation.responses)) {
        assert.equal(await shown.locator('.status', { hasText: status }).count(), 1, status);
      }
    }
  }
  const { schemas } = api.components;
  for (const name of Object.keys(schemas)) {
    assert.equal(await page.locator(`[id="schema-${name}"]`).count(), 1, name);
  }
  for (const { enum: [code] } of schemas.ErrorCode.oneOf) {
    assert.equal(await page.locator(`[id="problem-${code}"]`).count(), 1, code);
  }
  const frames = await page.locator('#sendMessage details summary code:first-child').allTextContents();
  for (const frame of schemas.Frame.oneOf) {
    const [kind] = frame.properties.type.enum;
    assert.ok(frames.includes(kind), kind);
  }
  // Every link within the page leads somewhere.
  const dangling = await page.evaluate(() =>
    [...document.querySelectorAll('a[href^="#"]')]
      .map((link) => link.getAttribute('href').slice(1))
      .filter((id) => !document.getElementById(id)));
  assert.deepEqual(dangling, []);
  assert.deepEqual(complaints, []);
  const bodies = await Promise.all(asked.map((response) => response.body()));
  const weight = bodies.reduce((sum, body) => sum + gzipSync(body).length, 0);
  assert.ok(weight < WEIGHT, `${weight} bytes`);
  for (const response of asked) assert.ok(response.url().startsWith(dj.origin), response.url());
  await close();
});

test('a problem type leads to its place', async () => {
  const { page, close } = await open('/problems/busy');
  assert.equal(new URL(page.url()).hash, '#problem-busy');
  assert.ok(await page.locator('#problem-busy').isVisible());
  await page.waitForFunction(() => {
    const { top } = document.querySelector('#problem-busy').getBoundingClientRect();
    return top >= 0 && top < innerHeight;
  });
  await close();
});

for (const [name, options] of [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['on a phone', { viewport: { width: 360, height: 740 } }],
]) {
  test(`axe finds nothing, ${name}`, async () => {
    // The page's policy keeps axe out, as it keeps everybody out.
    const { page, close } = await open('/api/docs', { bypassCSP: true, reducedMotion: 'reduce', ...options });
    await page.evaluate(() => {
      for (const details of document.querySelectorAll('details')) details.open = true;
    });
    await page.addScriptTag({ path: axe });
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.target)}`);
    assert.deepEqual(found, []);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} px beyond the screen`);
    await close();
  });
}

test('the documentation can be searched, copied from, and tried', async () => {
  const { page, complaints, close } = await open('/api/docs', { permissions: ['clipboard-read', 'clipboard-write'] });
  // Searched: what has all the words stays.
  await page.getByLabel('Search').fill('key-value store');
  const shown = () => page.locator('article:visible').count();
  const few = await shown();
  assert.ok(few >= 1 && few < 20, `${few}`);
  assert.match(await page.locator('#said').textContent(), /^\d+ places?$/);
  await page.getByLabel('Search').fill('nothing has these words');
  assert.equal(await shown(), 0);
  await page.getByLabel('Search').fill('');
  assert.ok((await shown()) > 20);
  // Copied: the call, as a shell takes it.
  const status = page.locator('#getStatus');
  await status.getByRole('button', { name: 'Copy' }).first().click();
  await page.waitForFunction(async () => (await navigator.clipboard.readText()).startsWith('curl'));
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `curl -i ${dj.origin}/api/status`);
  // Tried: routes that read, and answer with data.
  await status.getByRole('button', { name: 'Try it' }).click();
  await status.locator('.answer pre').waitFor();
  assert.equal(JSON.parse(await status.locator('.answer pre').textContent()).name, 'spinlane');
  assert.match(await status.locator('.answer').textContent(), /^200/);
  for (const writes of ['#sendMessage', '#logout', '#login']) {
    assert.equal(await page.locator(writes).getByRole('button', { name: 'Try it' }).count(), 0, writes);
  }
  assert.deepEqual(complaints, []);
  await close();
});
