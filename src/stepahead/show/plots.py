"""Pictures by matplotlib.  A backtest -> a Figure, saved as PNG or SVG where a path is given.

matplotlib is imported when something is drawn, never before; no global state (pyplot) is touched.
"""

import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stepahead.errors import ConfigError, require
from stepahead.show.report_data import stamp, views

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stepahead.evaluate.result import Backtest, Curves

# Okabe and Ito 2008: told apart with any kind of colour vision, and in grey.
TRUTH, FORECAST, BASELINE = "#222222", "#D55E00", "#56B4E9"
QUIET = "#777777"
SUFFIXES = (".png", ".svg")


def plot(
    result: "Backtest",
    path: str | Path | None = None,
    *,
    series: str | None = None,
    step: int | None = None,
    zoom: int = 60,
) -> "Figure":
    """Draw truth, forecast and best baseline: one series as a whole above, its last rows below.

    Args:
        result: of a backtest.
        path: file to write, ending in .png or .svg; nothing is written without one.
        series: which one; the first by default.
        step: draw the forecasts made this many rows ahead; by default all steps as they were made where the forecasts
            of one origin end before the next, else one row ahead.
        zoom: rows in the lower panel.

    Returns:
        The figure, to be changed or shown.

    Raises:
        ConfigError: another ending, a file that cannot be written, an unknown series, a step beyond the horizon, or no
            forecast to draw.
        MissingExtraError: matplotlib is not installed.

    Example:
        figure = plot(backtest(model, panel), "goog.png")
    """
    if step is None and len(views(result)[0].steps) == 1:
        step = 1
    curves = as_made(result, series) if step is None else result.curves(series, step=step)
    if zoom < 1 or not len(curves.ahead_times):
        problem = f"zoom={zoom} must be at least 1" if zoom < 1 else f"series '{curves.id}' has no forecast to draw"
        raise ConfigError(f"plot: {problem}")
    style = _style(result)
    figure = new_figure(10, 6.4, path)
    whole, close = figure.subplots(2, 1)
    _draw_lines(whole, curves, style, markers=False)
    whole.axvline(curves.test_from, color=QUIET, linewidth=0.9, linestyle=(0, (2, 3)), label="test starts")
    whole.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4 + len(curves.level), frameon=False)
    last = last_rows(curves, zoom)
    _draw_lines(close, last, style, markers=True)
    span = f"{stamp(last.ahead_times[0])} to {stamp(last.ahead_times[-1])}"
    close.set_title(f"the last {len(last.ahead_times)} rows, {span}", loc="left", color=QUIET, fontsize=9)
    figure.suptitle(_title(result, curves.id, step), fontsize=11)
    return save(figure, path)


@dataclass(frozen=True)
class Style:
    """The words in a picture: the target's name, the model's and the baseline's label."""

    target: str
    model: str
    baseline: str


def _style(result: "Backtest") -> Style:
    baseline = result.verdict.baseline.replace("_", " ")
    return Style(target=result.panel.schema.target, model=result.name, baseline=baseline)


def _title(result: "Backtest", series: str, step: int | None) -> str:
    """The verdict, with what it was not about made plain: one series of many, or one step of several."""
    about = [f"series {series}"] if result.panel.n_series > 1 else []
    if result.horizon > 1:
        about.append(views(result)[0].name if step is None else f"{step} of {result.horizon} steps ahead")
    sentence = textwrap.fill(escaped(result.verdict.sentence), 105, break_on_hyphens=False)
    return f"{sentence}\n{escaped(', '.join(about))}" if about else sentence


def as_made(result: "Backtest", series: str | None) -> "Curves":
    """One series with the forecasts of all steps, one origin's after the other's."""
    steps = [result.curves(series, step=step) for step in range(1, result.horizon + 1)]
    order = np.argsort(np.concatenate([one.ahead_times for one in steps]))
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in steps])[order]
        for name in ("ahead_times", "forecast", "baseline", "lo", "hi")
    }
    return replace(steps[0], **joined)


def last_rows(curves: "Curves", rows: int) -> "Curves":
    """The last forecasts of one series, and the truth from there on."""
    cut = slice(max(0, len(curves.ahead_times) - rows), None)
    start = int(np.searchsorted(curves.times, curves.ahead_times[cut][0]))
    forecasts = {name: getattr(curves, name)[cut] for name in ("ahead_times", "forecast", "baseline", "lo", "hi")}
    return replace(curves, times=curves.times[start:], y=curves.y[start:], **forecasts)


def _draw_lines(axes: "Axes", curves: "Curves", style: Style, *, markers: bool) -> None:
    """The baseline broad and faint at the back, then the intervals, the truth, and the forecast in front."""
    dot: dict[str, Any] = {"marker": "o", "markersize": 2.8} if markers else {}
    ahead = curves.ahead_times
    axes.plot(ahead, curves.baseline, color=BASELINE, linewidth=2.6, alpha=0.6, label=style.baseline)
    for i in reversed(range(len(curves.level))):
        label, strength = f"{curves.level[i]:g} % interval", 0.18 / (i + 1)  # the narrowest is the strongest
        axes.fill_between(
            ahead, curves.lo[:, i], curves.hi[:, i], color=FORECAST, alpha=strength, linewidth=0, label=label
        )
    axes.plot(curves.times, curves.y, color=TRUTH, linewidth=1.1, label=f"{escaped(style.target)}, the truth", **dot)
    axes.plot(ahead, curves.forecast, color=FORECAST, linewidth=1.1, label=style.model, **dot)
    axes.set_ylabel(escaped(style.target))
    axes.margins(x=0.01)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if np.issubdtype(curves.times.dtype, np.datetime64):
        dates = require("matplotlib.dates", extra="plot", purpose="a plot")
        locator = dates.AutoDateLocator(minticks=4, maxticks=10)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=False))


def escaped(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


def new_figure(width: float, height: float, path: str | Path | None = None) -> "Figure":
    """An empty figure of so many inches, after a look at the ending of the path."""
    if path is not None and Path(path).suffix.lower() not in SUFFIXES:
        raise ConfigError(f"plot: '{path}' must end in {' or '.join(SUFFIXES)}")
    figure = require("matplotlib.figure", extra="plot", purpose="a plot")
    return figure.Figure(figsize=(width, height), layout="constrained", facecolor="white")


def save(figure: "Figure", path: str | Path | None) -> "Figure":
    """Write the figure where a path is given; the same figure gives the same bytes."""
    if path is None:
        return figure
    kind = Path(path).suffix.lower()
    # Without a date in it, an unchanged picture is an unchanged file.
    metadata: dict[str, Any] = {"Date": None} if kind == ".svg" else {"Software": None}
    try:
        figure.savefig(path, dpi=160, metadata=metadata)
    except OSError as error:
        raise ConfigError(f"plot: '{path}' cannot be written ({error.strerror or error})") from error
    return figure
