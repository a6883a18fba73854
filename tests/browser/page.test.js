// The page, as a person meets it: with eyes, a keyboard, a phone, a bad network.
import assert from 'node:assert/strict';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { control, up } from './harness.js';
import { dj } from './started.js';
import {
  PHONE, PLAYLIST, TEXT,
  ask, askWithTools, blank, counts, ended, filled, forgive, inspected, script, shot, unresumable, violations, visit, words,
} from './walk.js';

// What is promised.
const MOST_BYTES = 130_000;
const MOST_COMPRESSED = 45_000;
const MOST_RENDER_MS = 200;

test('the page is light', async () => {
  const page = await blank();
  const answers = await weigh(page);
  await page.goto(`${dj.origin}/`);
  await filled(page);
  await page.waitForLoadState();
  const total = [...answers.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  // As a proxy sends it: bodies compressed, and as many bytes of heads.
  const bodies = await Promise.all([...answers.values()].map(async ({ url }) => Buffer.from(await (await fetch(url)).arrayBuffer())));
  const plain = bodies.reduce((sum, body) => sum + body.length, 0);
  const compressed = total - plain + bodies.reduce((sum, body) => sum + gzipSync(body).length, 0);
  console.log(`page weight: ${total} bytes in ${answers.size} answers, uncompressed, heads included; ${compressed} compressed`);
  assert.ok(compressed < MOST_COMPRESSED, `${compressed} bytes`);
  assert.ok(answers.size >= 4 && total > 10_000, JSON.stringify([...answers.values()]));
  assert.ok(total < MOST_BYTES, JSON.stringify([...answers.values()]));
});

test('the page is soon there', async () => {
  const renders = [];
  // The best of some: what else runs on the machine only ever adds.
  for (let round = 0; round < 10 && !(Math.min(...renders) < MOST_RENDER_MS); round += 1) {
    const page = await blank();
    // The page asks for it when it has been painted. Until then nothing looks
    // into it: the driver's own scripts would keep it from painting.
    const asked = page.waitForResponse(`${dj.origin}/api/status`);
    await page.goto(`${dj.origin}/`, { waitUntil: 'commit' });
    await asked;
    renders.push(await page.evaluate(firstRender));
    await filled(page);
    // Pages that stay open would take their share of the machine from the next.
    await page.context().close();
  }
  console.log(`first contentful paint: ${renders.map(Math.round).join(', ')} ms`);
  assert.ok(Math.min(...renders) < MOST_RENDER_MS, renders.join(', '));
});

/** What `page` receives from now on, as it comes over the wire: `{url, bytes}` by request. */
async function weigh(page) {
  const answers = new Map();
  const session = await page.context().newCDPSession(page);
  session.on('Network.responseReceived', ({ requestId, response }) => {
    answers.set(requestId, { url: response.url, bytes: 0 });
  });
  session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    if (answers.has(requestId)) answers.get(requestId).bytes = encodedDataLength;
  });
  await session.send('Network.enable');
  return answers;
}

// Runs in the page.
function firstRender() {
  return new Promise((resolve) => {
    new PerformanceObserver((list) => {
      const [entry] = list.getEntriesByName('first-contentful-paint');
      if (entry) resolve(entry.startTime);
    }).observe({ type: 'paint', buffered: true });
  });
}

test('nothing is asked of anybody else', async () => {
  const page = await visit();
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).origin));
  await page.reload();
  await filled(page);
  await ask(page, 'Something for the rain');
  await ended(page);
  assert.ok(asked.length > 5);
  assert.deepEqual([...new Set(asked)], [dj.origin]);
});

test('text grows while it streams', async () => {
  await script({ deltas: words(TEXT), pace_ms: 120 });
  const page = await visit();
  await shot(page, 'start-light');
  await page.evaluate(() => {
    globalThis.seen = [];
    const look = () => {
      const text = document.querySelector('.notes')?.textContent ?? '';
      const running = document.body.classList.contains('running');
      if (text && text !== globalThis.seen.at(-1)?.text) globalThis.seen.push({ text, running });
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  await ask(page, 'Something for the rain');
  await page.waitForFunction(() => globalThis.seen.length > 1);
  await shot(page, 'streaming-light');
  await ended(page);
  const seen = await page.evaluate(() => globalThis.seen);
  const growing = seen.filter((one) => one.running).map((one) => one.text.length);
  assert.ok(growing.length >= 3, JSON.stringify(growing));
  assert.deepEqual(growing, growing.toSorted((a, b) => a - b));
  assert.equal(await page.locator('.notes li').count(), 2);
  assert.equal(await page.locator('.notes strong').textContent(), 'Paper Lanterns');
  // The meters have the run's numbers.
  assert.match(await page.locator('.meter', { hasText: 'Budget' }).textContent(), /\d+ left/);
  assert.match(await page.locator('#counts').textContent(), /Upstream calls\s*1/);
});

test('what the model says is text, whatever it says', async () => {
  const hostile = '<img src=x onerror="document.title=1"> <script>document.title=1</script> **<b>bold</b>** [go](javascript:alert(1)) `<i>`';
  await script({ deltas: [hostile], pace_ms: 0 });
  const page = await visit();
  await ask(page, '<u>hello</u>');
  await ended(page);
  assert.equal(await page.locator('.turn :is(img, script, b, i, u, a)').count(), 0);
  assert.match(await page.locator('.notes').textContent(), /<img src=x onerror=.*javascript:alert/s);
  assert.equal(await page.locator('.request').textContent(), '<u>hello</u>');
  assert.equal(await page.title(), 'Answered: <u>hello</u> – Spinlane');
});

test('a run can be stopped', async () => {
  await script({ deltas: words(TEXT), pace_ms: 0, fault: { hang: 5 } });
  const page = await visit();
  await ask(page, 'Something for the rain');
  await page.locator('.notes p').waitFor();
  await page.locator('#stop').focus();
  await page.keyboard.press('Enter');
  await ended(page);
  assert.match(await page.locator('.ending').textContent(), /You stopped it here/);
  assert.match(await page.locator('.notes').textContent(), /Here is a set/);
  // Who was on the button that is gone can go on typing.
  assert.equal(await page.evaluate(() => document.activeElement.id), 'message');
  await shot(page, 'stopped');
  // The model's call has ended with it.
  let now = await counts();
  while (now.open > 0) now = await counts();
  assert.equal(now.cancelled, 1);
});

test('a reload in mid-stream keeps what was said, where a run ends with its connection', async () => {
  await script({ deltas: words(TEXT), pace_ms: 0, fault: { hang: 5 } });
  const page = await visit();
  await unresumable(page);
  await ask(page, 'Something for the rain');
  await page.locator('.notes p').waitFor();
  await page.locator('#message').fill('half a tho');
  await page.reload();
  assert.match(await page.locator('.notes').textContent(), /Here is a set/);
  assert.match(await page.locator('.ending').textContent(), /Interrupted/);
  assert.equal(await page.locator('#message').inputValue(), 'half a tho');
  await shot(page, 'interrupted');
  // It can be gone on from, and the model is told what was said before.
  const roles = async () => {
    const calls = await control(dj.upstreams.anthropic, 'calls');
    return calls.at(-1).request.messages.map((one) => one.role);
  };
  await script({ deltas: ['And so on.'], pace_ms: 0 });
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.locator('.turn:nth-child(2) .notes p').waitFor();
  await ended(page);
  assert.deepEqual(await roles(), ['user', 'assistant', 'user']);
  // What was typed is still there.
  assert.equal(await page.locator('#message').inputValue(), 'half a tho');
});

test('an answer that was cut off can be asked for again, in its place', async () => {
  await script({ deltas: words(TEXT), pace_ms: 0, fault: { hang: 5 } });
  const page = await visit();
  await unresumable(page);
  await ask(page, 'Something for the rain');
  await page.locator('.notes p').waitFor();
  await page.reload();
  await script({ deltas: ['Whole.'], pace_ms: 0 });
  await page.getByRole('button', { name: 'Ask again' }).click();
  await page.getByText('Whole.').first().waitFor();
  await ended(page);
  assert.equal(await page.locator('.turn').count(), 1);
  const calls = await control(dj.upstreams.anthropic, 'calls');
  assert.deepEqual(calls.at(-1).request.messages.map((one) => one.role), ['user']);
});

test('an upstream that is offline is told in words', async () => {
  const lonely = await up({ anthropic_base_url: 'http://127.0.0.1:1', anthropic_api_key: 'sk-none' });
  try {
    const page = await inspected({ origin: lonely.origin });
    await ask(page, 'Anybody there?');
    await ended(page);
    const alert = page.getByRole('alert');
    assert.match(await alert.textContent(), /The model is offline/);
    assert.equal(await alert.getByRole('button', { name: 'Ask again' }).isEnabled(), true);
    await shot(page, 'offline');
    assert.deepEqual(await violations(page), []);
  } finally {
    await lonely.stop();
  }
});

test('a server that is gone is told in words, and so is a network that is', async () => {
  const brief = await up();
  const page = await visit({ origin: brief.origin });
  await brief.stop();
  await ask(page, 'Anybody there?');
  await ended(page);
  assert.match(await page.getByRole('alert').textContent(), /Spinlane does not answer/);
  await page.context().setOffline(true);
  await ask(page, 'And now?');
  await ended(page);
  assert.match(await page.getByRole('alert').last().textContent(), /You are offline/);
  // Chromium has a line for each connection that was refused.
  forgive('net::ERR_');
});

test('who has used the quota sees when to come back', async () => {
  const strict = await up({ caller_limit: '1/10m' });
  try {
    const page = await visit({ origin: strict.origin, expect: [429] });
    await page.clock.install();
    const again = page.getByRole('alert').getByRole('button');
    // The quota counts by fixed windows: two requests may lie in two of them.
    for (let n = 0; n < 3 && (await again.count()) === 0; n += 1) {
      await ask(page, 'Something for the rain');
      await ended(page);
    }
    assert.match(await page.getByRole('alert').textContent(), /That was a lot of requests/);
    assert.match(await again.textContent(), /^Ask again in (\d+ min \(.+\)|\d+ s)$/);
    // A reload does not make it longer.
    const before = await again.textContent();
    await page.reload();
    await filled(page);
    const kept = page.locator('.fault button');
    const seconds = (text) => {
      const [, count, unit] = text.match(/(\d+) (min|s)/);
      return count * (unit === 'min' ? 60 : 1);
    };
    const after = await kept.textContent();
    assert.ok(seconds(after) <= seconds(before), `${before}, then ${after}`);
    assert.equal(await kept.isEnabled(), false);
    await page.clock.fastForward('11:00');
    await page.waitForFunction(() => !document.querySelector('.fault button').disabled);
    assert.equal(await kept.textContent(), 'Ask again');
  } finally {
    await strict.stop();
  }
});

test('on a phone nothing is wider than the screen', async () => {
  const width = (page) => page.evaluate(() => document.scrollingElement.scrollWidth);
  for (const viewport of [PHONE, { width: 320, height: 640 }]) {
    const page = await visit({ viewport, hasTouch: true });
    await shot(page, `phone-${viewport.width}-start`);
    assert.ok(await page.getByRole('link', { name: 'API' }).isVisible());
    assert.equal(await width(page), viewport.width);
    await ask(page, 'Something for the rain, in one very-long-word-that-nobody-would-ever-write-but-somebody-pastes-anyway');
    await page.locator('.notes p').waitFor();
    assert.equal(await width(page), viewport.width);
    await ended(page);
    assert.equal(await width(page), viewport.width);
    await shot(page, `phone-${viewport.width}-answer`);
    await page.locator('.desk summary').click();
    assert.equal(await width(page), viewport.width);
    await page.evaluate(() => scrollTo(0, 0));
    await shot(page, `phone-${viewport.width}-desk`);
  }
});

test('light and dark: as the system says, else as chosen', async () => {
  const page = await visit({ colorScheme: 'dark' });
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(await theme(), 'dark');
  const dark = await paper();
  await shot(page, 'start-dark');
  await page.locator('#theme').click();
  assert.equal(await theme(), 'light');
  assert.notEqual(await paper(), dark);
  await page.reload();
  assert.equal(await theme(), 'light');
  await page.locator('#theme').click();
  assert.equal(await theme(), 'dark');
  // That is what the system says, which is followed again.
  await page.emulateMedia({ colorScheme: 'light' });
  await page.waitForFunction(() => document.documentElement.dataset.theme === 'light');
});

test('a keyboard is enough', async () => {
  await script({ deltas: words(TEXT), pace_ms: 0, fault: { hang: 5 } });
  const page = await visit();
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.className);
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'skip');
  await page.keyboard.press('Enter');
  assert.equal(await focused(), 'message');
  await page.keyboard.type('Rain');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('and wind');
  await page.keyboard.press('Enter');
  await page.locator('.notes p').waitFor();
  assert.equal(await page.locator('.request').textContent(), 'Rain\nand wind');
  assert.equal(await focused(), 'message');
  await page.keyboard.press('Escape');
  await ended(page);
  assert.match(await page.locator('.ending').textContent(), /You stopped it here/);
  // Whatever takes the focus shows it.
  const places = new Set();
  for (let n = 0; n < 30; n += 1) {
    await page.keyboard.press('Tab');
    const outlined = await page.evaluate(() => {
      const at = document.activeElement;
      if (at === document.body) return true;
      const shown = at.type === 'radio' ? at.nextElementSibling : at;
      return getComputedStyle(shown).outlineStyle !== 'none';
    });
    places.add(await focused());
    assert.ok(outlined, await focused());
  }
  for (const id of ['theme', 'playlist', 'message', 'send', 'clear']) assert.ok(places.has(id), id);
});

test('a screen reader hears paragraphs, not tokens', async () => {
  await script({ deltas: words(TEXT), pace_ms: 10 });
  const page = await visit();
  await page.evaluate(() => {
    globalThis.heard = [];
    for (const id of ['status', 'spoken']) {
      const region = document.getElementById(id);
      new MutationObserver(() => globalThis.heard.push(region.textContent)).observe(region, {
        subtree: true,
        childList: true,
        characterData: true,
      });
    }
  });
  await ask(page, 'Something for the rain');
  await ended(page);
  await page.waitForFunction(() => /complete/.test(document.getElementById('status').textContent));
  const heard = await page.evaluate(() => globalThis.heard);
  assert.ok(heard.length >= 3 && heard.length < words(TEXT).length / 2, JSON.stringify(heard));
  assert.match(await page.locator('#spoken').textContent(), /Here is a set.*Let the last one fade\.$/s);
});

test('who wants no motion gets none', async () => {
  await script({ deltas: words(TEXT), pace_ms: 0, fault: { hang: 5 } });
  const page = await visit({ reducedMotion: 'reduce' });
  await ask(page, 'Something for the rain');
  await page.locator('.notes p').waitFor();
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
  await page.keyboard.press('Escape');
  await ended(page);
});

test('tools are seen as they run, and then what they found', async () => {
  const page = await visit();
  await askWithTools(page);
  await page.locator('.runs li').first().waitFor();
  await shot(page, 'tools-running');
  await ended(page);
  await shot(page, 'results-light');
  const runs = page.locator('.runs li');
  assert.deepEqual(
    await runs.evaluateAll((all) => all.map((one) => one.className)),
    ['over', 'over', 'failed'],
  );
  for (const run of await runs.all()) assert.match(await run.locator('.number').textContent(), /^\d/);
  // What was asked and answered is there for who opens it.
  await runs.first().locator('summary').click();
  const [args, result] = await runs.first().locator('pre').allTextContents();
  assert.equal(JSON.parse(args).playlistId, PLAYLIST);
  assert.ok(JSON.parse(result).tracks.length > 10);
  // The enrichment's progress has come to its end.
  const bar = page.locator('progress').first();
  assert.ok((await bar.evaluate((one) => one.max)) > 10);
  assert.equal(await bar.evaluate((one) => one.value / one.max), 1);
  // The table, and the histogram above it.
  assert.equal(await page.locator('tbody tr').count(), 12);
  await page.getByRole('button', { name: /^All \d+ tracks$/ }).click();
  assert.ok((await page.locator('tbody tr').count()) > 20);
  assert.match(await page.locator('caption').textContent(), /^\d+ tracks, \d+–\d+ BPM, median \d+$/);
  assert.match(await page.getByRole('img').getAttribute('aria-label'), /^Tempi of \d+ tracks/);
  assert.ok((await page.locator('.tags .chips li').count()) > 10);
  // The meters: Deezer and Last.fm were asked, and the cache before them.
  assert.match(await page.locator('.meter', { hasText: 'Cache' }).textContent(), /\d+ of \d+/);
  assert.match(await page.locator('.meter', { hasText: 'Lane wait' }).textContent(), /\d+ m?s/);
  // A second look is served from the cache.
  await askWithTools(page);
  await ended(page);
  const reading = await page.locator('.meter', { hasText: 'Cache' }).getAttribute('aria-valuenow');
  assert.ok(Number(reading) > 90, reading);
});

test('the table can be sorted, by keyboard too', async () => {
  const page = await visit();
  await askWithTools(page);
  await ended(page);
  const tempi = () => page.locator('td.bpm').evaluateAll((cells) => cells.map((cell) => Number.parseInt(cell.textContent, 10) || null));
  const known = (all) => all.filter(Boolean);
  await page.getByRole('button', { name: /^All/ }).click();
  const button = page.getByRole('button', { name: 'BPM' });
  await button.focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('th.bpm').getAttribute('aria-sort'), 'ascending');
  const up = await tempi();
  assert.ok(known(up).length > 10);
  assert.deepEqual(known(up), known(up).toSorted((a, b) => a - b));
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('th.bpm').getAttribute('aria-sort'), 'descending');
  const down = await tempi();
  assert.deepEqual(known(down), known(down).toSorted((a, b) => b - a));
  // What is not known comes last, whichever way.
  for (const all of [up, down]) assert.deepEqual(all.slice(known(all).length).filter(Boolean), []);
  assert.equal(await page.locator('[aria-sort]').count(), 1);
});

test('to make a playlist one has to connect', async () => {
  const page = await visit({ expect: [401] });
  await page.getByLabel('Create').check();
  await ask(page, 'A dinner playlist');
  await ended(page);
  const alert = page.getByRole('alert');
  assert.match(await alert.textContent(), /Connect Spotify first/);
  assert.equal(await alert.getByRole('link', { name: 'Connect Spotify' }).getAttribute('href'), '/api/auth/login?return_to=/');
  await shot(page, 'connect');
});

test('axe finds nothing', async () => {
  for (const [name, options] of [
    ['light', {}],
    ['dark', { colorScheme: 'dark' }],
    ['phone', { viewport: PHONE }],
    ['dark phone', { viewport: PHONE, colorScheme: 'dark' }],
  ]) {
    const page = await inspected(options);
    assert.deepEqual(await violations(page), [], `${name}, at the start`);
    await askWithTools(page);
    await page.locator('.notes p').waitFor();
    assert.deepEqual(await violations(page), [], `${name}, while it streams`);
    await ended(page);
    await shot(page, `results-${name.replace(' ', '-')}`);
    assert.equal(await page.locator('.failed').count(), 1);
    // With all that can be opened.
    await page.locator('details').evaluateAll((all) => all.forEach((details) => (details.open = true)));
    assert.deepEqual(await violations(page), [], `${name}, with results`);
    await page.context().close();
  }
});
