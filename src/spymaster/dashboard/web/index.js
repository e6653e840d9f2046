// The terminal: state and address, toolbar and keys, what comes from the server to its panes.
import * as address from "./address.js";
import { saveCsv, savePng } from "./export.js";
import { age, clock, day, escape, newYork, number, utcTitle } from "./format.js";
import { HeatPane, LinesPane, PricePane } from "./panes.js";
import { Calibration, Health, Ladder, TableCard } from "./side.js";
import { Store, lower } from "./store.js";
import { PALETTES, css } from "./theme.js";
import { skeleton, wire } from "./toolbar.js";

const MINUTE = 60_000;
const LIVE_WIDTH = 30 * MINUTE;
const NARROWEST = MINUTE;

export class Terminal {
  constructor(root, settings, emit) {
    this.root = root;
    this.settings = settings;
    this.emit = emit;
    this.store = new Store();
    this.state = address.read();
    this.pulse = null;
    this.drawn = null;
    this.drawings = [];
    this.changed = new Set();
    this.drawing = 0;
    this.near = { start: 0, end: 1 };
    this.axis = { start: 0, end: 1 };
    this.window = { start: 0, end: 1 };
    this.offset = 0;
    this.hover = null; // the pane under the pointer
    this.crossed = null;
    this.at = null; // what the crosshair is on, ms UTC
    this.panes = [];
    this.system = window.matchMedia("(prefers-color-scheme: dark)");
    this.tiles = Object.fromEntries(settings.tiles.map((t) => [t.id, t]));
    root.innerHTML = skeleton();
    this.$ = (selector) => root.querySelector(selector);
    this.paintTheme();
    this.bars = wire(this);
    this.show("loading");
    this.build();
    this.onTheme = () => this.setTheme(this.state.theme);
    this.system.addEventListener("change", this.onTheme);
    this.onKey = (e) => this.key(e);
    window.addEventListener("keydown", this.onKey);
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(root);
    this.timer = setInterval(() => this.beat(), 500);
    if (this.state.paused) this.emit("pause", {});
  }

  close() {
    clearInterval(this.timer);
    this.system.removeEventListener("change", this.onTheme);
    window.removeEventListener("keydown", this.onKey);
    this.sizes.disconnect();
    this.panes.forEach((pane) => pane.close());
  }

  // What is there

  get meta() {
    return this.store.meta;
  }

  get main() {
    return this.meta?.contracts[0];
  }

  get last() {
    return this.meta?.last ?? 0;
  }

  get dark() {
    const theme = this.state.theme;
    return theme ? theme === "dark" : this.system.matches;
  }

  get palette() {
    return PALETTES[this.dark ? "dark" : "light"];
  }

  get live() {
    return this.state.session === "live";
  }

  spec(key) {
    return this.tiles[key.split(":")[0]];
  }

  nothing(id) {
    const tile = this.tiles[id] || { features: this.tiles.feature, health: this.tiles.records }[id];
    return tile?.empty || "Nothing in this window.";
  }

  choice(name) {
    const chosen = this.state.choices[name];
    if (chosen) return chosen;
    for (const tile of Object.values(this.tiles)) {
      const parameter = tile.parameters.find((p) => p.name === name);
      if (parameter) return name === "bar" && this.meta ? this.meta.bar : parameter.default;
    }
    return "";
  }

  // Panes

  build() {
    const main = this.$(".sm-main");
    const side = this.$(".sm-side");
    const slot = (parent, cls = "") => {
      const el = document.createElement("section");
      if (cls) el.className = cls;
      parent.append(el);
      return el;
    };
    this.price = new PricePane(this, slot(main, "sm-price"), "price", "Price");
    this.features = new LinesPane(
      this, slot(main), "features", "Features", () => this.featureBands(), 92,
    );
    this.scores = new LinesPane(this, slot(main), "scores", "Scores", () => this.scoreBands(), 130);
    this.heat = new HeatPane(this, slot(main, "sm-heat"), "heatmap", "Liquidity");
    this.rates = new LinesPane(
      this, slot(main), "health", "Feed and scoring", () => this.healthBands(), 84,
    );
    const contract = { write: (v) => `<b>${escape(v)}</b>` };
    const signed = {
      num: true,
      write: (v) => `<b class="${v > 0 ? "up" : v < 0 ? "down" : ""}">${number(v)}</b>`,
    };
    this.panes = [
      this.price, this.features, this.scores, this.heat, this.rates,
      new Ladder(this, slot(side), "ladder", "Depth"),
      new TableCard(this, slot(side), "movers", "Top movers",
        { contract_id: contract, before: { num: true, unit: "" }, after: { num: true, unit: "" },
          change: { ...signed, unit: "" } },
        { most: 10, click: (i, rows) => this.choose(rows.contract_id[i]) }),
      new TableCard(this, slot(side), "anomaly_table", "Anomalies",
        { at: { write(v) { return this.time(v); } },
          contract_id: contract,
          what: { write: (v) => escape(v) },
          value: { num: true, unit: "" },
          score: { ...signed, unit: "" } },
        { most: 12, click: (i, rows) => this.goTo(rows.at[i], rows.contract_id[i]) }),
      new Calibration(this, slot(side), "calibration", "Scores against outcomes"),
      new Health(this, slot(side), "quality", "Feed health"),
    ];
    this.charts = [this.price, this.features, this.scores, this.heat, this.rates];
    this.parameters();
  }

  parameters() {
    const where = {
      heatmap: ["cell"], movers: ["measure"], anomaly_table: ["threshold"], scores: ["role"],
    };
    for (const [id, names] of Object.entries(where)) {
      const pane = this.panes.find((p) => p.id === id);
      for (const name of names) {
        const parameter = this.tiles[id].parameters.find((p) => p.name === name);
        if (!parameter) continue;
        const select = document.createElement("select");
        select.className = "sm-small";
        select.title = parameter.label;
        select.setAttribute("aria-label", `${pane.id}: ${parameter.label}`);
        select.dataset.parameter = name;
        for (const [value, label] of Object.entries(parameter.choices)) {
          select.append(new Option(label.replace(/ \(.*\)$/, ""), value));
        }
        select.value = this.choice(name);
        select.addEventListener("change", () => {
          this.state.choices[name] = select.value;
          this.join();
        });
        pane.params.append(select);
      }
    }
  }

  featureBands() {
    const c = this.palette;
    return (this.meta?.features || []).map((name) => {
      const label = this.settings.features[name] || name;
      const unit = /\((.*)\)$/.exec(label)?.[1] || "";
      const contracts = this.meta.contracts;
      const lines = contracts.map((contract, i) => ({
        id: contract,
        name: contracts.length > 1 ? contract : "",
        colour: c.series[i % c.series.length],
        data: this.features.column(this.store.rows(`feature:${name}`, contract), "at", "value"),
      }));
      const marks = [];
      const strange = this.store.rows(`anomalies:${name}`, this.main);
      (strange.at || []).forEach((at, i) => marks.push([at + this.offset, strange.value[i]]));
      return { key: `feature:${name}`, title: name, unit, lines, marks };
    });
  }

  scoreBands() {
    const c = this.palette;
    const by = this.store.parts.scores?.by || {};
    const rows = [];
    const off = this.offset;
    const versions = [];
    const { start, end } = this.near;
    for (const part of Object.values(by)) {
      if (part.at.at(-1) < start || part.at[0] > end) continue;
      for (let i = 0; i < part.at.length; i++) {
        if (part.contract_id[i] !== this.main) continue;
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

  healthBands() {
    const c = this.palette;
    const records = this.store.parts.records?.by || {};
    const latency = this.store.parts.latency?.by || {};
    const lines = (by, column, named) =>
      Object.entries(by).map(([split, rows], i) => ({
        id: `${column} ${split}`,
        name: named || (Object.keys(by).length > 1 ? split : ""),
        colour: c.series[i % c.series.length],
        data: this.rates.column(rows, "at", column),
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

  // Messages

  take(what, told) {
    if (what === "pulse") {
      this.pulse = told;
      this.panes.filter((p) => p.id === "quality").forEach((p) => this.meta && p.draw());
      this.judge();
    } else if (what === "failed") this.show("failed", told.reason);
    else if (what === "full") this.full(told);
    else if (what === "delta" && this.loaded) this.delta(told);
  }

  full(told) {
    this.store.full(told);
    this.loaded = true;
    this.bars.sessions();
    this.shown = !!this.meta;
    if (!this.meta) {
      this.judge();
      return;
    }
    this.show("");
    const meta = this.meta;
    this.offset = meta.offset * 1000;
    this.state.underlier = meta.underlier;
    this.axis = { start: meta.start, end: meta.end };
    const { start, end } = this.state;
    if (end > start && end > meta.start && start < meta.end) {
      this.window = { start, end };
      this.following = false;
    } else this.edge();
    this.bars.draw();
    this.drawAll();
    this.judge();
    this.painted();
    this.askZoomed();
    this.refit();
  }

  delta(told) {
    if (told.meta && !this.shown) {
      // The first bar of a session: everything is new.
      this.join();
      return;
    }
    const { underlier, date } = this.meta || {};
    if (told.meta && this.meta && (told.meta.date !== date || told.meta.underlier !== underlier)) {
      this.join();
      return;
    }
    const keys = this.store.delta(told, (key) => this.spec(key));
    if (!this.meta) return;
    if (told.zoom) {
      this.panes.filter((p) => keys.includes(p.id)).forEach((p) => p.draw());
      return;
    }
    this.axis = { start: this.meta.start, end: this.meta.end };
    keys.forEach((key) => this.changed.add(key));
    // Several messages at once are drawn once: a browser that is slow falls behind by one drawing.
    this.drawing ||= requestAnimationFrame(() => {
      this.drawing = 0;
      const changed = [...this.changed];
      this.changed.clear();
      if (!this.meta) return;
      if (this.following) this.edge();
      this.drawAll(changed);
      this.judge();
      this.bars.draw();
      this.askZoomed();
      this.painted();
    });
  }

  // When what came last is on the screen, by the clock: for whoever measures.
  painted() {
    const last = this.last;
    requestAnimationFrame(() => {
      const port = new MessageChannel();
      port.port1.onmessage = () => {
        this.drawn = { last, at: Date.now(), since: performance.now() };
        this.drawings.push([last, this.drawn.at]);
        if (this.drawings.length > 500) this.drawings.shift();
      };
      port.port2.postMessage(0);
    });
  }

  // Where a live window ends: the last bar, with some room to come.
  edge() {
    const meta = this.meta;
    if (!this.live) {
      this.window = { start: meta.start, end: meta.end };
      this.following = false;
      return;
    }
    const width = (this.state.width || LIVE_WIDTH / MINUTE) * MINUTE;
    const end = meta.last + width * 0.04;
    this.axis = { start: Math.min(meta.start, end - width), end: Math.max(meta.end, end) };
    this.window = { start: end - width, end };
    this.following = true;
  }

  drawAll(keys) {
    const mine = {
      price: ["price", "trades", "levels", "episodes", "anomaly_table"],
      features: ["feature", "anomalies"],
      scores: ["scores"],
      heatmap: ["heatmap", "price"],
      health: ["records", "latency"],
      calibration: ["calibration", "live_record"],
      quality: ["quality", "gaps", "errors", "parity"],
    };
    const width = this.window.end - this.window.start;
    this.near = { start: this.window.start - width * 0.3, end: this.window.end + width * 0.3 };
    const changed = keys && new Set(keys.map((k) => k.split(":")[0]));
    for (const pane of this.panes) {
      const reads = mine[pane.id] || [pane.id];
      if (!changed || reads.some((k) => changed.has(k))) pane.draw();
      else if (this.charts.includes(pane) && this.following) this.place(pane);
    }
    this.pointed(this.at === null ? null : this.at + this.offset);
  }

  // Zoom and crosshair

  place(pane) {
    pane.chart.setOption({
      xAxis: (pane.chart.getModel().option.xAxis || []).map(() => ({
        min: this.axis.start + this.offset,
        max: this.axis.end + this.offset,
      })),
      dataZoom: [
        {
          id: "zoom",
          startValue: this.window.start + this.offset,
          endValue: this.window.end + this.offset,
        },
      ],
    });
  }

  // A pane was zoomed or moved: the others follow.
  zoomed(e, from) {
    if (e.start === undefined || this.placing || !this.meta) return;
    const { start, end } = this.axis;
    const a = start + ((end - start) * e.start) / 100;
    const b = start + ((end - start) * e.end) / 100;
    if (Math.abs(a - this.window.start) < 1 && Math.abs(b - this.window.end) < 1) return;
    this.window = { start: a, end: b };
    this.placing = true;
    for (const pane of this.charts) {
      if (pane === from) continue;
      pane.chart.dispatchAction({ type: "dataZoom", dataZoomId: "zoom", start: e.start, end: e.end });
    }
    this.placing = false;
    this.settle();
  }

  // The window is where the viewer wants it: the address, the bars, the tables follow.
  settle() {
    const width = this.window.end - this.window.start;
    const { start, end } = this.near;
    const from = Math.max(this.window.start, this.meta.first);
    const to = Math.min(this.window.end, this.meta.last);
    if (from < start || to > end) {
      cancelAnimationFrame(this.widening);
      this.widening = requestAnimationFrame(() => this.drawAll());
    }
    this.following = this.live && this.window.end >= this.last;
    if (this.following) {
      this.state.width = Math.round((width / MINUTE) * 100) / 100;
      this.state.start = 0;
      this.state.end = 0;
    } else {
      this.state.start = this.window.start;
      this.state.end = this.window.end;
    }
    this.bars.window();
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      address.write(this.state);
      this.askZoomed();
      this.refit();
    }, 250);
  }

  move(start, end) {
    if (!this.meta) return;
    const width = Math.max(NARROWEST, Math.min(end - start, this.axis.end - this.axis.start));
    let a = Math.max(this.axis.start, start);
    if (a + width > this.axis.end) a = this.axis.end - width;
    this.window = { start: a, end: a + width };
    this.placing = true;
    this.charts.forEach((pane) => this.place(pane));
    this.placing = false;
    this.settle();
  }

  pan(share) {
    const width = this.window.end - this.window.start;
    this.move(this.window.start + width * share, this.window.end + width * share);
  }

  scale(factor) {
    const { start, end } = this.window;
    const fixed = this.following ? this.last + (end - start) * 0.04 : (start + end) / 2;
    const a = fixed - (fixed - start) * factor;
    this.move(a, a + (end - start) * factor);
  }

  wide(minutes) {
    if (!this.meta) return;
    if (!minutes) this.move(this.axis.start, this.axis.end);
    else if (this.live) {
      this.state.width = minutes;
      this.follow();
    } else {
      const middle = (this.window.start + this.window.end) / 2;
      this.move(middle - (minutes * MINUTE) / 2, middle + (minutes * MINUTE) / 2);
    }
  }

  follow() {
    if (!this.meta) return;
    this.state.start = 0;
    this.state.end = 0;
    this.edge();
    this.placing = true;
    this.charts.forEach((pane) => this.place(pane));
    this.placing = false;
    this.settle();
  }

  goTo(ms, contract) {
    const width = Math.min(this.window.end - this.window.start, 20 * MINUTE);
    this.move(ms - width / 2, ms + width / 2);
    if (contract && contract !== this.main) this.choose(contract);
  }

  askZoomed() {
    const now = performance.now();
    clearTimeout(this.asking);
    const wait = Math.max(0, 1000 - (now - (this.askedAt || -1e9)));
    this.asking = setTimeout(() => {
      this.askedAt = performance.now();
      if (!this.meta || this.state.paused) return;
      const { start, end } = this.window;
      const b = Math.min(end, this.meta.last + 1);
      const a = Math.max(start, this.meta.first);
      this.emit("zoom", { ...this.asked(), a, b: Math.max(b, a + 5000) });
    }, wait);
  }

  // Bars as wide as the zoom asks for.
  refit() {
    if (this.state.interval !== "auto" || !this.meta) return;
    const span = this.window.end - this.window.start;
    const bar = span <= 50 * MINUTE ? "5" : span <= 150 * MINUTE ? "15" : span <= 720 * MINUTE ? "60" : "300";
    if (bar !== this.meta.bar) {
      this.state.choices.bar = bar;
      this.join();
    }
  }

  pointed(x) {
    const ms = x === null ? null : x - this.offset;
    this.at = ms;
    if (this.pointing) return;
    this.pointing = requestAnimationFrame(() => {
      this.pointing = 0;
      if (!this.meta) return;
      this.panes.forEach((pane) => pane.point(this.at));
      const at = this.at === null ? null : this.at + this.offset;
      if (at === null && this.crossed === null) return;
      this.crossed = at;
      this.charts.forEach((pane) => pane !== this.hover && pane.cross(at));
    });
  }

  tick(v) {
    const width = this.window.end - this.window.start;
    if (v % 86_400_000 === 0) return day(v);
    return clock(v, width < 8 * MINUTE);
  }

  moment(v) {
    return `${clock(v)} NY   ${clock(v - this.offset)} UTC`;
  }

  // State

  asked() {
    const asked = address.params(this.state);
    if (this.state.interval !== "auto") asked["p.bar"] = this.state.interval;
    return asked;
  }

  join() {
    address.write(this.state);
    this.root.classList.add("sm-busy");
    this.emit("join", this.asked());
    this.bars.draw();
  }

  set(change) {
    Object.assign(this.state, change);
    this.join();
  }

  session(session, underlier) {
    delete this.state.choices.bar;
    this.set({ session, underlier: underlier ?? this.state.underlier, contracts: [], start: 0, end: 0 });
  }

  choose(contract) {
    const others = this.state.contracts.filter((c) => c !== contract);
    this.set({ contracts: [contract, ...others].slice(0, Math.max(1, this.state.contracts.length)) });
  }

  pause(paused) {
    this.state.paused = paused;
    if (paused) {
      address.write(this.state);
      this.emit("pause", {});
      this.bars.draw();
    } else this.join();
  }

  setTheme(theme) {
    this.state.theme = theme;
    address.write(this.state);
    this.paintTheme();
    this.bars.draw();
    if (this.meta) this.drawAll();
  }

  paintTheme() {
    document.documentElement.style.cssText = css(this.palette);
    document.documentElement.style.colorScheme = this.dark ? "dark" : "light";
    document.body.classList.toggle("sm-dark", this.dark);
  }

  // Screens

  judge() {
    const feed = this.pulse?.feed;
    const bar = this.$(".sm-banner");
    bar.classList.remove("stale");
    let [alert, silent] = ["", ""];
    this.scores?.say(this.scores.shown.some((b) => b.lines.some((l) => l.data.length)) || !this.meta
      ? "" : this.nothing("scores"));
    if (this.meta) {
      const bars = this.meta.last;
      if (this.live && feed === "stale") {
        bar.classList.add("stale");
        alert =
          `<b>Stale</b> ${escape(this.pulse.reason)}. ` +
          `Last bar ended <time title="${utcTitle(bars)}">${newYork(bars, this.meta.offset)}</time> New York.`;
        silent = ` Silent for ${age(this.pulse.silent_s)}.`;
      } else if (this.live && feed === "no bus") {
        bar.classList.add("stale");
        alert = `<b>No bus</b> ${escape(this.pulse.reason)}`;
      }
      if (this.live && this.pulse?.endpoint) {
        this.scores.say(`Endpoint down. ${this.pulse.endpoint}`, "down");
      }
    }
    // What is said aloud is written only when it changes; the seconds that pass are beside it.
    if (this.alert !== alert) this.$(".sm-alert").innerHTML = this.alert = alert;
    this.$(".sm-silent").textContent = silent;
    this.bars.status();
    if (this.meta) return;
    if (!this.loaded) return;
    const stored = this.store.sessions.length;
    if (!this.live) this.show("absent");
    else if (feed === "no bus") this.show(stored ? "nobus" : "empty", this.pulse.reason);
    else if (feed) this.show("waiting", this.pulse.reason);
  }

  show(screen, reason = "") {
    this.root.classList.remove("sm-busy");
    const el = this.$(".sm-screen");
    this.root.dataset.screen = screen;
    const root = escape(this.settings.root);
    const stored = this.store.sessions.length
      ? `<button class="sm-open">Open the last stored session: ${escape(this.store.sessions[0].underlier)} ` +
        `${escape(this.store.sessions[0].date)}</button>`
      : "";
    const screens = {
      loading: `<h2>Loading</h2><div class="sm-wait"></div><p>Reading the topics and the lake.</p>`,
      empty:
        `<h2>The lake is empty</h2><p>Neither a bus nor a session lies in <code>${root}</code>.</p>` +
        `<p>A simulated feed with this page</p><pre>make dashboard</pre>` +
        `<p>Your own files</p><pre>spymaster hist run FILE... --root ${root}</pre>` +
        `<p>Your own feed</p><pre>spymaster ingest --root ${root}\nspymaster live --root ${root}</pre>`,
      nobus:
        `<h2>No live feed</h2><p>${escape(reason)}</p><p>This page connects by itself as soon as there is one.</p>${stored}`,
      waiting:
        `<h2>Waiting for the first bar</h2><div class="sm-wait"></div><p>The bus is there; ${escape(reason)}. ` +
        `Bars come while a session's windows are open.</p>${stored}`,
      absent:
        `<h2>No such session</h2><p>The lake in <code>${root}</code> has no bars of ` +
        `${escape(this.state.underlier)} ${escape(this.state.session)}.</p>${stored}` +
        `<button class="sm-live">Show the live feed</button>`,
      failed: `<h2>This cannot be shown</h2><p>${escape(reason)}</p><button class="sm-live">Show the live feed</button>`,
    };
    el.innerHTML = screens[screen] || "";
    el.style.display = screen ? "" : "none";
    this.$(".sm-grid").style.visibility = screen ? "hidden" : "";
    el.querySelector(".sm-open")?.addEventListener("click", () => {
      const { underlier, date } = this.store.sessions[0];
      this.session(date, underlier);
    });
    el.querySelector(".sm-live")?.addEventListener("click", () => this.session("live", ""));
  }

  beat() {
    this.bars.status();
  }

  resize() {
    cancelAnimationFrame(this.resizing);
    this.resizing = requestAnimationFrame(() => {
      for (const pane of this.panes) {
        if (!pane.chart) continue;
        pane.chart.resize();
        if (this.meta) pane.draw();
      }
      this.pointed(this.at === null ? null : this.at + this.offset);
    });
  }

  key(e) {
    const field = ["INPUT", "SELECT", "TEXTAREA"].includes(e.target.tagName);
    if (e.ctrlKey || e.metaKey || e.altKey || (field && e.key !== "Escape")) return;
    if (e.key === " " && e.target.closest?.("button, a, [tabindex]")) return;
    const far = e.shiftKey ? 0.5 : 0.1;
    const keys = {
      ArrowLeft: () => this.pan(-far),
      ArrowRight: () => this.pan(far),
      "+": () => this.scale(0.7),
      "=": () => this.scale(0.7),
      "-": () => this.scale(1 / 0.7),
      Home: () => (this.live ? this.follow() : this.session("live", "")),
      0: () => this.wide(0),
      " ": () => this.live && this.pause(!this.state.paused),
      t: () => this.setTheme(this.dark ? "light" : "dark"),
      c: () => saveCsv(this),
      p: () => savePng(this),
      "?": () => this.bars.help(),
      Escape: () => this.bars.close(),
    };
    if (keys[e.key]) {
      e.preventDefault();
      keys[e.key]();
    }
  }
}
