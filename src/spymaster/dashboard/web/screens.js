// What is said when something is wrong, or when there is nothing to see yet.
import { age, escape, newYork, utcTitle } from "./format.js";

// How the feed and the model are: over the panes, or instead of them.
export function judge(t) {
  const feed = t.pulse?.feed;
  const bar = t.$(".sm-banner");
  bar.classList.remove("stale");
  let [alert, silent] = ["", ""];
  t.scores?.say(t.scores.shown.some((b) => b.lines.some((l) => l.data.length)) || !t.meta
    ? "" : t.nothing("scores"));
  if (t.meta) {
    const bars = t.meta.last;
    if (t.live && feed === "stale") {
      bar.classList.add("stale");
      alert =
        `<b>Stale</b> ${escape(t.pulse.reason)}. ` +
        `Last bar ended <time title="${utcTitle(bars)}">${newYork(bars, t.meta.offset)}</time> New York.`;
      silent = ` Silent for ${age(t.pulse.silent_s)}.`;
    } else if (t.live && feed === "no bus") {
      bar.classList.add("stale");
      alert = `<b>No bus</b> ${escape(t.pulse.reason)}`;
    }
    if (t.live && t.pulse?.endpoint) {
      t.scores.say(`Endpoint down. ${t.pulse.endpoint}`, "down");
    }
  }
  // What is said aloud is written only when it changes; the seconds that pass are beside it.
  if (t.alert !== alert) t.$(".sm-alert").innerHTML = t.alert = alert;
  t.$(".sm-silent").textContent = silent;
  t.bars.status();
  if (t.meta) return;
  if (!t.loaded) return;
  const stored = t.store.sessions.length;
  if (!t.live) show(t, "absent");
  else if (feed === "no bus") show(t, stored ? "nobus" : "empty", t.pulse.reason);
  else if (feed) show(t, "waiting", t.pulse.reason);
}

// A screen instead of the panes; "": the panes.
export function show(t, screen, reason = "") {
  t.root.classList.remove("sm-busy");
  const el = t.$(".sm-screen");
  t.root.dataset.screen = screen;
  const root = escape(t.settings.root);
  const stored = t.store.sessions.length
    ? `<button class="sm-open">Open the last stored session: ${escape(t.store.sessions[0].underlier)} ` +
      `${escape(t.store.sessions[0].date)}</button>`
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
      `${escape(t.state.underlier)} ${escape(t.state.session)}.</p>${stored}` +
      `<button class="sm-live">Show the live feed</button>`,
    failed: `<h2>This cannot be shown</h2><p>${escape(reason)}</p><button class="sm-live">Show the live feed</button>`,
  };
  el.innerHTML = screens[screen] || "";
  el.style.display = screen ? "" : "none";
  t.$(".sm-grid").style.visibility = screen ? "hidden" : "";
  el.querySelector(".sm-open")?.addEventListener("click", () => {
    const { underlier, date } = t.store.sessions[0];
    t.session(date, underlier);
  });
  el.querySelector(".sm-live")?.addEventListener("click", () => t.session("live", ""));
}
