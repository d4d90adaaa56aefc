// How far the intervals can be trusted: a gauge of coverage for each level, and a lamp for drift.
import { at, make, percent } from "./page.js";

export function showCoverage(known) {
  const levels = Object.keys(known.coverage).map(Number).sort((a, b) => a - b);
  if (!levels.length) {
    at("coverage").replaceChildren("The model gives no intervals");
    return;
  }
  const gauges = at("coverage").querySelectorAll(".meter");
  if (gauges.length !== levels.length || levels.some((level, i) => gauges[i].dataset.level !== String(level))) {
    at("coverage").replaceChildren(...levels.map(gauge));
  }
  levels.forEach((level, i) => set(at("coverage").children[i], level, known.coverage[String(level)]));
}

function gauge(level) {
  const fill = make("span", { className: "fill" }), aim = make("span", { className: "aim" });
  aim.style.left = `${level}%`;
  const rail = make("span", { className: "rail", ariaHidden: "true" }, fill, aim);
  const made = make("div", { className: "meter", role: "meter" }, make("span", { textContent: `${level} %` }), rail, make("span", { className: "reached" }));
  made.dataset.level = String(level);
  made.setAttribute("aria-label", `Coverage of the ${level} % interval`);
  made.setAttribute("aria-valuemin", "0");
  made.setAttribute("aria-valuemax", "100");
  return made;
}
function set(made, level, share) {
  const text = share == null ? "no row yet" : `${percent(share)} reached`;
  made.querySelector(".fill").style.width = `${100 * (share ?? 0)}%`;
  made.querySelector(".reached").textContent = text;
  made.setAttribute("aria-valuenow", String(Math.round(100 * (share ?? 0))));
  made.setAttribute("aria-valuetext", `${text}, ${level} % asked for`);
}

export function showDrift(known) {
  const state = known.drifting ? "drifting" : "steady";
  if (at("drift").dataset.state === state) return; // said once, when it changes
  at("drift").dataset.state = state;
  at("drift").textContent = known.drifting ? "Drifting: the errors are not what they were" : "Steady";
}
