// The official SDK works with the simulated Messages API without complaint.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import test, { after, before, beforeEach } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';

const program = process.env.SPINLANE_UPSTREAMS;
assert.ok(program, 'SPINLANE_UPSTREAMS is not set: run `cargo xtask test`');

const request = {
  model: 'claude-sonnet-4-5',
  max_tokens: 100,
  messages: [{ role: 'user', content: 'Something for the rain' }],
};

let child;
let origin;
let client;

before(async () => {
  child = spawn(program, ['--json', '--until-stdin-closes'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    origin = JSON.parse(line).anthropic;
    break;
  }
  client = new Anthropic({ apiKey: 'sk-test', baseURL: origin, maxRetries: 0 });
});

after(() => child.stdin.end());

async function control(path, body) {
  const response = await fetch(`${origin}/__control/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body ?? {}),
  });
  assert.equal(response.status, 204);
}

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
