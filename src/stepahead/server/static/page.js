// Small things that every part of the page needs.
export const at = (id) => document.getElementById(id);
export const show = (id, wanted = true) => { at(id).hidden = !wanted; };

export function complain(id, error) {
  const text = error ? error.message ?? String(error) : "";
  at(id).textContent = text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
  at(id).hidden = !text;
}
export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
export function options(select, names, chosen) {
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(chosen)) select.value = chosen;
}
export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return `${(100 * share).toLocaleString("en", { maximumFractionDigits: share > 0.0995 && share < 0.995 ? 0 : 1 })} %`;
}
const MARKS = { "\n": "⏎", " ": "␣", "\t": "⇥" };
export const visible = (symbol) => MARKS[symbol] ?? symbol;

// Says things aloud, at most every few seconds, the newest.
export function announcer(id, pause = 4000) {
  let text = "", waiting = false, last = -Infinity;
  const speak = () => { waiting = false; last = performance.now(); at(id).textContent = text; };
  return (sentence) => {
    text = sentence;
    if (waiting) return;
    waiting = true;
    setTimeout(speak, Math.max(0, last + pause - performance.now()));
  };
}
