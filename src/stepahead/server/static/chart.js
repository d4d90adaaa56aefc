// The live chart: the last rows, what was forecast of them while the page looked on, and the fan ahead.
import { at } from "./page.js";

const { charts, drawings, color, faint, number, moment, draw, mark } = charting;
const ROWS = 120; // shown at first

export function liveChart() {
  let known = null;
  let view = null; // {min, max} of the time axis as asked for; uPlot itself takes it over a moment later
  let reach = null; // [first, last] of the data when that was asked
  function look(chart, next) {
    const x = chart.data[0];
    [view, reach] = [next, [x[0], x[x.length - 1]]];
    chart.setScale("x", next);
  }
  // Where to look as the data grow: on at the end if one was there, at the whole if that was seen, else where one was.
  function onwards(x) {
    const [first, last] = [x[0], x[x.length - 1]], rows = Math.max(ROWS, 3 * known.ahead.length);
    if (!view) return { min: x[Math.max(0, known.times.length - rows)], max: last };
    if (view.max < reach[1]) return view;
    return { min: view.min <= reach[0] ? first : view.min + last - view.max, max: last };
  }
  function build() {
    const data = columns(known), next = onwards(data[0]);
    const moved = (u) => { if (charts.get("live") === u) view = { min: u.scales.x.min, max: u.scales.x.max }; };
    look(drawLive(known, data, moved), next);
  }
  drawings.live = () => { if (known) build(); };
  return {
    begin(series, fresh) {
      if (fresh) view = null;
      known = series;
      build();
    },
    end() { known = view = null; charts.get("live")?.destroy(); charts.delete("live"); },
    update() {
      const chart = charts.get("live");
      if (!known || !chart) return;
      const data = columns(known);
      chart.setData(data, false);
      look(chart, onwards(data[0]));
    },
  };
}

function drawLive(known, data, moved) {
  const series = [], bands = [];
  known.level.forEach((level, i) => {
    const shade = faint("forecast", 0.3 / (i + 1));
    const low = series.length + 1;
    const edge = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true };
    series.push({ ...edge, label: `${level} % low`, silent: true });
    series.push({ ...edge, label: `${level} % interval`, mark: shade,
      value: (u, v, s, k) => (k == null || v == null ? "–" : `${number(u.data[low][k])} to ${number(v)}`) });
    bands.push({ series: [low + 1, low], fill: shade });
  });
  series.push({ label: `${known.target}, the truth`, stroke: color("truth"), spanGaps: true });
  series.push({ label: known.ahead[0]?.name ?? "forecast", stroke: color("forecast"), width: 2, spanGaps: true });
  const chart = draw("live", {
    x: data[0], time: known.dated, series: series.map((one, i) => ({ ...one, values: data[i + 1] })), bands,
    hooks: { draw: [(u) => mark(u, known.times[known.times.length - 1], "now")],
      setScale: [(u, scale) => { if (scale === "x" && u.scales.x.min !== null) moved(u); }] },
  });
  chart.root.dataset.series = known.id;
  return chart;
}

// [x, low and high of each level, truth, forecast], the rows' and then the steps ahead; the fan opens at the last row.
function columns(known) {
  const now = known.times.length - 1;
  const steps = [...known.times.map((time, i) => known.before.get(time) ?? (i === now && known.y[i] !== null ? { anchor: known.y[i] } : null)), ...known.ahead];
  const bounds = known.level.flatMap((level) => ["lo", "hi"].map((side) => steps.map((one) => one && (one.anchor ?? one[side][level] ?? null))));
  return [
    [...known.times, ...known.ahead.map((step) => step.at)],
    ...bounds,
    [...known.y, ...known.ahead.map(() => null)],
    steps.map((one) => one && (one.anchor ?? one.mean)),
  ];
}

// The same in words and in a table.
export function words(known) {
  const last = known.times.length - 1, next = known.ahead[0], level = known.level[known.level.length - 1];
  const time = (value) => moment(value, known.dated);
  const range = next && level !== undefined ? `${number(next.lo[level])} to ${number(next.hi[level])}` : "";
  return {
    last: number(known.y[last]), lastAt: time(known.times[last]),
    next: next ? number(next.mean) : "–",
    nextAt: next ? `${time(next.at)}${range && `, ${level} %: ${range}`}` : "",
  };
}
export function fillTable(known) {
  const cell = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });
  const line = (cells) => { const row = document.createElement("tr"); row.append(...cells); return row; };
  const head = line(["time", "forecast", ...known.level.flatMap((one) => [`${one} % low`, `${one} % high`])]
    .map((text, i) => cell("th", text, { scope: "col", className: i ? "number" : "" })));
  const body = known.ahead.map((step) => line([
    cell("th", moment(step.at, known.dated), { scope: "row" }), cell("td", number(step.mean), { className: "number" }),
    ...known.level.flatMap((one) => [step.lo[one], step.hi[one]].map((value) => cell("td", number(value), { className: "number" }))),
  ]));
  const parts = [document.createElement("thead"), document.createElement("tbody")];
  parts[0].append(head);
  parts[1].append(...body);
  at("table").replaceChildren(...parts);
}
