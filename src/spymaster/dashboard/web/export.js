// What is seen, as a table and as a picture.
import { clock, day } from "./format.js";

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function stem(t) {
  return `${t.main}-${t.meta.date}-${clock(t.window.start + t.offset).replaceAll(":", "")}`;
}

// Bars of the first contract: price, volume, the features that are shown. Features are of 5 s
// always; where the other bars are wider each column names its own width.
export function csv(t) {
  const price = t.store.rows("price", t.main);
  const volume = t.store.rows("trades", t.main);
  const features = t.meta.features.map((name) => {
    const rows = t.store.rows(`feature:${name}`, t.main);
    return [name, new Map((rows.at || []).map((at, i) => [at, rows.value[i]]))];
  });
  const bought = new Map((volume.at || []).map((at, i) => [at, [volume.buy[i], volume.sell[i]]]));
  const prices = new Map(
    (price.at || []).map((at, i) => [at, [price.open[i], price.high[i], price.low[i], price.close[i]]]),
  );
  const times = new Set([...prices.keys(), ...bought.keys()]);
  for (const [, values] of features) for (const at of values.keys()) times.add(at);
  const { bar } = t.meta;
  const wide = (name) => (bar === "5" ? name : `${name}_${bar}s`);
  const fine = (name) => (bar === "5" ? name : `${name}_5s`);
  const lines = [
    ["utc", "new_york", "contract_id",
      ...["open", "high", "low", "close", "buy_volume", "sell_volume"].map(wide),
      ...features.map(([name]) => fine(name))].join(","),
  ];
  for (const at of [...times].sort((a, b) => a - b)) {
    if (at < t.window.start || at > t.window.end) continue;
    const ny = at + t.offset;
    const cells = [
      new Date(at).toISOString(), `${day(ny)} ${clock(ny)}`, t.main,
      ...(prices.get(at) || ["", "", "", ""]), ...(bought.get(at) || ["", ""]),
      ...features.map(([, values]) => values.get(at) ?? ""),
    ];
    lines.push(cells.join(","));
  }
  return lines.join("\n") + "\n";
}

export function saveCsv(t) {
  if (t.meta) save(`${stem(t)}.csv`, new Blob([csv(t)], { type: "text/csv" }));
}

// The charts below each other, with what they are of.
export async function png(t) {
  const ratio = 2;
  const pictures = [];
  t.drawing.finish();
  for (const pane of t.charts) {
    const image = new Image();
    image.src = pane.chart.getDataURL({ pixelRatio: ratio, backgroundColor: t.palette.panel });
    await image.decode();
    pictures.push([pane.el.querySelector(".sm-title").textContent, image]);
  }
  const head = 26 * ratio;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(...pictures.map(([, i]) => i.width));
  canvas.height = pictures.reduce((sum, [, i]) => sum + i.height + head, head);
  const g = canvas.getContext("2d");
  g.fillStyle = t.palette.panel;
  g.fillRect(0, 0, canvas.width, canvas.height);
  g.fillStyle = t.palette.text;
  g.font = `bold ${13 * ratio}px Roboto, sans-serif`;
  const from = clock(t.window.start + t.offset);
  const to = clock(t.window.end + t.offset);
  g.fillText(`${t.main}  ${t.meta.date}  ${from} to ${to} New York`, 10 * ratio, 18 * ratio);
  let y = head;
  for (const [title, image] of pictures) {
    g.fillStyle = t.palette.muted;
    g.font = `${11 * ratio}px Roboto, sans-serif`;
    g.fillText(title, 10 * ratio, y + 17 * ratio);
    g.drawImage(image, 0, y + head);
    y += head + image.height;
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

export async function savePng(t) {
  if (t.meta) save(`${stem(t)}.png`, await png(t));
}
