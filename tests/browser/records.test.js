// Conversations: nothing that was asked or said is lost without a word.
import assert from 'node:assert/strict';
import test from 'node:test';
import { control } from './harness.js';
import { dj } from './started.js';
import { PHONE, PLAYLIST, ask, ended, filled, inspected, script, shot, violations, visit } from './walk.js';

const requests = (page) => page.locator('.request').allTextContents();
const say = (text) => script({ deltas: [text], pace_ms: 0 });

async function talk(page, ...texts) {
  for (const text of texts) {
    await say(`Answer to ${text}.`);
    await ask(page, text);
    await ended(page);
  }
}

/** What the page has sent, body by body. */
function sent(page) {
  const all = [];
  page.on('request', (request) => request.url().endsWith('/message') && all.push(request.postDataJSON()));
  return all;
}

test('a new record can be undone, and the old one is in the list', async () => {
  for (const options of [{}, { viewport: PHONE, colorScheme: 'dark' }]) {
    const page = await inspected(options);
    await talk(page, 'First', 'Second');
    await page.locator('#clear').click();
    assert.deepEqual(await requests(page), []);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'message');
    assert.deepEqual(await violations(page), []);
    await page.getByRole('button', { name: 'Undo' }).click();
    assert.deepEqual(await requests(page), ['First', 'Second']);
    await page.locator('#clear').click();
    await talk(page, 'Third');
    await page.reload();
    await filled(page);
    assert.deepEqual(await requests(page), ['Third']);
    await page.getByRole('button', { name: 'Records' }).click();
    const list = page.getByRole('dialog', { name: 'Records' });
    // The sheet comes when it is first asked for.
    await list.waitFor();
    assert.deepEqual(await list.locator('.record-name > :first-child').allTextContents(), ['Third', 'First']);
    assert.deepEqual(await violations(page), []);
    await shot(page, `records-${options.colorScheme ?? 'light'}`);
    await list.getByRole('button', { name: /First.*2 requests/ }).click();
    assert.deepEqual(await requests(page), ['First', 'Second']);
    // What is removed is gone.
    await page.getByRole('button', { name: 'Records' }).click();
    await list.getByRole('button', { name: 'Remove “Third”' }).click();
    assert.equal(await list.locator('li').count(), 1);
    await page.keyboard.press('Escape');
    await page.reload();
    await filled(page);
    assert.deepEqual(await requests(page), ['First', 'Second']);
    await page.context().close();
  }
});

test('all turns outlive a reload; where there is no room, that is said', async () => {
  const page = await visit();
  await talk(page, ...Array.from({ length: 12 }, (_, n) => `Request ${n + 1}`));
  await page.reload();
  await filled(page);
  assert.equal((await requests(page)).length, 12);
  assert.equal(await page.locator('#lost').isVisible(), false);
  // A tab that has almost no room left.
  await page.evaluate(() => {
    const size = JSON.stringify(sessionStorage).length;
    let room = 5 * 1024 * 1024 - size;
    for (; room > 500; room = Math.floor(room / 2)) {
      try {
        sessionStorage.setItem(`full${room}`, 'x'.repeat(room));
      } catch {
        // Less, then.
      }
    }
  });
  await say('x'.repeat(6_000));
  await ask(page, 'One too many');
  await ended(page);
  await page.reload();
  await filled(page);
  assert.ok(await page.locator('#lost').isVisible());
  assert.match(await page.locator('#lost').textContent(), /no room for the first (request|\d+ requests)/);
  assert.equal((await requests(page)).at(-1), 'One too many');
});

test('a playlist is a chip that can be taken away, and goes with its conversation', async () => {
  const page = await visit({ permissions: ['clipboard-read', 'clipboard-write'] });
  const all = sent(page);
  const chip = page.locator('#chip');
  const link = `https://open.spotify.com/playlist/${PLAYLIST}?si=1`;
  await page.evaluate((text) => navigator.clipboard.writeText(text), link);
  await page.locator('#message').focus();
  await page.keyboard.press('Control+V');
  assert.ok(await chip.isVisible());
  assert.equal(await page.locator('#message').inputValue(), '');
  await talk(page, 'How does it flow?');
  assert.equal(all.at(-1).playlistId, PLAYLIST);
  await chip.getByRole('button', { name: 'Remove the playlist' }).click();
  assert.equal(await chip.isVisible(), false);
  await talk(page, 'And without?');
  assert.equal(all.at(-1).playlistId, undefined);
  // Typed into the message, or given to the field, it becomes one as well.
  await page.locator('#message').fill(`What breaks ${link} apart?`);
  assert.ok(await chip.isVisible());
  assert.doesNotMatch(await page.locator('#message').inputValue(), /spotify/);
  await page.locator('#clear').click();
  assert.equal(await chip.isVisible(), false);
  // What was being typed is still there.
  assert.match(await page.locator('#message').inputValue(), /^What breaks/);
  await page.locator('#message').fill('');
  await page.locator('#playlist').fill(PLAYLIST);
  await page.locator('#playlist').press('Enter');
  assert.ok(await chip.isVisible());
  // An example is about itself.
  await page.locator('.slips button').first().click();
  await ended(page);
  assert.equal(all.at(-1).playlistId, undefined);
});

test('what failed is replaced, and its old button is gone', async () => {
  await script({ status: 400 });
  const page = await visit();
  await ask(page, 'Rain');
  await ended(page);
  await say('Here.');
  await page.getByRole('button', { name: 'Ask again' }).click();
  await ended(page);
  assert.deepEqual(await requests(page), ['Rain']);
  assert.equal(await page.locator('.fault').count(), 0);
  assert.equal(await page.locator('.notes').textContent(), 'Here.');
});

test('a request can be edited and sent again, an answer made anew, and both undone', async () => {
  const page = await visit();
  const all = sent(page);
  await talk(page, 'One', 'Two', 'Three');
  await page.locator('.turn').nth(1).getByRole('button', { name: 'Edit' }).click();
  assert.equal(await page.locator('#message').inputValue(), 'Two');
  assert.equal(await page.locator('#editing').textContent(), 'Instead of A2Cancel');
  await page.getByRole('button', { name: 'Cancel' }).click();
  assert.equal(await page.locator('#message').inputValue(), '');
  await page.locator('.turn').nth(1).getByRole('button', { name: 'Edit' }).click();
  await say('Better.');
  await page.locator('#message').fill('Two, but better');
  await page.keyboard.press('Enter');
  await ended(page);
  assert.deepEqual(await requests(page), ['One', 'Two, but better']);
  assert.deepEqual(all.at(-1).conversationHistory.map((one) => one.content), ['One', 'Answer to One.']);
  await page.getByRole('button', { name: 'Undo' }).click();
  assert.deepEqual(await requests(page), ['One', 'Two', 'Three']);
  await say('Another.');
  await page.getByRole('button', { name: 'Another answer' }).click();
  await ended(page);
  assert.deepEqual(await page.locator('.notes').allTextContents(), ['Answer to One.', 'Answer to Two.', 'Another.']);
  assert.equal(all.at(-1).conversationHistory.length, 4);
  // The last one, by keyboard.
  await page.locator('#message').focus();
  await page.keyboard.press('ArrowUp');
  assert.equal(await page.locator('#message').inputValue(), 'Three');
});

test('a stopped answer can be gone on from', async () => {
  await script({ deltas: ['It begins ', 'here ', 'and '], pace_ms: 0, fault: { hang: 2 } });
  const page = await visit();
  const all = sent(page);
  await ask(page, 'Tell me');
  await page.locator('.notes p').waitFor();
  await page.keyboard.press('Escape');
  await ended(page);
  await say('ends there.');
  await page.getByRole('button', { name: 'Go on' }).click();
  await ended(page);
  assert.equal(all.at(-1).conversationHistory.length, 2);
  assert.equal((await requests(page)).length, 2);
});

test('the page ends its own older run before it sends a new prompt', async () => {
  await script({ deltas: ['It begins ', 'here ', 'and '], pace_ms: 0, fault: { hang: 2 } });
  const page = await visit();
  const order = [];
  page.on('request', (request) => request.method() === 'POST' && order.push(new URL(request.url()).pathname.split('/').at(-1)));
  await ask(page, 'First');
  await page.locator('.notes p').waitFor();
  await say('Second answer.');
  await ask(page, 'Second');
  await page.getByText('Second answer.').first().waitFor();
  await ended(page);
  assert.deepEqual(order, ['message', 'stop', 'message']);
  assert.match(await page.locator('.turn').first().locator('.ending').textContent(), /You stopped it here/);
  // One that a reload has cut off may still be running.
  await script({ deltas: ['It begins ', 'here ', 'and '], pace_ms: 0, fault: { hang: 2 } });
  await ask(page, 'Third');
  await page.locator('.turn').nth(2).locator('.notes p').waitFor();
  await page.reload();
  await filled(page);
  order.length = 0;
  await say('Fourth answer.');
  await ask(page, 'Fourth');
  await ended(page);
  assert.deepEqual(order, ['stop', 'message']);
  let now = await control(dj.upstreams.anthropic, 'counts');
  while (now.open > 0) now = await control(dj.upstreams.anthropic, 'counts');
});

test('keys do what the sheet says, and can be left out', async () => {
  const page = await inspected();
  await talk(page, 'Rain');
  await page.locator('#theme').focus();
  await page.keyboard.press('?');
  const sheet = page.getByRole('dialog', { name: 'Shortcuts' });
  await sheet.waitFor();
  assert.deepEqual(await violations(page), []);
  await shot(page, 'shortcuts');
  await page.keyboard.press('Escape');
  await page.locator('#theme').focus();
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'message');
  await page.keyboard.type('n?');
  assert.equal(await page.locator('#message').inputValue(), 'n?');
  await page.locator('#theme').focus();
  await page.keyboard.press('r');
  await page.getByRole('dialog', { name: 'Records' }).waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#help-open').click();
  await sheet.getByRole('checkbox').uncheck();
  await page.keyboard.press('Escape');
  await page.locator('#theme').focus();
  await page.keyboard.press('n');
  assert.deepEqual(await requests(page), ['Rain']);
});
