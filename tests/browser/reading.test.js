// Reading: the page obeys whoever reads it, at any size, in any direction, on
// paper, and by ear.
import assert from 'node:assert/strict';
import test from 'node:test';
import { dj } from './started.js';
import { PHONE, TEXT, ZOOMED, ask, askWithTools, blank, ended, filled, next, script, shot, visit, violations, inspected, words } from './walk.js';

const LAPTOP = { width: 1280, height: 800 };
const LONG = Array.from({ length: 150 }, (_, n) => `Paragraph ${n} of a long answer that goes on for a while.\n\n`);
const top = (page) => page.evaluate(() => document.scrollingElement.scrollTop);
const focused = (page) => page.evaluate(() => document.activeElement.id || document.activeElement.tagName);

/** A long answer under way, with more of it to come than the window holds. */
async function reading(options = {}) {
  await script({ deltas: LONG, pace_ms: 60 });
  const page = await visit({ viewport: LAPTOP, ...options });
  await ask(page, 'Tell me everything');
  await page.locator('.notes p').nth(24).waitFor();
  return page;
}

/** The text grows by some more. */
async function grown(page) {
  const count = await page.locator('.notes p').count();
  await page.locator('.notes p').nth(count + 6).waitFor();
}

for (const [name, up] of [
  ['wheel', async (page) => {
    await page.mouse.move(400, 300);
    for (let n = 0; n < 8; n += 1) await page.mouse.wheel(0, -25);
  }],
  ['arrow key', async (page) => {
    await page.locator('#theme').focus();
    for (let n = 0; n < 2; n += 1) await page.keyboard.press('ArrowUp');
  }],
  ['page key', (page) => page.keyboard.press('PageUp')],
  ['finger', async (page) => {
    const session = await page.context().newCDPSession(page);
    const touch = (type, y) => session.send('Input.dispatchTouchEvent', { type, touchPoints: y ? [{ x: 300, y }] : [] });
    // The page scrolls for a finger after the event has been handled: until it stands.
    await page.evaluate(() => {
      globalThis.stands = new Promise((resolve) => {
        addEventListener('touchend', () => addEventListener('scrollend', resolve, { once: true }), { once: true });
      });
    });
    await touch('touchStart', 200);
    for (let y = 220; y <= 400; y += 20) await touch('touchMove', y);
    await touch('touchEnd');
    await page.evaluate(() => globalThis.stands);
  }],
  ['scroll bar', (page) => page.evaluate(() => scrollBy(0, -200))],
]) {
  test(`by ${name}: who goes up is left there, and can come back`, async () => {
    const page = await reading({ hasTouch: name === 'finger' });
    if (name === 'page key') await page.locator('#theme').focus();
    const before = await top(page);
    await up(page);
    const latest = page.getByRole('button', { name: /Latest/ });
    await latest.waitFor();
    // A wheel may scroll smoothly: until it stands.
    await page.waitForFunction(async () => {
      const at = document.scrollingElement.scrollTop;
      await new Promise((resolve) => setTimeout(resolve, 120));
      return document.scrollingElement.scrollTop === at;
    });
    const left = await top(page);
    assert.ok(left < before + 200, `${left}, ${before}`);
    await grown(page);
    assert.equal(await top(page), left);
    assert.ok(await latest.isVisible());
    await latest.click();
    assert.notEqual(await focused(page), 'BODY');
    await grown(page);
    assert.ok((await top(page)) > left);
    await page.keyboard.press('Escape');
    await ended(page);
  });
}

test('at the end following begins again, and Latest stays while there is more', async () => {
  const page = await reading();
  await page.mouse.move(400, 300);
  await page.mouse.wheel(0, -300);
  await page.getByRole('button', { name: /Latest/ }).waitFor();
  await page.mouse.wheel(0, 20_000);
  await page.getByRole('button', { name: /Latest/ }).waitFor({ state: 'hidden' });
  const at = await top(page);
  await grown(page);
  assert.ok((await top(page)) > at);
  await page.mouse.wheel(0, -600);
  await page.keyboard.press('Escape');
  await ended(page);
  // The answer is over, and its end is still below.
  assert.ok(await page.getByRole('button', { name: /Latest/ }).isVisible());
});

test('the focus is never nowhere', async () => {
  await script({ deltas: words(TEXT), pace_ms: 0 });
  const page = await visit();
  await page.locator('#message').fill('Rain');
  await page.locator('#send').focus();
  await page.keyboard.press('Enter');
  await page.locator('.turn').waitFor();
  assert.equal(await focused(page), 'message');
  await ended(page);
  assert.equal(await focused(page), 'message');
  await page.getByRole('button', { name: 'Another answer' }).focus();
  await page.keyboard.press('Enter');
  await ended(page);
  assert.equal(await page.locator('.turn').count(), 1);
  assert.notEqual(await focused(page), 'BODY');
});

for (const [name, viewport] of [['a laptop', LAPTOP], ['a phone', PHONE], ['a laptop at 200 %', ZOOMED], ['a large screen', { width: 1920, height: 1080 }]]) {
  test(`examples and composer are in view at first sight, on ${name}`, async () => {
    for (const colorScheme of ['light', 'dark']) {
      const page = await visit({ viewport, colorScheme });
      const covered = await page.evaluate(() =>
        [...document.querySelectorAll('#hello, .slips button, #message, #send')]
          .filter((one) => {
            const { left, top, right, bottom } = one.getBoundingClientRect();
            const middle = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
            const low = document.elementFromPoint((left + right) / 2, bottom - 4);
            return top < 0 || bottom > innerHeight || !one.contains(middle) || !one.contains(low);
          })
          .map((one) => one.id || one.textContent),
      );
      await shot(page, `start-${viewport.width}-${colorScheme}`);
      assert.deepEqual(covered, []);
    }
  });
}

test('in a low window the deck does not stand before what is read', async () => {
  await script({ deltas: LONG, pace_ms: 0 });
  for (const viewport of [ZOOMED, { width: 320, height: 200 }]) {
    const page = await visit({ viewport });
    await ask(page, 'Tell me everything');
    await ended(page);
    await page.evaluate(() => scrollTo(0, 400));
    assert.ok((await page.locator('.deck').boundingBox()).y > viewport.height);
    assert.equal(await page.evaluate(() => document.scrollingElement.scrollWidth), viewport.width);
    await shot(page, `low-${viewport.width}`);
  }
});

test('right to left stays right to left', async () => {
  await script({ deltas: ['هذه أغنية **جميلة** (1990).\n\n- فيروز: الليل\n- Orla Fennimore\n\nThe first is by فرقة قمر الميناء (1976), I think.'], pace_ms: 0 });
  const page = await visit({ viewport: LAPTOP });
  await ask(page, 'أغنية هادئة');
  await ended(page);
  const direction = (selector) => page.locator(selector).first().evaluate((one) => getComputedStyle(one).direction);
  assert.equal(await direction('.request'), 'rtl');
  assert.equal(await direction('.notes p'), 'rtl');
  assert.equal(await direction('.notes li:first-child'), 'rtl');
  assert.equal(await direction('.notes li:last-child'), 'ltr');
  assert.equal(await direction('#turns'), 'ltr');
  // A name and its year keep their places within a line that goes the other way.
  const [name, year] = await page.locator('.notes > p').last().evaluate((line) => {
    const range = document.createRange();
    const after = line.querySelector('bdi').nextSibling;
    range.setStart(after, after.data.indexOf('1976'));
    range.setEnd(after, after.data.indexOf('1976') + 4);
    return [line.querySelector('bdi').getBoundingClientRect(), range.getBoundingClientRect()].map(({ left, right }) => ({ left, right }));
  });
  assert.ok(year.left > name.right, JSON.stringify([name, year]));
  await page.locator('#message').fill('مرحبا');
  assert.equal(await direction('#message'), 'rtl');
  await shot(page, 'rtl');
});

test('on paper there is what was asked and said', async () => {
  const page = await visit({ viewport: LAPTOP, colorScheme: 'dark' });
  await askWithTools(page);
  await ended(page);
  await page.emulateMedia({ media: 'print' });
  for (const gone of ['.desk', '.deck', '.acts', '.bar nav', '.latest']) assert.equal(await page.locator(gone).first().isVisible(), false, gone);
  for (const there of ['.request', '.notes', 'table', '.runs']) assert.ok(await page.locator(there).first().isVisible(), there);
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(255, 255, 255)');
  assert.ok((await page.locator('.turn').first().boundingBox()).y < 150);
  if (process.env.SPINLANE_SCREENSHOTS) await page.screenshot({ path: `${process.env.SPINLANE_SCREENSHOTS}/print.png`, fullPage: true });
  // A printer gets all rows.
  const pdf = await page.pdf();
  assert.ok(pdf.length > 10_000);
  assert.ok((await page.locator('tbody tr').count()) > 20);
});

test('with the reader’s own colours nothing is lost', async () => {
  const page = await inspected({ viewport: LAPTOP, forcedColors: 'active' });
  await askWithTools(page);
  await ended(page);
  const seen = await page.evaluate(() => {
    const colour = (selector, property) => getComputedStyle(document.querySelector(selector))[property];
    const ground = getComputedStyle(document.body).backgroundColor;
    return {
      ground,
      marks: [colour('.dot', 'backgroundColor'), colour('.slots i', 'backgroundColor'), colour('.runs rect:last-child', 'fill')],
    };
  });
  for (const mark of seen.marks) assert.notEqual(mark, seen.ground);
  await page.waitForFunction(() => getComputedStyle(document.querySelector('.tool'), '::before').backgroundColor !== getComputedStyle(document.body).backgroundColor);
  await shot(page, 'forced-colours');
});

test('little moves while the page comes over a slow network', async () => {
  for (const viewport of [LAPTOP, PHONE]) {
    const page = await blank({ viewport });
    const session = await page.context().newCDPSession(page);
    await session.send('Network.enable');
    await session.send('Network.emulateNetworkConditions', { offline: false, latency: 100, downloadThroughput: 40_000, uploadThroughput: 40_000 });
    await page.addInitScript(() => {
      globalThis.shifted = 0;
      new PerformanceObserver((list) => {
        for (const one of list.getEntries()) globalThis.shifted += one.value;
      }).observe({ type: 'layout-shift', buffered: true });
    });
    await page.goto(`${dj.origin}/`);
    await filled(page);
    const shifted = await page.evaluate(() => new Promise((resolve) => setTimeout(() => resolve(globalThis.shifted), 300)));
    console.log(`layout shift at ${viewport.width}: ${shifted.toFixed(4)}`);
    assert.ok(shifted < 0.05, `${viewport.width}: ${shifted}`);
  }
});

test('an error is said once, and so is an answer', async () => {
  await next({ status: 400 });
  const page = await visit();
  await ask(page, 'Something wrong');
  await ended(page);
  const title = await page.locator('.fault-title').textContent();
  assert.equal(await page.getByRole('alert').count(), 1);
  assert.doesNotMatch(await page.locator('#status').textContent(), new RegExp(title));
  // Put back, it is not said again.
  await page.reload();
  await filled(page);
  assert.equal(await page.getByRole('alert').count(), 0);
  assert.ok(await page.locator('.fault').isVisible());
  await script({ deltas: words(TEXT), pace_ms: 0 });
  await page.getByRole('button', { name: 'Ask again' }).click();
  await ended(page);
  await page.waitForFunction(() => document.getElementById('spoken').childElementCount === 0);
  const tree = await page.locator('body').ariaSnapshot();
  assert.equal(tree.split('Let the last one fade.').length - 1, 1, tree);
});

test('one order, for the eye and for Tab', async () => {
  for (const viewport of [LAPTOP, PHONE]) {
    const page = await visit({ viewport });
    const order = [];
    for (let n = 0; n < 14; n += 1) {
      await page.keyboard.press('Tab');
      order.push(await page.evaluate(() => {
        const at = document.activeElement;
        return at.closest('.deck') ? 'deck' : at.closest('.slips') ? 'examples' : at.closest('.desk') ? 'desk' : null;
      }));
    }
    const places = [...new Set(order.filter(Boolean))];
    assert.deepEqual(places, viewport === PHONE ? ['desk', 'examples', 'deck'] : ['examples', 'deck', 'desk']);
  }
});

test('an Escape that an input method takes does not stop the run', async () => {
  await script({ deltas: words(TEXT), pace_ms: 0, fault: { hang: 5 } });
  const page = await visit();
  await ask(page, 'Rain');
  await page.locator('.notes p').waitFor();
  await page.evaluate(() => document.getElementById('message').dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', isComposing: true, bubbles: true })));
  assert.equal(await page.locator('#stop').getAttribute('aria-disabled'), null);
  await page.keyboard.press('Escape');
  await ended(page);
});

test('an example that is tapped opens no keyboard', async () => {
  await script({ deltas: words(TEXT), pace_ms: 0 });
  const page = await visit({ viewport: PHONE, hasTouch: true, isMobile: true });
  await page.locator('.slips button').first().tap();
  await ended(page);
  assert.equal(await focused(page), 'ARTICLE');
});

test('words for people', async () => {
  const page = await visit();
  const hint = page.locator('#hint');
  const count = page.locator('#count');
  await page.locator('#message').fill('x'.repeat(1599));
  assert.equal(await count.textContent(), '');
  await page.locator('#message').fill('x'.repeat(1600));
  assert.equal(await count.textContent(), '1,600 / 2,000');
  await page.locator('#message').fill('x'.repeat(2001));
  assert.equal(await hint.textContent(), '1 character too many.');
  await page.locator('#message').fill('x'.repeat(2002));
  assert.equal(await hint.textContent(), '2 characters too many.');
  await page.locator('#message').fill('');
  assert.equal(await page.title(), 'Spinlane');
  await script({ deltas: words(TEXT), pace_ms: 0, fault: { hang: 5 } });
  await ask(page, 'Rain');
  await page.locator('.notes p').waitFor();
  assert.equal(await page.title(), 'Answering: Rain – Spinlane');
  await page.keyboard.press('Escape');
  await ended(page);
  assert.equal(await page.title(), 'Stopped: Rain – Spinlane');
  assert.doesNotMatch(await page.locator('body').innerText(), /analyse/i);
});

test('where there is nothing the page says so', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await inspected({ viewport: LAPTOP, colorScheme, path: '/playlists/7' });
    assert.equal(await page.title(), 'Not found – Spinlane');
    await page.getByRole('heading', { name: 'Nothing is here' }).waitFor();
    assert.equal(await page.locator('#message').isVisible(), false);
    assert.deepEqual(await violations(page), []);
    await shot(page, `nowhere-${colorScheme}`);
    await page.locator('#theme').click();
    await page.getByRole('link', { name: 'To the DJ' }).click();
    await filled(page);
    assert.ok(await page.locator('#message').isVisible());
  }
});
