// What a screen reader says of a run: states as they change, the answer a
// paragraph at a time. Never each token.

/** Speaks through two live regions, both polite. */
export class Announcer {
  #status;
  #log;
  #spoken = 0;

  constructor(status, log) {
    this.#status = status;
    this.#log = log;
  }

  /** A new answer begins. */
  begin() {
    this.#spoken = 0;
    this.#log.replaceChildren();
    this.say('Asking the DJ.');
  }

  /** A state, in a few words. */
  say(text) {
    this.#status.textContent = text;
  }

  /** The answer until now: what has a paragraph's end is said, at the end all. */
  text(text, whole) {
    const end = whole ? text.length : text.lastIndexOf('\n\n');
    if (end <= this.#spoken) return;
    const paragraph = document.createElement('p');
    paragraph.textContent = text.slice(this.#spoken, end).replace(/[*`#]+/g, '').trim();
    this.#spoken = end;
    if (paragraph.textContent) this.#log.append(paragraph);
  }
}
