// Hidden units as a heat map on a canvas, readable by pointer and arrow keys. Columns of values in [-1, 1] -> a picture.
const { color } = charting;
const TALLEST = 340, LINE = 26; // CSS pixels: of the whole, and of one unit, at most

// name: of the canvas "heat-NAME". moving: the newest column stands at the right edge. Returns show(columns, labels,
// units, room): columns [T][D] with a label each, the numbers of the D units, for how many columns there is room.
export function heatMap(name, moving = false) {
  const canvas = document.getElementById(`heat-${name}`);
  const readout = document.getElementById(`heat-${name}-readout`);
  const spoken = document.getElementById(`heat-${name}-spoken`);
  let seen = { columns: [], labels: [], units: [], room: 1 };
  let place = null; // of the pictured cells, in CSS pixels
  let at = null; // [column, line] that is read out

  function draw() {
    if (canvas.clientWidth === 0 || !seen.columns.length) return;
    place = layout(canvas, seen, moving);
    const ctx = begin(canvas, place.height);
    cells(ctx, place, seen);
    axes(ctx, place, seen);
    canvas.setAttribute("aria-label", summary(seen));
  }
  function read(column, line, speak) {
    const value = seen.columns[column]?.[line];
    if (value === undefined) return;
    at = [column, line];
    const text = `unit ${seen.units[line] + 1}, ${seen.labels[column]}: ${signed(value)}`;
    readout.textContent = text;
    if (speak) spoken.textContent = text;
  }
  canvas.addEventListener("pointermove", (event) => {
    if (!place) return;
    const column = Math.floor((event.offsetX - place.left) / place.wide) - place.blank;
    read(column, Math.floor((event.offsetY - place.top) / place.tall), false);
  });
  canvas.addEventListener("pointerleave", () => { readout.textContent = ""; });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || !seen.columns.length) return;
    event.preventDefault();
    const [column, line] = at ?? [seen.columns.length - 1 - step[0], -step[1]];
    const within = (value, most) => Math.min(Math.max(value, 0), most - 1);
    read(within(column + step[0], seen.columns.length), within(line + step[1], seen.units.length), true);
  });
  charting.drawings[`heat-${name}`] = draw;
  return (columns, labels, units, room) => {
    seen = { columns, labels, units, room: Math.max(room, columns.length) };
    draw();
  };
}

const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
function summary({ columns, labels, units }) {
  const now = columns[columns.length - 1];
  const first = units.slice(0, 6).map((unit, line) => `unit ${unit + 1} ${signed(now[line])}`).join(", ");
  return `Heat map of ${units.length} hidden units over ${columns.length} steps. At ${labels[labels.length - 1]}: ${first}. Arrow keys read the cells.`;
}

function layout(canvas, { units, room, columns }, moving) {
  const left = 62, top = 2, foot = 26;
  const wide = Math.min((canvas.clientWidth - left - 2) / room, 64);
  const tall = Math.min(LINE, TALLEST / units.length);
  return { left, top, wide, tall, blank: moving ? room - columns.length : 0, height: top + tall * units.length + foot };
}
function begin(canvas, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(canvas.clientWidth * scale);
  canvas.height = Math.round(height * scale);
  const ctx = canvas.getContext("2d");
  ctx.scale(scale, scale);
  return ctx;
}

// One pixel a cell, then enlarged: quick for hundreds of units.
function cells(ctx, place, { columns, units, room }) {
  const shade = shades(), blank = channels(color(place.blank ? "card" : "paper"));
  const small = new ImageData(room, units.length);
  for (let x = 0; x < room; x += 1) {
    for (let y = 0; y < units.length; y += 1) {
      const value = columns[x - place.blank]?.[y];
      small.data.set([...(value === undefined ? blank : shade(value)).map(Math.round), 255], 4 * (y * room + x));
    }
  }
  const sheet = new OffscreenCanvas(room, units.length);
  sheet.getContext("2d").putImageData(small, 0, 0);
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(sheet, place.left, place.top, place.wide * room, place.tall * units.length);
}
function shades() {
  const [low, zero, high] = ["low", "zero", "high"].map((name) => channels(color(name)));
  return (value) => {
    const end = value < 0 ? low : high, share = Math.min(Math.abs(value), 1);
    return zero.map((part, i) => part + (end[i] - part) * share);
  };
}
const channels = (text) => text.match(/[\d.]+/g).slice(0, 3).map((part) => (text.startsWith("color(") ? 255 * part : Number(part)));
// Relative luminance, WCAG 2.
const luminance = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => sum + weight * ((rgb[i] / 255 + 0.055) / 1.055) ** 2.4, 0);

function axes(ctx, place, { columns, labels, units }) {
  ctx.font = "12px system-ui, sans-serif";
  ctx.fillStyle = color("quiet");
  ctx.textBaseline = "middle";
  const skip = Math.ceil(14 / place.tall);
  units.forEach((unit, line) => {
    if (line % skip === 0) ctx.fillText(`unit ${unit + 1}`, 0, place.top + (line + 0.5) * place.tall);
  });
  const foot = place.height - 13;
  ctx.textAlign = "center";
  if (place.wide >= 14 && labels.every((label) => label.length <= 2)) {
    ctx.fillStyle = color("ink");
    ctx.font = "14px ui-monospace, monospace";
    labels.forEach((label, i) => ctx.fillText(label, place.left + (place.blank + i + 0.5) * place.wide, foot));
    if (place.wide >= 40 && place.tall >= 18) values(ctx, place, columns);
    return;
  }
  const right = place.left + place.wide * (place.blank + columns.length);
  ctx.textAlign = "right";
  ctx.fillText(labels[labels.length - 1], right, foot);
  if (place.wide * columns.length < 330) return;
  ctx.textAlign = "left";
  ctx.fillText(labels[0], place.left + place.blank * place.wide, foot);
}
function values(ctx, place, columns) { // in ink or paper, whichever reads better on the cell
  const shade = shades(), letters = ["ink", "paper"].map(color), bright = letters.map((one) => luminance(channels(one)) + 0.05);
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "center";
  columns.forEach((column, x) => column.forEach((value, y) => {
    const ground = luminance(shade(value)) + 0.05;
    const [ink, paper] = bright.map((one) => Math.max(one / ground, ground / one));
    ctx.fillStyle = letters[ink >= paper ? 0 : 1];
    ctx.fillText(signed(value), place.left + (place.blank + x + 0.5) * place.wide, place.top + (y + 0.5) * place.tall);
  }));
}
