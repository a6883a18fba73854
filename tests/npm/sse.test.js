// What Spinlane's encoder writes is what the reference parser reads.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { createParser } from 'eventsource-parser';

const file = process.env.SSE_VECTORS;
assert.ok(file, 'SSE_VECTORS is not set: run `cargo xtask test`');
const vectors = readFileSync(file, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

function parse(chunks) {
  const seen = [];
  const parser = createParser({
    onEvent: ({ event = 'message', data, id = null }) => seen.push({ event, data, id }),
    onError: (error) => assert.fail(error),
  });
  const decoder = new TextDecoder();
  for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }));
  return seen;
}

test('there are vectors', () => assert.ok(vectors.length >= 40, `${vectors.length}`));

vectors.forEach(({ bytes, events }, index) => {
  test(`vector ${index}`, () => {
    const whole = Buffer.from(bytes, 'base64');
    assert.deepEqual(parse([whole]), events);
    const single = Array.from(whole, (_, at) => whole.subarray(at, at + 1));
    assert.deepEqual(parse(single), events);
  });
});
