// Which panes are drawn when: what is in sight at once, the others as soon as there is time.
import { reads } from "./layout.js";

const SOON_MS = 500;
const NEAR_PX = 40;

// Safari has no idle callbacks: there, soon.
const whenIdle = window.requestIdleCallback?.bind(window) ?? ((draw) => setTimeout(draw, 50));
const notWhenIdle = window.cancelIdleCallback?.bind(window) ?? clearTimeout.bind(window);

const below = (el) => el.getBoundingClientRect().top > window.innerHeight + NEAR_PX;

export class Drawing {
  constructor(terminal) {
    this.terminal = terminal;
    this.owed = new Set();
    this.changed = new Set();
    this.drawn = null;
    this.drawings = [];
    this.sight = new IntersectionObserver((seen) => this.saw(seen), { rootMargin: `${NEAR_PX}px` });
    terminal.panes.forEach((pane) => this.sight.observe(pane.el));
  }

  close() {
    this.sight.disconnect();
    notWhenIdle(this.idle);
    cancelAnimationFrame(this.frame);
  }

  saw(seen) {
    const { panes } = this.terminal;
    for (const { target, isIntersecting } of seen) {
      const pane = panes.find((p) => p.el === target);
      pane.hidden = !isIntersecting;
      if (isIntersecting && this.owed.has(pane)) this.one(pane);
    }
  }

  one(pane) {
    this.owed.delete(pane);
    pane.draw();
    pane.point(this.terminal.at);
  }

  // Now, if it is in sight.
  owe(pane) {
    // Before the browser has told, by where it stands: what is above it may just have grown.
    if (pane.hidden ?? below(pane.el)) this.owed.add(pane);
    else this.one(pane);
  }

  // Everything, or what reads one of these tiles.
  all(keys) {
    const { panes, view, crosshair } = this.terminal;
    view.draws();
    const changed = keys && new Set(keys.map((k) => k.split(":")[0]));
    for (const pane of panes) {
      if (changed && !reads(pane).some((k) => changed.has(k))) {
        if (view.following && !this.owed.has(pane)) pane.place?.();
      } else this.owe(pane);
    }
    crosshair.again();
  }

  // Several messages at once are drawn once: a browser that is slow falls behind by one drawing.
  soon(keys, before, after) {
    keys.forEach((key) => this.changed.add(key));
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      const changed = [...this.changed];
      this.changed.clear();
      if (!this.terminal.meta) return;
      before();
      this.all(changed);
      after();
      this.painted();
    });
  }

  // When what came last is on the screen, by the clock: for whoever measures.
  painted() {
    const { last } = this.terminal;
    requestAnimationFrame(() => {
      const port = new MessageChannel();
      port.port1.onmessage = () => {
        this.drawn = { last, at: Date.now(), since: performance.now() };
        this.drawings.push([last, this.drawn.at]);
        if (this.drawings.length > 500) this.drawings.shift();
        this.rest();
      };
      port.port2.postMessage(0);
    });
  }

  // What is out of sight, a pane at a time.
  rest() {
    // One that waits is left to: bars that come fast must not put it off for ever.
    if (!this.owed.size || this.idle || !this.terminal.meta) return;
    this.idle = whenIdle(() => {
      this.idle = 0;
      const [pane] = this.owed;
      if (pane && this.terminal.meta) this.one(pane);
      this.rest();
    }, { timeout: SOON_MS });
  }

  // All of it, now: for a picture.
  finish() {
    [...this.owed].forEach((pane) => this.one(pane));
  }
}
