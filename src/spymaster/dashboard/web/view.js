// What is zoomed to: the axis, the window on it, whether it follows the live edge.
import * as address from "./address.js";

const MINUTE = 60_000;
const LIVE_WIDTH = 30 * MINUTE;
const NARROWEST = MINUTE;

// Times are ms since 1970, UTC. `near`: the window and some more, which the panes have drawn.
export class View {
  constructor(terminal) {
    this.terminal = terminal;
    this.near = { start: 0, end: 1 };
    this.axis = { start: 0, end: 1 };
    this.window = { start: 0, end: 1 };
    this.following = false;
  }

  get width() {
    return this.window.end - this.window.start;
  }

  // A state was loaded: what its address says, else the live edge or the whole session.
  open() {
    const { meta, state } = this.terminal;
    this.axis = { start: meta.start, end: meta.end };
    const { start, end } = state;
    if (end > start && end > meta.start && start < meta.end) {
      this.window = { start, end };
      this.following = false;
    } else this.edge();
  }

  // More of the session is known.
  grow() {
    const { meta } = this.terminal;
    this.axis = { start: meta.start, end: meta.end };
  }

  // Where a live window ends: the last bar, with some room to come.
  edge() {
    const { meta, live, state } = this.terminal;
    if (!live) {
      this.window = { start: meta.start, end: meta.end };
      this.following = false;
      return;
    }
    const width = (state.width || LIVE_WIDTH / MINUTE) * MINUTE;
    const end = meta.last + width * 0.04;
    this.axis = { start: Math.min(meta.start, end - width), end: Math.max(meta.end, end) };
    this.window = { start: end - width, end };
    this.following = true;
  }

  // What is drawn from now on.
  draws() {
    const { start, end } = this.window;
    this.near = { start: start - this.width * 0.3, end: end + this.width * 0.3 };
  }

  // A pane was zoomed or moved: the others follow.
  zoomed(e, from) {
    const t = this.terminal;
    if (e.start === undefined || this.placing || !t.meta) return;
    const { start, end } = this.axis;
    const a = start + ((end - start) * e.start) / 100;
    const b = start + ((end - start) * e.end) / 100;
    if (Math.abs(a - this.window.start) < 1 && Math.abs(b - this.window.end) < 1) return;
    this.window = { start: a, end: b };
    this.placing = true;
    for (const pane of t.charts) {
      if (pane === from) continue;
      pane.chart.dispatchAction({ type: "dataZoom", dataZoomId: "zoom", start: e.start, end: e.end });
    }
    this.placing = false;
    this.settle();
  }

  // The window is where the viewer wants it: the address, the bars, the tables follow.
  settle() {
    const t = this.terminal;
    const { start, end } = this.near;
    const from = Math.max(this.window.start, t.meta.first);
    const to = Math.min(this.window.end, t.meta.last);
    if (from < start || to > end) {
      cancelAnimationFrame(this.widening);
      this.widening = requestAnimationFrame(() => t.drawAll());
    }
    this.following = t.live && this.window.end >= t.last;
    if (this.following) {
      t.state.width = Math.round((this.width / MINUTE) * 100) / 100;
      t.state.start = 0;
      t.state.end = 0;
    } else {
      t.state.start = this.window.start;
      t.state.end = this.window.end;
    }
    t.bars.window();
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      address.write(t.state);
      this.askZoomed();
      this.refit();
    }, 250);
  }

  place() {
    this.placing = true;
    this.terminal.charts.forEach((pane) => pane.place());
    this.placing = false;
    this.settle();
  }

  move(start, end) {
    if (!this.terminal.meta) return;
    const width = Math.max(NARROWEST, Math.min(end - start, this.axis.end - this.axis.start));
    let a = Math.max(this.axis.start, start);
    if (a + width > this.axis.end) a = this.axis.end - width;
    this.window = { start: a, end: a + width };
    this.place();
  }

  pan(share) {
    const { width } = this;
    this.move(this.window.start + width * share, this.window.end + width * share);
  }

  scale(factor) {
    const { start, end } = this.window;
    const fixed = this.following ? this.terminal.last + (end - start) * 0.04 : (start + end) / 2;
    const a = fixed - (fixed - start) * factor;
    this.move(a, a + (end - start) * factor);
  }

  wide(minutes) {
    const t = this.terminal;
    if (!t.meta) return;
    if (!minutes) this.move(this.axis.start, this.axis.end);
    else if (t.live) {
      t.state.width = minutes;
      this.follow();
    } else {
      const middle = (this.window.start + this.window.end) / 2;
      this.move(middle - (minutes * MINUTE) / 2, middle + (minutes * MINUTE) / 2);
    }
  }

  follow() {
    const t = this.terminal;
    if (!t.meta) return;
    t.state.start = 0;
    t.state.end = 0;
    this.edge();
    this.place();
  }

  goTo(ms, contract) {
    const t = this.terminal;
    const width = Math.min(this.width, 20 * MINUTE);
    this.move(ms - width / 2, ms + width / 2);
    if (contract && contract !== t.main) t.choose(contract);
  }

  // The tables of the window, once a second at most.
  askZoomed() {
    const t = this.terminal;
    const now = performance.now();
    clearTimeout(this.asking);
    const wait = Math.max(0, 1000 - (now - (this.askedAt || -1e9)));
    this.asking = setTimeout(() => {
      this.askedAt = performance.now();
      if (!t.meta || t.state.paused) return;
      const { start, end } = this.window;
      const b = Math.min(end, t.meta.last + 1);
      const a = Math.max(start, t.meta.first);
      t.emit("zoom", { ...t.asked(), a, b: Math.max(b, a + 5000) });
    }, wait);
  }

  // Bars as wide as the zoom asks for.
  refit() {
    const t = this.terminal;
    if (t.state.interval !== "auto" || !t.meta) return;
    const span = this.width / MINUTE;
    const bar = span <= 50 ? "5" : span <= 150 ? "15" : span <= 720 ? "60" : "300";
    if (bar !== t.meta.bar) {
      t.state.choices.bar = bar;
      t.join();
    }
  }
}
