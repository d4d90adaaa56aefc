"use strict";
// Draws the curves of a report from the JSON in the page. Names from the data only ever become text, never HTML.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { names } = data;
  const { drawings, DASHES, color, faint, number, draw, mark, level } = charting;
  const words = (name) => name.replaceAll("_", " ");

  const baselineColor = (i) => color(`b${i % 4}`);
  const best = names.baselines.indexOf(names.best);

  // Truth and forecast.
  const chosen = { series: data.pictures.worst, view: 0 };
  drawings.forecasts = () => {
    const one = data.pictures.series[chosen.series];
    const view = one.views[chosen.view];
    const series = []; // drawn in this order, so intervals lie behind all lines
    const bands = [];
    data.pictures.level.forEach((level, i) => {
      const shade = faint("forecast", 0.3 / (i + 1));
      const low = series.length + 1;
      const edge = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true };
      series.push({ ...edge, label: `${level} % low`, values: view.lo[i], silent: true });
      series.push({ ...edge, label: `${level} % interval`, values: view.hi[i], mark: shade,
        value: (u, v, s, at) => (at == null || v == null ? "–" : `${number(u.data[low][at])} to ${number(v)}`) });
      bands.push({ series: [low + 1, low], fill: shade });
    });
    series.push({ label: words(names.best), stroke: baselineColor(best), dash: DASHES[0], values: view.baseline, spanGaps: true });
    series.push({ label: `${names.target}, the truth`, stroke: color("truth"), values: view.y });
    series.push({ label: names.model, stroke: color("forecast"), values: view.forecast, spanGaps: true });
    const chart = draw("forecasts", { x: view.x, time: data.time, series, bands, hooks: { draw: [(u) => mark(u, view.test_from, "test starts")] } });
    chart.root.dataset.series = one.id;
  };
  function picker(label, options, current, changed) {
    const frame = document.createElement("label");
    const select = document.createElement("select");
    select.id = `pick-${label.toLowerCase()}`;
    frame.append(label, select);
    options.forEach((option, i) => select.add(new Option(option, String(i))));
    select.value = String(current);
    select.addEventListener("change", () => changed(Number(select.value)));
    document.querySelector('.tools[data-for="forecasts"]').prepend(frame);
  }
  if (data.pictures.views.length > 1) {
    picker("Forecasts", data.pictures.views, 0, (i) => { chosen.view = i; drawings.forecasts(); });
  }
  if (data.pictures.series.length > 1) {
    picker("Series", data.pictures.series.map((one) => one.id), chosen.series, (i) => { chosen.series = i; drawings.forecasts(); });
  }

  const dotted = (size = 6) => ({ show: true, size, fill: color("paper") });
  const margin = (u, min, max) => [min - 0.5, max + 0.5];
  if (data.steps.x) drawings.steps = () => draw("steps", {
    x: data.steps.x, label: "steps ahead", xLabel: "steps ahead", range: { x: margin },
    series: Object.entries(data.steps.rmse).map(([name, values], i) => i === 0
      ? { label: name, stroke: color("forecast"), values, width: 2.5, points: dotted() }
      : { label: words(name), stroke: baselineColor(i - 1), dash: DASHES[(i - 1) % 4], values, points: dotted(4) }),
  });

  function banded(name, { x, y, low, high, hook, ...rest }) {
    draw(name, { x, ...rest, hooks: { draw: hook ? [hook] : [] },
      series: [
        { label: "low", stroke: "transparent", values: low, points: { show: false }, silent: true },
        { label: rest.bandLabel, stroke: "transparent", values: high, points: { show: false }, mark: faint("forecast", 0.25),
          value: (u, v, s, at) => (at == null || v == null ? "–" : `${number(u.data[1][at])} to ${number(v)}`) },
        { label: rest.lineLabel, stroke: color("forecast"), values: y, width: 2, ...(rest.points && { points: rest.points }) },
      ],
      bands: [{ series: [2, 1], fill: faint("forecast", 0.25) }] });
  }
  if (data.skill.x) drawings.skill = () => banded("skill", { ...data.skill, y: data.skill.skill, label: "steps ahead",
    xLabel: "steps ahead", bandLabel: "95 % interval", lineLabel: "skill, %", points: dotted(), range: { x: margin },
    hook: level(0) });

  if (data.calibration.x) drawings.calibration = () => {
    const { x, reached } = data.calibration;
    draw("calibration", { x: [0, ...x, 100], label: "asked for, %", xLabel: "coverage asked for, %", height: 300,
      range: { x: () => [0, 100], y: () => [0, 100] },
      series: [
        { label: "right", stroke: color("quiet"), dash: DASHES[1], values: [0, ...x, 100], points: { show: false } },
        { label: "reached, %", stroke: color("forecast"), values: [0, ...reached, 100], width: 2, points: dotted(8) },
      ] });
  };

  if (data.windows.x) drawings.windows = () => banded("windows", { ...data.windows, x: data.windows.x.map((_, i) => i),
    y: data.windows.error, xNames: data.windows.x, label: "window, rows", xLabel: "window, rows", bandLabel: "noise",
    lineLabel: "error", points: dotted(), range: { x: margin },
    hook: (u) => mark(u, data.windows.x.indexOf(data.windows.chosen), "chosen") });

  drawings.residuals = () => {
    const { x, y, lo, hi } = data.residuals;
    if (lo) banded("residuals", { x, y, low: lo, high: hi, time: data.time, bandLabel: "10th to 90th percentile",
      lineLabel: "median residual", hook: level(0) });
    else draw("residuals", { x, time: data.time, hooks: { draw: [level(0)] },
      series: [{ label: "truth less forecast", stroke: color("forecast"), values: y, width: 1 }] });
  };

  if (data.correlation.x) drawings.correlation = () => {
    const { x, r, band } = data.correlation;
    draw("correlation", { x, label: "lag", xLabel: "lag, in cutoffs", height: 240,
      range: { x: margin, y: (u, min, max) => [Math.min(1.1 * min, -1.3 * band), Math.max(1.1 * max, 1.3 * band)] },
      hooks: { draw: [level(band), level(-band), level(0)] },
      series: [{ label: "correlation", stroke: color("forecast"), fill: color("forecast"), values: r, points: { show: false },
        paths: uPlot.paths.bars({ size: [0.4, 14] }) }] });
  };

  charting.start();
  window.stepahead = { charts: charting.charts }; // for tests, and for those who look behind the page
})();
