// The model's text as elements: paragraphs, headings, lists, quotes, code,
// bold, italics. Never as markup: the text may quote what a stranger wrote
// into a playlist's title.

import { h } from '/assets/dom.js';

// Spans are bounded, so that no text makes the search slow.
const SPAN = new RegExp(
  [
    '`(?<code>[^`\\n]{1,400})`',
    '\\*\\*(?<bold>[^\\n]{1,400}?)\\*\\*',
    '(?<![\\w*])\\*(?<italic>[^\\s*](?:[^*\\n]{0,398}[^\\s*])?)\\*(?![\\w*])',
    '\\[(?<label>[^\\]\\n]{1,200})\\]\\((?<link>https://open\\.spotify\\.com/[^\\s)]{1,300})\\)',
  ].join('|'),
  'g',
);

/** Text with spans → nodes. Links only to where Spotify's music is. */
export function spans(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(SPAN)) {
    if (match.index > from) nodes.push(text.slice(from, match.index));
    const { code, bold, italic, label, link } = match.groups;
    if (code) nodes.push(h('code', {}, code));
    else if (bold) nodes.push(h('strong', {}, spans(bold)));
    else if (italic) nodes.push(h('em', {}, italic));
    else nodes.push(h('a', { href: link, target: '_blank', rel: 'noopener noreferrer' }, label));
    from = match.index + match[0].length;
  }
  if (from < text.length) nodes.push(text.slice(from));
  return nodes;
}

const ITEM = /^( *)(?:[-*+•]|(\d{1,3})[.)]) +(.*)$/;
const LISTS = ['ol', 'ul'];
const FENCE = /^ *(?:```|~~~)/;
const HEADING = /^#{1,6} +(.*)$/;
const RULE = /^ *(?:-{3,}|\*{3,}|_{3,}) *$/;
const QUOTE = /^ *> ?(.*)$/;

/**
 * Text → blocks `{kind, source, …}`. A block's source is the same as long as its
 * lines are, so that only what grows is rendered again.
 */
export function blocks(text) {
  const found = [];
  let open = null;
  const begin = (kind, line, more) => {
    open = { kind, source: line, lines: [], ...more };
    found.push(open);
  };
  for (const line of text.replace(/\r\n?/g, '\n').split('\n')) {
    if (open?.kind === 'code' && !open.closed) {
      open.source += `\n${line}`;
      if (FENCE.test(line)) open.closed = true;
      else open.lines.push(line);
      continue;
    }
    const kind = kindOf(line, open?.kind);
    if (kind === null) {
      // A list goes on after an empty line, if another item follows.
      if (!LISTS.includes(open?.kind)) open = null;
      else open.gap = true;
      continue;
    }
    const lazy = kind === 'text' && open && !open.gap && [...LISTS, 'quote'].includes(open.kind);
    const joins = open?.kind === kind && ['text', 'quote', ...LISTS].includes(kind);
    if (joins || lazy) open.source += `\n${line}`;
    else begin(kind, line);
    open.gap = false;
    open.lines.push(line);
  }
  return found;
}

// `within`: the kind of the block that is open. An item that is indented belongs
// to the list above it, of whichever kind.
function kindOf(line, within) {
  if (line.trim() === '') return null;
  if (FENCE.test(line)) return 'code';
  if (HEADING.test(line)) return 'heading';
  if (RULE.test(line)) return 'rule';
  const item = ITEM.exec(line);
  if (item) return item[1].length > 1 && LISTS.includes(within) ? within : item[2] ? 'ol' : 'ul';
  if (QUOTE.test(line)) return 'quote';
  return 'text';
}

function element({ kind, lines }) {
  switch (kind) {
    case 'code':
      // The first line is the fence itself.
      return h('pre', { tabindex: '0' }, h('code', {}, lines.slice(1).join('\n')));
    case 'heading':
      return h('h3', {}, spans(HEADING.exec(lines[0])[1]));
    case 'rule':
      return h('hr');
    case 'quote':
      return h('blockquote', {}, spans(lines.map((line) => QUOTE.exec(line)?.[1] ?? line).join('\n')));
    case 'ol':
    case 'ul':
      return list(lines);
    default:
      return h('p', {}, spans(lines.join('\n')));
  }
}

/** Lines of items, deeper ones below the one before. */
function list(lines) {
  const levels = [];
  let top = null;
  for (const line of lines) {
    const match = ITEM.exec(line);
    if (!match) {
      levels.at(-1).item.append('\n', ...spans(line.trim()));
      continue;
    }
    const [, indent, number, text] = match;
    while (levels.length > 1 && levels.at(-1).indent > indent.length) levels.pop();
    if (!levels.length || levels.at(-1).indent + 1 < indent.length) {
      const start = number && number !== '1' ? number : null;
      const inner = h(number ? 'ol' : 'ul', { start });
      if (levels.length) levels.at(-1).item.append(inner);
      top ??= inner;
      levels.push({ indent: indent.length, list: inner, item: null });
    }
    const level = levels.at(-1);
    level.item = h('li', {}, spans(text));
    level.list.append(level.item);
  }
  return top;
}

/** Keeps an element in step with a text that grows. */
export class Notes {
  #element;
  #sources = [];

  constructor(element) {
    this.#element = element;
  }

  /** Renders what changed. */
  update(text) {
    const all = blocks(text);
    all.forEach((block, at) => {
      if (this.#sources[at] === block.source) return;
      const old = this.#element.children[at];
      const made = element(block);
      if (old) old.replaceWith(made);
      else this.#element.append(made);
      this.#sources[at] = block.source;
    });
    while (this.#element.children.length > all.length) this.#element.lastChild.remove();
    this.#sources.length = all.length;
  }
}
