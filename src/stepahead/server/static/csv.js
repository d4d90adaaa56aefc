// CSV as people have it. Text -> {names, rows of text}; then the columns that a model asks for.
export const MOST_BYTES = 50e6;
export const MOST_ROWS = 100_000; // that the service takes in one request

// Fields may be quoted, "" inside quotes is a quote; the separator is whichever the first line holds most of.
export function parse(text) {
  const body = text.replace(/^\ufeff/, "");
  const first = body.slice(0, body.search(/[\r\n]|$/));
  const separator = [",", ";", "\t"].reduce((a, b) => (count(first, b) > count(first, a) ? b : a));
  const rows = cut(body, separator).filter((row) => row.length > 1 || row[0] !== "");
  const names = (rows.shift() ?? []).map((name) => name.trim());
  return { names, rows };
}
const count = (text, sign) => text.split(sign).length;

function cut(text, separator) {
  if (!text.includes('"')) return text.split(/\r\n|\n|\r/).map((line) => line.split(separator));
  const rows = [[]];
  const field = new RegExp(`("(?:[^"]|"")*"|(?!")[^${separator}\\r\\n]*)(${separator}|\\r\\n|\\n|\\r|$)`, "y");
  while (field.lastIndex < text.length) {
    const [, value, end] = field.exec(text) ?? [];
    if (value === undefined) throw new Error("the file is not well-formed CSV: a quote stands alone");
    rows[rows.length - 1].push(value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value);
    if (end === separator && field.lastIndex === text.length) rows[rows.length - 1].push("");
    if (end !== separator && end !== "") rows.push([]);
  }
  return rows.filter((row) => row.length);
}

// The file as a model reads it: [{name: of the series or null, columns: {column: values}, length}].
export function fit({ names, rows }, model) {
  if (!rows.length) throw new Error("the file has no rows below its first line");
  const used = place(names, rows, model);
  const missing = wanted(model).filter((name) => !used.has(name));
  if (missing.length) {
    throw new Error(`the file lacks ${list(missing)}; the model needs ${list(wanted(model))}, the file has ${list(names)}`);
  }
  const splitter = idColumn(names, rows, new Set(used.values()));
  const groups = new Map();
  for (const row of rows) {
    const id = splitter < 0 ? null : row[splitter];
    if (!groups.has(id)) groups.set(id, []);
    groups.get(id).push(row);
  }
  return [...groups].map(([name, group]) => ({ name, length: group.length, columns: columns(group, used, model) }));
}

export const wanted = (model) => [...new Set([model.time, ...model.columns, ...(model.future ?? []), ...(model.static ?? [])])];

// Column of the model -> where it stands in the file. A lone time column and a lone value may be called what they like.
function place(names, rows, model) {
  const used = new Map(wanted(model).filter((name) => names.includes(name)).map((name) => [name, names.indexOf(name)]));
  const free = (test) => names.map((_, i) => i).filter((i) => ![...used.values()].includes(i) && test(rows[0][i] ?? ""));
  const times = free(model.time_kind === "integer" ? isNumber : isDate);
  if (!used.has(model.time) && times.length === 1) used.set(model.time, times[0]);
  const values = free(isNumber);
  if (model.columns.length === 1 && !used.has(model.target) && values.length === 1) used.set(model.target, values[0]);
  return used;
}
const isNumber = (text) => text.trim() !== "" && Number.isFinite(Number(text));
const isDate = (text) => /^\d{4}-\d\d/.test(text) && !Number.isNaN(Date.parse(text));

function idColumn(names, rows, used) {
  const known = names.findIndex((name, i) => /^(unique_id|series|series_id|id|ticker|symbol)$/i.test(name) && !used.has(i));
  return known >= 0 && new Set(rows.map((row) => row[known])).size < rows.length ? known : -1;
}

function columns(rows, used, model) {
  const found = {};
  for (const [name, at] of used) {
    found[name] = rows.map((row, i) => {
      const text = (row[at] ?? "").trim();
      if (name === model.time) return model.time_kind === "integer" && isNumber(text) ? Number(text) : text;
      if ((model.static ?? []).includes(name) && !isNumber(text)) return text;
      if (text === "" || /^(nan|na|null)$/i.test(text)) return null;
      if (!isNumber(text)) throw new Error(`column '${name}', row ${i + 1}: '${text.slice(0, 40)}' is not a number`);
      return Number(text);
    });
  }
  return found;
}
export const slice = (columns, from, to) => Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values.slice(from, to)]));
export const rowAt = (columns, i) => Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[i]]));
export const list = (names) => names.map((name) => `'${name}'`).join(", ");
