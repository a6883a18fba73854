// The page's own modules, where they need no browser: its parser reads what
// Spinlane's encoder writes, and a turn is what its frames say.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { load } from './modules.js';
import { agree } from './vectors.js';

const { Parser } = await load('sse.js');
const { apply, end, failure, history, lostSession, newTurn, playlistId, playlistWithin, side } = await load('turn.js');
const { tokens } = await load('notes.js');
const { pick } = await load('picks.js');
const { playlists } = await load('cards.js');
const { bins } = await load('tracks.js');
const { duration, explain, incomplete, tabTitle, untilThen } = await load('words.js');

function parse(chunks) {
  const parser = new Parser();
  // As in the page: the decoder takes a leading byte order mark away.
  const decoder = new TextDecoder();
  return chunks.flatMap((chunk) => [...parser.push(decoder.decode(chunk, { stream: true }))]);
}

agree(parse);

// From web-platform-tests, `eventsource/format-*` (BSD-3-Clause): stream → data.
const formats = [
  ['\ufeffdata:1\n\n\ufeffdata:2\n\ndata:3\n\n\n', ['1', '3']],
  ['\ufeff\ufeffdata:1\n\ndata:2\n\ndata:3\n\n\n', ['2', '3']],
  ['data:1\r:\0\n:\r\ndata:2\n:xx\rdata:3\n:data:fail\r:xx\ndata:4\n\n', ['1\n2\n3\n4']],
  ['retry:1000\ndata:test1\n\nid:test\ndata:test2\n', ['test1']],
  ['data:\n\ndata\ndata\n\ndata:test\n\n\n', ['', '\n', 'test']],
  ['data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n', ['\0\n 2\n1\n3\n\n4']],
  ['data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n\n', ['test\n\ntest']],
  ['data:\ttest\rdata: \ndata:test\n\n\n', ['\ttest\n\ntest']],
  ['data:test\r\ndata\ndata:test\r\n\r\n', ['test\n\ntest']],
  ['data:ok…\n\n\n', ['ok…']],
];

formats.forEach(([text, expected], index) => {
  test(`format ${index}, cut anywhere`, () => {
    const bytes = Buffer.from(text);
    const data = (chunks) => parse(chunks).map((event) => event.data);
    for (let at = 0; at <= bytes.length; at += 1) {
      assert.deepEqual(data([bytes.subarray(0, at), bytes.subarray(at)]), expected, `cut at ${at}`);
    }
  });
});

test('a stream without line ends does not fill the tab', () => {
  const parser = new Parser();
  const piece = 'x'.repeat(1 << 20);
  assert.throws(() => {
    for (let n = 0; n < 8; n += 1) [...parser.push(piece)];
  }, RangeError);
});

const asked = { message: 'Rain', mode: 'analyze', playlistId: null };
const play = (...frames) => {
  const turn = newTurn(1, asked);
  frames.forEach(([type, data], at) => apply(turn, { type, data }, at * 10));
  return turn;
};

test('a turn gathers its frames', () => {
  const turn = play(
    ['run', { id: 'ab' }],
    ['thinking', 'Asking the model'],
    ['content', 'Let me '],
    ['content', 'look.'],
    ['tool_start', { id: 't', tool: 'search_tracks', args: { query: 'rain' } }],
    ['progress', { done: 1, total: 2, label: 'Tempo' }],
    ['progress', { done: 2, total: 2, label: 'Tempo' }],
    ['tool_end', { id: 't', tool: 'search_tracks', ms: 7, result: { tracks: [{ id: 'a', title: 'A' }] } }],
    ['something_new', { of: 'a later version' }],
    ['content', 'Here.'],
    ['usage', { inputTokens: 1 }],
    ['done', null],
  );
  assert.equal(turn.run, 'ab');
  assert.equal(turn.text, 'Let me look.\n\nHere.');
  assert.equal(turn.thinking, null);
  assert.deepEqual(turn.progress, [{ done: 2, total: 2, label: 'Tempo' }]);
  assert.deepEqual([turn.tools[0].from, turn.tools[0].ms, turn.tools[0].failed], [40, 7, false]);
  assert.deepEqual(turn.tracks, [{ id: 'a', title: 'A' }]);
  assert.deepEqual(turn.usage, { inputTokens: 1 });
  assert.deepEqual(turn.ending, { kind: 'whole' });
});

test('a later tool adds to what is known of a track', () => {
  const tool = (id, track, error) => [
    ['tool_start', { id, tool: 'x', args: {} }],
    ['tool_end', { id, tool: 'x', ms: 1, error, result: { tracks: [track] } }],
  ];
  const turn = play(
    ...tool('1', { id: 'a', title: 'A', artists: ['B', 'C'] }),
    ...tool('2', { id: 'a', artists: ['B'], bpm: 90, tags: ['slow'] }, true),
  );
  assert.deepEqual(turn.tracks, [{ id: 'a', title: 'A', artists: ['B', 'C'], bpm: 90, tags: ['slow'] }]);
  assert.deepEqual(turn.tools.map((one) => one.failed), [false, true]);
});

test('the first ending counts', () => {
  const turn = play(['done', { incomplete: true, reason: 'stopped' }]);
  end(turn, { kind: 'interrupted' });
  assert.deepEqual(turn.ending, { kind: 'incomplete', reason: 'stopped' });
  assert.equal(play(['error', { code: 'busy' }]).ending.error.code, 'busy');
});

test('the history keeps to what the API takes', () => {
  const turns = (count, text) =>
    Array.from({ length: count }, (_, n) => ({ ...newTurn(n + 1, { ...asked, message: `${n}` }), text }));
  const short = history(turns(30, 'Yes.'));
  assert.equal(short.length, 20);
  assert.deepEqual(short[0], { role: 'user', content: '20' });
  assert.deepEqual(short.at(-1), { role: 'assistant', content: 'Yes.' });
  // 20,000 code points of four bytes each, ten times, are more than a body may have.
  const long = history(turns(10, '🎧'.repeat(25_000)));
  assert.ok(Buffer.byteLength(JSON.stringify(long)) < 450 * 1024);
  assert.ok(long.length >= 2 && long.length % 2 === 0);
  assert.equal(Array.from(long.at(-1).content).length, 20_000);
  assert.equal(long[0].role, 'user');
  // What was not answered is not said again.
  assert.deepEqual(history([newTurn(1, asked)]), []);
});

test('sides of the record', () => {
  assert.deepEqual([1, 6, 7, 13].map(side), ['A1', 'A6', 'B1', 'C1']);
});

test('playlists, as people paste them', () => {
  const id = '37i9dQZF1DX4sWSpwq3LiO';
  for (const pasted of [
    id,
    ` ${id} `,
    `spotify:playlist:${id}`,
    `https://open.spotify.com/playlist/${id}?si=1234`,
    `https://open.spotify.com/intl-de/playlist/${id}`,
  ]) {
    assert.equal(playlistId(pasted), id, pasted);
  }
  for (const pasted of ['', 'short', 'two words', `https://evil.example/playlist/${id}`, '../../etc']) {
    assert.equal(playlistId(pasted), null, pasted);
  }
});

test('text becomes blocks, and only the last ones change while it grows', () => {
  const text = '# Set\n\nOne **bold**\nline\n\n- a\n- b\n  more\n\n1. first\n\n2. second\n\n> said\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```js\n# not a heading\n```\nend';
  assert.deepEqual(
    tokens(text).map((token) => token.type),
    ['heading', 'paragraph', 'list', 'list', 'blockquote', 'table', 'code', 'paragraph'],
  );
  for (let length = 1; length < text.length; length += 1) {
    const [before, now] = [tokens(text.slice(0, length - 1)), tokens(text.slice(0, length))];
    // `2.` is a paragraph until it turns out to be an item of the list above; the
    // empty line behind a block is its own once something follows.
    const settled = Math.min(before.length, now.length) - 1;
    for (let at = 0; at < settled; at += 1) assert.equal(now[at].raw.trimEnd(), before[at].raw.trimEnd());
  }
});

test('no text makes the page slow, or breaks it', () => {
  const began = performance.now();
  for (const piece of ['*', '**', '`', '[', '- ', '> ', '_', '*a ', '](', '\n', '|a', '| a |\n', '![', '<', '&', '\\']) {
    assert.ok(tokens(piece.repeat(5_000)).length >= 0, piece);
  }
  assert.ok(performance.now() - began < 5_000);
  // What the parser gives up on, and what is too long for anybody, is text.
  for (const text of ['> '.repeat(5_000), 'x '.repeat(200_000)]) {
    const [only, ...rest] = tokens(text);
    assert.deepEqual([only.type, only.tokens[0].text, rest.length], ['paragraph', text, 0]);
  }
});

test('the vendored parser is the one that npm has', () => {
  for (const [own, theirs] of [['marked.esm.js', 'lib/marked.esm.js'], ['marked-license.txt', 'LICENSE']]) {
    const ours = readFileSync(new URL(`../../web/vendor/${own}`, import.meta.url), 'utf8');
    assert.equal(ours, readFileSync(new URL(`node_modules/marked/${theirs}`, import.meta.url), 'utf8'), own);
  }
});

const ID = (n) => `37i9dQZF1DXsimulated${String(n).padStart(2, '0')}`;
const found = [
  { id: ID(1), title: 'Glass Lanterns', artists: ['Orla Fennimore'] },
  { id: ID(2), title: 'Rain', artists: ['The Weather'] },
  { id: ID(3), title: 'Rain', artists: ['Nobody'] },
  { id: ID(4), title: 'Être là - Remastered 2011', artists: ['Anaïs Noël'] },
  { id: ID(5), title: '夜に駆ける', artists: ['ヨアソビ'] },
  { id: ID(6), title: 'A Song of Four Words (feat. X)', artists: ['Someone'] },
];

test('what an answer is about is told by names and links', () => {
  const titles = (text, tools) => pick(found, text, tools).picks.map((track) => track.id.slice(-2));
  for (const [text, expected] of [
    ['Start with **Glass Lanterns** by *Orla Fennimore*, then rest.', ['01']],
    // A word is no title: its artist has to be near.
    ['It will rain all evening.', []],
    ['"Rain" by The Weather', ['02']],
    ['Rain (Nobody), then Rain (The Weather)', ['02', '03']],
    ['| Track | Artist |\n|--|--|\n| Etre la | Anais Noel |', ['04']],
    ['1. ヨアソビの「夜に駆ける」を聴いてください', ['05']],
    ['And then a song of four words.', ['06']],
    [`[here](https://open.spotify.com/track/${ID(3)}?si=1)`, ['03']],
    [`spotify:track:${ID(2)}`, ['02']],
    [`https://open.spotify.com/track/${ID(2)}x`, []],
    ['Glass Lanterns is a good name.' + ' word'.repeat(60) + ' Orla Fennimore', []],
    ['', []],
  ]) {
    assert.deepEqual(titles(text).toSorted(), expected, text);
  }
  // In the order in which they are named.
  assert.deepEqual(titles('Anaïs Noël: Être là. Orla Fennimore: Glass Lanterns.'), ['04', '01']);
  // What was put into a playlist comes first, in the playlist's order.
  const tool = { tool: 'create_playlist', ms: 1, failed: false, args: { trackIds: [ID(5), `spotify:track:${ID(2)}`] } };
  assert.deepEqual(titles('Glass Lanterns by Orla Fennimore', [tool]), ['05', '02', '01']);
  assert.deepEqual(titles('', [{ ...tool, failed: true }]), []);
  assert.equal(pick(found, 'Rain, Nobody').others.length, 5);
});

test('a playlist that was made is a card', () => {
  const made = { tool: 'create_playlist', failed: false, args: { name: 'Night', trackIds: ['a', 'b'] } };
  const result = { playlistId: ID(9), name: 'Night', added: 2 };
  const [one] = playlists([{ ...made, result }]);
  assert.deepEqual([one.id, one.name, one.count, one.url, one.made], [ID(9), 'Night', 2, `https://open.spotify.com/playlist/${ID(9)}`, true]);
  // Changing it afterwards makes no second card.
  const changed = { tool: 'modify_playlist', failed: false, args: { action: 'add' }, result: { playlistId: ID(9) } };
  assert.equal(playlists([{ ...made, result }, changed]).length, 1);
  assert.deepEqual(playlists([{ ...made, failed: true, result: { code: 'x' } }, { ...made, result: null }]), []);
});

test('tempi are counted by tens, without holes', () => {
  assert.deepEqual(bins([60, 69.9, 90]), [
    { from: 60, count: 2 },
    { from: 70, count: 0 },
    { from: 80, count: 0 },
    { from: 90, count: 1 },
  ]);
  assert.deepEqual(bins([]), []);
});

test('errors say what to do', () => {
  const offline = explain({ code: 'upstream_unreachable', message: 'm', context: { upstream: 'spotify' } });
  assert.equal(offline.title, 'Spotify is offline');
  assert.equal(offline.action, 'again');
  const other = explain({ code: 'of_tomorrow', message: 'm' });
  for (const code of ['too_many_runs', 'too_many_readers', 'store_unavailable', 'run_lost', 'run_gone', 'run_unknown', 'key_pending', 'key_reused']) {
    const { title, hint, action } = explain({ code, message: 'm' });
    assert.ok(title !== other.title && hint && !title.includes(code) && action === 'again', code);
  }
  for (const code of ['session_required', 'session_expired', 'session_invalid']) {
    assert.equal(explain({ code, status: 401, message: 'm' }).action, 'connect', code);
  }
  // A proxy's answer has no code.
  assert.equal(explain({ status: 401, message: '401' }).action, 'connect');
  assert.equal(explain({ status: 429, message: '429', retryAfterMs: 1500 }).waitMs, 1500);
  const fields = { code: 'invalid_request', message: '2 fields are not valid', errors: [{ pointer: '/message', message: 'is required' }, { pointer: '/mode', message: 'is unknown' }] };
  assert.equal(explain(fields).detail, '/message is required; /mode is unknown');
  // What is not known yet is still an error with its message.
  assert.deepEqual(explain({ code: 'of_tomorrow', message: 'read me' }).detail, 'read me');
  assert.match(incomplete('stopped'), /You stopped/);
  assert.match(incomplete('of_tomorrow'), /of_tomorrow/);
});

test('when to ask again is a time of day', () => {
  const before = Date.now();
  const turn = play(['error', { code: 'too_many_requests', retryAfterMs: 486_000 }]);
  assert.ok(turn.ending.until >= before + 486_000 && turn.ending.until <= Date.now() + 486_000);
  assert.equal(failure({ code: 'busy' }).until, null);
  assert.equal(untilThen(45_000), 'in 45 s');
  assert.match(untilThen(486_000), /^in 9 min \(.*\d.*\)$/);
});

test('a login that is over is noticed wherever it is told', () => {
  const dead = { code: 'session_expired', message: 'm' };
  assert.ok(lostSession(play(['error', dead])));
  const tool = [['tool_start', { id: 't', tool: 'x', args: {} }], ['tool_end', { id: 't', tool: 'x', ms: 1, error: true, result: dead }]];
  assert.ok(lostSession(play(...tool, ['done', null])));
  assert.ok(!lostSession(play(['done', null])));
});

test('links to playlists within a message', () => {
  const id = '37i9dQZF1DX4sWSpwq3LiO';
  for (const link of [`https://open.spotify.com/playlist/${id}?si=1`, `spotify:playlist:${id}`, `https://open.spotify.com/intl-de/playlist/${id}`]) {
    assert.deepEqual(playlistWithin(`How is ${link} then?`), { id, link });
  }
  assert.equal(playlistWithin('no link, 37i9dQZF1DX4sWSpwq3LiO'), null);
});

test('the tab tells the state', () => {
  assert.equal(tabTitle(''), 'Spinlane');
  assert.equal(tabTitle('Answering', 'Rain'), 'Answering: Rain – Spinlane');
  assert.ok(tabTitle('Failed', 'x'.repeat(500)).length < 80);
});

test('durations', () => {
  assert.deepEqual([7.4, 999, 1400, 125_000].map(duration), ['7 ms', '999 ms', '1.4 s', '2 min 5 s']);
});

// Where a ground has a gradient axe cannot say; the tokens can.
const css = readFileSync(new URL('../../web/app.css', import.meta.url), 'utf8');

function colourTokens(selector) {
  const block = css.slice(css.indexOf(`${selector} {`)).split('}', 1)[0];
  return Object.fromEntries([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map((match) => match.slice(1)));
}

function luminance(colour) {
  const parts = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255);
  const linear = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

function contrast(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

for (const theme of ['light', 'dark']) {
  test(`colours can be told apart, ${theme}`, () => {
    const base = colourTokens(':root');
    const colours = theme === 'light' ? base : { ...base, ...colourTokens(":root[data-theme='dark']") };
    const written = [
      ...['ink', 'soft', 'cue', 'good', 'bad'].flatMap((ink) => [[ink, 'paper'], [ink, 'sheet']]),
      ...['deck-ink', 'deck-soft', 'hot', 'three', 'two'].flatMap((ink) => [[ink, 'deck'], [ink, 'deck-high'], [ink, 'deck-edge']]),
      ['face-ink', 'face'],
    ];
    for (const [ink, ground] of written) {
      const ratio = contrast(colours[ink], colours[ground]);
      assert.ok(ratio >= 4.5, `${ink} on ${ground}: ${ratio.toFixed(2)}`);
    }
  });
}
