// The page: models and series from the service, one series watched, the rest in the modules it is made of.
import { call, events, onTokenNeeded, series, useToken } from "./api.js";
import { beginSeries, readRow, rowForm } from "./begin.js";
import { fillTable, liveChart, words } from "./chart.js";
import { showCoverage, showDrift } from "./gauge.js";
import { heatMap } from "./heat.js";
import { announcer, at, complain, options, show } from "./page.js";
import { typeBox } from "./symbols.js";
import { arrive, watched } from "./watched.js";

const MANY = 12; // series from which on a field to find them is shown
const MOST = 1000; // series in the picker
const ROWS = 500; // asked for at first
const UNITS = 512; // that the heat map shows

const chart = liveChart();
const heat = heatMap("live", true);
const say = announcer("news");
let forecasters = [], names = [], more = false, beginner = null, typing = null;
let known = null; // the series watched
let watching = null; // stops the stream of its events
let still = false;

async function start() {
  charting.start(() => { for (const name of ["heat-live", "heat-type"]) charting.drawings[name]?.(); });
  onTokenNeeded(askToken);
  window.stepahead = { charts: charting.charts, watched: () => known }; // for those who look behind the page
  wire();
  await load();
}

// Models and series; again whenever a token was given.
async function load() {
  try {
    const models = await call("v1/models");
    complain("problem");
    forecasters = models.filter((model) => model.kind !== "symbols");
    const symbols = models.filter((model) => model.kind === "symbols");
    show("nothing", !models.length);
    part("series-part", forecasters.length > 0);
    part("type-part", symbols.length > 0);
    part("forecast-part", false);
    part("inside-part", false);
    if (symbols.length && !typing) typing = typeBox(symbols);
    if (!forecasters.length) { link("live", "Connected"); return; }
    beginner ??= beginSeries(forecasters, () => names, open);
    await list();
    link("live", "Connected");
    const wished = new URLSearchParams(location.search).get("series");
    if (wished ?? names[0]) await open(wished ?? names[0]);
  } catch (error) {
    if (error.status === 401) { link("lost", "Waiting for the token"); return; }
    link("lost", "Not connected");
    complain("problem", error);
    setTimeout(load, 5000);
  }
}
function part(id, wanted) {
  show(id, wanted);
  document.querySelector(`nav [data-part="${id}"]`).hidden = !wanted;
}
function link(state, text) {
  if (at("link").textContent === text) return;
  at("link").dataset.state = state;
  at("link").textContent = text;
}

async function list() {
  const all = [];
  let after = null;
  do {
    const page = await call(`v1/series${after === null ? "" : `?after=${encodeURIComponent(after)}`}`);
    all.push(...page.series.map((one) => one.series));
    after = page.next ?? null;
  } while (after !== null && all.length < MOST);
  names = all;
  more = after !== null;
  fillPicker();
}
function matches() {
  const wanted = at("find").value.toLowerCase();
  return names.filter((name) => name.toLowerCase().includes(wanted));
}
function fillPicker() {
  const found = matches();
  show("series-empty", !names.length);
  if (!names.length) at("begin-part").open = true;
  show("series-tools", names.length > 0);
  show("find-label", names.length > MANY);
  show("series-count", more || at("find").value !== "");
  at("series-count").textContent = more
    ? `The first ${names.length.toLocaleString("en")} series are listed. For another, write its whole name and press Enter.`
    : `${found.length} of ${names.length} series; Enter shows the first.`;
  const current = known && !found.includes(known.id) ? [known.id, ...found] : found;
  options(at("pick"), current, known?.id);
}

// Watch a series from now on.
async function open(name) {
  watching?.abort();
  const mine = watching = new AbortController();
  complain("problem");
  try {
    await reload(name, true);
    if (!names.includes(name)) await list();
  } catch (error) {
    complain("problem", error);
    return;
  }
  follow(name, mine);
}
async function reload(name, fresh) {
  const found = await call(`${series(name)}?rows=${ROWS}`);
  const before = known;
  known = watched(found, forecasters.find((model) => model.name === found.model));
  if (!fresh && before?.id === name) keep(before);
  part("forecast-part", true);
  part("inside-part", true);
  chart.begin(known, fresh);
  describe(found);
  showAll();
  options(at("pick"), names.includes(name) ? names : [...names, name], name);
  history.replaceState(null, "", `?series=${encodeURIComponent(name)}${location.hash}`);
}
// After a lost connection: what the page saw before stays where it still fits.
function keep(before) {
  for (const [time, step] of before.before) if (known.times.includes(time)) known.before.set(time, step);
  const fresh = known.hiddenAt.map((time, i) => [time, known.hidden[i]]);
  const old = before.hiddenAt.map((time, i) => [time, before.hidden[i]]).filter(([time]) => time < (fresh[0]?.[0] ?? Infinity));
  known.hiddenAt = [...old, ...fresh].map(([time]) => time);
  known.hidden = [...old, ...fresh].map(([, hidden]) => hidden);
}

async function follow(name, mine) {
  for (let wait = 1; !mine.signal.aborted; wait = Math.min(2 * wait, 15)) {
    try {
      for await (const { event, data } of events(`${series(name)}/events`, mine.signal)) {
        if (mine.signal.aborted) return;
        if (event === "open") { // rows between the first look and now, or while the connection was lost
          await reload(name, false);
          link("live", "Live");
          complain("problem");
          wait = 1;
        } else if (event === "deleted") { gone(name); return; }
        else if (event === "observation" && arrive(known, data)) later();
      }
    } catch (error) {
      if (mine.signal.aborted || error.name === "AbortError") return;
      if (error.status === 401) return;
      if (error.status === 404) { gone(name); return; }
    }
    if (mine.signal.aborted) return;
    link("lost", "Connection lost, trying again");
    await new Promise((go) => setTimeout(go, 1000 * wait));
  }
}
function gone(name) {
  close();
  complain("problem", `The series ${name} is no longer there`);
  list().catch((error) => complain("problem", error));
}
function close() {
  watching?.abort();
  known = null;
  chart.end();
  for (const id of ["facts", "verdict"]) show(id, false);
  part("forecast-part", false);
  part("inside-part", false);
  at("title").textContent = "Live forecasts";
  link("live", "Connected");
  history.replaceState(null, "", location.pathname);
}

// However many rows arrive, the page is drawn once a frame.
let due = false;
function later() {
  if (due || still) return;
  due = true;
  requestAnimationFrame(() => { due = false; if (known && !still) showAll(); });
}
function showAll() {
  chart.update();
  const said = words(known);
  at("last").replaceChildren(said.last, sub(said.lastAt));
  at("next").replaceChildren(said.next, sub(said.nextAt));
  showCoverage(known);
  showDrift(known);
  if (at("table-part").open) fillTable(known);
  const hidden = known.hidden.map((column) => column.slice(0, UNITS));
  show("inside-figure", hidden.length > 0);
  at("inside-words").textContent = hidden.length
    ? "The network's hidden units: a line for each, a new column with each row that arrives."
    : "This model shows no hidden units.";
  const time = (value) => charting.moment(value, known.dated);
  if (hidden.length) heat(hidden, known.hiddenAt.map(time), [...hidden[0].keys()], 60);
  say(`${known.target} ${said.last}, ${said.lastAt}. Next: ${said.next}, ${said.nextAt}.`);
}
function sub(text) {
  return Object.assign(document.createElement("span"), { className: "sub", textContent: text });
}
function describe(found) {
  const model = known.model;
  at("title").textContent = `${known.ahead[0]?.name ?? found.model} on ${known.id}: ${known.target}`;
  document.title = `${known.id}, stepahead live`;
  show("facts");
  const verdict = model?.verdict;
  show("verdict", Boolean(verdict));
  if (verdict) {
    at("verdict").querySelector(".outcome").textContent = { beats: "✓ Beats the best baseline", unproven: "≈ Not proven to beat the best baseline",
      tie: "✗ Does not beat the best baseline", same: "= Makes no difference to the best baseline", worse: "✗ Worse than the best baseline" }[verdict.outcome] ?? "";
    at("verdict").querySelector(".sentence").textContent = verdict.sentence ?? String(verdict);
  }
  if (model) rowForm(model);
  show("add-part", Boolean(model));
  playButton(beginner.kept(known.id), false);
}
function playButton(rest, playing) {
  show("play", rest > 0);
  at("play").textContent = playing ? `Stop playing (${rest} left)` : rest === 1 ? "Play the row kept back" : `Play the ${rest} rows kept back`;
}

function askToken(refused) {
  complain("ask-problem", refused ? "The service does not take this token" : null);
  if (!at("ask").open) at("ask").showModal();
}

function wire() {
  at("pick").addEventListener("change", () => open(at("pick").value));
  at("find").addEventListener("input", fillPicker);
  at("find").addEventListener("keydown", (event) => {
    const name = matches()[0] ?? at("find").value;
    if (event.key === "Enter" && at("find").value) open(names.includes(at("find").value) ? at("find").value : name);
  });
  at("pick").addEventListener("focus", () => list().catch((error) => complain("problem", error)));
  at("remove").addEventListener("click", remove);
  at("remove").addEventListener("blur", () => { at("remove").textContent = "Remove it"; });
  at("table-part").addEventListener("toggle", () => { if (known) fillTable(known); });
  at("pause").addEventListener("click", () => {
    still = !still;
    at("pause").setAttribute("aria-pressed", String(still));
    if (!still && known) showAll();
  });
  at("play").addEventListener("click", async () => {
    const name = known.id;
    try {
      await beginner.play(name, (rest, playing) => { if (known?.id === name) playButton(rest, playing); });
    } catch (error) { complain("problem", error); }
  });
  at("add").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await call(`${series(known.id)}/observations`, { body: { rows: [readRow(known.model)] } });
      complain("add-problem");
      at("add").reset();
      at("add-fields").querySelector("input[type=number]").focus();
    } catch (error) { complain("add-problem", error); }
  });
  at("ask-form").addEventListener("submit", () => {
    useToken(at("token").value.trim());
    at("token").value = "";
    load();
  });
}
// A series is gone for good, so the button asks once more.
async function remove() {
  if (!known) return;
  const question = `Really remove ${known.id}?`;
  if (at("remove").textContent !== question) { at("remove").textContent = question; return; }
  const name = known.id;
  at("remove").textContent = "Remove it";
  try {
    watching?.abort();
    await call(series(name), { method: "DELETE" });
    close();
    await list();
    if (names[0]) await open(names[0]);
  } catch (error) { complain("problem", error); }
}

start();
