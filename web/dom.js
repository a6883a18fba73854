// Elements without markup: text stays text, whoever wrote it.

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

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** Writes text only when it changes: screen readers notice every write. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
