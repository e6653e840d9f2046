// Lines, one grid below the other: features, scores, health.
import { escape, number } from "./format.js";
import { LEFT, RIGHT, TimePane } from "./pane.js";

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
