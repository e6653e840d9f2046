// The terminal: what is looked at, what comes from the server, who draws it.
import * as address from "./address.js";
import { Crosshair } from "./crosshair.js";
import { Drawing } from "./drawing.js";
import { clock, day } from "./format.js";
import { press } from "./keys.js";
import { build } from "./layout.js";
import { Letters } from "./letters.js";
import { judge, show } from "./screens.js";
import { Store } from "./store.js";
import { PALETTES, css } from "./theme.js";
import { skeleton, wire } from "./toolbar.js";
import { View } from "./view.js";

const SHORT = 8 * 60_000;

const fits = (chart) =>
  chart.getWidth() === chart.getDom().clientWidth && chart.getHeight() === chart.getDom().clientHeight;

export class Terminal {
  constructor(root, settings, emit) {
    this.root = root;
    this.settings = settings;
    this.emit = emit;
    this.store = new Store();
    this.state = address.read();
    this.view = new View(this);
    this.crosshair = new Crosshair(this);
    this.pulse = null;
    this.offset = 0;
    this.panes = [];
    this.system = window.matchMedia("(prefers-color-scheme: dark)");
    this.tiles = Object.fromEntries(settings.tiles.map((t) => [t.id, t]));
    root.innerHTML = skeleton();
    this.$ = (selector) => root.querySelector(selector);
    this.paintTheme();
    this.bars = wire(this);
    show(this, "loading");
    build(this);
    this.drawing = new Drawing(this);
    this.letters = new Letters((told, later) => {
      this.full(told);
      later.forEach((change) => this.delta(change));
    }, () => this.join());
    this.onTheme = () => this.setTheme(this.state.theme);
    this.system.addEventListener("change", this.onTheme);
    this.onKey = (e) => press(this, e);
    window.addEventListener("keydown", this.onKey);
    this.sizes = new ResizeObserver(() => this.resize());
    this.panes.forEach((pane) => pane.chart && this.sizes.observe(pane.chart.getDom()));
    this.timer = setInterval(() => this.bars.status(), 500);
    if (this.state.paused) this.emit("pause", {});
    this.letters.first(window.spymasterFirst);
  }

  close() {
    this.drawing.close();
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

  get live() {
    return this.state.session === "live";
  }

  get axis() {
    return this.view.axis;
  }

  get window() {
    return this.view.window;
  }

  get following() {
    return this.view.following;
  }

  // What the crosshair is on, ms UTC.
  get at() {
    return this.crosshair.at;
  }

  get dark() {
    const theme = this.state.theme;
    return theme ? theme === "dark" : this.system.matches;
  }

  get palette() {
    return PALETTES[this.dark ? "dark" : "light"];
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

  // Messages

  take(what, told) {
    if (what === "pulse") {
      this.pulse = told;
      this.panes.filter((p) => p.id === "quality").forEach((p) => this.meta && p.draw());
      judge(this);
    } else if (what === "failed") show(this, "failed", told.reason);
    else if (what === "full") this.letters.announce(told);
    else if (what === "delta" && this.letters.takes(told)) this.delta(told);
  }

  full(told) {
    this.store.full(told);
    this.loaded = true;
    this.bars.sessions();
    this.shown = !!this.meta;
    if (!this.meta) {
      judge(this);
      return;
    }
    show(this, "");
    this.offset = this.meta.offset * 1000;
    this.state.underlier = this.meta.underlier;
    this.view.open();
    this.bars.draw();
    this.drawAll();
    judge(this);
    this.drawing.painted();
    this.view.askZoomed();
    this.view.refit();
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
    this.view.grow();
    this.drawing.soon(
      keys,
      () => this.following && this.view.edge(),
      () => {
        judge(this);
        this.bars.draw();
        this.view.askZoomed();
      },
    );
  }

  // Drawing

  drawAll() {
    this.drawing.all();
    this.drawing.rest();
  }

  get drawn() {
    return this.drawing.drawn;
  }

  get drawings() {
    return this.drawing.drawings;
  }

  // Charts whose room has changed are drawn anew; the browser tells of every one at first, too.
  resize() {
    cancelAnimationFrame(this.resizing);
    this.resizing = requestAnimationFrame(() => {
      const moved = this.panes.filter((pane) => pane.chart && !fits(pane.chart));
      moved.forEach((pane) => pane.chart.resize());
      if (!moved.length || !this.meta) return;
      moved.forEach((pane) => this.drawing.owe(pane));
      this.drawing.rest();
      this.crosshair.again();
    });
  }

  tick(v) {
    if (v % 86_400_000 === 0) return day(v);
    return clock(v, this.view.width < SHORT);
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
}
