// The official SDK works with the simulated Messages API without complaint.
import assert from 'node:assert/strict';
import test, { before, beforeEach } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { control as tell, start } from './standins.js';

const request = {
  model: 'claude-sonnet-4-6',
  max_tokens: 100,
  messages: [{ role: 'user', content: 'Something for the rain' }],
};

let origin;
let client;

before(async () => {
  origin = (await start()).anthropic;
  client = new Anthropic({ apiKey: 'sk-test', baseURL: origin, maxRetries: 0 });
});

const control = (path, body) => tell(origin, path, body);
const counts = async () => (await fetch(`${origin}/__control/counts`)).json();

beforeEach(() => control('reset'));

test('a whole message', async () => {
  const message = await client.messages.create(request);
  assert.equal(message.type, 'message');
  assert.equal(message.role, 'assistant');
  assert.equal(message.stop_reason, 'end_turn');
  assert.match(message.content[0].text, / by /);
  assert.ok(message.usage.output_tokens > 10);
  assert.match(message._request_id, /^req_/);
});

test('a stream says what the whole message says', async () => {
  const whole = await client.messages.create(request);
  const stream = client.messages.stream(request);
  let deltas = 0;
  stream.on('text', () => (deltas += 1));
  const message = await stream.finalMessage();
  assert.equal(message.content[0].text, whole.content[0].text);
  assert.equal(message.usage.output_tokens, whole.usage.output_tokens);
  assert.ok(deltas > 20, `${deltas}`);
});

test('thinking and tools', async () => {
  await control('script', {
    deltas: ['Let me ', 'look.'],
    pace_ms: 0,
    thinking: 'rain, so something slow',
    tools: [{ name: 'search_tracks', id: 'toolu_1', input: { query: 'slow rain Ærø' } }],
    ping_every: 1,
    usage: [11, 22],
  });
  const message = await client.messages.stream(request).finalMessage();
  const [thinking, text, tool] = message.content;
  assert.equal(thinking.thinking, 'rain, so something slow');
  assert.ok(thinking.signature);
  assert.equal(text.text, 'Let me look.');
  assert.deepEqual(tool.input, { query: 'slow rain Ærø' });
  assert.equal(message.stop_reason, 'tool_use');
  assert.deepEqual(
    [message.usage.input_tokens, message.usage.output_tokens],
    [11, 22],
  );
});

for (const [status, error] of [
  [401, Anthropic.AuthenticationError],
  [403, Anthropic.PermissionDeniedError],
  [404, Anthropic.NotFoundError],
  [429, Anthropic.RateLimitError],
  [500, Anthropic.InternalServerError],
  [529, Anthropic.InternalServerError],
]) {
  test(`status ${status} is a ${error.name}`, async () => {
    await control('script', { status });
    await assert.rejects(client.messages.create(request), error);
  });
}

test('a bad request is a BadRequestError', async () => {
  const bad = client.messages.create({ ...request, messages: [] });
  await assert.rejects(bad, (error) => {
    assert.ok(error instanceof Anthropic.BadRequestError);
    assert.match(error.message, /at least one message/);
    return true;
  });
});

test('the SDK retries by itself when it may', async () => {
  await control('push', { status: 529 });
  const patient = new Anthropic({ apiKey: 'sk-test', baseURL: origin, maxRetries: 1 });
  await patient.messages.create(request);
  assert.equal((await counts()).started, 2);
});

test('an error event ends a stream', async () => {
  await control('script', {
    deltas: ['a', 'b'],
    pace_ms: 0,
    fault: { error: [1, 'overloaded_error', 'Overloaded'] },
  });
  const stream = client.messages.stream(request);
  await assert.rejects(stream.finalMessage(), /Overloaded/);
});

test('a cut stream is noticed', async () => {
  await control('script', { deltas: ['a', 'b'], pace_ms: 0, fault: { cut: 1 } });
  await assert.rejects(client.messages.stream(request).finalMessage());
});

test('an aborted call is counted as cancelled', async () => {
  await control('script', { deltas: ['a'], pace_ms: 0, fault: { hang: 1 } });
  const stream = client.messages.stream(request);
  await new Promise((resolve) => stream.once('text', resolve));
  stream.abort();
  await assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError);
  // The server learns of it by the closed connection.
  let now = await counts();
  while (now.open > 0) now = await counts();
  assert.equal(now.cancelled, 1);
});

// A tool of the SDK's runner that notes when it ran.
function tool(name, run) {
  return {
    type: 'custom',
    name,
    description: name,
    input_schema: {
      type: 'object',
      properties: { query: { type: 'string' }, playlistId: { type: 'string' } },
    },
    parse: (input) => input,
    run,
  };
}

test('the tool runner and the simulated DJ come to an answer together', async () => {
  const ran = [];
  const note = (name, result) =>
    tool(name, (input) => {
      ran.push([name, input]);
      return JSON.stringify(result);
    });
  const track = (id) => ({ id, title: `Song ${id}`, artists: [`Artist ${id}`], bpm: 90 });
  const runner = client.beta.messages.toolRunner({
    ...request,
    max_tokens: 4096,
    thinking: { type: 'enabled', budget_tokens: 1024 },
    messages: [
      {
        role: 'user',
        content: 'Find five tracks that fit\n\n(Playlist: 37i9dQZF1DXsimulated01)',
      },
    ],
    tools: [
      note('analyze_playlist', { summary: 'Slow', tags: ['jazz'], tracks: [track('1')] }),
      note('search_tracks', { tracks: ['2', '3', '4'].map(track) }),
      note('get_recommendations', { tracks: ['5', '6'].map(track) }),
    ],
    stream: true,
  });
  const turns = [];
  for await (const stream of runner) turns.push(await stream.finalMessage());
  assert.deepEqual(
    turns.map((turn) => turn.stop_reason),
    ['tool_use', 'tool_use', 'end_turn'],
  );
  assert.ok(turns.every((turn) => turn.content[0].type === 'thinking'));
  const names = ran.map(([name]) => name);
  assert.equal(names[0], 'analyze_playlist');
  assert.ok(names.includes('search_tracks') && names.includes('get_recommendations'));
  assert.equal(ran[0][1].playlistId, '37i9dQZF1DXsimulated01');
  assert.match(turns[2].content[1].text, /"Song 5" by Artist 5/);
});

test('tools that are asked for at once all arrive, and their results are taken', async () => {
  const call = (name) => ({ name, input: { query: `a rather long query for ${name}` } });
  await control('push', { deltas: [], tools: ['one', 'two', 'three'].map(call), pace_ms: 0 });
  const tools = ['one', 'two', 'three'].map((name) => ({
    name,
    input_schema: { type: 'object' },
  }));
  const stream = client.messages.stream({ ...request, tools });
  let pieces = 0;
  stream.on('inputJson', () => (pieces += 1));
  const asked = await stream.finalMessage();
  assert.equal(asked.content.length, 3);
  assert.ok(pieces > 9, `${pieces}`);
  for (const block of asked.content) {
    assert.match(block.input.query, new RegExp(`for ${block.name}$`));
  }
  const results = asked.content.map(({ id }) => ({
    type: 'tool_result',
    tool_use_id: id,
    content: 'nothing',
  }));
  const messages = [
    ...request.messages,
    { role: 'assistant', content: asked.content },
    { role: 'user', content: results },
  ];
  await control('push', { deltas: ['done'], pace_ms: 0 });
  const done = await client.messages.create({ ...request, tools, messages });
  assert.equal(done.content[0].text, 'done');
  const lacking = client.messages.create({
    ...request,
    tools,
    messages: messages.with(2, { role: 'user', content: results.slice(1) }),
  });
  await assert.rejects(lacking, /without `tool_result` blocks/);
});

test('a stream that is cut inside a tool gives no tool', async () => {
  await control('push', {
    deltas: [],
    pace_ms: 0,
    tools: [{ name: 'one', input: { query: 'x'.repeat(60) } }],
    fault: { cut: 3 },
    inside_tool: true,
  });
  await assert.rejects(client.messages.stream(request).finalMessage());
});

test('what was marked for the cache is counted', async () => {
  const system = [
    { type: 'text', text: 'x'.repeat(8000), cache_control: { type: 'ephemeral' } },
  ];
  const first = await client.messages.create({ ...request, system });
  const second = await client.messages.stream({ ...request, system }).finalMessage();
  assert.ok(first.usage.cache_creation_input_tokens > 1024);
  assert.equal(second.usage.cache_read_input_tokens, first.usage.cache_creation_input_tokens);
});
