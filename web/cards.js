// What an answer has left at Spotify: a card for each playlist.

import { h, outward } from '/assets/dom.js';

const ID = /^[A-Za-z0-9]{22}$/;
const counted = (count) => (count === 1 ? '1 track' : `${count} tracks`);

/** Playlists that tools of a turn have made or changed: `{id, name, count, url, made, said}`. */
export function playlists(tools) {
  const found = new Map();
  for (const { tool, args, result, failed } of tools) {
    const id = result?.playlistId;
    if (failed || !ID.test(id) || !/^(create|modify)_playlist$/.test(tool)) continue;
    const made = tool === 'create_playlist';
    const known = found.get(id) ?? { id, url: `https://open.spotify.com/playlist/${id}`, made };
    known.name = result.name ?? args?.name ?? known.name ?? nameOf(id, tools);
    if (made) known.count = result.added ?? args?.trackIds?.length;
    known.isPublic = result.public ?? known.isPublic;
    known.said = result.summary ?? known.said;
    found.set(id, known);
  }
  return [...found.values()];
}

// A tool that has read the playlist knows its name.
function nameOf(id, tools) {
  const reader = tools.find(({ result }) => result?.playlistId === id && result.name);
  return reader?.result.name ?? null;
}

/** A card that leads to the playlist; `simulated` ones are nowhere else. */
export function card({ name, count, url, made, said }, simulated) {
  const facts = [made ? 'New playlist' : 'Changed playlist', made && count !== undefined ? counted(count) : null, simulated ? 'simulated' : null];
  return h(
    'div',
    { class: 'card' },
    h('p', { class: 'card-kind' }, facts.filter(Boolean).join(' · ')),
    h('p', { class: 'card-name', dir: 'auto' }, name ?? 'Playlist'),
    made && count === 0 && said ? h('p', { dir: 'auto' }, said) : null,
    h('p', {}, outward(url, 'Open in Spotify', 'plate')),
  );
}
