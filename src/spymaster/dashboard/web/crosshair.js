// The crosshair: one time in all panes, and how it is written.
import { clock } from "./format.js";

export class Crosshair {
  constructor(terminal) {
    this.terminal = terminal;
    this.hover = null; // the pane under the pointer
    this.crossed = null;
    this.at = null; // ms UTC
  }

  // The pointer is at an x of the panes; null: it is gone.
  point(x) {
    const t = this.terminal;
    this.at = x === null ? null : x - t.offset;
    this.pointing ||= requestAnimationFrame(() => {
      this.pointing = 0;
      this.draw();
    });
  }

  // The panes were drawn anew.
  again() {
    this.point(this.at === null ? null : this.at + this.terminal.offset);
  }

  draw() {
    const t = this.terminal;
    if (!t.meta) return;
    t.panes.forEach((pane) => pane.point(this.at));
    const x = this.at === null ? null : this.at + t.offset;
    if (x === null && this.crossed === null) return;
    this.crossed = x;
    t.charts.forEach((pane) => pane !== this.hover && pane.cross(x));
  }

  moment(x) {
    return `${clock(x)} NY   ${clock(x - this.terminal.offset)} UTC`;
  }
}
