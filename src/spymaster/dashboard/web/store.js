// What the server told: a part per tile (a feature's once for each that is chosen), by contract.

export class Store {
  constructor() {
    this.clear();
  }

  clear() {
    this.meta = null;
    this.parts = {};
    this.sessions = [];
    this.live = [];
  }

  full(told) {
    this.meta = told.meta;
    this.parts = told.parts;
    this.sessions = told.sessions;
    this.live = told.live;
  }

  // Returns the keys of the parts that changed. `spec`: key -> its tile.
  delta(told, spec) {
    if (told.meta) this.meta = told.meta;
    for (const [key, part] of Object.entries(told.parts)) {
      const old = this.parts[key];
      const tile = spec(key);
      if (!part.tail || !old || !old.by || !part.by) this.parts[key] = part;
      else for (const [split, rows] of Object.entries(part.by)) replaceTail(old.by, split, rows, tile.x);
    }
    return Object.keys(told.parts);
  }

  // A part's columns of one split, {} where there are none.
  rows(key, split) {
    const part = this.parts[key];
    if (!part) return {};
    if (part.all) return part.all;
    return part.by[split] || {};
  }
}

// Rows from the first new time on are replaced: they came again, or changed.
function replaceTail(by, split, rows, x) {
  const old = by[split];
  const from = rows[x]?.[0];
  if (!old || from === undefined) {
    if (!old) by[split] = rows;
    return;
  }
  const at = lower(old[x], from);
  for (const [name, values] of Object.entries(rows)) {
    const column = old[name];
    column.length = at;
    for (const value of values) column.push(value);
  }
}

// Index of the first value that is not below; the values are in order.
export function lower(values, wanted) {
  let a = 0;
  let b = values.length;
  while (a < b) {
    const m = (a + b) >> 1;
    if (values[m] < wanted) a = m + 1;
    else b = m;
  }
  return a;
}
