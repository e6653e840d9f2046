// The bar at the top: what is looked at, how wide, how it is; the help.
import { saveCsv, savePng } from "./export.js";
import { age, escape, newYork, utcTitle } from "./format.js";

const RANGES = [[5, "5m"], [15, "15m"], [30, "30m"], [60, "1h"], [180, "3h"], [0, "All"]];
const KEYS = [
  ["← →", "move by a tenth of the window; with Shift by half"],
  ["+ −", "zoom in, zoom out"],
  ["Home", "the live edge"],
  ["0", "the whole session"],
  ["Space", "pause, go on"],
  ["t", "dark, light"],
  ["c", "what is seen as CSV"],
  ["p", "what is seen as PNG"],
  ["?", "this help"],
];
const POINTER = [
  ["Drag", "move in time; on a touch screen, with one finger"],
  ["Wheel", "zoom, on the price; Ctrl and wheel on the other panes; two fingers on a touch screen"],
  ["Double click", "the live edge, or the whole session"],
  ["Click on a row", "of movers: draw that contract; of anomalies or alerts: go there"],
];

export function skeleton() {
  return `
<header class="sm-bar">
  <span class="sm-brand">SPYMASTER</span>
  <span class="sm-status" role="status"></span>
  <select class="sm-session" aria-label="Session"></select>
  <select class="sm-contract" aria-label="Contract"></select>
  <button class="sm-more" aria-haspopup="true" title="Features and contracts to compare">Compare</button>
  <span class="sm-ranges" role="group" aria-label="Window">${RANGES.map(
    ([m, label]) => `<button data-m="${m}">${label}</button>`,
  ).join("")}</span>
  <select class="sm-interval" aria-label="Bar"></select>
  <span class="sm-gap"></span>
  <span class="sm-clock"></span>
  <button class="sm-pause" title="Pause (Space)" aria-label="Pause"></button>
  <button class="sm-home" title="To the live edge (Home)" aria-label="To the live edge">⇥</button>
  <button class="sm-csv" title="What is seen as CSV (c)">CSV</button>
  <button class="sm-png" title="What is seen as PNG (p)">PNG</button>
  <button class="sm-theme" title="Dark, light (t)" aria-label="Dark or light">◐</button>
  <button class="sm-help" title="Help (?)" aria-label="Help">?</button>
</header>
<div class="sm-banner"><span class="sm-alert" role="alert"></span><span class="sm-silent"></span></div>
<div class="sm-stage">
  <div class="sm-grid"><main class="sm-main"></main><aside class="sm-side"></aside></div>
  <div class="sm-screen" role="status"></div>
</div>
<div class="sm-pop sm-compare" hidden></div>
<div class="sm-pop sm-keys" role="dialog" aria-label="Help" hidden><h3>Keys</h3><dl>${KEYS.map(
    ([k, v]) => `<dt><kbd>${k}</kbd></dt><dd>${v}</dd>`,
  ).join("")}</dl><h3>Pointer and touch</h3><dl>${POINTER.map(
    ([k, v]) => `<dt><kbd>${k}</kbd></dt><dd>${v}</dd>`,
  ).join("")}</dl><p>Axes are New York's time; hold the pointer over a time for UTC. Times in the address are UTC.</p></div>`;
}

export function wire(t) {
  const $ = t.$;
  const session = $(".sm-session");
  const contract = $(".sm-contract");
  const interval = $(".sm-interval");
  const compare = $(".sm-compare");
  const keys = $(".sm-keys");

  for (const value of t.settings.bars) {
    const label = value === "auto" ? "auto" : value < 60 ? `${value} s` : `${value / 60} min`;
    interval.append(new Option(label, value));
  }
  interval.addEventListener("change", () => {
    t.state.interval = interval.value;
    delete t.state.choices.bar;
    if (interval.value !== "auto") t.state.choices.bar = interval.value;
    t.join();
  });
  session.addEventListener("change", () => {
    const [date, underlier] = session.value.split("|");
    t.session(date, underlier);
  });
  contract.addEventListener("change", () => t.choose(contract.value));
  $(".sm-ranges").addEventListener("click", (e) => {
    const m = e.target.dataset.m;
    if (m !== undefined) t.view.wide(Number(m));
  });
  $(".sm-pause").addEventListener("click", () => t.pause(!t.state.paused));
  $(".sm-home").addEventListener("click", () => (t.live ? t.view.follow() : t.session("live", "")));
  $(".sm-csv").addEventListener("click", () => saveCsv(t));
  $(".sm-png").addEventListener("click", () => savePng(t));
  $(".sm-theme").addEventListener("click", () => t.setTheme(t.dark ? "light" : "dark"));
  $(".sm-help").addEventListener("click", () => toggle(keys));
  $(".sm-more").addEventListener("click", () => {
    drawCompare();
    toggle(compare);
  });
  document.addEventListener("pointerdown", (e) => {
    if (!e.target.closest?.(".sm-pop, .sm-more, .sm-help")) close();
  });

  function toggle(el) {
    const hidden = el.hidden;
    close();
    el.hidden = !hidden;
  }

  function close() {
    // What is hidden keeps the focus until the next frame, and a field keeps keys to itself.
    if (compare.contains(document.activeElement)) $(".sm-more").focus({ preventScroll: true });
    compare.hidden = true;
    keys.hidden = true;
  }

  function drawCompare() {
    const chosen = new Set(t.meta?.features || []);
    const contracts = new Set(t.meta?.contracts || []);
    const check = (kind, value, label, on) =>
      `<label><input type="checkbox" data-kind="${kind}" value="${escape(value)}" ${on ? "checked" : ""}>${escape(label)}</label>`;
    compare.innerHTML =
      `<h3>Features</h3><div class="sm-checks">${Object.keys(t.settings.features)
        .map((n) => check("feature", n, n, chosen.has(n)))
        .join("")}</div><h3>Contracts, beside the first</h3><div class="sm-checks">${(t.meta?.known || [])
        .slice(0, 40)
        .map((k) => check("contract", k.contract, k.contract, contracts.has(k.contract)))
        .join("")}</div>`;
  }
  compare.addEventListener("change", (e) => {
    const { kind } = e.target.dataset;
    const value = e.target.value;
    const old = kind === "feature" ? t.meta.features : t.meta.contracts;
    const next = e.target.checked ? [...old, value] : old.filter((v) => v !== value);
    if (!next.length || (kind === "feature" && next.length > 6) || next.length > 10) {
      e.target.checked = !e.target.checked;
      return;
    }
    t.set(kind === "feature" ? { features: next } : { contracts: next });
  });

  const bars = {
    close,
    help: () => toggle(keys),

    sessions() {
      const value = t.live ? `live|${t.state.underlier}` : `${t.state.session}|${t.state.underlier}`;
      const roots = [...new Set([...t.store.live.map((s) => s[0]), ...t.store.sessions.map((s) => s.underlier)])];
      session.replaceChildren();
      const live = document.createElement("optgroup");
      live.label = "Live";
      const named = roots.length ? roots : [""];
      for (const u of named) live.append(new Option(`Live ${u}`.trim(), `live|${u}`));
      session.append(live);
      if (t.store.sessions.length) {
        const stored = document.createElement("optgroup");
        stored.label = "Sessions";
        for (const s of t.store.sessions) stored.append(new Option(`${s.underlier} ${s.date}`, `${s.date}|${s.underlier}`));
        session.append(stored);
      }
      session.value = value;
      if (!session.value) {
        const mine = [...session.options].find((o) => o.value.startsWith(`${t.state.session}|`));
        session.value = mine ? mine.value : "";
      }
    },

    draw() {
      const meta = t.meta;
      interval.value = t.state.interval;
      $(".sm-pause").textContent = t.state.paused ? "▶" : "❚❚";
      $(".sm-pause").classList.toggle("on", t.state.paused);
      $(".sm-pause").disabled = !t.live;
      if (!meta) {
        contract.replaceChildren();
        return;
      }
      if (t.live && meta.underlier) {
        const option = [...session.options].find((o) => o.value === `live|${meta.underlier}`);
        if (option) session.value = option.value;
      }
      const names = meta.known.map((k) => k.contract);
      if (names.join() !== [...contract.options].map((o) => o.value).join()) {
        contract.replaceChildren(...names.map((n) => new Option(n, n)));
      }
      contract.value = t.main;
      bars.window();
      document.title = `${t.main} ${t.live ? "live" : meta.date} · Spymaster`;
    },

    window() {
      const minutes = (t.window.end - t.window.start) / 60_000;
      const whole = Math.abs(t.window.end - t.window.start - (t.axis.end - t.axis.start)) < 1000;
      for (const b of $(".sm-ranges").children) {
        const m = Number(b.dataset.m);
        b.classList.toggle("on", m ? !whole && Math.abs(minutes - m) < m * 0.02 : whole);
      }
      $(".sm-home").classList.toggle("on", t.following);
    },

    status() {
      const el = $(".sm-status");
      const feed = t.pulse?.feed;
      const kind = !t.live ? "history" : t.state.paused ? "paused" : feed || "loading";
      const label = { live: "LIVE", stale: "STALE", history: "HISTORY", paused: "PAUSED", ended: "ENDED",
        "no bus": "NO BUS", empty: "WAITING", loading: "…" }[kind];
      const text = `<span class="sm-dot"></span>${label}`;
      if (el.dataset.kind !== kind) {
        el.dataset.kind = kind;
        el.innerHTML = text;
      }
      el.title = t.pulse?.reason || "";
      const meta = t.meta;
      $(".sm-clock").innerHTML = meta
        ? `<span class="sm-date">${escape(meta.date)}</span> <time title="${utcTitle(meta.last)}">` +
          `${newYork(meta.last, meta.offset)}</time> <small>NY</small>` +
          (t.live && t.pulse && t.pulse.silent_s !== null && feed === "stale" ? ` <b class="down">${age(t.pulse.silent_s)}</b>` : "")
        : "";
    },
  };
  bars.draw();
  return bars;
}
