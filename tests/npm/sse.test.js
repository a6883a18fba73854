// What Spinlane's encoder writes is what the reference parser reads.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createParser } from 'eventsource-parser';
import { agree, vectors } from './vectors.js';

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

agree(parse);
