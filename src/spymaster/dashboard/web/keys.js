// The keys.
import { saveCsv, savePng } from "./export.js";

export function press(t, e) {
  const field = ["INPUT", "SELECT", "TEXTAREA"].includes(e.target.tagName);
  if (e.ctrlKey || e.metaKey || e.altKey || (field && e.key !== "Escape")) return;
  if (e.key === " " && e.target.closest?.("button, a, [tabindex]")) return;
  const far = e.shiftKey ? 0.5 : 0.1;
  const keys = {
    ArrowLeft: () => t.view.pan(-far),
    ArrowRight: () => t.view.pan(far),
    "+": () => t.view.scale(0.7),
    "=": () => t.view.scale(0.7),
    "-": () => t.view.scale(1 / 0.7),
    Home: () => (t.live ? t.view.follow() : t.session("live", "")),
    0: () => t.view.wide(0),
    " ": () => t.live && t.pause(!t.state.paused),
    t: () => t.setTheme(t.dark ? "light" : "dark"),
    c: () => saveCsv(t),
    p: () => savePng(t),
    "?": () => t.bars.help(),
    Escape: () => t.bars.close(),
  };
  if (keys[e.key]) {
    e.preventDefault();
    keys[e.key]();
  }
}
