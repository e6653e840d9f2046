// The state in the page's address: reload and bookmarks keep their meaning.

// s: session, u: underlier, c: contracts, f: features, i: bar (auto or seconds), w: width of the
// live window in minutes, a and b: what is zoomed to (ms UTC), t: theme, h: paused, p.*: choices.
export function read() {
  const query = new URLSearchParams(location.search);
  const choices = {};
  for (const [name, value] of query) if (name.startsWith("p.")) choices[name.slice(2)] = value;
  const list = (name) => (query.get(name) || "").split(",").filter(Boolean);
  const num = (name) => (query.has(name) ? Number(query.get(name)) || 0 : 0);
  return {
    session: query.get("s") || "live",
    underlier: query.get("u") || "",
    contracts: list("c"),
    features: list("f"),
    interval: query.get("i") || "auto",
    width: num("w"),
    start: num("a"),
    end: num("b"),
    theme: query.get("t") || "",
    paused: query.get("h") === "1",
    choices,
  };
}

export function params(state) {
  const query = {};
  if (state.session !== "live") query.s = state.session;
  if (state.underlier) query.u = state.underlier;
  if (state.contracts.length) query.c = state.contracts.join(",");
  if (state.features.length) query.f = state.features.join(",");
  if (state.interval !== "auto") query.i = state.interval;
  if (state.width) query.w = String(state.width);
  if (state.end > state.start) {
    query.a = String(Math.round(state.start));
    query.b = String(Math.round(state.end));
  }
  if (state.theme) query.t = state.theme;
  if (state.paused) query.h = "1";
  for (const [name, value] of Object.entries(state.choices)) query[`p.${name}`] = value;
  return query;
}

export function write(state) {
  const text = new URLSearchParams(params(state)).toString().replaceAll("%2C", ",");
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}
