"use strict";
// Charts that zoom, pan and speak, and the switch between light and dark: shared by the report and the live page.
// Names from the data only ever become text, never HTML.
const charting = (() => {
  const charts = new Map(); // name -> the uPlot that is drawn now
  const drawings = {}; // name -> function that draws it anew
  const DASHES = [[6, 4], [2, 3], [9, 3, 2, 3], [12, 4]];

  // Colours come from the style sheet, as the theme has them now.
  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;
  function color(name) {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  }
  function faint(name, strength) {
    probe.style.color = `color-mix(in srgb, var(--${name}) ${Math.round(strength * 100)}%, transparent)`;
    return getComputedStyle(probe).color;
  }

  function number(value) {
    if (value == null) return "–";
    const digits = Math.abs(value) >= 1e4 ? 0 : Math.abs(value) >= 100 ? 2 : 4;
    return Math.abs(value) < 1e9 && (value === 0 || Math.abs(value) >= 1e-3)
      ? value.toLocaleString("en", { maximumFractionDigits: digits }) : value.toPrecision(4);
  }
  function moment(value, time) {
    if (value == null) return "–";
    if (!time) return String(value);
    const written = new Date(value * 1000).toISOString().replace("T", " ").replace(/\.000Z$|Z$/, "");
    return written.replace(/ 00:00:00$/, "").replace(/(:\d\d):00$/, "$1");
  }

  // Times on the axis: the finest part first, below it what it belongs to. [step in seconds, text, new year, -, new day, ...]
  const DAY = 86400;
  const hour = (text) => [text, "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1];
  const TIMES = [
    [365 * DAY, "{YYYY}", null, null, null, null, null, null, 1],
    [28 * DAY, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [DAY, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
    [3600, ...hour("{HH}:{mm}")],
    [60, ...hour("{HH}:{mm}")],
    [1, ...hour("{HH}:{mm}:{ss}")],
  ];
  const WHOLE = [1, 2, 5].flatMap((n) => [...Array(15).keys()].map((e) => n * 10 ** e)).sort((a, b) => a - b);

  // One chart: series are {label, stroke, values, dash, points, silent, show, value}.
  function draw(name, { x, time, series, bands = [], hooks = {}, label, height, xLabel, range, xNames }) {
    const mount = document.getElementById(`chart-${name}`);
    charts.get(name)?.destroy();
    const axis = { stroke: color("quiet"), grid: { stroke: color("line"), width: 1 }, ticks: { stroke: color("line") },
      font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif" };
    const chart = new uPlot({
      width: Math.max(mount.clientWidth, 240),
      height: height || (mount.clientWidth < 560 ? 250 : 340),
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { x: { time: Boolean(time), ...(range?.x && { range: range.x }) }, y: { ...(range?.y && { range: range.y }) } },
      axes: [
        { ...axis, ...(xLabel && { label: xLabel, labelSize: 22 }), ...(time
          ? { values: TIMES, space: 64 }
          : { incrs: WHOLE, space: 40, values: (u, ticks) => ticks.map((v) => (xNames ? xNames[v] : whole(v))) }) },
        { ...axis, size: room, values: (u, ticks) => ticks.map((v) => v.toLocaleString("en", { maximumSignificantDigits: 6 })) },
      ],
      series: [
        { label: label || (time ? "time" : "step"), value: (u, v) => (time ? moment(v, time) : xNames ? xNames[v] ?? "–" : v == null ? "–" : String(v)) },
        ...series.map(({ values, ...one }) => ({ width: 1.5, points: { fill: color("paper") }, value: (u, v) => number(v), ...one, class: one.silent ? "silent" : one.mark ? "band" : "line" })),
      ],
      bands,
      legend: { markers: {
        width: (u, i) => (u.series[i].mark ? 0 : 3),
        dash: (u, i) => (u.series[i].dash ? "dashed" : "solid"),
        fill: (u, i) => u.series[i].mark || "transparent",
      } },
      cursor: { y: false, points: { size: 7, fill: (u, i) => u.series[i].stroke(u, i) }, drag: { x: true, y: false }, bind: { mousedown: pressed } },
      hooks,
    }, [x, ...series.map((one) => one.values)], mount);
    charts.set(name, chart);
    for (const head of chart.root.querySelectorAll(".u-series th")) reachable(head);
    touch(chart);
    return chart;
  }
  const whole = (v) => (Number.isInteger(v) ? String(v) : "");
  function room(chart, ticks) {
    const longest = (ticks || []).reduce((most, one) => Math.max(most, String(one).length), 3);
    return 18 + 7 * longest;
  }
  function reachable(head) {
    head.tabIndex = 0;
    head.setAttribute("role", "button");
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); head.click(); }
    });
  }

  // Zoom and pan.
  function reach(chart) {
    const x = chart.data[0];
    return [x[0], x[x.length - 1]];
  }
  function show(chart, min, max) {
    const [first, last] = reach(chart);
    const span = Math.min(max - min, last - first);
    const least = (last - first) / Math.max(chart.data[0].length - 1, 1);
    if (span < least * 2) return;
    const from = Math.min(Math.max(min, first), last - span);
    chart.setScale("x", { min: from, max: from + span });
  }
  function zoom(chart, factor, centre) {
    const { min, max } = chart.scales.x;
    const middle = centre ?? (min + max) / 2;
    show(chart, middle - (middle - min) * factor, middle + (max - middle) * factor);
  }
  function pan(chart, share) {
    const { min, max } = chart.scales.x;
    show(chart, min + share * (max - min), max + share * (max - min));
  }
  const ACTIONS = {
    in: (chart) => zoom(chart, 0.5),
    out: (chart) => zoom(chart, 2),
    left: (chart) => pan(chart, -0.5),
    right: (chart) => pan(chart, 0.5),
    all: (chart) => show(chart, ...reach(chart)),
  };
  function pressed(chart, target, standard) {
    return (event) => {
      if (!event.shiftKey) { standard(event); return; }
      event.preventDefault();
      const { min, max } = chart.scales.x;
      const start = event.clientX;
      const move = (later) => {
        const shift = ((start - later.clientX) / chart.over.clientWidth) * (max - min);
        show(chart, min + shift, max + shift);
      };
      const end = () => { document.removeEventListener("mousemove", move); document.removeEventListener("mouseup", end); };
      document.addEventListener("mousemove", move);
      document.addEventListener("mouseup", end);
    };
  }
  function touch(chart) {
    let before = null;
    const where = (event) => [...event.touches].map((one) => one.clientX);
    chart.over.addEventListener("touchstart", (event) => { before = where(event); }, { passive: true });
    chart.over.addEventListener("touchmove", (event) => {
      const now = where(event);
      if (before && now.length === before.length) {
        const wide = chart.over.clientWidth;
        if (now.length === 1) pan(chart, (before[0] - now[0]) / wide);
        if (now.length === 2) {
          const spread = ([a, b]) => Math.max(Math.abs(a - b), 10);
          const middle = (now[0] + now[1]) / 2 - chart.over.getBoundingClientRect().left;
          zoom(chart, spread(before) / spread(now), chart.posToVal(middle, "x"));
        }
      }
      before = now;
    }, { passive: true });
    chart.over.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return; // the wheel alone scrolls the page
      event.preventDefault();
      zoom(chart, event.deltaY > 0 ? 1.25 : 0.8, chart.posToVal(event.offsetX, "x"));
    }, { passive: false });
  }

  // The keyboard: arrows walk from value to value and speak them.
  function keys(name) {
    const mount = document.getElementById(`chart-${name}`);
    let at = null;
    mount.addEventListener("keydown", (event) => {
      const chart = charts.get(name);
      if (event.target !== mount || event.altKey || event.ctrlKey || event.metaKey) return;
      const side = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (side && event.shiftKey) pan(chart, side * 0.25);
      else if (side) at = walk(name, chart, at, side);
      else if (event.key === "+" || event.key === "=") zoom(chart, 0.5);
      else if (event.key === "-") zoom(chart, 2);
      else if (event.key === "0") ACTIONS.all(chart);
      else return;
      event.preventDefault();
    });
  }
  function walk(name, chart, at, side) {
    const { min, max } = chart.scales.x;
    const [low, high] = [chart.valToIdx(min), chart.valToIdx(max)];
    const next = at == null || at < low || at > high ? (side > 0 ? low : high) : Math.min(Math.max(at + side, low), high);
    const place = chart.valToPos(chart.data[0][next], "x");
    chart.setCursor({ left: place, top: chart.over.clientHeight / 2 });
    document.getElementById(`${name}-spoken`).textContent = chart.series
      .filter((one) => one.show && one.class !== "silent")
      .map((one) => `${one.label} ${one.value(chart, chart.data[chart.series.indexOf(one)][next], chart.series.indexOf(one), next)}`)
      .join(", ");
    return next;
  }
  function mark(chart, x, text) { // a dotted line down at x
    const { ctx, bbox } = chart;
    const left = chart.valToPos(x, "x", true);
    if (left <= bbox.left + 1 || left > bbox.left + bbox.width) return;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = color("quiet");
    ctx.setLineDash([2 * uPlot.pxRatio, 4 * uPlot.pxRatio]);
    ctx.beginPath();
    ctx.moveTo(left, bbox.top);
    ctx.lineTo(left, bbox.top + bbox.height);
    ctx.stroke();
    ctx.font = `${12 * uPlot.pxRatio}px system-ui, sans-serif`;
    ctx.textAlign = left > bbox.left + bbox.width * 0.75 ? "right" : "left";
    ctx.fillText(` ${text} `, left, bbox.top + 12 * uPlot.pxRatio);
    ctx.restore();
  }
  const level = (y) => (u) => { // a straight line across at y
    const { ctx, bbox } = u;
    const top = u.valToPos(y, "y", true);
    if (top < bbox.top || top > bbox.top + bbox.height) return;
    ctx.save();
    ctx.strokeStyle = color("quiet");
    ctx.setLineDash([3 * uPlot.pxRatio, 4 * uPlot.pxRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, top);
    ctx.lineTo(bbox.left + bbox.width, top);
    ctx.stroke();
    ctx.restore();
  };

  function drawAll() {
    for (const one of Object.values(drawings)) one();
    document.documentElement.dataset.drawn = String(charts.size);
  }
  // Buttons and keys of the charts, the theme, and a new width; then everything is drawn.
  function start(resized = () => {}) {
    for (const bar of document.querySelectorAll(".tools[data-for]")) {
      bar.addEventListener("click", (event) => ACTIONS[event.target.dataset?.do]?.(charts.get(bar.dataset.for)));
      keys(bar.dataset.for);
    }
    const theme = document.getElementById("theme");
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : dark.matches);
    const name = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`); };
    theme.addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; name(); drawAll(); });
    dark.addEventListener("change", () => { name(); drawAll(); });
    let wide = document.body.clientWidth;
    new ResizeObserver(() => {
      if (document.body.clientWidth === wide) return;
      wide = document.body.clientWidth;
      for (const chart of charts.values()) chart.setSize({ width: Math.max(chart.root.parentElement.clientWidth, 240), height: chart.height });
      resized();
    }).observe(document.body);
    name();
    drawAll();
  }
  return { charts, drawings, DASHES, color, faint, number, moment, draw, mark, level, start };
})();
