// Elements without markup: text stays text, whoever wrote it. And what is said
// of them aloud.

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element. Attributes that are null or false are left out; `onclick` and the like listen. */
export const h = (tag, attributes = {}, ...children) =>
  build(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes = {}, ...children) =>
  build(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);

/** A link that leaves this page. It says where to, and tells nothing to whom it leads. */
export function outward(href, text, kind = null) {
  return h('a', { href, class: kind, target: '_blank', rel: 'noopener noreferrer', title: new URL(href).host }, text);
}

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** Writes text only when it changes: screen readers notice every write. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// How long what was said stays in the log: a screen reader takes it at once, and
// whoever reads the page shall not find every answer twice.
const SPOKEN_MS = 2000;

/**
 * What a screen reader says of a run: states as they change, the answer a
 * paragraph at a time, through two polite live regions. Never each token.
 */
export class Announcer {
  #status;
  #log;
  #spoken = 0;

  constructor(status, log) {
    this.#status = status;
    this.#log = log;
  }

  /** A new answer begins, or goes on after what there is of it. */
  begin(text) {
    this.#spoken = Math.max(0, text.lastIndexOf('\n\n'));
    this.#log.replaceChildren();
    this.say(text ? 'The answer goes on.' : 'Asking the DJ.');
  }

  /** A state, in a few words. */
  say(text) {
    this.#status.textContent = text;
  }

  /** The answer until now: what has a paragraph's end is said, at the end all. */
  text(text, whole) {
    const end = whole ? text.length : text.lastIndexOf('\n\n');
    if (end <= this.#spoken) return;
    const said = h('p', {}, text.slice(this.#spoken, end).replace(/[*`#|~]+|_{2,}/g, '').trim());
    this.#spoken = end;
    if (!said.textContent) return;
    this.#log.append(said);
    setTimeout(() => said.remove(), SPOKEN_MS);
  }
}
