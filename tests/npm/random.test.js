// What Spinlane's decoder makes of random streams, split at random, is what the reference
// parser makes of them. What differs was judged, and is listed here; nothing else may.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { createParser } from 'eventsource-parser';

const file = process.env.SSE_RANDOM;
assert.ok(file, 'SSE_RANDOM is not set: run `cargo xtask test`');

const streams = readFileSync(file, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

/** What the reference parser makes of `chunks`, and the ids and time that it tells. */
function parse(chunks) {
  const events = [];
  let retry = null;
  const parser = createParser({
    onEvent: ({ event = 'message', data, id }) => events.push({ event, data, id }),
    onRetry: (ms) => (retry = ms),
  });
  const decoder = new TextDecoder();
  for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }));
  return { parser, events, told: () => ({ events, retry }) };
}

const bytes = (text) => [Buffer.from(text)];
const data = (parsed) => parsed.events.map((event) => event.data);

// A comment: it ends a line that ended already, and a line that did not end says nothing
// without the blank line after it.
const COMMENT = ': end\n';

test('the parser waits for what follows a CR: with a comment nothing more is said', () => {
  // The standard ends the line at the CR, whatever follows, and so does Spinlane: an event
  // is not late by a chunk.
  const parsed = parse(bytes('data: a\r\r'));
  assert.deepEqual(data(parsed), []);
  parsed.parser.feed(COMMENT);
  assert.deepEqual(data(parsed), ['a']);
});

test('the parser tells an id with the event that has it', () => {
  // The standard's last event id stays until there is another, and is set by a block
  // without data as well. Spinlane gives it with each event.
  const { events } = parse(bytes('id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\n'));
  assert.deepEqual(
    events.map(({ id }) => id),
    ['1', undefined, undefined],
  );
});

test('the parser takes times that no clock has', () => {
  // Beyond 64 bits Spinlane keeps the time that it had.
  const { told } = parse(bytes(`retry: 5\nretry: ${'9'.repeat(30)}\n`));
  assert.equal(told().retry, 1e30);
});

test('the parser takes three letters for a byte order mark', () => {
  // It was written for text whose bytes are its characters. No stream below begins so.
  assert.deepEqual(data(parse(bytes('ï»¿data: a\n\n'))), ['a']);
});

/** The id in force at each event of `text`, by the standard's words. */
function idsOf(text) {
  const ids = [];
  let [id, hasData] = ['', false];
  for (const line of text.split(/\r\n|\r|\n/).slice(0, -1)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === 'data') hasData = true;
    if (field === 'id' && !value.includes('\0')) id = value;
    if (line === '') {
      if (hasData) ids.push(id);
      hasData = false;
    }
  }
  return ids;
}

function assertSame({ bytes, pieces, events, retry }) {
  const whole = Buffer.from(bytes, 'base64');
  const begins = [0, ...pieces.slice(0, -1)];
  const parsed = parse(pieces.map((end, at) => whole.subarray(begins[at], end)));
  parsed.parser.feed(COMMENT);
  const ids = idsOf(new TextDecoder().decode(whole));
  const theirs = parsed.told();
  const withIds = theirs.events.map(({ id, ...rest }, at) => ({ ...rest, id: id ?? ids[at] }));
  assert.deepEqual(events, withIds);
  if (!(theirs.retry > Number.MAX_SAFE_INTEGER)) assert.equal(retry, theirs.retry);
}

test(`${streams.length} random streams`, () => {
  assert.ok(streams.length >= 1 && streams.some(({ events }) => events.length > 3));
  for (const stream of streams) {
    try {
      assertSame(stream);
    } catch (error) {
      error.message = `SPINLANE_SSE_SEED=${stream.seed}: ${error.message}`;
      throw error;
    }
  }
});
