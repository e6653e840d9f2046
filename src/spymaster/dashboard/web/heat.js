// Resting size by price and time, painted cell by cell for what is zoomed to.
import { number } from "./format.js";
import { LEFT, RIGHT, TimePane } from "./pane.js";
import { lower } from "./store.js";
import { heat } from "./theme.js";

export class HeatPane extends TimePane {
  option() {
    const t = this.terminal;
    const c = this.colours;
    const rows = t.store.rows("heatmap", t.main);
    const price = t.store.rows("price", t.main);
    this.rows = rows;
    const prices = [...new Set(rows.price || [])].sort((a, b) => a - b);
    this.tick = prices.slice(1).reduce((d, p, i) => Math.min(d, p - prices[i]), Infinity);
    if (!Number.isFinite(this.tick)) this.tick = 0.01;
    const sizes = [...(rows.size || [])].sort((a, b) => a - b);
    this.most = sizes[Math.floor(sizes.length * 0.985)] || 1;
    this.cell = Number(t.choice("cell")) * 1000;
    const pad = 11 * this.tick;
    return {
      ...this.base([0]),
      grid: [{ left: LEFT, right: RIGHT, top: 20, bottom: 22 }],
      xAxis: [this.xAxis(0, true)],
      yAxis: [
        this.yAxis(0, "currency", {
          splitNumber: 4,
          splitLine: { show: false },
          axisLabel: {
            color: c.muted,
            fontSize: 10,
            formatter: (v) => number(v, 2),
            showMinLabel: false,
            showMaxLabel: false,
          },
          min: (v) => v.min - pad,
          max: (v) => v.max + pad,
        }),
      ],
      series: [
        {
          id: "heat",
          type: "custom",
          data: [[0]],
          encode: { x: -1, y: -1 },
          silent: true,
          z: 1,
          renderItem: (params, api) => this.paint(params.coordSys, api),
        },
        {
          id: "close",
          name: "Close",
          type: "line",
          data: this.column(price, "at", "close"),
          showSymbol: false,
          sampling: "lttb",
          lineStyle: { width: 1.2, color: this.terminal.dark ? "#ffffff" : "#111111" },
          itemStyle: { color: c.text },
          emphasis: { disabled: true },
          z: 2,
        },
      ],
    };
  }

  paint(area, api) {
    const { at = [], price, size } = this.rows;
    const ratio = window.devicePixelRatio || 1;
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(area.width * ratio));
    canvas.height = Math.max(1, Math.round(area.height * ratio));
    const g = canvas.getContext("2d");
    const { start, end } = this.terminal.window;
    const from = lower(at, start - this.cell);
    const to = lower(at, end);
    const place = (x, y) => {
      const [px, py] = api.coord([this.x(x), y]);
      return [(px - area.x) * ratio, (py - area.y) * ratio];
    };
    for (let i = from; i < to; i++) {
      const [x0, y0] = place(at[i], price[i] + this.tick / 2);
      const [x1, y1] = place(at[i] + this.cell, price[i] - this.tick / 2);
      g.fillStyle = heat(this.colours, Math.sqrt(size[i] / this.most));
      const left = Math.round(x0);
      const top = Math.round(y0);
      g.fillRect(left, top, Math.max(1, Math.round(x1) - left), Math.max(1, Math.round(y1) - top));
    }
    return {
      type: "image",
      style: { image: canvas, x: area.x, y: area.y, width: area.width, height: area.height },
    };
  }

  draw() {
    super.draw();
    if (!this.rows.at?.length) this.say(this.terminal.nothing("heatmap"));
  }

  point() {
    const stops = [0, 0.25, 0.5, 0.75, 1].map((s) => heat(this.colours, s)).join(",");
    this.legend.innerHTML =
      `<i>0</i><span class="sm-ramp" style="background:linear-gradient(90deg,${stops})"></span>` +
      `<i>${number(this.most, 0)} resting</i>`;
  }
}
