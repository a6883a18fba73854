// Server-Sent Events from a fetch: EventSource cannot POST.
//
// Follows the WHATWG algorithm. A leading byte order mark is not looked for:
// the text decoder has taken it away.

// Far above any frame; a server that sends no line end must not fill the tab.
const LONGEST_EVENT = 4 * 1024 * 1024;

/** Parses text in pieces of any size; a piece may end anywhere. */
export class Parser {
  #line = '';
  #afterCr = false;
  #data = null;
  #event = '';
  #id = null;

  /** Yields the events that `text` completes: `{event, data, id}`. */
  *push(text) {
    if (text === '') return;
    // The second half of a CRLF that was cut in two.
    let from = this.#afterCr && text[0] === '\n' ? 1 : 0;
    this.#afterCr = text.endsWith('\r');
    const ends = /\r\n?|\n/g;
    ends.lastIndex = from;
    for (let end = ends.exec(text); end; end = ends.exec(text)) {
      const line = this.#line + text.slice(from, end.index);
      this.#line = '';
      from = ends.lastIndex;
      if (line !== '') this.#field(line);
      else if (this.#data !== null) yield this.#take();
      else this.#clear();
    }
    this.#line += text.slice(from);
    if (this.#line.length + (this.#data?.length ?? 0) > LONGEST_EVENT) {
      throw new RangeError('an event of the stream is too long');
    }
  }

  #field(line) {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value[0] === ' ') value = value.slice(1);
    if (name === 'data') this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
    else if (name === 'event') this.#event = value;
    else if (name === 'id' && !value.includes('\0')) this.#id = value;
  }

  #take() {
    const event = { event: this.#event || 'message', data: this.#data, id: this.#id };
    this.#clear();
    return event;
  }

  #clear() {
    this.#data = null;
    this.#event = '';
    this.#id = null;
  }
}

/**
 * The events of a response's body; `onHeard` is called for whatever comes.
 * Leaving the loop cancels the request, and the server learns that nobody
 * listens.
 */
export async function* events(body, onHeard = () => {}) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new Parser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onHeard();
      yield* parser.push(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
