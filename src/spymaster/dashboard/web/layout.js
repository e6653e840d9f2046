// Which panes there are, where they stand, which tiles they read.
import { featureBands, healthBands, scoreBands } from "./bands.js";
import { escape, number } from "./format.js";
import { HeatPane } from "./heat.js";
import { LinesPane } from "./lines.js";
import { SEVERITIES, alertTitle } from "./overlays.js";
import { PricePane } from "./price.js";
import { Calibration, Health, Ladder, TableCard } from "./side.js";

const READS = {
  price: ["price", "trades", "levels", "episodes", "anomaly_table", "alerts"],
  features: ["feature", "anomalies"],
  scores: ["scores"],
  heatmap: ["heatmap", "price"],
  health: ["records", "latency"],
  calibration: ["calibration", "live_record"],
  quality: ["quality", "gaps", "errors", "parity"],
};

// The tiles that a pane draws.
export const reads = (pane) => READS[pane.id] || [pane.id];

export function build(t) {
  const main = t.$(".sm-main");
  const side = t.$(".sm-side");
  const slot = (parent, cls = "") => {
    const el = document.createElement("section");
    if (cls) el.className = cls;
    parent.append(el);
    return el;
  };
  t.price = new PricePane(t, slot(main, "sm-price"), "price", "Price");
  t.features = new LinesPane(
    t, slot(main), "features", "Features", (pane) => featureBands(t, pane), 92,
  );
  t.scores = new LinesPane(t, slot(main), "scores", "Scores", () => scoreBands(t), 130);
  t.heat = new HeatPane(t, slot(main, "sm-heat"), "heatmap", "Liquidity");
  t.rates = new LinesPane(
    t, slot(main), "health", "Feed and scoring", (pane) => healthBands(t, pane), 84,
  );
  const contract = { write: (v) => `<b>${escape(v)}</b>` };
  const signed = {
    num: true,
    write: (v) => `<b class="${v > 0 ? "up" : v < 0 ? "down" : ""}">${number(v)}</b>`,
  };
  t.panes = [
    t.price, t.features, t.scores, t.heat, t.rates,
    new Ladder(t, slot(side), "ladder", "Depth"),
    new TableCard(t, slot(side), "movers", "Top movers",
      { contract_id: contract, before: { num: true, unit: "" }, after: { num: true, unit: "" },
        change: { ...signed, unit: "" } },
      { most: 10, click: (i, rows) => t.choose(rows.contract_id[i]) }),
    new TableCard(t, slot(side), "anomaly_table", "Anomalies",
      { at: { write(v) { return this.time(v); } },
        contract_id: contract,
        what: { write: (v) => escape(v) },
        value: { num: true, unit: "" },
        score: { ...signed, unit: "" } },
      { most: 12, click: (i, rows) => t.view.goTo(rows.at[i], rows.contract_id[i]) }),
    new TableCard(t, slot(side), "alerts", "Alerts",
      { at: { write(v) { return this.time(v); } },
        subject: { write: (v) => `<b>${escape(v)}</b>` },
        rule: {
          write: (v, i, rows) =>
            `<b class="${SEVERITIES[rows.severity[i]]}" title="${escape(alertTitle(rows, i))}">` +
            `${escape(v)}</b> <small>${escape(rows.severity[i])}</small>`,
        },
        value: { num: true, unit: "" } },
      { most: 12, click: (i, rows) => t.view.goTo(rows.at[i], rows.contract_id[i]) }),
    new Calibration(t, slot(side), "calibration", "Scores against outcomes"),
    new Health(t, slot(side), "quality", "Feed health"),
  ];
  t.charts = [t.price, t.features, t.scores, t.heat, t.rates];
  parameters(t);
}

function parameters(t) {
  const where = {
    heatmap: ["cell"], movers: ["measure"], anomaly_table: ["threshold"], scores: ["role"],
  };
  for (const [id, names] of Object.entries(where)) {
    const pane = t.panes.find((p) => p.id === id);
    for (const name of names) {
      const parameter = t.tiles[id].parameters.find((p) => p.name === name);
      if (!parameter) continue;
      const select = document.createElement("select");
      select.className = "sm-small";
      select.title = parameter.label;
      select.setAttribute("aria-label", `${pane.id}: ${parameter.label}`);
      select.dataset.parameter = name;
      for (const [value, label] of Object.entries(parameter.choices)) {
        select.append(new Option(label.replace(/ \(.*\)$/, ""), value));
      }
      select.value = t.choice(name);
      select.addEventListener("change", () => {
        t.state.choices[name] = select.value;
        t.join();
      });
      pane.params.append(select);
    }
  }
}
