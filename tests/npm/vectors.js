// The streams that Spinlane's encoder writes, and the events in them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

const file = process.env.SSE_VECTORS;
assert.ok(file, 'SSE_VECTORS is not set: run `cargo xtask test`');

export const vectors = readFileSync(file, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

// Tests that `parse`, which is given chunks, reads each vector as it is meant,
// in one piece and byte by byte.
export function agree(parse) {
  vectors.forEach(({ bytes, events }, index) => {
    test(`vector ${index}`, () => {
      const whole = Buffer.from(bytes, 'base64');
      assert.deepEqual(parse([whole]), events);
      const single = Array.from(whole, (_, at) => whole.subarray(at, at + 1));
      assert.deepEqual(parse(single), events);
    });
  });
}
