// The simulated upstreams as a child process, for all tests of one file.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after } from 'node:test';

const program = process.env.SPINLANE_UPSTREAMS;
assert.ok(program, 'SPINLANE_UPSTREAMS is not set: run `cargo xtask test`');

let child;
after(() => child?.stdin.end());

// Their origins by name; they end with the tests.
export async function start() {
  child = spawn(program, ['--json', '--until-stdin-closes'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    return JSON.parse(line);
  }
  return assert.fail('the stand-ins did not start');
}

// Tells the stand-in at `origin` what to do.
export async function control(origin, path, body) {
  const response = await fetch(`${origin}/__control/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body ?? {}),
  });
  assert.ok(response.ok, `${path}: ${response.status}`);
  return response.status === 204 ? undefined : response.json();
}
