// The DJ and a Chromium, for all walks of the file that imports this.
import { after, before } from 'node:test';
import { browser, up } from './harness.js';

/** As `up` gives it, from before the first walk to after the last. */
export let dj;

/** As `browser` gives it, likewise. */
export let chromium;

before(async () => {
  dj = await up();
  chromium = await browser();
});

after(async () => {
  await chromium?.close();
  await dj?.stop();
});
