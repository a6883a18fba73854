// The model's Markdown as elements. The parser gives tokens, and nodes are made
// of those; never markup: the text may quote what a stranger wrote into a
// playlist's title.

import { copyButton } from '/assets/clip.js';
import { h, outward } from '/assets/dom.js';
import { Lexer } from '/assets/vendor/marked.esm.js';

const OPTIONS = { gfm: true, breaks: false };

/** What a text is not looked into beyond, in characters: nobody reads it. */
const LONGEST = 200_000;

/** Text → the parser's tokens. What it cannot parse is one paragraph of text. */
export function tokens(text) {
  try {
    if (text.length <= LONGEST) return Lexer.lex(text, OPTIONS).filter(({ type }) => type !== 'space' && type !== 'def');
  } catch {
    // Quotes within quotes, thousands of them.
  }
  return [{ type: 'paragraph', raw: text, tokens: [{ type: 'text', raw: text, text }] }];
}

// An entity is one character or two; the browser knows their names. Nothing that
// could be markup is handed to it.
const ENTITY = /&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[a-zA-Z][\da-zA-Z]{1,31});/g;
const named = new Map();

function decode(text) {
  return text.replace(ENTITY, (entity) => {
    if (!named.has(entity)) named.set(entity, new DOMParser().parseFromString(entity, 'text/html').body.textContent);
    return named.get(entity);
  });
}

// What is written from the right, with what stands between its words.
const RIGHT = String.raw`[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]`;
const RUN = new RegExp(`(${RIGHT}(?:[^\\p{L}\\p{N}\\n]*${RIGHT})*)`, 'u');
const STARTS_RIGHT = new RegExp(`^\\P{L}*${RIGHT}`, 'u');

// An element in the direction of its first letter. A name from the right within a
// line from the left turns nothing around that stands beside it: a year behind it
// stays behind it.
function directed(tag, attributes, ...children) {
  const made = h(tag, { dir: 'auto', ...attributes }, ...children);
  if (STARTS_RIGHT.test(made.textContent)) return made;
  const texts = document.createTreeWalker(made, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (RUN.test(data) && parentElement.closest('[dir]') === made) found.push(texts.currentNode);
  }
  for (const text of found) text.replaceWith(...text.data.split(RUN).map((part, at) => (at % 2 ? h('bdi', {}, part) : part)));
  return made;
}

/** Tokens within a block → nodes. */
function spans(list) {
  return (list ?? []).map(span);
}

function span(token) {
  switch (token.type) {
    case 'strong':
    case 'em':
    case 'del':
      return h(token.type, {}, spans(token.tokens));
    case 'codespan':
      return h('code', { dir: 'auto' }, token.text);
    case 'br':
      return h('br');
    case 'link':
      return link(token.href, spans(token.tokens), token.text);
    case 'image':
      // Nothing is loaded from elsewhere: a picture is a link to it.
      return link(token.href, [decode(token.text) || token.href], token.text);
    case 'escape':
      return token.text;
    case 'checkbox':
      return token.checked ? '☑ ' : '☐ ';
    case 'html':
      return token.raw;
    default:
      return token.tokens ? h('span', {}, spans(token.tokens)) : decode(token.text ?? token.raw);
  }
}

// Only what opens a page in the browser is a link, and where it leads is in
// sight: a label may say anything.
function link(href, label, text) {
  let url;
  try {
    url = new URL(decode(href));
  } catch {
    url = null;
  }
  if (!['https:', 'http:'].includes(url?.protocol)) return h('span', {}, ...label, ` (${href})`);
  const made = outward(url.href, '');
  made.append(...label);
  if (saysHost(text, url)) {
    made.className = 'bare';
    return made;
  }
  return h('span', {}, made, h('span', { class: 'host' }, ` (${url.host})`));
}

// Whether a label is the address itself, and nothing else.
function saysHost(text, { host, username }) {
  try {
    return username === '' && new URL(text.includes('://') ? text : `https://${text}`).host === host;
  } catch {
    return false;
  }
}

const items = (token, announce) =>
  token.items.map((item) => directed('li', {}, inner(item.tokens, announce)));

// A block within another; the lines of a tight item are no paragraphs.
function inner(list, announce) {
  return (list ?? []).map((token) => (token.type === 'text' || token.type === 'checkbox' ? span(token) : block(token, announce)));
}

function block(token, announce) {
  switch (token.type) {
    case 'space':
    case 'def':
      return null;
    case 'heading':
      return directed(token.depth > 2 ? 'h4' : 'h3', {}, spans(token.tokens));
    case 'hr':
      return h('hr');
    case 'code':
      return h(
        'div',
        { class: 'listing' },
        h('pre', { tabindex: '0', dir: 'auto' }, h('code', {}, token.text)),
        copyButton('Copy', () => token.text, announce),
      );
    case 'blockquote':
      return h('blockquote', { dir: 'auto' }, inner(token.tokens, announce));
    case 'list':
      return h(token.ordered ? 'ol' : 'ul', { dir: 'auto', start: token.ordered && token.start !== 1 ? token.start : null }, items(token, announce));
    case 'table':
      return table(token);
    case 'html':
      return directed('p', {}, token.raw.trim());
    case 'paragraph':
      return directed('p', {}, spans(token.tokens));
    default:
      return directed('p', {}, span(token));
  }
}

function table({ header, rows }) {
  const cell = (tag, one) => directed(tag, { scope: tag === 'th' ? 'col' : null, class: one.align ? `at-${one.align}` : null }, spans(one.tokens));
  return h(
    'div',
    // What is wider than the column can be scrolled, by keyboard too.
    { class: 'wide', tabindex: '0', role: 'group', 'aria-label': 'Table' },
    h(
      'table',
      {},
      h('thead', {}, h('tr', {}, header.map((one) => cell('th', one)))),
      h('tbody', {}, rows.map((row) => h('tr', {}, row.map((one) => cell('td', one))))),
    ),
  );
}

/** Renders `text` into `element`; what has not changed is left as it is. */
export function render(element, text, announce) {
  const all = tokens(text);
  all.forEach((token, at) => {
    const old = element.children[at];
    if (old?.source === token.raw) return;
    const made = block(token, announce);
    made.source = token.raw;
    if (old) old.replaceWith(made);
    else element.append(made);
  });
  while (element.children.length > all.length) element.lastChild.remove();
}
