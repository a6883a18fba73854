// What the walks share: the DJ as `cargo xtask up` runs it, and a Chromium.
//
// `cargo xtask test` builds the one, installs the other, and says where they
// are. Nothing here listens on, or asks for, anything but 127.0.0.1.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

/** How long an event may take that no promise is about, in ms. */
export const PATIENCE = 30_000;

/** How long the host may take to compile the component, the first time, in ms. */
const COMPILING = 600_000;

function built(variable) {
  const path = process.env[variable];
  assert.ok(path, `${variable} is not set: run \`cargo xtask test\``);
  return path;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * The DJ with its stand-ins, its store empty.
 *
 * `variables` are set as with `--variable`. Resolves with
 * - `origin`: where the DJ answers;
 * - `upstreams`: where each stand-in does, by name;
 * - `log()`: everything that it has printed;
 * - `stop()`.
 */
export async function up(variables = {}) {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const folder = await mkdtemp(join(tmpdir(), 'spinlane-browser-'));
  const set = { public_url: origin, caller_limit: 'off', ...variables };
  const child = spawn(
    built('SPINLANE_UP'),
    [
      ['--component', built('SPINLANE_COMPONENT')],
      ['--state', built('SPINLANE_STATE')],
      ['--store', join(folder, 'store.db')],
      ['--listen', `127.0.0.1:${port}`],
      ...Object.entries(set).map(([name, value]) => ['--variable', `${name}=${value}`]),
    ].flat(),
    { cwd: built('SPINLANE_ROOT'), stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const { banner, log } = await started(child);
    const upstreams = {};
    for (const [, name, url] of banner.matchAll(/^\s*(\w+)\s+simulated at (http:\S+)/gm)) {
      upstreams[name] = url;
    }
    return { origin, upstreams, log, store: join(folder, 'store.db'), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Resolves when the banner is printed, whole: its last words are the line to paste. */
function started(child) {
  let text = '';
  return new Promise((resolve, reject) => {
    const fail = (error) => {
      clearTimeout(timer);
      reject(error);
    };
    const timer = setTimeout(() => fail(new Error(`up takes too long:\n${text}`)), COMPILING);
    const look = (chunk) => {
      text += chunk;
      if (/^curl [^]*\n\n/m.test(text)) {
        clearTimeout(timer);
        resolve({ banner: text, log: () => text });
      }
    };
    child.stdout.setEncoding('utf8').on('data', look);
    child.stderr.setEncoding('utf8').on('data', look);
    child.once('exit', () => fail(new Error(`up has ended:\n${text}`)));
    child.once('error', fail);
  });
}

/** A Chromium that keeps to itself, with `more` of its options. */
export function browser(more = []) {
  return chromium.launch({
    executablePath: built('SPINLANE_CHROMIUM'),
    headless: true,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...more,
    ],
  });
}

/**
 * A page in a Chromium of its own, that the driver does not keep awake: it goes out of
 * sight and freezes as others do. Resolves with it, and with what closes it.
 */
export async function sleepy() {
  const port = await freePort();
  const own = await browser([`--remote-debugging-port=${port}`]);
  const driven = await chromium.connectOverCDP(`http://127.0.0.1:${port}`, { noDefaults: true });
  const page = await driven.contexts()[0].newPage();
  return { page, close: () => own.close() };
}

/** Tells a stand-in what to do, or asks it: its `/__control/…` routes. */
export async function control(upstream, path, body) {
  const response = await fetch(`${upstream}/__control/${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  assert.ok(response.ok, `${path}: ${response.status}`);
  const text = await response.text();
  return text === '' ? null : JSON.parse(text);
}
