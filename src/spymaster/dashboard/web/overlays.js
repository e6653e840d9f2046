// What lies over the price: levels, episodes, anomalies, alerts. Shapes for what is zoomed to.
import { number, words } from "./format.js";
import { lower } from "./store.js";

const LEVEL_COLOURS = { PD: "violet", PM: "cyan", OR: "amber" };

export function levels(pane, area, at) {
  const rows = pane.terminal.store.rows("levels", pane.terminal.main);
  const c = pane.colours;
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
    const [x0, y] = at(pane.x(from), level);
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

export function episodes(pane, area, at) {
  const rows = pane.terminal.store.rows("episodes", pane.terminal.main);
  const c = pane.colours;
  const right = area.x + area.width;
  const shapes = [];
  let lastText = -1e9;
  (rows.opened || []).forEach((opened, i) => {
    const outcome = rows.outcome[i];
    const until = outcome === "OPEN" ? pane.terminal.last : rows.until[i];
    const [x0, y] = at(pane.x(opened), rows.level[i]);
    const [x1] = at(pane.x(until), rows.level[i]);
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
export function marks(pane) {
  const t = pane.terminal;
  const c = pane.colours;
  const all = t.store.rows("anomaly_table");
  const xs = pane.price.at || [];
  const data = [];
  (all.at || []).forEach((at, i) => {
    if (all.contract_id[i] !== t.main) return;
    const k = lower(xs, at + 1) - 1;
    if (k < 0) return;
    const vacuum = all.what[i].includes("vacuum");
    const bought = all.score[i] > 0;
    data.push({
      value: [xs[k] + t.offset, vacuum || bought ? pane.price.low[k] : pane.price.high[k]],
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

// How bad an alert is -> the colour's name.
export const SEVERITIES = { info: "dim", warning: "amber", critical: "down" };
const FLAG = 14;

export function alertTitle(rows, i) {
  return `${rows.severity[i]}: ${rows.what[i]} ${rows.condition[i]}`;
}

// Alerts of this contract and of the whole underlier: a flag at the foot of the bar that they were
// given at; of one bar above each other.
export function alerts(pane, area, at) {
  const t = pane.terminal;
  const c = pane.colours;
  const rows = t.store.rows("alerts");
  const xs = pane.price.at || [];
  const taken = new Map();
  const shapes = [];
  (rows.at || []).forEach((ms, i) => {
    if (rows.contract_id[i] && rows.contract_id[i] !== t.main) return;
    const bar = rows.clock[i] === "wall" ? ms : xs[lower(xs, ms) - 1];
    if (bar === undefined) return;
    const [x] = at(pane.x(bar), 0);
    if (x < area.x || x > area.x + area.width) return;
    const place = taken.get(Math.round(x)) || 0;
    taken.set(Math.round(x), place + 1);
    const y = area.y + area.height - 3 - place * (FLAG + 1);
    const colour = c[{ ...SEVERITIES, info: "accent" }[rows.severity[i]]];
    if (!place) {
      shapes.push({
        type: "line",
        shape: { x1: x, y1: area.y, x2: x, y2: y - FLAG },
        style: { stroke: colour, lineWidth: 1, lineDash: [2, 4], opacity: 0.6 },
      });
    }
    shapes.push(
      {
        type: "rect",
        shape: { x: x - FLAG / 2, y: y - FLAG, width: FLAG, height: FLAG, r: 2 },
        style: { fill: colour },
      },
      {
        type: "text",
        style: {
          text: "!", x, y: y - FLAG / 2, fill: c.panel, font: "bold 11px Roboto, sans-serif",
          textAlign: "center", textVerticalAlign: "middle",
        },
      },
    );
  });
  pane.flags = shapes.filter((s) => s.type === "rect").length;
  return shapes;
}
