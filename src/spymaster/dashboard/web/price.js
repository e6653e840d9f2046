// The price: candles of the first contract, volume below them, what lies over them.
import { number } from "./format.js";
import { alerts, episodes, levels, marks } from "./overlays.js";
import { LEFT, RIGHT, TimePane } from "./pane.js";
import { lower } from "./store.js";

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
        this.custom("episodes", (area, at) => episodes(this, area, at), 1),
        this.custom("levels", (area, at) => levels(this, area, at), 4),
        this.custom("alerts", (area, at) => alerts(this, area, at), 6),
        marks(this),
        bar("Bought", "buy", c.up),
        bar("Sold", "sell", c.down),
      ],
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
