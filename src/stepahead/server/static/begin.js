// A new series: a CSV that is dropped or chosen, or the rows that the model learned. Rows kept back can be played in.
import { call, series } from "./api.js";
import { fit, list, MOST_BYTES, MOST_ROWS, parse, rowAt, slice, wanted } from "./csv.js";
import { at, complain, make, options, show } from "./page.js";

const MOST_SERIES = 100; // begun from one file
const BEAT = 300; // ms between two rows that are played in

// models: the forecasters. known(): names of the series there are. opened(name): called when one has begun.
export function beginSeries(models, known, opened) {
  let table = null;
  const kept = new Map(); // series -> {columns, at, length}
  const chosen = () => models.find((model) => model.name === at("begin-model").value) ?? models[0];
  options(at("begin-model"), models.map((model) => model.name));
  at("drop-needs").textContent = models.length === 1 ? needs(models[0]) : "";
  offerLearned(models, known, opened);

  async function take(file) {
    try {
      complain("problem");
      if (file.size > MOST_BYTES) throw new Error(`${file.name} is larger than ${MOST_BYTES / 1e6} MB`);
      table = parse(await file.text());
      at("begin-name").value = file.name.replace(/\.[^.]*$/, "").replace(/[/]/g, "-").slice(0, 128);
      at("begin-file").textContent = `${file.name}: ${table.rows.length.toLocaleString("en")} rows of ${list(table.names)}.`;
      at("begin-part").open = true;
      show("begin");
      check();
      at("begin-heading").scrollIntoView({ block: "nearest" });
      at("begin-go").focus();
    } catch (error) { complain("problem", error); }
  }
  // What the file lacks is said before anything is sent.
  function check() {
    try {
      const parts = fit(table, chosen());
      const name = at("begin-name").value;
      const several = parts.length > 1;
      at("begin-name").disabled = several;
      at("begin-go").textContent = several ? `Begin ${Math.min(parts.length, MOST_SERIES)} series` : known().includes(name) ? `Replace ${name}` : "Begin";
      at("begin-go").disabled = false;
      complain("begin-problem");
      return parts;
    } catch (error) {
      at("begin-go").disabled = true;
      complain("begin-problem", error);
      return null;
    }
  }
  async function begin() {
    const parts = check();
    if (!parts) return;
    const model = chosen(), back = Math.max(0, Math.floor(Number(at("begin-back").value) || 0));
    const named = parts.map((part) => ({ ...part, name: parts.length > 1 ? String(part.name) : at("begin-name").value.trim() }));
    at("begin-go").disabled = true;
    try {
      for (const { name, columns, length } of named.slice(0, MOST_SERIES)) {
        const cut = Math.max(1, length - back);
        if (known().includes(name)) await call(series(name), { method: "DELETE" });
        await call(series(name), { method: "PUT", body: { model: model.name, columns: slice(columns, Math.max(0, cut - MOST_ROWS), cut) } });
        kept.delete(name);
        if (cut < length) kept.set(name, { columns, at: cut, length });
      }
      close();
      await opened(named[0].name);
    } catch (error) {
      at("begin-go").disabled = false;
      complain("begin-problem", error);
    }
  }
  function close() {
    table = null;
    show("begin", false);
    at("file").value = "";
    at("begin-part").open = false;
  }

  at("file").addEventListener("change", () => { if (at("file").files[0]) take(at("file").files[0]); });
  at("begin-model").addEventListener("change", check);
  at("begin-name").addEventListener("input", check);
  at("begin").addEventListener("submit", (event) => { event.preventDefault(); begin(); });
  at("begin-cancel").addEventListener("click", () => { close(); at("file").focus(); });
  dropZone(take);
  return { play: player(kept), kept: (name) => (kept.has(name) ? kept.get(name).length - kept.get(name).at : 0) };
}

const needs = (model) => `${model.name} reads the columns ${list(wanted(model))}.`;

// The whole window takes a file; only the zone shows it.
function dropZone(take) {
  const zone = at("drop");
  const holdsFile = (event) => [...event.dataTransfer.types].includes("Files");
  window.addEventListener("dragover", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    zone.dataset.over = "";
  });
  window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) delete zone.dataset.over; });
  window.addEventListener("drop", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    delete zone.dataset.over;
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}

function offerLearned(models, known, opened) {
  const able = models.filter((model) => model.learned?.length);
  const choices = able.flatMap((model) => model.learned.map((name) => ({ model, name })));
  show("learned-line", choices.length > 0);
  show("learned-pick-label", choices.length > 1);
  at("learned-pick").replaceChildren(...choices.map(({ model, name }, i) => new Option(able.length > 1 ? `${model.name}: ${name}` : name, String(i))));
  at("learned").addEventListener("click", async () => {
    const { model, name } = choices[Number(at("learned-pick").value) || 0];
    const series_ = free(model.learned.length > 1 ? name : model.name, known());
    try {
      complain("problem");
      await call(series(series_), { method: "PUT", body: { model: model.name, learned: name } });
      at("begin-part").open = false;
      await opened(series_);
    } catch (error) { complain("problem", error); }
  });
}
function free(name, taken) {
  let found = name.replace(/\//g, "-");
  for (let i = 2; taken.includes(found); i += 1) found = `${name} ${i}`;
  return found;
}

// Plays the rows kept back of a series, one after the other, as if they came in now.
function player(kept) {
  let playing = null;
  return async (name, told) => {
    if (playing) { playing.stop = true; return; }
    const mine = playing = { stop: false };
    const rest = kept.get(name);
    try {
      while (rest && rest.at < rest.length && !mine.stop) {
        told(rest.length - rest.at, true);
        await call(`${series(name)}/observations`, { body: { rows: [rowAt(rest.columns, rest.at)] } });
        rest.at += 1;
        await new Promise((go) => setTimeout(go, BEAT));
      }
      if (rest && rest.at >= rest.length) kept.delete(name);
    } finally {
      playing = null;
      told(rest ? rest.length - rest.at : 0, false);
    }
  };
}

// Fields for one row of a model, to be filled in by hand.
export function rowForm(model) {
  const numeric = [...new Set([...model.columns, ...(model.future ?? [])])];
  const field = (name, type) => make("label", {}, name, make("input", { type, name, required: type === "number", step: "any", autocomplete: "off" }));
  const time = field(model.time, "text");
  time.querySelector("input").placeholder = "the next step";
  at("add-fields").replaceChildren(time, ...numeric.map((name) => field(name, "number")));
}
export function readRow(model) {
  const row = {};
  for (const input of at("add-fields").querySelectorAll("input")) {
    if (input.name !== model.time) row[input.name] = Number(input.value);
    else if (input.value) row[input.name] = model.time_kind === "integer" ? Number(input.value) : input.value;
  }
  return row;
}
