"""One page that says everything a backtest found.  Backtest -> a self-contained HTML file that works offline.

The words and tables are written here, the curves are drawn in the page by uPlot, which travels inside the file.
"""

import platform
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stepahead.evaluate.significance import p_words
from stepahead.evaluate.verdict import percent as finite_percent
from stepahead.show import report_data as found
from stepahead.show.html_page import Part, details, html_page, installed, write_page
from stepahead.show.sections import figure, section, skill_chart, table

if TYPE_CHECKING:
    from stepahead.evaluate.result import Backtest

OUTCOMES = {  # word beside the sign, for those who see no colour
    "beats": ("✓", "Beats the best baseline"),
    "unproven": ("≈", "Not proven to beat the best baseline"),
    "tie": ("✗", "Does not beat the best baseline"),
    "same": ("=", "Makes no difference to the best baseline"),
    "worse": ("✗", "Worse than the best baseline"),
}
LIBRARIES = ("stepahead", "numpy", "polars", "torch")


def report(
    result: "Backtest",
    path: str | Path,
    *,
    window_curve: found.WindowCurve | None = None,
    command: str | None = None,
) -> None:
    """Write the report of a backtest.

    Args:
        result: of a backtest.
        path: file to write, ending in .html; written whole or not at all.
        window_curve: what a window search found, to be shown beside it.
        command: the line that repeats the backtest; the Python call by default.

    Raises:
        ConfigError: another ending, or a file that cannot be written.

    Example:
        report(backtest(model, panel, level=[80, 95]), "goog.html")
    """
    write_page(path, lambda: render(result, window_curve=window_curve, command=command))


def render(result: "Backtest", *, window_curve: found.WindowCurve | None = None, command: str | None = None) -> str:
    """The page as text; the same result gives the same text."""
    charts: dict[str, Any] = {
        "pictures": found.pictures(result),
        "steps": found.by_step(result),
        "skill": found.skill_by_step(result),
        "calibration": found.calibration(result),
        "windows": found.window_curve(window_curve),
        "residuals": found.residuals(result),
        "correlation": found.autocorrelation(result),
    }
    charts |= {"names": names(result), "time": dated(result)}
    sections = [
        forecasts_section(result, charts),
        steps_section(result, charts),
        skill_section(result, charts),
        calibration_section(charts),
        windows_section(charts),
        residuals_section(charts),
        worst_section(result),
        scores_section(result),
        reproduce_section(result, command),
    ]
    return html_page(
        kind="Backtest",
        title=title(result),
        top=verdict_section(result),
        parts=[part for part in sections if part],
        data=charts,
        scripts=("vendor/uPlot.iife.min.js", "page/charts.js", "page/report.js"),
    )


def title(result: "Backtest") -> str:
    return f"{result.name} on {source(result)}: {result.panel.schema.target}"


def source(result: "Backtest") -> str:
    """The table's file name; where it lay is nobody's business."""
    return result.panel.schema.source.replace("\\", "/").rstrip("/").split("/")[-1]


def dated(result: "Backtest") -> bool:
    return bool(np.issubdtype(result.panel.times.dtype, np.datetime64))


def names(result: "Backtest") -> dict[str, Any]:
    """What the curves are called."""
    return {
        "model": result.name,
        "target": result.panel.schema.target,
        "best": result.verdict.baseline,
        "baselines": list(result.baseline_means),
    }


def percent(fraction: float) -> str:
    """A fraction in percent, a dash where there is none."""
    return "–" if np.isnan(fraction) else finite_percent(fraction)


def worded(baseline: str) -> str:
    return baseline.replace("_", " ")


def verdict_section(result: "Backtest") -> str:
    """The sentence, then the numbers behind it."""
    verdict = result.verdict
    sign, words = OUTCOMES[verdict.outcome]
    low, high = (percent(value) for value in verdict.interval)
    facts = {
        "Skill": f"{percent(verdict.skill)} against {worded(verdict.baseline)}",
        "95 % interval of the skill": f"{low} to {high}",
        "Diebold-Mariano": p_words(verdict.p_value),
        "Tested": f"{int((~np.isnan(result.actual.y)).sum()):,} forecasts, {tested_series(result):,} series, "
        f"{result.horizon} {'step' if result.horizon == 1 else 'steps'} ahead",
    }
    rows = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items())
    notes = "".join(f"<p>Note: {escape(note)}.</p>" for note in result.notes)
    return (
        f'<p class="outcome {verdict.outcome}"><span aria-hidden="true">{sign}</span> {escape(words)}</p>'
        f'<p class="sentence">{escape(verdict.sentence)}</p><dl class="facts">{rows}</dl>{notes}'
    )


def tested_series(result: "Backtest") -> int:
    return len(np.unique(result.actual.series))


def forecasts_section(result: "Backtest", charts: Mapping[str, Any]) -> Part:
    drawn, tested = len(charts["pictures"]["series"]), tested_series(result)
    words = f"{result.panel.schema.target}: the truth, the forecast and the best baseline"
    notes = [words + (", with intervals." if result.level else ".")]
    if drawn < tested:
        notes.append(f"{drawn} of {tested:,} series: the {found.SERIES // 3} worst, and others from worst to best.")
    pictures = charts["pictures"]["series"]
    if any(len(view["x"]) < view["rows"] for one in pictures for view in one["views"]):
        notes.append("Long series are thinned: of each stretch the lowest, the highest and the worst forecast stay.")
    body = f"<p>{escape(' '.join(notes))}</p>" + figure("forecasts", "Truth and forecast through time", tools=True)
    return section("forecasts", "Truth and forecast", body)


def steps_section(result: "Backtest", charts: Mapping[str, Any]) -> Part | None:
    steps = charts["steps"]
    if not steps:
        return None
    header = ["steps ahead", *map(worded, steps["rmse"])]
    rows = [[x, *values] for x, *values in zip(steps["x"], *steps["rmse"].values(), strict=True)]
    body = figure("steps", "RMSE at each step ahead, of the model and of each baseline")
    body += details(table("RMSE by step ahead", header, rows))
    return section("steps", "Errors by step ahead", body)


def skill_section(result: "Backtest", charts: Mapping[str, Any]) -> Part:
    comparisons = result.comparisons()
    rows = [
        [
            worded(c.baseline),
            c.baseline_rmse,
            f"{percent(c.skill)} ({percent(c.low)} to {percent(c.high)})",
            p_words(c.p_holm).removeprefix("p ").removeprefix("= "),
        ]
        for c in comparisons
    ]
    text = (
        "Skill is 1 - RMSE / RMSE of the baseline: above 0 the model is better. The line is its 95 % interval by block "
        "bootstrap; p is Diebold-Mariano's, corrected for the number of comparisons. Where few rows were tested the "
        "two may disagree; the verdict goes by p alone."
    )
    body = f"<p>{escape(text)}</p>{skill_chart(comparisons)}"
    body += table("Skill against each baseline", ["baseline", "its RMSE", "skill (95 % interval)", "p"], rows)
    if charts["skill"]:
        best = worded(result.verdict.baseline)
        body += f"<h3>By step ahead, against {escape(best)}</h3>"
        body += figure("skill", f"Skill in percent against {best} at each step ahead, with its 95 % interval")
    return section("skill-section", "Skill against each baseline", body)


def calibration_section(charts: Mapping[str, Any]) -> Part | None:
    data = charts["calibration"]
    if not data:
        return None
    columns = {
        "asked for, %": data["x"],
        "reached, %": data["reached"],
        "luck alone, ± %": data["noise"],
        "mean width": data["width"],
    }
    text = "How often the truth fell inside the interval, beside how often it should. On the diagonal is right."
    if data["as_fitted"]:
        text += " These learned from each truth as it came, as those of a stream do; those of predict() do not."
        columns["as fitted, %"] = data["as_fitted"]
    body = f"<p>{text}</p>" + figure("calibration", "Coverage reached against coverage asked for, in percent")
    rows = list(zip(*columns.values(), strict=True))
    return section("calibration-section", "Calibration", body + table("Coverage of the intervals", list(columns), rows))


def windows_section(charts: Mapping[str, Any]) -> Part | None:
    data = charts["windows"]
    if not data:
        return None
    rows = list(zip(data["x"], data["error"], data["low"], data["high"], strict=True))
    body = f"<p>{escape(data['sentence'])}</p>" + figure("windows", "Error by window length, with its noise band")
    body += details(table("Error by window length", ["window, rows", "error", "low", "high"], rows))
    return section("windows-section", "How long a window", body)


def residuals_section(charts: Mapping[str, Any]) -> Part:
    data = charts["correlation"]
    text = "Truth less the forecast one step ahead, at each cutoff."
    if charts["residuals"]["scaled"]:
        text += " Of several series: the median, with the 10th and 90th percentile, in units of each one's naive error."
    body = f"<p>{text}</p>" + figure("residuals", "Residuals through time", tools=True)
    body += "<h3>Autocorrelation of the residuals</h3>"
    if not data:
        return section("residuals-section", "Residuals", body + "<p>Too few forecasts to tell.</p>")
    words = (
        f"{data['outside']} of {len(data['x'])} lie outside the band that noise stays within 95 % of the time; "
        "an error that follows from the one before could have been foreseen."
    )
    body += f"<p>{words}</p>" + figure("correlation", "Autocorrelation of the residuals by lag, with the band of noise")
    body += details(table("Autocorrelation", ["lag", "correlation"], zip(data["x"], data["r"], strict=True)))
    return section("residuals-section", "Residuals", body)


def worst_section(result: "Backtest") -> Part:
    moments = found.worst_moments(result)
    header = ["series", result.panel.schema.time, "steps ahead", "truth", "forecast", "truth - forecast"]
    if tested_series(result) > 1:
        columns = ["series", "RMSE", f"RMSE of {worded(result.verdict.baseline)}", "skill, %", "forecasts"]
        body = table(
            "The worst series, by error in units of their own naive error", columns, found.worst_series(result)
        )
        return section("worst", "Worst series and moments", body + table("The worst moments", header, moments))
    return section("worst", "Worst moments", table("The worst moments", header[1:], [row[1:] for row in moments]))


def scores_section(result: "Backtest") -> Part:
    everyone = {**result.scores, **result.baselines}
    metrics = [name for name in next(iter(everyone.values())) if not name.startswith(("coverage-", "width-"))]
    rows = [[worded(name), *(scores.get(m, np.nan) for m in metrics)] for name, scores in everyone.items()]
    caption = "All steps and series; the mean over the series of each one's score"
    return section("scores", "Scores", table(caption, ["model", *metrics], rows))


def reproduce_section(result: "Backtest", command: str | None) -> Part:
    """What somebody else needs to see the same numbers."""
    schema, asked = result.panel.schema, result.asked
    line = command or python_call(asked)
    code = f'<pre tabindex="0"><code>{escape(line)}</code></pre>' if line else ""
    facts = {
        "table": f"{source(result)}: {result.panel.n_rows:,} rows, {result.panel.n_series:,} series",
        "times": f"{found.stamp(result.panel.times.min())} to {found.stamp(result.panel.times.max())}",
        "target": schema.target,
        "inputs": ", ".join((*schema.past[:-1], *schema.future, *schema.static)) or "the target alone",
        "data hash (SHA-256 of the rows as read)": found.digest(result),
        "fits": result.n_fits,
        "rows from one cutoff to the next": result.step_size,
        "cutoffs left out for want of rows": result.n_skipped,
        "season length": result.season_length or "none",
        "versions": ", ".join(f"{name} {installed(name)}" for name in LIBRARIES if installed(name)),
        "Python, system": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
    }
    body = code + table("What was tested, and with what", ["", ""], list(facts.items()), words=True)
    for name, words in {"params": "Parameters of the model", "backtest": "Parameters of the backtest"}.items():
        if asked.get(name):
            rows = [[key, plain_text(value)] for key, value in asked[name].items()]
            body += details(table(words, ["parameter", "value"], rows, words=True), summary=words)
    return section("reproduce", "How to repeat it", body)


def python_call(asked: Mapping[str, Any]) -> str:
    """The call in Python, without what is left to the recipe; the panel is whatever the table was read into."""
    if not asked:
        return ""
    given = {key: value for key, value in asked["params"].items() if not (isinstance(value, str) and value == "auto")}
    plan = {key: value for key, value in asked["backtest"].items() if value not in (None, ())}
    model = ", ".join(f"{key}={plain_text(value)}" for key, value in given.items())
    rest = "".join(f", {key}={plain_text(value)}" for key, value in plan.items())
    return f"stepahead.backtest({asked['model']}({model}), panel{rest})"


def plain_text(value: Any) -> str:
    """A value as Python writes it; of an object of one's own only its kind, its address would tell nobody anything."""
    if isinstance(value, str):
        return repr(value) if len(value) < 40 and " " not in value else value
    if value is None or isinstance(value, bool | int | float | list | tuple | np.number):
        return repr(value.item() if isinstance(value, np.number) else value)
    return type(value).__name__
