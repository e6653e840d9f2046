// Panes over time: they share an axis (New York's clock), a zoom and a crosshair.
import { echarts } from "nicegui-echart";
import { escape, number, short, words } from "./format.js";
import { heat } from "./theme.js";
import { lower } from "./store.js";

const LEFT = 10;
const RIGHT = 70;

// What all panes have: a head with a legend, a chart, and that the others follow it.
class TimePane {
  constructor(terminal, el, id, title) {
    this.terminal = terminal;
    this.id = id;
    this.el = el;
    el.classList.add("sm-pane");
    el.dataset.pane = id;
    el.innerHTML =
      `<div class="sm-pane-head"><span class="sm-title">${escape(title)}</span>` +
      `<span class="sm-legend"></span><span class="sm-params"></span></div>` +
      `<div class="sm-chart" role="img" aria-label="${escape(title)}: chart over time"></div>` +
      `<div class="sm-over"></div>`;
    this.legend = el.querySelector(".sm-legend");
    this.params = el.querySelector(".sm-params");
    this.over = el.querySelector(".sm-over");
    this.chart = echarts.init(el.querySelector(".sm-chart"), null, { renderer: "canvas" });
    this.chart.on("datazoom", (e) => terminal.zoomed(e.batch ? e.batch[0] : e, this));
    this.chart.on("updateAxisPointer", (e) => {
      const info = (e.axesInfo || []).find((a) => a.axisDim === "x");
      if (info && terminal.hover === this) terminal.pointed(info.value);
    });
    const zr = this.chart.getZr();
    for (const event of ["mousemove", "mousedown"]) {
      zr.on(event, () => {
        terminal.hover = this;
      });
    }
    zr.on("globalout", () => {
      if (terminal.hover !== this) return;
      terminal.hover = null;
      terminal.pointed(null);
    });
    this.chart.getZr().on("dblclick", () => terminal.follow());
  }

  get colours() {
    return this.terminal.palette;
  }

  // x of a time: New York's clock as if it were UTC, so that ticks fall on its full hours.
  x(ms) {
    return ms + this.terminal.offset;
  }

  // Rows near what is seen: a whole session of them costs ten times the drawing.
  near(xs) {
    const { start, end } = this.terminal.near;
    return [lower(xs, start), lower(xs, end)];
  }

  column(rows, x, y) {
    const xs = rows[x] || [];
    const ys = rows[y] || [];
    const off = this.terminal.offset;
    const [from, to] = this.near(xs);
    const data = new Array(to - from);
    for (let i = from; i < to; i++) data[i - from] = [xs[i] + off, ys[i]];
    return data;
  }

  xAxis(index, labels) {
    const c = this.colours;
    const { start, end } = this.terminal.axis;
    return {
      type: "time",
      gridIndex: index,
      min: this.x(start),
      max: this.x(end),
      axisLine: { onZero: false, lineStyle: { color: c.line } },
      axisTick: { show: labels, lineStyle: { color: c.line } },
      splitLine: { show: true, lineStyle: { color: c.grid } },
      axisLabel: {
        show: labels,
        color: c.muted,
        fontSize: 10,
        hideOverlap: true,
        formatter: (v) => this.terminal.tick(v),
      },
      name: labels ? "New York" : "",
      nameLocation: "end",
      nameGap: 6,
      nameTextStyle: { color: c.faint, fontSize: 10, verticalAlign: "top", padding: [10, 0, 0, 0] },
      axisPointer: {
        show: true,
        type: "line",
        snap: false,
        lineStyle: { color: c.muted, width: 1, type: [3, 3] },
        label: {
          show: labels,
          backgroundColor: c.raised,
          borderColor: c.line,
          borderWidth: 1,
          color: c.text,
          fontSize: 10,
          padding: [3, 6],
          formatter: ({ value }) => this.terminal.moment(value),
        },
      },
    };
  }

  yAxis(index, unit, more = {}) {
    const c = this.colours;
    return {
      type: "value",
      gridIndex: index,
      scale: true,
      position: "right",
      splitNumber: 3,
      axisLine: { show: false },
      axisTick: { show: false },
      splitLine: { show: true, lineStyle: { color: c.grid } },
      axisLabel: { color: c.muted, fontSize: 10, formatter: short, hideOverlap: true },
      name: unit,
      nameLocation: "end",
      nameGap: 5,
      nameTextStyle: { color: c.faint, fontSize: 10, align: "right", padding: [0, -58, 0, 0] },
      axisPointer: {
        show: true,
        lineStyle: { color: c.muted, width: 1, type: [3, 3] },
        label: {
          show: true,
          backgroundColor: c.raised,
          borderColor: c.line,
          borderWidth: 1,
          color: c.text,
          fontSize: 10,
          padding: [2, 4],
          formatter: ({ value }) => number(value),
        },
      },
      ...more,
    };
  }

  base(axes, wheel = false) {
    const { start, end } = this.terminal.window;
    return {
      useUTC: true,
      animation: false,
      textStyle: { fontFamily: "inherit" },
      tooltip: { trigger: "axis", showContent: false, axisPointer: { type: "cross" } },
      axisPointer: { link: [{ xAxisIndex: "all" }], triggerOn: "mousemove|click" },
      dataZoom: [
        {
          id: "zoom",
          type: "inside",
          xAxisIndex: axes,
          filterMode: "filter",
          startValue: this.x(start),
          endValue: this.x(end),
          zoomOnMouseWheel: wheel ? true : "ctrl",
          moveOnMouseWheel: false,
          preventDefaultMouseMove: false,
          throttle: 30,
        },
      ],
    };
  }

  draw() {
    const option = this.option();
    this.chart.setOption(option, { replaceMerge: ["series", "xAxis", "yAxis", "grid"] });
    this.say("");
  }

  // Over the pane: why there is nothing to see.
  say(text, kind = "") {
    this.over.textContent = text;
    this.over.className = `sm-over ${kind}`;
    this.over.style.display = text ? "flex" : "none";
  }

  // The crosshair of another pane, here too: its time, not its price. null: none.
  cross(x) {
    if (x === null) {
      this.chart.dispatchAction({ type: "updateAxisPointer", currTrigger: "leave" });
      return;
    }
    const at = this.chart.convertToPixel({ xAxisIndex: 0 }, x);
    const box = this.chart.getModel().getComponent("grid", 0)?.coordinateSystem.getRect();
    if (!box || !Number.isFinite(at)) return;
    this.chart.dispatchAction({
      type: "updateAxisPointer",
      currTrigger: "mousemove",
      x: at,
      y: box.y + box.height / 2,
      axesInfo: [{ axisDim: "x", axisIndex: 0, value: x }],
    });
  }

  close() {
    this.chart.dispose();
  }
}

const LEVEL_COLOURS = { PD: "violet", PM: "cyan", OR: "amber" };

export class PricePane extends TimePane {
  option() {
    const t = this.terminal;
    const c = this.colours;
    const main = t.main;
    const price = t.store.rows("price", main);
    const volume = t.store.rows("trades", main);
    this.price = price;
    this.volume = volume;
    const xs = price.at || [];
    const [from, to] = this.near(xs);
    const candles = [];
    for (let i = from; i < to; i++) {
      candles.push([xs[i] + t.offset, price.open[i], price.close[i], price.low[i], price.high[i]]);
    }
    const n = xs.length;
    const up = n && price.close[n - 1] >= price.open[n - 1];
    const h = this.chart.getHeight();
    const volumeTop = Math.round(h * 0.78);
    const bar = (name, column, colour) => ({
      id: column,
      name,
      type: "bar",
      stack: "volume",
      xAxisIndex: 1,
      yAxisIndex: 1,
      data: this.column(volume, "at", column),
      itemStyle: { color: colour, opacity: 0.75 },
      barMaxWidth: 12,
      large: false,
    });
    return {
      ...this.base([0, 1], true),
      grid: [
        { left: LEFT, right: RIGHT, top: 24, bottom: h - volumeTop + 10 },
        { left: LEFT, right: RIGHT, top: volumeTop + 8, bottom: 22 },
      ],
      xAxis: [this.xAxis(0, false), this.xAxis(1, true)],
      yAxis: [
        this.yAxis(0, "currency", {
          splitNumber: 5,
          axisLabel: {
            color: c.muted,
            fontSize: 10,
            formatter: (v) => number(v, 2),
            showMinLabel: false,
            showMaxLabel: false,
          },
          min: (v) => v.min - (v.max - v.min || 1) * 0.06,
          max: (v) => v.max + (v.max - v.min || 1) * 0.06,
        }),
        this.yAxis(1, "size", { splitNumber: 2, scale: false }),
      ],
      series: [
        {
          id: "candles",
          name: "Price",
          type: "candlestick",
          data: candles,
          barMaxWidth: 12,
          barMinWidth: 3,
          progressive: 0,
          itemStyle: { color: c.up, color0: c.down, borderColor: c.up, borderColor0: c.down, borderColorDoji: c.muted },
          emphasis: { disabled: true },
          markLine: n
            ? {
                silent: true,
                symbol: "none",
                animation: false,
                lineStyle: { color: up ? c.up : c.down, type: [2, 3], width: 1 },
                label: {
                  position: "end",
                  distance: 4,
                  color: "#fff",
                  backgroundColor: up ? c.up : c.down,
                  padding: [3, 4],
                  lineHeight: 12,
                  fontSize: 10,
                  formatter: () => number(price.close[n - 1], 2),
                },
                data: [{ yAxis: price.close[n - 1] }],
              }
            : undefined,
          z: 3,
        },
        this.custom("episodes", (area, at) => this.episodes(area, at), 1),
        this.custom("levels", (area, at) => this.levels(area, at), 4),
        this.marks(),
        bar("Bought", "buy", c.up),
        bar("Sold", "sell", c.down),
      ],
    };
  }

  // Drawn anew as a whole at each zoom; its one item is no data, and is never zoomed away.
  custom(id, shapes, z) {
    return {
      id,
      type: "custom",
      data: [[0]],
      encode: { x: -1, y: -1 },
      silent: true,
      clip: true,
      z,
      renderItem: (params, api) => ({
        type: "group",
        children: shapes(params.coordSys, (x, y) => api.coord([x, y])),
      }),
    };
  }

  levels(area, at) {
    const rows = this.terminal.store.rows("levels", this.terminal.main);
    const c = this.colours;
    const merged = new Map();
    (rows.level || []).forEach((level, i) => {
      const known = merged.get(level);
      const name = words(rows.level_type[i]).toUpperCase();
      if (known) {
        known.names.push(name);
        known.from = Math.min(known.from, rows.known_at[i]);
      } else merged.set(level, { level, names: [name], from: rows.known_at[i] });
    });
    const shapes = [];
    const taken = [];
    for (const { level, names, from } of [...merged.values()].sort((a, b) => b.level - a.level)) {
      const [x0, y] = at(this.x(from), level);
      if (y < area.y || y > area.y + area.height) continue;
      const colour = c[LEVEL_COLOURS[names[0].slice(0, 2)]] || c.muted;
      const left = Math.max(area.x, x0);
      const right = area.x + area.width;
      if (left >= right) continue;
      shapes.push({
        type: "line",
        shape: { x1: left, y1: Math.round(y) + 0.5, x2: right, y2: Math.round(y) + 0.5 },
        style: { stroke: colour, lineWidth: 1, opacity: 0.85 },
      });
      let textY = y - 3;
      while (taken.some((other) => Math.abs(other - textY) < 12)) textY += 12;
      taken.push(textY);
      shapes.push({
        type: "text",
        style: {
          text: `${names.join(" · ")}  ${number(level, 2)}`,
          x: Math.max(area.x + 4, left + 4),
          y: textY,
          fill: colour,
          stroke: c.panel,
          lineWidth: 3,
          font: "10px Roboto, sans-serif",
          textVerticalAlign: "bottom",
        },
      });
    }
    return shapes;
  }

  episodes(area, at) {
    const rows = this.terminal.store.rows("episodes", this.terminal.main);
    const c = this.colours;
    const right = area.x + area.width;
    const shapes = [];
    let lastText = -1e9;
    (rows.opened || []).forEach((opened, i) => {
      const outcome = rows.outcome[i];
      const until = outcome === "OPEN" ? this.terminal.last : rows.until[i];
      const [x0, y] = at(this.x(opened), rows.level[i]);
      const [x1] = at(this.x(until), rows.level[i]);
      const a = Math.max(area.x, x0);
      const b = Math.min(right, Math.max(x1, x0 + 2));
      if (b <= area.x || a >= right) return;
      const colour = c[outcome] || c.muted;
      shapes.push(
        {
          type: "rect",
          shape: { x: a, y: area.y, width: b - a, height: area.height },
          style: { fill: colour, opacity: outcome === "OPEN" ? 0.14 : 0.08 },
        },
        {
          type: "rect",
          shape: { x: a, y: area.y, width: b - a, height: 3 },
          style: { fill: colour, opacity: 0.9 },
        },
      );
      const label = `${rows.direction[i] === "FROM_BELOW" ? "▲" : "▼"} ${outcome}`;
      if (b - a > 34 && a > lastText + 4) {
        const wide = b - a > 70;
        shapes.push({
          type: "text",
          style: {
            text: wide ? label : label.slice(0, 3),
            x: a + 3,
            y: area.y + 8,
            fill: colour,
            stroke: c.panel,
            lineWidth: 2,
            font: "10px Roboto, sans-serif",
          },
        });
        lastText = a + (wide ? 60 : 20);
      }
    });
    return shapes;
  }

  // Anomalies of this contract, at the bar they are of.
  marks() {
    const t = this.terminal;
    const c = this.colours;
    const all = t.store.rows("anomaly_table");
    const xs = this.price.at || [];
    const data = [];
    (all.at || []).forEach((at, i) => {
      if (all.contract_id[i] !== t.main) return;
      const k = lower(xs, at + 1) - 1;
      if (k < 0) return;
      const vacuum = all.what[i].includes("vacuum");
      const bought = all.score[i] > 0;
      data.push({
        value: [xs[k] + t.offset, vacuum || bought ? this.price.low[k] : this.price.high[k]],
        what: all.what[i],
        at,
        symbol: vacuum ? "diamond" : "triangle",
        symbolRotate: vacuum || bought ? 0 : 180,
        symbolOffset: [0, vacuum || bought ? 9 : -9],
        itemStyle: { color: vacuum ? c.violet : c.amber },
      });
    });
    return {
      id: "anomalies",
      name: "Anomalies",
      type: "scatter",
      data,
      symbolSize: 8,
      silent: true,
      z: 5,
    };
  }

  point(ms) {
    const p = this.price || {};
    const n = p.at?.length || 0;
    if (!n) {
      this.legend.textContent = "";
      return;
    }
    const i = ms === null ? n - 1 : Math.max(0, lower(p.at, ms + 1) - 1);
    const v = this.volume;
    const k = v.at ? Math.max(0, lower(v.at, p.at[i] + 1) - 1) : -1;
    const tone = p.close[i] >= p.open[i] ? "up" : "down";
    const before = i ? p.close[i - 1] : p.open[i];
    const change = ((p.close[i] - before) / before) * 100;
    const cell = (name, value) => `<i>${name}</i><b class="${tone}">${number(value, 2)}</b>`;
    this.legend.innerHTML =
      cell("O", p.open[i]) + cell("H", p.high[i]) + cell("L", p.low[i]) + cell("C", p.close[i]) +
      `<b class="${tone}">${change >= 0 ? "+" : ""}${change.toFixed(3)}%</b>` +
      (k >= 0
        ? `<i>Bought</i><b class="up">${number(v.buy[k])}</b><i>Sold</i><b class="down">` +
          `${number(v.sell[k])}</b>`
        : "");
  }
}

// Lines, one grid below the other: features, scores, health.
export class LinesPane extends TimePane {
  constructor(terminal, el, id, title, bands, height) {
    super(terminal, el, id, title);
    this.bands = bands; // () => [{key, title, unit, lines: [{id, name, colour, data}], marks}]
    this.height = height;
    this.shown = [];
  }

  option() {
    const c = this.colours;
    this.shown = this.bands(this);
    const n = Math.max(1, this.shown.length);
    const foot = 22;
    const total = n * this.height + foot;
    const el = this.el.querySelector(".sm-chart");
    if (el.style.height !== `${total}px`) {
      el.style.height = `${total}px`;
      this.chart.resize();
    }
    const axes = this.shown.map((_, i) => i);
    const series = [];
    this.shown.forEach((band, i) => {
      for (const line of band.lines) {
        series.push({
          id: `${band.key}/${line.id}`,
          name: line.name,
          type: "line",
          xAxisIndex: i,
          yAxisIndex: i,
          data: line.data,
          step: line.step ? "end" : undefined,
          showSymbol: false,
          sampling: line.gaps ? undefined : "minmax",
          connectNulls: false,
          lineStyle: { width: 1.2, color: line.colour, type: line.dash || "solid" },
          itemStyle: { color: line.colour },
          emphasis: { disabled: true },
        });
      }
      if (band.marks?.length) {
        series.push({
          id: `${band.key}/marks`,
          name: "Anomalies",
          type: "scatter",
          xAxisIndex: i,
          yAxisIndex: i,
          data: band.marks,
          symbolSize: 6,
          itemStyle: { color: "transparent", borderColor: c.down, borderWidth: 1.5 },
          silent: true,
          z: 5,
        });
      }
    });
    return {
      ...this.base(axes),
      grid: axes.map((i) => ({
        left: LEFT,
        right: RIGHT,
        top: i * this.height + 20,
        height: this.height - 24,
      })),
      xAxis: axes.map((i) => this.xAxis(i, i === n - 1)),
      yAxis: this.shown.map((band, i) =>
        this.yAxis(i, "", {
          splitNumber: 2,
          ...(band.min !== undefined ? { min: band.min, max: band.max } : {}),
        }),
      ),
      graphic: undefined,
      series,
    };
  }

  draw() {
    super.draw();
    const heads = this.el.querySelectorAll(".sm-band");
    heads.forEach((head) => head.remove());
    this.shown.forEach((band, i) => {
      const head = document.createElement("div");
      head.className = "sm-band";
      head.style.top = `${this.el.querySelector(".sm-pane-head").offsetHeight + i * this.height + 2}px`;
      this.el.append(head);
    });
    if (!this.shown.some((band) => band.lines.some((line) => line.data.length))) {
      this.say(this.terminal.nothing(this.id));
    }
  }

  point(ms) {
    const heads = this.el.querySelectorAll(".sm-band");
    const x = ms === null ? null : this.x(ms);
    this.shown.forEach((band, i) => {
      if (!heads[i]) return;
      const values = band.lines.map((line) => {
        const at = x === null ? line.data.length - 1 : atOrBefore(line.data, x);
        const value = at >= 0 ? line.data[at][1] : null;
        return `<i style="color:${line.colour}">${escape(line.name)}</i><b>${number(value)}</b>`;
      });
      heads[i].innerHTML =
        `<em>${escape(band.title)}</em><small>${escape(band.unit)}</small>${values.join("")}${escape(band.note ? band.note(ms) : "")}`;
    });
  }
}

function atOrBefore(data, x) {
  let a = 0;
  let b = data.length;
  while (a < b) {
    const m = (a + b) >> 1;
    if (data[m][0] <= x) a = m + 1;
    else b = m;
  }
  return a - 1;
}

// Resting size by price and time, painted cell by cell for what is zoomed to.
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
