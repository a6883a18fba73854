// Which of the tracks that were looked at an answer is about: those that it
// links to or names, and those that a playlist was made of.

const ID = /^[A-Za-z0-9]{22}$/;

// How far from a title its artist may stand, in characters of the plain text.
const NEAR = 120;
// A title of so many words is no coincidence.
const LONG = 4;

/** Words in lower case with a space around each: without accents and signs. */
export function plain(text) {
  const words = text.normalize('NFKD').replace(/\p{M}+/gu, '').toLowerCase().match(/[\p{L}\p{N}]+/gu);
  return ` ${(words ?? []).join(' ')} `;
}

// What people leave out: versions, guests.
const short = (title) => title.replace(/\s[-–—]\s.*$|\s*[([].*?[)\]]/g, '').trim();

const names = (track) => (track.artists ?? []).map((artist) => (typeof artist === 'string' ? artist : (artist.name ?? '')));

/** A track's page at Spotify; `null` for one that is not there. */
export const trackUrl = (track) => (ID.test(track.id) ? `https://open.spotify.com/track/${track.id}` : null);

/** Ids of tracks that were put into playlists, in their order. */
function placed(tools) {
  const changes = tools.filter(({ tool, failed, ms }) => /^(create|modify)_playlist$/.test(tool) && ms !== null && !failed);
  const added = changes.filter(({ args }) => args?.action === undefined || args.action === 'add');
  return added.flatMap(({ args }) => (Array.isArray(args?.trackIds) ? args.trackIds : [])).map((id) => String(id).split(':').at(-1));
}

/**
 * Tracks → `{picks, others}`. Picks come in the order in which a playlist has
 * them, or the answer names them.
 */
export function pick(tracks, text, tools = []) {
  const order = new Map();
  placed(tools).forEach((id, at) => order.has(id) || order.set(id, at - 1e9));
  const said = plain(text);
  const titles = tracks.map((track) => plain(short(track.title ?? '') || (track.title ?? '')));
  const ranked = tracks.map((track, at) => {
    const place = order.get(track.id) ?? linked(text, track) ?? named(said, track, titles, at);
    return { track, place };
  });
  const picked = ranked.filter(({ place }) => place !== null).sort((a, b) => a.place - b.place);
  const picks = picked.map(({ track }) => track);
  return { picks, others: tracks.filter((track) => !picks.includes(track)) };
}

function linked(text, { id }) {
  if (!ID.test(id)) return null;
  const at = text.search(new RegExp(`track[/:]${id}(?![A-Za-z0-9])`));
  return at < 0 ? null : plain(text.slice(0, at)).length;
}

function named(said, track, titles, own) {
  const title = titles[own];
  if (title.trim() === '') return null;
  const artists = names(track).map(plain).filter((name) => name.trim() !== '');
  const isOnly = titles.filter((other) => other === title).length === 1;
  for (let at = find(said, title, 0); at >= 0; at = find(said, title, at + 1)) {
    const around = said.slice(Math.max(0, at - NEAR), at + title.length + NEAR);
    if (artists.some((artist) => find(around, artist, 0) >= 0)) return at;
    // Of a long title, or where nobody is named, the name is enough.
    if (isOnly && (artists.length === 0 || title.trim().split(' ').length >= LONG)) return at;
  }
  return null;
}

// Scripts without spaces between words have a name anywhere within a word.
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u;
const find = (text, name, from) => text.indexOf(UNSPACED.test(name) ? name.trim() : name, from);
