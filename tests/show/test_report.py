"""The report: what it says is what the result holds, nothing from the data can act, the file is whole and small."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_results import EVIL, curve, result, walked
from typer.testing import CliRunner

from stepahead import samples
from stepahead.cli import app
from stepahead.errors import ConfigError
from stepahead.evaluate.result import Backtest
from stepahead.show import report_data
from stepahead.show.report import render


class Reader(HTMLParser):
    """Reads a page as a browser would: the elements with their attributes, and the text of each script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script":
            self.scripts[-1] += data
        else:
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def data_of(page: str) -> dict[str, Any]:
    return json.loads(Reader(page).scripts[0])


def test_the_verdict_comes_first_and_every_score_stands_in_the_page() -> None:
    tested = result()
    page = Reader(render(tested))
    assert tested.verdict.sentence in page.text
    assert page.text.index(tested.verdict.sentence) < page.text.index("Truth and forecast")
    for scores in (*tested.scores.values(), *tested.baselines.values()):
        assert f"{scores['rmse']:.4g}" in page.text


def test_the_curves_are_those_of_the_result() -> None:
    tested = result()
    view = data_of(render(tested))["pictures"]["series"][0]["views"][0]
    curves = tested.curves()
    known = [i for i, value in enumerate(view["forecast"]) if value is not None]
    np.testing.assert_allclose([view["forecast"][i] for i in known], curves.forecast, rtol=1e-6)
    np.testing.assert_allclose([view["baseline"][i] for i in known], curves.baseline, rtol=1e-6)
    np.testing.assert_allclose([view["hi"][1][i] for i in known], curves.hi[:, 1], rtol=1e-6)
    seconds = curves.ahead_times.astype("datetime64[s]").astype(int)
    assert [view["x"][i] for i in known] == seconds.tolist()
    np.testing.assert_allclose(view["y"], tested.panel.y[-len(view["y"]) :], rtol=1e-6)


def test_a_forecast_of_several_steps_stands_at_the_row_it_is_for() -> None:
    tested = walked()
    frame = tested.forecasts
    for number, view in enumerate(report_data.views(tested)):
        drawn = report_data.picture(tested, 1, view, 10_000)
        ahead = (frame["ds"] - frame["cutoff"]).dt.total_hours()
        mine = frame.filter((frame["unique_id"] == tested.panel.ids[1]) & (ahead == view.steps[0]))
        expected = dict(zip(mine["ds"].dt.epoch("s"), mine[tested.name], strict=True))
        found = {x: f for x, f in zip(drawn["x"], drawn["forecast"], strict=True) if f is not None}
        assert found.keys() == expected.keys(), number
        np.testing.assert_allclose(list(found.values()), [expected[x] for x in found], rtol=1e-6)


def test_forecasts_that_do_not_overlap_are_one_line() -> None:
    tested = walked(step_size=6)
    (view,) = report_data.views(tested)
    drawn = report_data.picture(tested, 0, view, 10_000)
    assert sum(value is not None for value in drawn["forecast"]) == int((tested.actual.series == 0).sum()) * 6


def test_thinning_keeps_the_extremes_and_the_worst_forecast() -> None:
    rng = np.random.default_rng(0)
    y, forecast = rng.normal(size=(2, 10_000))
    keep = report_data.thinned(y, forecast, 400)
    assert len(keep) <= 401
    assert {0, 9_999, y.argmin(), y.argmax(), np.abs(y - forecast).argmax()} <= set(keep.tolist())
    assert (np.diff(keep) > 0).all()


def test_thinning_leaves_a_short_series_and_missing_values_alone() -> None:
    nothing = np.full(100, np.nan)
    assert report_data.thinned(nothing, nothing, 100).tolist() == list(range(100))
    assert len(report_data.thinned(nothing, nothing, 20)) <= 21


def test_a_large_result_is_still_a_small_file() -> None:
    tested = walked(series=300, rows=600)
    page = render(tested)
    assert len(page) < 5_000_000
    data = data_of(page)
    assert len(data["pictures"]["series"]) == report_data.SERIES
    worst = tested.panel.ids[report_data.ranked_series(tested)[0]]
    assert data["pictures"]["series"][data["pictures"]["worst"]]["id"] == worst


def test_autocorrelation_is_that_of_the_textbook() -> None:
    error = np.random.default_rng(0).normal(size=200).cumsum()
    centred = error - error.mean()
    by_hand = [sum(centred[t] * centred[t - k] for t in range(k, 200)) / sum(centred**2) for k in range(1, 6)]
    np.testing.assert_allclose(report_data.correlations(error, 5), by_hand, rtol=1e-12)


def test_the_worst_moment_is_the_largest_error() -> None:
    tested = result()
    size = np.abs(tested.actual.y - tested.mean)[:, 0]
    _, time, step, truth, forecast, _ = report_data.worst_moments(tested)[0]
    worst = int(np.nanargmax(size))
    assert (truth, forecast, step) == (tested.actual.y[worst, 0], tested.mean[worst, 0], 1)
    assert time == str(tested.panel.times[tested.origins[worst] + 1])[:10]


def test_the_coverage_and_its_noise_are_those_of_the_result() -> None:
    tested = result()
    found = report_data.calibration(tested)
    np.testing.assert_allclose(
        np.array(found["reached"]) / 100, [tested.coverage_by()[level] for level in tested.level], rtol=1e-6
    )
    n = len(tested.origins)
    assert found["noise"][0] == pytest.approx(200 * np.sqrt(0.8 * 0.2 / n), rel=1e-6)


def test_names_from_the_data_never_become_elements() -> None:
    page = render(walked())
    clean = render(walked(evil=False))
    tags = [[tag for tag, _ in Reader(text).elements] for text in (page, clean)]
    assert tags[0] == tags[1]
    assert EVIL not in page
    assert EVIL in [one["id"] for one in data_of(page)["pictures"]["series"]]
    assert EVIL in Reader(page).text  # as text in the table of the worst series


def test_the_page_asks_for_nothing_from_anywhere() -> None:
    page = Reader(render(result()))
    addresses = [a[key] for _, a in page.elements for key in ("src", "href", "srcset", "action", "data") if a.get(key)]
    assert all(address is not None and address.startswith("#") for address in addresses)
    policy = next(meta["content"] for meta in page.of("meta") if "http-equiv" in meta)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"@import|url\(", render(result()).split("</style>")[0])


def test_every_table_has_a_caption_and_every_picture_words_for_those_who_do_not_see_it() -> None:
    page = Reader(render(walked(), window_curve=curve()))
    assert len(page.of("caption")) == len(page.of("table"))
    assert all(chart.get("aria-label") for chart in page.of("div") if chart.get("class") == "chart")
    assert all(svg.get("aria-label") for svg in page.of("svg"))
    assert all(button.get("aria-label") for button in page.of("button"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1
    anchors = {attributes.get("id") for _, attributes in page.elements}
    assert all(link["href"][1:] in anchors for link in page.of("a") if link.get("href"))  # type: ignore[index]


def test_a_window_curve_is_shown_where_there_is_one() -> None:
    assert "How long a window" not in Reader(render(result())).text
    page = render(result(), window_curve=curve())
    assert "Seven rows matter." in Reader(page).text
    assert data_of(page)["windows"]["error"] == [3.0, 2.0, 2.5]


def test_it_says_how_to_repeat_it() -> None:
    text = Reader(render(result())).text
    assert "stepahead.backtest(FakeModel(slope=0.2" in text
    assert report_data.digest(result()) in text
    assert f"numpy {np.__version__}" in text
    assert report_data.digest(result()) != report_data.digest(walked())


def test_the_same_result_gives_the_same_page() -> None:
    assert render(result()) == render(result())


def test_one_step_no_intervals_and_few_forecasts_leave_out_what_there_is_not() -> None:
    tested = result(level=(), test_size=3)
    text = Reader(render(tested)).text
    assert "Calibration" not in text
    assert "Errors by step ahead" not in text
    assert "Too few forecasts to tell" in text


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "r.html"
    target.write_text("before")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stepahead.show.html_page.os.replace", full)
    with pytest.raises(ConfigError, match=r"r\.html' cannot be written \(No space left on device\)"):
        result().report(target)
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]
    assert target.read_text() == "before"


@pytest.mark.parametrize("name", ["r.pdf", "r"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.html or \.htm"):
        result().report(tmp_path / name)


def test_the_shell_writes_a_report_that_tells_its_own_command_without_folders(tmp_path: Path) -> None:
    page = tmp_path / "goog page.html"
    words = ["--time", "date", "--target", "close", "--recipe", "classic", "--max-steps", "5", "--test-size", "60"]
    table = samples.path("goog")
    more = ["--past", "none", "--as-fitted", "--level", "80", "--report", str(page), "-q"]
    run = CliRunner().invoke(app, ["backtest", str(table), *words, *more])
    assert run.exit_code == 0, run.output
    text = Reader(page.read_text(encoding="utf-8")).text
    line = f"stepahead backtest goog.csv {' '.join(words[:6])} --max-steps 5 --test-size 60"
    assert all(part in text for part in line.split())
    assert "--past none" in text
    assert "--as-fitted --level 80" in text
    assert "--report 'goog page.html'" in text
    assert str(tmp_path) not in page.read_text(encoding="utf-8")
    assert str(Path(table).parent) not in page.read_text(encoding="utf-8")


def test_a_result_without_a_plan_can_be_reported(tmp_path: Path) -> None:
    bare = Backtest(**{**vars(result()), "asked": {}})
    bare.report(tmp_path / "bare.html")
    assert "stepahead.backtest(" not in (tmp_path / "bare.html").read_text(encoding="utf-8")
