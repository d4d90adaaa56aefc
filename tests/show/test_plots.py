"""Pictures: what is drawn is what the result holds, and files are written only when asked for."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepahead as sa
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, MissingExtraError
from stepahead.evaluate.result import Backtest
from stepahead.show.plots import last_rows, new_figure, plot


@cache
def result(*, dates: bool = True, horizon: int = 1, series: int = 1) -> Backtest:
    """A hasty model, tested on the last 80 of 200 rows of each series."""
    rows = 200
    y = 100 + np.cumsum(np.random.default_rng(0).normal(size=rows * series))
    days = np.datetime64("2020-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D")
    panel = Panel.from_arrays(
        y,
        times=np.tile(days if dates else np.arange(1, rows + 1), series),
        ids=tuple(f"s{i}" for i in range(series)),
        offsets=[i * rows for i in range(series + 1)],
        target="price in $",
    )
    model = sa.Forecaster(recipe="classic", head="quantile", window=3, horizon=horizon, max_steps=20)
    return sa.backtest(model, panel, test_size=80, level=(80, 95))


def lines_of(axes: Any) -> dict[str, np.ndarray]:
    return {line.get_label(): np.asarray(line.get_ydata(), dtype=float) for line in axes.lines}


def test_the_picture_shows_truth_forecast_and_baseline_as_the_result_holds_them() -> None:
    tested = result()
    whole = lines_of(plot(tested).axes[0])
    np.testing.assert_array_equal(whole[r"price in \$, the truth"], tested.panel.y)
    np.testing.assert_array_equal(whole["LSTM"], tested.mean[:, 0])
    best = tested.verdict.baseline
    np.testing.assert_array_equal(whole[best.replace("_", " ")], tested.baseline_means[best][:, 0])


def test_the_lower_panel_shows_the_last_60_rows_and_the_truth_of_the_same_rows() -> None:
    tested = result()
    close = lines_of(plot(tested).axes[1])
    np.testing.assert_array_equal(close["LSTM"], tested.mean[-60:, 0])
    np.testing.assert_array_equal(close[r"price in \$, the truth"], tested.panel.y[-60:])


def test_a_zoom_longer_than_the_test_part_shows_all_of_it() -> None:
    curves = result().curves()
    assert len(last_rows(curves, 10_000).ahead_times) == 80


def test_the_verdict_is_the_title_and_intervals_stand_in_the_legend() -> None:
    tested = result()
    figure = plot(tested)
    assert " ".join(figure.get_suptitle().split()) == tested.verdict.sentence.replace("$", r"\$")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert {"80 % interval", "95 % interval", "LSTM", "test starts"} <= set(labels)


def test_dates_stand_on_the_axis_as_dates_and_steps_as_numbers() -> None:
    dated, counted = plot(result(dates=True)), plot(result(dates=False))
    for figure in (dated, counted):
        figure.draw_without_rendering()
    assert "Jul" in [label.get_text() for label in dated.axes[0].get_xticklabels()]
    assert "150" in [label.get_text() for label in counted.axes[0].get_xticklabels()]


@pytest.mark.parametrize("dates", [True, False])
def test_no_two_labels_overlap(dates: bool) -> None:
    figure = plot(result(dates=dates))
    figure.canvas.draw()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            boxes = [label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()]
            assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    # The words themselves: a legend's own box has an empty rim.
    words = [text.get_window_extent() for text in figure.axes[0].get_legend().get_texts()]
    title, panel = figure._suptitle.get_window_extent(), figure.axes[0].get_window_extent()
    assert not any(word.overlaps(title) or word.overlaps(panel) for word in words)


def test_one_series_of_many_and_one_step_of_several_can_be_chosen_and_are_named() -> None:
    tested = result(horizon=3, series=2)
    figure = plot(tested, series="s1", step=3)
    assert figure.get_suptitle().endswith("series s1, 3 of 3 steps ahead")
    mine = (tested.origins >= 200) & (tested.origins + 3 < 400)
    np.testing.assert_array_equal(lines_of(figure.axes[0])["LSTM"], tested.mean[mine, 2])


def test_forecasts_that_do_not_overlap_are_drawn_as_they_were_made() -> None:
    panel, model = result().panel, sa.Forecaster(recipe="classic", window=3, horizon=4, max_steps=5)
    walked = sa.backtest(model, panel, n_windows=3, step_size=5, refit=False)
    figure = plot(walked)
    assert figure.get_suptitle().endswith("steps 1 to 4, as they were made")
    drawn = next(line for line in figure.axes[0].lines if line.get_label() == "LSTM")
    np.testing.assert_array_equal(drawn.get_ydata(), walked.mean.ravel())
    ahead = walked.origins[:, None] + 1 + np.arange(4)
    np.testing.assert_array_equal(drawn.get_xdata(), panel.times[ahead.ravel()])
    assert plot(walked, step=2).get_suptitle().endswith("2 of 4 steps ahead")
    overlapping = sa.backtest(model, panel, n_windows=3, step_size=3, refit=False)
    assert plot(overlapping).get_suptitle().endswith("1 of 4 steps ahead")


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_the_suffix_decides_the_kind_of_file(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = tmp_path / f"picture{suffix}"
    plot(result(), path)
    assert path.read_bytes().startswith(start)


def test_another_suffix_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'.*picture.jpg' must end in .png or .svg"):
        plot(result(), tmp_path / "picture.jpg")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_series_and_an_empty_zoom_are_refused() -> None:
    with pytest.raises(ConfigError, match="no series 'x'"):
        plot(result(), series="x")
    with pytest.raises(ConfigError, match="zoom=0 must be at least 1"):
        plot(result(), zoom=0)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"a plot needs matplotlib: pip install 'stepahead\[plot\]'"):
        new_figure(1, 1)


def test_importing_the_module_does_not_import_matplotlib() -> None:
    code = "import sys, stepahead.show.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["x.png", "x.svg"])
def test_a_picture_that_cannot_be_written_is_told_as_a_report_tells_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"plot: '.*' cannot be written \(No such file or directory\)"):
        result().plot(tmp_path / "none" / name)
