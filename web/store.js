// What outlives a reload: this tab's conversation and what is being typed.

const KEY = 'spinlane.session';
const KEEP_TURNS = 10;

/** What was kept, with runs that a reload cut off marked as interrupted. */
export function load() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY)) ?? {};
    const turns = Array.isArray(kept.turns) ? kept.turns : [];
    for (const turn of turns) {
      turn.ending ??= { kind: 'interrupted' };
      turn.thinking = null;
    }
    return { draft: '', mode: 'analyze', playlist: '', ...kept, turns };
  } catch {
    // Storage is off, or holds what another version wrote.
    return { draft: '', mode: 'analyze', playlist: '', turns: [] };
  }
}

/** Keeps it. The newest turns only: a tab's storage is small. */
export function save(state) {
  const kept = { ...state, turns: state.turns.slice(-KEEP_TURNS) };
  try {
    sessionStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // Full or off: the conversation then lives as long as the page.
  }
}
