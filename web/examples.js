// Requests to begin with, by mode.

const slips = {
  analyze: [
    'Something slow for a rainy evening, nothing above 90 BPM',
    'Find me tracks for a 25 minute run that builds up',
    'Which songs go from dusk to the dance floor?',
  ],
  create: [
    'A two-hour dinner playlist that never gets loud',
    'Ten tracks for a night drive, from 80 to 120 BPM',
    'A birthday set for people between 8 and 80',
  ],
  edit: [
    'Sort this playlist so that the tempo rises',
    'Take out whatever breaks the mood',
    'Add three tracks that fit between the slow ones',
  ],
};

// A playlist that the stand-in for Spotify has.
const SIMULATED_PLAYLIST = '37i9dQZF1DXsimulated01';

/** What one could ask in this mode: `{text, playlist?}`. */
export function examples(mode, simulated) {
  const found = (slips[mode] ?? slips.analyze).map((text) => ({ text }));
  if (simulated && mode === 'analyze') {
    found[2] = { text: 'How does this playlist flow, and what breaks it?', playlist: SIMULATED_PLAYLIST };
  }
  return found;
}
