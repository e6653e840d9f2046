// The panes beside the charts: the ladder, tables, calibration, and how the feed is.
import { echarts } from "nicegui-echart";
import { age, escape, newYork, number, utcTitle, words } from "./format.js";

class Card {
  constructor(terminal, el, id, title) {
    this.terminal = terminal;
    this.id = id;
    this.el = el;
    el.classList.add("sm-pane", "sm-card");
    el.dataset.pane = id;
    el.innerHTML =
      `<div class="sm-pane-head"><span class="sm-title">${escape(title)}</span>` +
      `<span class="sm-legend"></span><span class="sm-params"></span></div><div class="sm-body"></div>`;
    this.legend = el.querySelector(".sm-legend");
    this.params = el.querySelector(".sm-params");
    this.body = el.querySelector(".sm-body");
  }

  html(text) {
    if (this.text !== text) {
      this.text = text;
      this.body.innerHTML = text;
    }
  }

  time(ms, seconds = true) {
    if (ms === null || ms === undefined) return "–";
    return `<time title="${utcTitle(ms)}">${newYork(ms, this.terminal.meta.offset, seconds)}</time>`;
  }

  empty(text) {
    this.html(`<p class="sm-none">${escape(text)}</p>`);
  }

  draw() {}
  point() {}
  close() {}
}

export class Ladder extends Card {
  draw() {
    const rows = this.terminal.store.rows("ladder", this.terminal.main);
    const n = rows.price?.length || 0;
    if (!n) return this.empty(this.terminal.spec("ladder").empty);
    const most = Math.max(...rows.size);
    const best = { bid: -1, ask: -1 };
    const lines = [];
    for (let i = 0; i < n; i++) if (rows.level[i] === 1) best[rows.side[i]] = rows.price[i];
    const spread = best.bid > 0 && best.ask > 0 ? best.ask - best.bid : null;
    let crossed = false;
    for (let i = 0; i < n; i++) {
      const bid = rows.side[i] === "bid";
      if (bid && !crossed) {
        crossed = true;
        lines.push(
          `<tr class="sm-spread"><td colspan="3">spread ${number(spread, 2)}</td></tr>`,
        );
      }
      const share = ((rows.size[i] / most) * 100).toFixed(1);
      lines.push(
        `<tr class="${bid ? "bid" : "ask"}"><td class="num">${number(rows.price[i], 2)}</td>` +
          `<td class="num depth"><span style="width:${share}%"></span><b>${number(rows.size[i])}</b></td>` +
          `<td class="num dim">${number(rows.orders[i])}</td></tr>`,
      );
    }
    this.legend.innerHTML = `<i>at</i><b>${this.time(rows.at[0])}</b>`;
    this.html(
      `<table class="sm-ladder"><thead><tr><th>Price<small>currency</small></th>` +
        `<th>Size<small>resting</small></th><th>Orders</th></tr></thead><tbody>${lines.join("")}</tbody></table>`,
    );
    return undefined;
  }
}

// A tile of kind table. `columns`: name -> how a cell is written; the others as they are.
export class TableCard extends Card {
  constructor(terminal, el, id, title, columns, { most = 12, click } = {}) {
    super(terminal, el, id, title);
    this.columns = columns;
    this.most = most;
    this.body.addEventListener("click", (e) => {
      const row = e.target.closest("tr[data-i]");
      if (row && click) click(Number(row.dataset.i), this.terminal.store.rows(id));
    });
    this.body.addEventListener("keydown", (e) => {
      const row = e.target.closest("tr[data-i]");
      if (!row || !click || !["Enter", " "].includes(e.key)) return;
      e.preventDefault();
      e.stopPropagation();
      row.click();
    });
    this.reached = click ? ' tabindex="0"' : "";
    if (click) el.classList.add("sm-clickable");
  }

  draw() {
    const spec = this.terminal.spec(this.id);
    const rows = this.terminal.store.rows(this.id);
    const names = Object.keys(this.columns);
    const n = rows[names[0]]?.length || 0;
    if (!n) return this.empty(spec.empty);
    const units = Object.fromEntries(spec.series.map((s) => [s.column, s.unit]));
    const labels = Object.fromEntries(spec.series.map((s) => [s.column, s.label]));
    const head = names
      .map((name) => {
        const { label = labels[name] || name, num, unit = units[name] } = this.columns[name];
        const small = unit && num ? `<small>${escape(unit)}</small>` : "";
        return `<th class="${num ? "num" : ""}">${escape(label)}${small}</th>`;
      })
      .join("");
    const lines = [];
    for (let i = 0; i < Math.min(n, this.most); i++) {
      const cells = names.map((name) => {
        const { num, write } = this.columns[name];
        const value = rows[name][i];
        const told = write ? write.call(this, value, i, rows) : num ? number(value) : escape(value);
        return `<td class="${num ? "num" : ""}">${told}</td>`;
      });
      lines.push(`<tr data-i="${i}"${this.reached}>${cells.join("")}</tr>`);
    }
    const more = n > this.most ? `<p class="sm-none">and ${n - this.most} more</p>` : "";
    const focused = this.body.contains(document.activeElement) && document.activeElement.dataset.i;
    this.html(`<table><thead><tr>${head}</tr></thead><tbody>${lines.join("")}</tbody></table>${more}`);
    if (focused) this.body.querySelector(`tr[data-i="${focused}"]`)?.focus({ preventScroll: true });
    return undefined;
  }
}

const DASHES = ["solid", "dashed", "dotted"];

// A curve per outcome and version of a model: [{outcome, name, place, data}].
function curves(by) {
  const said = (rows, i) => `${rows.model_id[i]} v${rows.model_version[i]}`;
  const models = [...new Set(Object.values(by).flatMap((rows) => rows.said.map((_, i) => said(rows, i))))];
  return Object.entries(by).flatMap(([outcome, rows]) =>
    models.sort().map((model, place) => ({
      outcome,
      place,
      name: models.length > 1 ? `${words(outcome)}, ${model}` : words(outcome),
      data: rows.said
        .map((x, i) => [x, rows.happened[i], rows.episodes[i], said(rows, i)])
        .filter((point) => point[3] === model),
    })),
  ).filter(({ data }) => data.length);
}

export class Calibration extends Card {
  constructor(terminal, el, id, title) {
    super(terminal, el, id, title);
    this.body.innerHTML = '<div class="sm-record"></div><div class="sm-calibration"></div>';
    this.record = this.body.querySelector(".sm-record");
    const chart = this.body.querySelector(".sm-calibration");
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", `${title}: chart of the share that came over what was said`);
    this.chart = echarts.init(chart);
  }

  draw() {
    const t = this.terminal;
    const c = t.palette;
    const by = t.store.parts.calibration?.by || {};
    const record = t.store.rows("live_record");
    const n = record.model_id?.length || 0;
    this.record.innerHTML = n
      ? Array.from({ length: n }, (_, i) => {
          const better = record.log_loss[i] < record.prior_loss[i];
          return (
            `<div class="sm-figures"><span><small>model</small>${escape(record.model_id[i])} ` +
            `v${escape(record.model_version[i])}</span><span><small>episodes</small>` +
            `${number(record.episodes[i], 0)}</span><span><small>hit rate</small>` +
            `${number(record.hit_rate[i], 3)}</span><span><small>log-loss, nats</small>` +
            `<b class="${better ? "up" : "down"}">${number(record.log_loss[i], 3)}</b></span>` +
            `<span><small>of the shares</small>${number(record.prior_loss[i], 3)}</span></div>`
          );
        }).join("")
      : `<p class="sm-none">${escape(t.spec("live_record").empty)}</p>`;
    this.chart.getDom().style.display = n ? "" : "none";
    if (!n) return;
    this.chart.resize();
    const axis = (name) => ({
      type: "value",
      min: 0,
      max: 1,
      name,
      nameLocation: "middle",
      nameGap: name.startsWith("said") ? 20 : 26,
      nameTextStyle: { color: c.muted, fontSize: 10 },
      axisLabel: { color: c.muted, fontSize: 10 },
      axisLine: { lineStyle: { color: c.line } },
      splitLine: { lineStyle: { color: c.grid } },
      interval: 0.25,
    });
    this.chart.setOption(
      {
        animation: false,
        textStyle: { fontFamily: "inherit" },
        grid: { left: 40, right: 12, top: 24, bottom: 34 },
        legend: {
          top: 0,
          left: 34,
          itemWidth: 10,
          itemHeight: 2,
          icon: "rect",
          textStyle: { color: c.muted, fontSize: 10 },
        },
        xAxis: axis("said, 0..1"),
        yAxis: axis("came, 0..1"),
        series: [
          {
            type: "line",
            name: "as said",
            data: [[0, 0], [1, 1]],
            showSymbol: false,
            lineStyle: { color: c.faint, type: "dashed", width: 1 },
            itemStyle: { color: c.faint },
            silent: true,
          },
          ...curves(by).map(({ outcome, name, place, data }) => ({
            type: "line",
            name,
            data,
            symbol: "circle",
            symbolSize: (v) => Math.min(11, 3 + Math.sqrt(v[2])),
            lineStyle: { width: 1.2, color: c[outcome], type: DASHES[place % DASHES.length] },
            itemStyle: { color: c[outcome] },
          })),
        ],
      },
      { replaceMerge: ["series"] },
    );
  }

  close() {
    this.chart.dispose();
  }
}

// What the processes say, what the bars count, the last certificate, errors, gaps.
export class Health extends Card {
  draw() {
    const t = this.terminal;
    const p = t.pulse || {};
    const quality = t.store.rows("quality");
    const sum = (name) => (quality[name] || []).reduce((a, b) => a + (b || 0), 0);
    const flag = (value) => (Math.round(value) ? "down" : "");
    const live = t.state.session === "live";
    const figures = [];
    const figure = (name, value, tone = "") =>
      figures.push(`<span><small>${name}</small><b class="${tone}">${value}</b></span>`);
    if (live) figure("since the last bar", age(p.silent_s), p.feed === "stale" ? "down" : "");
    figure("records", number(sum("records")));
    figure("unknown orders", number(sum("unknown")), flag(sum("unknown")));
    figure("crossed", number(sum("crossed")), flag(sum("crossed")));
    figure("drift, orders", number(sum("drift")), flag(sum("drift")));
    figure("doubtful bars", number(sum("doubtful")), flag(sum("doubtful")));
    figure("absent bars", number(sum("absent"), 0), flag(sum("absent")));
    const gaps = t.store.rows("gaps").from_ts?.length || 0;
    figure("gaps", number(gaps), flag(gaps));
    const errors = (t.store.rows("errors").vectors || []).reduce((a, b) => a + b, 0);
    figure("vectors without a score", number(errors), flag(errors));
    const parity = t.store.rows("parity");
    // The newest that differs, else the newest: one that is equal hides none that is not.
    const certificates = (parity.equal || []).map((equal, i) => ({ equal, i, at: parity.checked_at[i] }));
    certificates.sort((a, b) => a.equal - b.equal || b.at - a.at);
    if (certificates.length) {
      const { equal, i } = certificates[0];
      const of = `${parity.session_date[i]}, ${parity.against[i]}`;
      figure(`certificate ${escape(of)}`, equal ? "equal" : "DIFFERENT", equal ? "up" : "down");
    } else figure("certificate", "none yet");
    const reasons = t.store.rows("errors").reason || [];
    const why = reasons.length ? `<p class="sm-warn">${escape(reasons[0])}</p>` : "";
    const lines = (live ? p.processes || [] : []).map((s) => {
      const tone = s.runs ? (s.state === "live" ? "up" : "amber") : "dim";
      const state = s.runs || ["stopped", "failed"].includes(s.state) ? s.state : "gone";
      const rate = s.records_per_s === undefined ? "" : `${number(Math.round(s.records_per_s))}/s`;
      const version = s.model_version ? `v${escape(s.model_version)}` : "";
      const lag = s.lag_s === null || s.lag_s === undefined ? "" : age(s.lag_s);
      return (
        `<tr title="${escape(s.last_error || s.detail || "")}"><td>${escape(s.process)}</td>` +
        `<td class="${tone}">${escape(state)}</td><td class="num">${rate || version}</td>` +
        `<td class="num">${lag}</td></tr>`
      );
    });
    const table = lines.length
      ? `<table><thead><tr><th>Process</th><th>State</th><th class="num">Rate<small>records/s</small>` +
        `</th><th class="num">Lag</th></tr></thead><tbody>${lines.join("")}</tbody></table>`
      : "";
    this.html(`<div class="sm-figures">${figures.join("")}</div>${why}${table}`);
  }
}
