// The way that all walks begin.
import assert from 'node:assert/strict';
import test from 'node:test';
import { chromium, dj } from './started.js';

test('the DJ answers in a browser', async () => {
  const page = await chromium.newPage();
  const response = await page.goto(`${dj.origin}/`);
  assert.equal(response.status(), 200);
  assert.match(response.headers()['x-request-id'], /^[0-9a-f]{16}$/);
});

test('every stand-in is named', () => {
  assert.match(dj.upstreams.anthropic, /^http:\/\/127\.0\.0\.1:\d+$/);
});
