// The simulated Spotify answers as the public OpenAPI description says: every
// field that it knows is there, and has its type.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test, { before } from 'node:test';
import Ajv from 'ajv';
import { control, start } from './standins.js';

const file = process.env.SPOTIFY_OPENAPI;
const skip = file ? false : 'SPOTIFY_OPENAPI is not set: run `cargo xtask test`';
const spec = file ? JSON.parse(readFileSync(file, 'utf8')) : {};

// Younger than the description: playlists call their tracks items since 2026.
const YOUNGER = new Set(['items', 'item', 'primary_color', 'video_thumbnail', 'display_name']);
// What an object lacks where it is a part of another, or was not asked for.
// Later editions of the description have types of their own for most of these.
const EXCUSES = [
  // A market was not asked for, or the track is neither restricted nor relinked.
  [() => true, ['restrictions', 'linked_from', 'is_playable']],
  // An album that was not asked for by itself.
  [
    (value) => value.type === 'album',
    ['album_group', 'copyrights', 'external_ids', 'genres', 'label', 'popularity', 'tracks'],
  ],
  // The artist of a track or an album, the user of a playlist.
  [
    (value, at) => value.type === 'artist' && /(track|album|items\/\d+|tracks\/\d+|^)\/artists\/\d+$/.test(at),
    ['followers', 'genres', 'images', 'popularity'],
  ],
  [(value, at) => value.type === 'user' && at !== '', ['followers', 'display_name', 'images']],
  // A track has the ISRC alone.
  [(_, at) => at.endsWith('/external_ids'), ['ean', 'upc', 'isrc']],
  // Kinds that were not searched for.
  [
    (value, at) => at === '' && value.tracks?.items,
    ['albums', 'audiobooks', 'episodes', 'playlists', 'shows'],
  ],
];

// Null in the service's answers, though this edition of the description does
// not say so; later ones do.
const NULLABLE = new Set(['preview_url', 'height', 'width']);

// What the description says in OpenAPI 3.0, as JSON Schema.
function jsonSchema(node, name) {
  if (Array.isArray(node)) return node.map((item) => jsonSchema(item));
  if (node === null || typeof node !== 'object') return node;
  const { nullable, example, discriminator, ...rest } = node;
  const schema = Object.fromEntries(
    Object.entries(rest).map(([key, value]) => [key, jsonSchema(value, key)]),
  );
  const orNull = nullable || (NULLABLE.has(name) && typeof node.type === 'string');
  return orNull ? { anyOf: [schema, { type: 'null' }] } : schema;
}

let ajv;
let origins;
let user;
let app;
let artist;
let track;

const resolve = (node) =>
  node?.$ref
    ? node.$ref.slice(2).split('/').reduce((at, name) => at[name.replace('~1', '/')], spec)
    : node;

async function call(token, method, path, body) {
  const response = await fetch(`${origins.spotify}/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : undefined };
}

before(async () => {
  if (skip) return;
  ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema({ $id: 'spec', ...jsonSchema(spec) });
  origins = await start();
  const scope =
    'playlist-modify-public playlist-modify-private playlist-read-private ' +
    'user-read-private user-read-email';
  const granted = await control(origins.spotify_accounts, 'user', { client: 'app', scope });
  user = granted.access_token;
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  const response = await fetch(`${origins.spotify_accounts}/api/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('app:secret')}` },
    body: form,
  });
  app = (await response.json()).access_token;
  const found = await call(app, 'GET', '/search?q=jazz&type=track,artist&limit=1');
  track = found.body.tracks.items[0].id;
  artist = found.body.artists.items[0].id;
});

// The properties that `schema` knows, through references and parts.
function properties(schema) {
  const own = resolve(schema) ?? {};
  const parts = (own.allOf ?? []).map(properties);
  return Object.assign({}, ...parts, own.properties);
}

// Every object in `value` has what its schema knows and nothing else.
function complete(schema, value, at, gaps) {
  const own = resolve(schema) ?? {};
  if (own.oneOf) {
    const fits = own.oneOf.find((one) => resolve(one).properties?.type?.enum?.includes(value?.type));
    if (fits) complete(fits, value, at, gaps);
    return;
  }
  if (Array.isArray(value)) {
    const all = own.allOf ? Object.assign({}, ...own.allOf.map(resolve)) : own;
    value.forEach((item, n) => complete(all.items, item, `${at}/${n}`, gaps));
    return;
  }
  const known = properties(own);
  if (value === null || typeof value !== 'object' || !Object.keys(known).length) return;
  const excused = new Set(EXCUSES.flatMap(([when, names]) => (when(value, at) ? names : [])));
  for (const name of Object.keys(known)) {
    if (!(name in value) && !excused.has(name)) gaps.push(`${at} lacks ${name}`);
  }
  for (const [name, member] of Object.entries(value)) {
    if (name in known) complete(known[name], member, `${at}/${name}`, gaps);
    else if (!YOUNGER.has(name)) gaps.push(`${at} has ${name}`);
  }
}

// Checks an answer against what the description has for `method` and `path`.
function check({ status, body }, method, path) {
  const responses = spec.paths[path][method.toLowerCase()].responses;
  assert.ok(responses[status], `${status} is no answer of ${method} ${path}`);
  const schema = resolve(responses[status]).content?.['application/json']?.schema;
  assert.ok(schema, `${method} ${path} has no schema for ${status}`);
  const validate = ajv.compile(jsonSchema(absolute(schema)));
  assert.ok(validate(body), JSON.stringify(validate.errors?.slice(0, 5), null, 1));
  const gaps = [];
  complete(schema, body, '', gaps);
  assert.deepEqual([...new Set(gaps)].slice(0, 10), []);
}

// References that lead into the description from outside.
function absolute(node) {
  if (Array.isArray(node)) return node.map(absolute);
  if (node === null || typeof node !== 'object') return node;
  return Object.fromEntries(
    Object.entries(node).map(([name, value]) =>
      name === '$ref' ? [name, `spec${value}`] : [name, absolute(value)],
    ),
  );
}

const DEMO = '37i9dQZF1DXsimulated01';
const OWN = '37i9dQZF1DXsimulated05';

for (const [method, path, made, body] of [
  ['GET', '/search', () => '/search?q=rain&type=track,artist&limit=5'],
  ['GET', '/tracks/{id}', () => `/tracks/${track}`],
  ['GET', '/tracks', () => `/tracks?ids=${track}`],
  ['GET', '/artists/{id}', () => `/artists/${artist}`],
  ['GET', '/artists', () => `/artists?ids=${artist}`],
  ['GET', '/playlists/{playlist_id}', () => `/playlists/${DEMO}`],
  ['GET', '/playlists/{playlist_id}/tracks', () => `/playlists/${DEMO}/tracks?limit=50`],
  ['GET', '/me', () => '/me'],
  ['GET', '/me/playlists', () => '/me/playlists'],
  ['POST', '/users/{user_id}/playlists', () => '/users/simulated_listener/playlists',
    () => ({ name: 'Night', public: true })],
  ['POST', '/playlists/{playlist_id}/tracks', () => `/playlists/${OWN}/tracks`,
    () => ({ uris: [`spotify:track:${track}`], position: 0 })],
  ['PUT', '/playlists/{playlist_id}/tracks', () => `/playlists/${OWN}/tracks`,
    () => ({ range_start: 0, insert_before: 2 })],
  ['DELETE', '/playlists/{playlist_id}/tracks', () => `/playlists/${OWN}/tracks`,
    () => ({ tracks: [{ uri: `spotify:track:${track}` }] })],
]) {
  test(`${method} ${path}`, { skip }, async () => {
    check(await call(user, method, made(), body?.()), method, path);
  });
}

for (const [status, why, make] of [
  [401, 'a wrong token', () => call('wrong', 'GET', '/me')],
  [401, 'an application by itself', () => call(app, 'GET', '/me')],
  [429, 'too many calls', async () => {
    await control(origins.spotify, 'push', { status: 429, retry_after: 3 });
    return call(user, 'GET', '/me');
  }],
]) {
  test(`${status} for ${why}`, { skip }, async () => {
    const answer = await make();
    assert.equal(answer.status, status);
    check(answer, 'GET', '/me');
  });
}
