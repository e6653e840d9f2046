// Two palettes; the page's CSS variables and the charts' colours come from the same place.

export const PALETTES = {
  dark: {
    bg: "#0a0d13", panel: "#10141c", raised: "#171c26", line: "#222936", grid: "#1a202b",
    text: "#d3dae6", muted: "#7f8b9d", faint: "#4a5566", up: "#2ebd85", down: "#f6465d",
    accent: "#4c8dff", amber: "#f0b90b", violet: "#a78bfa", cyan: "#35c4d7",
    BREAK: "#4c8dff", REJECT: "#f0b90b", CHOP: "#8b93a3", OPEN: "#a78bfa", CENSORED: "#566070",
    series: ["#4c8dff", "#f0b90b", "#35c4d7", "#a78bfa", "#ff8f5a", "#2ebd85", "#ef6fb3",
             "#9fb34a", "#7aa2c9", "#c9a27a"],
    heat: [[16, 20, 28], [23, 58, 92], [38, 128, 150], [104, 196, 134], [250, 216, 92]],
  },
  light: {
    bg: "#eef1f5", panel: "#ffffff", raised: "#f4f6f9", line: "#d8dee7", grid: "#edf0f4",
    text: "#1b2432", muted: "#5f6c7f", faint: "#a4aebc", up: "#0a8f62", down: "#d2334c",
    accent: "#1f62d8", amber: "#b07c00", violet: "#7548d8", cyan: "#0b8496",
    BREAK: "#1f62d8", REJECT: "#b07c00", CHOP: "#6d7787", OPEN: "#7548d8", CENSORED: "#9aa4b1",
    series: ["#1f62d8", "#b07c00", "#0b8496", "#7548d8", "#c9521c", "#0a8f62", "#b93583",
             "#66791a", "#3f6c99", "#8a6234"],
    heat: [[255, 255, 255], [206, 226, 240], [124, 183, 205], [45, 122, 148], [14, 56, 92]],
  },
};

export function css(palette) {
  return Object.entries(palette)
    .filter(([, value]) => typeof value === "string")
    .map(([name, value]) => `--${name.toLowerCase()}:${value}`)
    .join(";");
}

// A share 0..1 as one of the heat map's colours.
export function heat(palette, share) {
  const stops = palette.heat;
  const at = Math.min(0.9999, Math.max(0, share)) * (stops.length - 1);
  const i = Math.floor(at);
  const f = at - i;
  const [r, g, b] = stops[i].map((v, k) => Math.round(v + (stops[i + 1][k] - v) * f));
  return `rgb(${r},${g},${b})`;
}
