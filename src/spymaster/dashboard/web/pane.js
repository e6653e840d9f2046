// What all panes over time have: a head, a chart, New York's axis, a zoom and a crosshair shared.
import { echarts } from "nicegui-echart";
import { escape, number, short } from "./format.js";
import { lower } from "./store.js";

export const LEFT = 10;
export const RIGHT = 70;

// What all panes have: a head with a legend, a chart, and that the others follow it.
export class TimePane {
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
    this.chart.on("datazoom", (e) => terminal.view.zoomed(e.batch ? e.batch[0] : e, this));
    this.chart.on("updateAxisPointer", (e) => {
      const info = (e.axesInfo || []).find((a) => a.axisDim === "x");
      if (info && terminal.crosshair.hover === this) terminal.crosshair.point(info.value);
    });
    const zr = this.chart.getZr();
    for (const event of ["mousemove", "mousedown"]) {
      zr.on(event, () => {
        terminal.crosshair.hover = this;
      });
    }
    zr.on("globalout", () => {
      if (terminal.crosshair.hover !== this) return;
      terminal.crosshair.hover = null;
      terminal.crosshair.point(null);
    });
    zr.on("dblclick", () => terminal.view.follow());
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
    const { start, end } = this.terminal.view.near;
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
          formatter: ({ value }) => this.terminal.crosshair.moment(value),
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
    this.chart.setOption(this.option(), { replaceMerge: ["series", "xAxis", "yAxis", "grid"] });
    this.placed = this.where();
    this.say("");
  }

  // What is zoomed to, and on which axis.
  where() {
    const { axis, window } = this.terminal;
    return [axis.start, axis.end, window.start, window.end].map((ms) => this.x(ms));
  }

  // What was drawn, as far as is zoomed to now.
  place() {
    const where = this.where();
    if (!this.placed || where.every((x, i) => x === this.placed[i])) return;
    this.placed = where;
    const [min, max, startValue, endValue] = where;
    this.chart.setOption({
      xAxis: (this.chart.getModel().option.xAxis || []).map(() => ({ min, max })),
      dataZoom: [{ id: "zoom", startValue, endValue }],
    });
  }

  // Over the pane: why there is nothing to see.
  say(text, kind = "") {
    this.over.textContent = text;
    this.over.className = `sm-over ${kind}`;
    this.over.style.display = text ? "flex" : "none";
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

  // The crosshair of another pane, here too: its time, not its price. null: none.
  cross(x) {
    if (!this.placed) return;
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
