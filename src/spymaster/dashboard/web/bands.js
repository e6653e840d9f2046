// What the panes of lines show: features, scores, and how fast records and scores come.
import { lower } from "./store.js";

export function featureBands(t, pane) {
  const c = t.palette;
  return (t.meta?.features || []).map((name) => {
    const label = t.settings.features[name] || name;
    const unit = /\((.*)\)$/.exec(label)?.[1] || "";
    const contracts = t.meta.contracts;
    const lines = contracts.map((contract, i) => ({
      id: contract,
      name: contracts.length > 1 ? contract : "",
      colour: c.series[i % c.series.length],
      data: pane.column(t.store.rows(`feature:${name}`, contract), "at", "value"),
    }));
    const marks = [];
    const strange = t.store.rows(`anomalies:${name}`, t.main);
    (strange.at || []).forEach((at, i) => marks.push([at + t.offset, strange.value[i]]));
    return { key: `feature:${name}`, title: name, unit, lines, marks };
  });
}

export function scoreBands(t) {
  const c = t.palette;
  const by = t.store.parts.scores?.by || {};
  const rows = [];
  const off = t.offset;
  const versions = [];
  const { start, end } = t.view.near;
  for (const part of Object.values(by)) {
    if (part.at.at(-1) < start || part.at[0] > end) continue;
    for (let i = 0; i < part.at.length; i++) {
      if (part.contract_id[i] !== t.main) continue;
      rows.push([part.at[i], part.p_break[i], part.p_reject[i], part.p_chop[i], i === 0]);
      versions.push([part.at[i], `${part.model_id[i]} v${part.model_version[i]}`]);
    }
  }
  rows.sort((a, b) => a[0] - b[0]);
  versions.sort((a, b) => a[0] - b[0]);
  const line = (name, column) => {
    const data = [];
    let before = 0;
    for (const row of rows) {
      if (before && row[0] - before > 30_000) data.push([before + off + 1, null]);
      data.push([row[0] + off, row[column]]);
      before = row[0];
    }
    return { id: name, name, colour: c[name.toUpperCase()], data, gaps: true };
  };
  const times = versions.map((v) => v[0]);
  return [
    {
      key: "scores",
      title: "",
      unit: "0..1",
      min: 0,
      max: 1,
      lines: [line("break", 1), line("reject", 2), line("chop", 3)],
      note: (ms) => {
        if (!versions.length) return "";
        const i = ms === null ? versions.length - 1 : Math.max(0, lower(times, ms + 1) - 1);
        return versions[i][1];
      },
    },
  ];
}

export function healthBands(t, pane) {
  const c = t.palette;
  const records = t.store.parts.records?.by || {};
  const latency = t.store.parts.latency?.by || {};
  const lines = (by, column, named) =>
    Object.entries(by).map(([split, rows], i) => ({
      id: `${column} ${split}`,
      name: named || (Object.keys(by).length > 1 ? split : ""),
      colour: c.series[i % c.series.length],
      data: pane.column(rows, "at", column),
    }));
  const bands = [
    { key: "records", title: "records", unit: "records/s", lines: lines(records, "rate") },
  ];
  if (Object.keys(latency).length) {
    const p95 = lines(latency, "p95_ms", "95%");
    const mean = lines(latency, "mean_ms", "mean");
    mean.forEach((line) => {
      line.colour = c.series[1];
    });
    bands.push({ key: "latency", title: "time to a score", unit: "ms", lines: [...p95, ...mean] });
  }
  return bands;
}
