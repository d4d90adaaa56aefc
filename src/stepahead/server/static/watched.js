// What the page knows of one series. Its description and its events -> rows, the forecasts made of them, the fan ahead.
const MOST = 600; // rows kept in the page
const COLUMNS = 120; // of hidden values

export function watched(found, model) {
  const known = {
    id: found.series, model, target: found.target, time: found.time, dated: model?.time_kind !== "integer",
    level: found.level.map(Number).sort((a, b) => a - b),
    times: [], y: [], before: new Map(), ahead: [], hidden: [], hiddenAt: [],
  };
  for (const row of found.last) take(known, row);
  stand(known, found);
  return known;
}

// A row that came in, and how things stand after it. False where the row is known already.
export function arrive(known, event) {
  const first = known.ahead[0];
  const time = event.row[known.time] === undefined ? first?.at : instant(event.row[known.time]);
  if (known.times.length && time <= known.times[known.times.length - 1]) return false;
  if (first && first.at === time) known.before.set(time, first);
  take(known, { ...event.row, [known.time]: event.row[known.time] ?? first?.ds });
  stand(known, event);
  return true;
}

function take(known, row) {
  known.times.push(instant(row[known.time]));
  known.y.push(row[known.target] ?? null);
  if (known.times.length <= MOST) return;
  known.before.delete(known.times.shift());
  known.y.shift();
}

function stand(known, { forecast, coverage, drifting, hidden }) {
  known.ahead = forecast.map(read);
  known.coverage = coverage ?? {};
  known.drifting = drifting;
  const now = known.times[known.times.length - 1];
  if (!hidden || known.hiddenAt[known.hiddenAt.length - 1] === now) return;
  known.hidden.push(hidden);
  known.hiddenAt.push(now);
  if (known.hidden.length > COLUMNS) { known.hidden.shift(); known.hiddenAt.shift(); }
}

// One record of a forecast: {"ds": .., "LSTM": .., "LSTM-lo-95": ..} -> {at, ds, name, mean, lo: {"95": ..}, hi}.
function read(record) {
  const step = { at: instant(record.ds), ds: record.ds, name: "forecast", mean: null, lo: {}, hi: {} };
  for (const [key, value] of Object.entries(record)) {
    const [, , side, level] = /^(.*)-(lo|hi)-([\d.]+)$/.exec(key) ?? [];
    if (side) step[side][Number(level)] = value;
    else if (key !== "ds" && key !== "unique_id") { step.name = key; step.mean = value; }
  }
  return step;
}

// Seconds since 1970, as UTC where no zone is written; a count of steps stays as it is.
export function instant(value) {
  if (typeof value === "number") return value;
  const zoned = /Z$|[+-]\d\d:?\d\d$/.test(value) || !value.includes(":");
  return Date.parse(zoned ? value : `${value.replace(" ", "T")}Z`) / 1000;
}
