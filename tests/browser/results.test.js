// Results: what was made and found can be opened, copied and gone on from.
import assert from 'node:assert/strict';
import test from 'node:test';
import { control } from './harness.js';
import { dj } from './started.js';
import { PHONE, ask, askWithTools, connect, ended, inspected, next, script, shot, violations, visit } from './walk.js';

const tool = (id, name, input) => ({ id: `toolu_${id}`, name, input });

/** Tracks that the stand-in finds, as the API gives them. */
async function found(query, limit = 6) {
  await next({ deltas: [], pace_ms: 0, tools: [tool(9, 'search_tracks', { query, limit })] });
  await next({ deltas: ['Found.'], pace_ms: 0 });
  const response = await fetch(`${dj.origin}/api/chat-stream/message`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message: 'Search' }),
  });
  const frames = (await response.text()).split('\n').filter((line) => line.startsWith('data: ')).map((line) => JSON.parse(line.slice(6)));
  return frames.find(({ type }) => type === 'tool_end').data.result.tracks;
}

const named = (track) => (track.artists[0].name ?? track.artists[0]);

test('a playlist that was made can be opened, and its tracks too', async () => {
  const tracks = await found('rain');
  for (const options of [{ viewport: { width: 1280, height: 800 } }, { viewport: PHONE, colorScheme: 'dark' }]) {
    // The consent page has no icon.
    const page = await inspected({ ...options, expect: [404] });
    await connect(page);
    await page.getByLabel('Create').check();
    await next({ deltas: [], pace_ms: 0, tools: [tool(1, 'search_tracks', { query: 'rain', limit: 6 })] });
    await next({ deltas: [], pace_ms: 0, tools: [tool(2, 'create_playlist', { name: 'Night drive', trackIds: [tracks[3].id, tracks[1].id] })] });
    await script({ deltas: ['There it is.'], pace_ms: 0 });
    await ask(page, 'A playlist for the night');
    await ended(page);
    const card = page.locator('.card');
    assert.match(await card.textContent(), /New playlist · 2 tracks · simulated.*Night drive/);
    const link = card.getByRole('link');
    assert.match(await link.getAttribute('href'), /^https:\/\/open\.spotify\.com\/playlist\/\w{22}$/);
    assert.equal(await link.getAttribute('rel'), 'noopener noreferrer');
    // What is in it stands first, in its order; each can be opened.
    const titles = page.locator('.marked .title a');
    assert.deepEqual(await titles.allTextContents(), [tracks[3].title, tracks[1].title]);
    assert.equal(await titles.first().getAttribute('href'), `https://open.spotify.com/track/${tracks[3].id}`);
    assert.deepEqual(await violations(page), []);
    await card.scrollIntoViewIfNeeded();
    await shot(page, `playlist-made-${options.viewport.width}`);
    // What one could ask next is about it.
    const id = (await link.getAttribute('href')).split('/').at(-1);
    await script({ deltas: ['Sorted.'], pace_ms: 0 });
    await page.locator('#asides').getByRole('button', { name: /tempo rises/ }).click();
    await page.locator('.turn').nth(1).waitFor();
    await ended(page);
    assert.ok((await page.locator('.turn').nth(1).textContent()).includes(id));
    await page.getByRole('button', { name: 'Disconnect' }).click();
  }
});

test('public is said by who asks, and only where a playlist is made', async () => {
  const page = await visit();
  await connect(page);
  const asked = [];
  page.on('request', (request) => request.url().endsWith('/message') && asked.push(request.postDataJSON()));
  const box = page.getByLabel('Public playlist');
  assert.equal(await box.isVisible(), false);
  await page.getByLabel('Create').check();
  await ask(page, 'One');
  await ended(page);
  await box.check();
  await ask(page, 'Two');
  await ended(page);
  await page.getByLabel('Analyze').check();
  await ask(page, 'Three');
  await ended(page);
  assert.deepEqual(asked.map((one) => one.public), [undefined, true, undefined]);
});

test('what the answer recommends stands first, and a cue leads there', async () => {
  const tracks = await found('rain');
  const picked = [tracks[4], tracks[0]];
  await next({ deltas: [], pace_ms: 0, tools: [tool(1, 'search_tracks', { query: 'rain', limit: 6 })] });
  await script({ deltas: [`1. **${picked[0].title}** by ${named(picked[0])}\n2. *${picked[1].title}*, ${named(picked[1])}\n`], pace_ms: 0 });
  const page = await visit({ viewport: { width: 1280, height: 800 } });
  await ask(page, 'Something for the rain');
  await ended(page);
  const section = page.getByRole('region', { name: 'Tracks of A1' });
  assert.deepEqual(await section.locator('.marked .title').allTextContents(), picked.map((track) => track.title));
  const others = section.locator('details');
  assert.match(await others.locator('summary').textContent(), new RegExp(`Also looked at: ${tracks.length - 2} tracks`));
  await others.locator('summary').click();
  assert.equal(await others.locator('tbody tr').count(), tracks.length - 2);
  const cue = page.getByRole('link', { name: /2 tracks, \d+ more looked at/ });
  assert.ok(await cue.isVisible());
  await cue.click();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'tracks-1');
  await page.waitForFunction(() => document.getElementById('tracks-1').getBoundingClientRect().top < innerHeight / 2);
  await shot(page, 'picks');
});

const MARKDOWN = [
  '# Set', '', 'From _slow_ to __slower__, ~~nothing~~ snake_case_word &amp; &eacute; \\*raw\\*.', '',
  '| Track | BPM |', '|:--|--:|', '| A \\| B | 70 |', '', '- one', '  1. deep', '- [x] done', '',
  '> quoted', '', '```js', 'play("x");', '```', '',
  'See https://example.org/a_b?c=1, <https://example.net>, [here](https://evil.example/x) and [open.spotify.com](https://evil.example/y).',
  '![pic](https://evil.example/p.png) [no](javascript:alert(1)) [nor](data:text/html,x) <b>bold</b> &lt;i&gt;',
].join('\n');

test('Markdown is rendered, and nothing in it is markup', async () => {
  await script({ deltas: MARKDOWN.split(/(?<= )/), pace_ms: 2 });
  for (const colorScheme of ['light', 'dark']) {
    const page = await inspected({ colorScheme });
    const asked = [];
    page.on('request', (request) => asked.push(new URL(request.url()).origin));
    await ask(page, 'Everything');
    await ended(page);
    const notes = page.locator('.notes');
    await notes.locator('table').waitFor();
    const texts = (selector) => notes.locator(selector).allTextContents();
    assert.deepEqual([await texts('h3'), await texts('em'), await texts('strong'), await texts('del')], [['Set'], ['slow'], ['slower'], ['nothing']]);
    assert.match(await notes.locator('p').first().textContent(), /snake_case_word & é \*raw\*\.$/);
    assert.deepEqual(await texts('td'), ['A | B', '70']);
    assert.deepEqual(await texts('li li'), ['deep']);
    assert.deepEqual([await texts('blockquote'), await texts('pre')], [['quoted'], ['play("x");']]);
    const links = await notes.locator('a').evaluateAll((all) => all.map((one) => [one.href, one.rel, one.parentElement.querySelector(':scope > .host')?.textContent ?? '']));
    assert.deepEqual(links.map(([href]) => href), ['https://example.org/a_b?c=1', 'https://example.net/', 'https://evil.example/x', 'https://evil.example/y', 'https://evil.example/p.png']);
    for (const [, rel] of links) assert.equal(rel, 'noopener noreferrer');
    // Where a label is not the address, its host is in sight.
    assert.deepEqual(links.map(([, , host]) => host), ['', '', ...Array(3).fill(' (evil.example)')]);
    assert.equal(await notes.locator(':is(img, b, i, script)').count(), 0);
    assert.match(await notes.textContent(), /<b>bold<\/b> <i>/);
    assert.deepEqual([...new Set(asked)], [dj.origin]);
    assert.deepEqual(await violations(page), []);
    await shot(page, `markdown-${colorScheme}`);
  }
});

test('an answer, its code and its tracks can be copied', async () => {
  const page = await visit({ permissions: ['clipboard-read', 'clipboard-write'] });
  const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
  await next({ deltas: [], pace_ms: 0, tools: [tool(1, 'search_tracks', { query: 'rain', limit: 3 })] });
  await script({ deltas: ['**Rain**\n\n```\nplay\n```\n'], pace_ms: 0 });
  await ask(page, 'Rain');
  await ended(page);
  await page.getByRole('button', { name: 'Copy answer' }).click();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  assert.equal(await clipboard(), '**Rain**\n\n```\nplay\n```\n');
  assert.equal(await page.locator('#status').textContent(), 'Copied.');
  await page.locator('.listing').getByRole('button').click();
  await page.waitForFunction(async () => (await navigator.clipboard.readText()) === 'play');
  await page.getByRole('button', { name: 'Copy tracks' }).click();
  await page.waitForFunction(async () => (await navigator.clipboard.readText()).includes(' – '));
  assert.match(await clipboard(), /^.+ – .+\n.+ – .+\n.+ – .+$/);
});

test('two turns with tables are told apart', async () => {
  for (const options of [{}, { viewport: PHONE, colorScheme: 'dark' }]) {
    const page = await inspected(options);
    for (let n = 0; n < 2; n += 1) {
      await askWithTools(page);
      await ended(page);
    }
    assert.equal(await page.getByRole('region', { name: /^Tracks of A[12]$/ }).count(), 2);
    await page.locator('details').evaluateAll((all) => all.forEach((one) => (one.open = true)));
    assert.deepEqual(await violations(page), []);
  }
});

test('an answer of nothing is said, and can be asked for again', async () => {
  const page = await visit();
  // However the server tells it: the page is given a stream that says nothing.
  await page.route('**/api/chat-stream/message', (route) =>
    route.fulfill({ contentType: 'text/event-stream', body: 'data: {"type":"run","data":{"id":"r"}}\n\ndata: {"type":"done","data":null}\n\n' }));
  await ask(page, 'Say nothing');
  await ended(page);
  assert.match(await page.locator('.ending').textContent(), /The DJ said nothing\./);
  assert.equal(await page.locator('#status').textContent(), 'The DJ said nothing.');
  await page.unroute('**/api/chat-stream/message');
  await control(dj.upstreams.anthropic, 'script', { deltas: ['Something.'], pace_ms: 0 });
  await page.getByRole('button', { name: 'Ask again' }).click();
  await ended(page);
  assert.equal(await page.locator('.notes').textContent(), 'Something.');
  assert.equal(await page.locator('.turn').count(), 1);
});
