// Times of New York with their UTC, numbers with grouped digits. Times are ms since 1970, UTC.

const two = (n) => String(n).padStart(2, "0");

export function clock(ms, seconds = true) {
  const d = new Date(ms);
  const text = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
  return seconds ? `${text}:${two(d.getUTCSeconds())}` : text;
}

export function day(ms) {
  return new Date(ms).toISOString().slice(0, 10);
}

// offset: New York's from UTC, in seconds.
export const newYork = (ms, offset, seconds = true) => clock(ms + offset * 1000, seconds);
export const utcTitle = (ms) => `${day(ms)} ${clock(ms)} UTC`;

// Three digits at a time; the browser's own formats cost 20 ms each to make.
function fixed(value, digits) {
  const [whole, rest] = value.toFixed(digits).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return rest ? `${grouped}.${rest}` : grouped;
}

export function number(value, digits) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (digits === undefined) {
    const size = Math.abs(value);
    if (Number.isInteger(value)) digits = 0;
    else digits = size >= 1000 ? 2 : size >= 100 ? 2 : size >= 1 ? 3 : 4;
  }
  return fixed(value, digits);
}

// For an axis: short.
export function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(4)}M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(4)}k`;
  return String(+value.toPrecision(6));
}

export function age(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export const words = (text) => String(text ?? "").toLowerCase().replaceAll("_", " ");

export function escape(text) {
  return String(text ?? "").replace(
    /[&<>"']/g,
    (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c],
  );
}
