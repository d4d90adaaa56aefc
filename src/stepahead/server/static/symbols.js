// A box to type in: each key asks the model what comes next, and shows its hidden units after each symbol.
import { call } from "./api.js";
import { heatMap } from "./heat.js";
import { announcer, at, complain, make, options, percent, show, visible } from "./page.js";

const K = 6, LONGEST = 60, UNITS = 32; // symbols and units that the heat map shows

export function typeBox(models) {
  const names = models.map((model) => model.name);
  const heat = heatMap("type");
  const say = announcer("odds-spoken", 1200);
  let asked = null;
  options(at("type-model"), names);
  show("type-model-label", names.length > 1);

  const model = () => models.find((one) => one.name === at("type-model").value) ?? models[0];
  const path = (action) => `v1/symbols/${encodeURIComponent(model().name)}/${action}`;
  // Words and events are cut at blanks and at commas; characters need no cutting.
  const cut = (text) => (model().tokens === "items" ? text.split(",").map((one) => one.trim()).filter(Boolean) : text);
  const glue = () => ({ words: " ", items: ", " })[model().tokens] ?? "";

  async function ask() {
    asked?.abort();
    const mine = asked = new AbortController();
    const prefix = cut(at("type").value);
    if (!prefix.length) { clear(); return; }
    try {
      const found = await call(path("next"), { body: { prefix, k: K }, signal: mine.signal });
      if (mine !== asked) return;
      complain("type-problem");
      drawOdds(found.next);
      drawHidden(found.hidden, prefix);
      say(`After ${at("type").value}: ${found.next.slice(0, 3).map((one) => `${visible(one.symbol)} ${percent(one.p)}`).join(", ")}`);
    } catch (error) {
      if (error.name !== "AbortError") complain("type-problem", error);
    }
  }
  function clear() {
    at("odds").replaceChildren();
    show("heat-type-figure", false);
    show("heat-type-heading", false);
    complain("type-problem");
  }
  function drawOdds(next) {
    const list = at("odds");
    while (list.children.length > next.length) list.lastChild.remove();
    while (list.children.length < next.length) list.append(odd());
    next.forEach(({ symbol, p }, i) => {
      const button = list.children[i].firstChild;
      button.dataset.symbol = symbol;
      button.disabled = symbol === "<end>";
      button.setAttribute("aria-label", `${visible(symbol)}, ${percent(p)}`);
      button.querySelector(".symbol").textContent = visible(symbol);
      button.querySelector(".fill").style.width = `${100 * p}%`;
      button.querySelector(".share").textContent = percent(p);
    });
  }
  function odd() {
    const rail = make("span", { className: "rail" }, make("span", { className: "fill" }));
    return make("li", {}, make("button", { type: "button" }, make("span", { className: "symbol" }), rail, make("span", { className: "share" })));
  }
  function drawHidden(hidden, prefix) {
    const shown = Boolean(hidden?.length);
    show("heat-type-figure", shown);
    show("heat-type-heading", shown);
    if (!shown) return;
    const symbols = typeof prefix === "string" ? (model().tokens === "words" ? prefix.split(/\s+/).filter(Boolean) : [...prefix.normalize("NFC")]) : prefix;
    const last = hidden.slice(-LONGEST);
    const units = moving(last).slice(0, UNITS);
    const labels = last.map((_, i) => visible(symbols[symbols.length - last.length + i] ?? "·"));
    heat(last.map((column) => units.map((unit) => column[unit])), labels, units, Math.min(Math.max(last.length, 8), LONGEST));
  }

  at("type").addEventListener("input", ask);
  at("type-model").addEventListener("change", () => { describe(); ask(); });
  at("odds").addEventListener("click", (event) => {
    const symbol = event.target.closest("button")?.dataset.symbol;
    if (symbol === undefined) return;
    const before = at("type").value;
    at("type").value = before + (before && !before.endsWith(glue()) ? glue() : "") + symbol;
    ask();
  });
  at("go-on").addEventListener("click", async () => {
    try {
      const body = { prefix: cut(at("type").value), length: 20 };
      at("type").value = (await call(path("complete"), { body })).text;
      await ask();
    } catch (error) { complain("type-problem", error); }
  });
  const describe = () => {
    show("go-on", model().tokens !== "items"); // what comes back is glued with blanks: names with blanks would fall apart
    const { name, cell, hidden_size: size, tokens } = model();
    const how = { items: ", one event after the other with commas between", words: ", words with blanks between" }[tokens] ?? "";
    at("type-hint").textContent = `${name}: ${cell.toUpperCase()}, ${size} hidden units${how}. Choose one of the symbols to add it.`;
  };
  describe();
  ask();
  return ask;
}

// Units by how far they move over time, the liveliest first.
function moving(columns) {
  const spread = columns[0].map((_, unit) => {
    const values = columns.map((column) => column[unit]);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    return values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  });
  return [...spread.keys()].sort((a, b) => spread[b] - spread[a]);
}
