// Scrolling that obeys the reader: the page follows what is being said until the
// reader goes up, by whatever means, and again from when they are back at the
// end.

const UP = new Set(['ArrowUp', 'PageUp', 'Home']);
const DOWN = new Set(['ArrowDown', 'PageDown', 'End']);
// What is nearer to the end than this is at the end, in CSS pixels.
const NEAR = 24;

/** Follows an element's lower edge with the page's scroll position. */
export class Follower {
  #page = document.scrollingElement;
  #floor;
  #needle;
  #button;
  #live = false;
  #following = false;
  #top = 0;
  #touch = 0;
  // Where the page ended when the reader set out for its end.
  #aim = Infinity;

  /**
   * `floor()`: where the view ends, in px from its top; `needle()`: the element
   * in which something happens, or null; `button`: leads to what is newest.
   */
  constructor({ floor, needle, button }) {
    this.#floor = floor;
    this.#needle = needle;
    this.#button = button;
    const passive = { passive: true };
    addEventListener('wheel', ({ deltaY }) => (deltaY < 0 ? this.#leave() : this.#setOut()), passive);
    addEventListener('touchstart', ({ touches }) => (this.#touch = touches[0].clientY), passive);
    addEventListener('touchmove', ({ touches }) => {
      if (touches[0].clientY > this.#touch) this.#leave();
      else this.#setOut();
      this.#touch = touches[0].clientY;
    }, passive);
    addEventListener('keydown', (event) => {
      const up = UP.has(event.key) || (event.key === ' ' && event.shiftKey);
      if (up && !(event.target.value && event.key !== 'PageUp')) this.#leave();
      if (DOWN.has(event.key)) this.#setOut();
    });
    addEventListener('scrollend', () => (this.#aim = Infinity));
    addEventListener('scroll', () => this.#scrolled(), passive);
    addEventListener('resize', () => this.look(), passive);
  }

  /** From now on: a new answer begins. */
  begin() {
    this.#live = true;
    this.#following = true;
    this.toEnd();
  }

  /** The answer is over: whoever followed it sees its end, and is left there. */
  end() {
    this.step();
    this.#live = false;
    this.#following = false;
    this.look();
  }

  /** The text has grown, or what is below it: follow, if that is wanted. */
  step() {
    if (this.#following) this.#down(this.#depth());
    this.look();
  }

  /** The reader asks for what is newest. */
  latest() {
    this.#following = this.#live;
    const depth = this.#depth();
    if (depth > 1) this.#down(depth);
    else this.toEnd();
    this.look();
  }

  /** To the end of the page. */
  toEnd() {
    this.#down(this.#page.scrollHeight);
    this.look();
  }

  /** Whether there is something below, and so the button. */
  look() {
    const below = this.#page.scrollHeight - innerHeight - this.#page.scrollTop;
    const hidden = !this.#needle() || (below <= NEAR && this.#depth() <= NEAR);
    this.#button.hidden = hidden || this.#following;
  }

  #leave() {
    this.#following = false;
    this.#aim = Infinity;
    this.look();
  }

  /** The text grows while one scrolls: who reaches what was the end has meant it. */
  #setOut() {
    this.#aim = this.#page.scrollHeight - innerHeight;
  }

  #depth() {
    const needle = this.#needle();
    return needle ? needle.getBoundingClientRect().bottom + NEAR - this.#floor() : 0;
  }

  #down(by) {
    if (by > 0) this.#page.scrollBy({ top: by, behavior: 'instant' });
    this.#top = this.#page.scrollTop;
  }

  #scrolled() {
    const { scrollTop, scrollHeight } = this.#page;
    const atEnd = scrollHeight - innerHeight - scrollTop <= NEAR;
    // A page that became shorter is at its end, and nobody has gone up.
    if (scrollTop < this.#top && !atEnd) this.#following = false;
    else if (scrollTop > this.#top && (atEnd || scrollTop >= this.#aim - NEAR || this.#depth() <= 0)) this.#following = this.#live;
    this.#top = scrollTop;
    this.look();
  }
}
