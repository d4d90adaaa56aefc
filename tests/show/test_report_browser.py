"""The report in a real Chromium: it draws, zooms and speaks, asks nobody for anything, at any width, light and dark."""

from pathlib import Path
from typing import Any

import pytest
from report_results import EVIL, curve, result, walked

import chromium
from stepahead.show.symbol_report import report_symbols
from stepahead.symbol_model import SymbolModel

pytestmark = chromium.needs_chromium
PAGES = {"one": (result, 4), "many": (walked, 7)}  # page -> its result, and how many charts it has
INK = """name => {
  const canvas = document.querySelector(`#chart-${name} canvas`);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let ink = 0;
  for (let i = 3; i < data.length; i += 4) ink += data[i] > 0;
  return ink;
}"""
COLOR = """([name, red, green, blue]) => {
  const canvas = document.querySelector(`#chart-${name} canvas`);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  const away = (i) => Math.abs(data[i] - red) + Math.abs(data[i + 1] - green) + Math.abs(data[i + 2] - blue);
  for (let i = 0; i < data.length; i += 4) found += data[i + 3] > 200 && away(i) < 12;
  return found;
}"""
GROUNDS = "[...document.querySelectorAll('.heat td')].slice(0, 8).map((one) => getComputedStyle(one).backgroundColor)"
SPAN = "() => { const { min, max } = stepahead.charts.get('forecasts').scales.x; return [min, max]; }"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reports")
    for name, (tested, _) in PAGES.items():
        tested().report(place / f"{name}.html", window_curve=curve() if name == "many" else None)
    return place


class Visit(chromium.Visit):
    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        super().__init__(browser, file.as_uri(), **options)

    def ink(self, name: str) -> int:
        return self.page.evaluate(INK, name)

    def pixels_of(self, name: str, *color: int) -> int:
        return self.page.evaluate(COLOR, [name, *color])

    def span(self) -> float:
        self.page.wait_for_timeout(50)  # uPlot draws in the next microtask
        low, high = self.page.evaluate(SPAN)
        return high - low


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_all_charts_are_drawn_without_complaint_and_without_a_request(
    browser: Any, folder: Path, name: str, width: int, scheme: str
) -> None:
    file = folder / f"{name}.html"
    with Visit(browser, file, viewport={"width": width, "height": 800}, color_scheme=scheme) as visit:
        charts = visit.page.evaluate("[...stepahead.charts.keys()]")
        assert len(charts) == PAGES[name][1]
        assert all(visit.ink(chart) > 500 for chart in charts), {chart: visit.ink(chart) for chart in charts}
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width  # nothing hangs over
        assert visit.requests == [file.as_uri()]
        assert visit.complaints == []


def test_the_forecast_and_the_truth_are_drawn_in_their_colours_of_light_and_dark(browser: Any, folder: Path) -> None:
    truth, forecast = {"light": (28, 31, 35), "dark": (236, 238, 240)}, {"light": (213, 94, 0), "dark": (255, 140, 66)}
    with Visit(browser, folder / "one.html", color_scheme="light", device_scale_factor=2) as visit:
        for theme in ("light", "dark"):
            assert visit.pixels_of("forecasts", *truth[theme]) > 100, theme
            assert visit.pixels_of("forecasts", *forecast[theme]) > 100, theme
            visit.page.click("#theme")
            visit.page.wait_for_timeout(50)
        assert visit.page.get_attribute("html", "data-theme") == "light"


def test_dragging_zooms_and_a_double_click_shows_all_again(browser: Any, folder: Path) -> None:
    with Visit(browser, folder / "one.html") as visit:
        whole = visit.span()
        visit.page.locator("#chart-forecasts").scroll_into_view_if_needed()
        box = visit.page.locator("#chart-forecasts .u-over").bounding_box()
        middle = box["y"] + box["height"] / 2
        visit.page.mouse.move(box["x"] + box["width"] * 0.5, middle)
        visit.page.mouse.down()
        visit.page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=5)
        visit.page.mouse.up()
        assert visit.span() == pytest.approx(whole / 4, rel=0.05)
        visit.page.mouse.dblclick(box["x"] + box["width"] / 2, middle)
        assert visit.span() == pytest.approx(whole)


def test_buttons_zoom_and_pan_and_never_leave_the_data(browser: Any, folder: Path) -> None:
    with Visit(browser, folder / "one.html") as visit:
        whole, (first, last) = visit.span(), visit.page.evaluate(SPAN)
        visit.page.click('.tools[data-for="forecasts"] [data-do="in"]')
        assert visit.span() == pytest.approx(whole / 2)
        for _ in range(5):
            visit.page.click('.tools[data-for="forecasts"] [data-do="right"]')
        assert visit.span() == pytest.approx(whole / 2)
        assert visit.page.evaluate(SPAN)[1] == last
        visit.page.click('.tools[data-for="forecasts"] [data-do="all"]')
        visit.page.wait_for_timeout(50)
        assert visit.page.evaluate(SPAN) == [first, last]


def test_shift_and_drag_pans(browser: Any, folder: Path) -> None:
    with Visit(browser, folder / "one.html") as visit:
        visit.page.click('.tools[data-for="forecasts"] [data-do="in"]')
        span, (before, _) = visit.span(), visit.page.evaluate(SPAN)
        box = visit.page.locator("#chart-forecasts .u-over").bounding_box()
        visit.page.keyboard.down("Shift")
        visit.page.mouse.move(box["x"] + 200, box["y"] + 100)
        visit.page.mouse.down()
        visit.page.mouse.move(box["x"] + 300, box["y"] + 100, steps=4)
        visit.page.mouse.up()
        visit.page.keyboard.up("Shift")
        assert visit.span() == pytest.approx(span)
        assert visit.page.evaluate(SPAN)[0] == pytest.approx(before - span * 100 / box["width"], rel=1e-3)


def test_hovering_reads_the_values_below_the_pointer(browser: Any, folder: Path) -> None:
    with Visit(browser, folder / "one.html") as visit:
        box = visit.page.locator("#chart-forecasts .u-over").bounding_box()
        visit.page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 50)
        visit.page.wait_for_timeout(50)
        legend = visit.page.locator("#chart-forecasts .u-legend").inner_text()
        assert "2020-" in legend or "2021-" in legend
        assert "–" not in legend.replace("\n", " ").split("80 % interval")[1].split("95 %")[0]


def test_the_keyboard_reaches_everything_and_speaks_values(browser: Any, folder: Path) -> None:
    with Visit(browser, folder / "many.html") as visit:
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.className") == "skip"
        reached = set()
        for _ in range(80):
            visit.page.keyboard.press("Tab")
            reached.add(visit.page.evaluate("document.activeElement.id || document.activeElement.dataset.do || ''"))
        assert {"theme", "in", "out", "left", "right", "all", "chart-forecasts", "chart-residuals"} <= reached
        visit.page.focus("#chart-forecasts")
        whole = visit.span()
        visit.page.keyboard.press("+")
        assert visit.span() == pytest.approx(whole / 2)
        visit.page.keyboard.press("0")
        assert visit.span() == pytest.approx(whole)
        visit.page.keyboard.press("ArrowLeft")
        spoken = visit.page.locator("#forecasts-spoken").text_content()
        assert spoken.startswith("time 2020-01-07 05:00")
        assert "sales, the truth" in spoken


def test_the_pickers_change_series_and_steps(browser: Any, folder: Path) -> None:
    with Visit(browser, folder / "many.html") as visit:
        shown = "stepahead.charts.get('forecasts').data[stepahead.charts.get('forecasts').data.length - 1].join()"
        before = visit.page.evaluate(shown)
        visit.page.locator("#pick-series").select_option(label="store 3")
        after = visit.page.evaluate(shown)
        assert visit.page.get_attribute("#chart-forecasts .uplot", "data-series") == "store 3"
        visit.page.locator("#pick-forecasts").select_option(label="6 steps ahead")
        assert len({before, after, visit.page.evaluate(shown)}) == 3
        assert visit.complaints == []


def test_a_series_called_like_a_script_does_nothing(browser: Any, folder: Path) -> None:
    with Visit(browser, folder / "many.html") as visit:
        visit.page.locator("#pick-series").select_option(label=EVIL)
        visit.page.wait_for_timeout(100)
        assert visit.page.get_attribute("#chart-forecasts .uplot", "data-series") == EVIL
        assert visit.page.evaluate("window.pwned") is None
        assert visit.complaints == []


def test_a_symbol_report_colours_its_cells_and_switches_its_theme_without_complaint(
    browser: Any, tmp_path: Path
) -> None:
    word = SymbolModel(cell="rnn", hidden_size=2, epochs=60, holdout=None).fit("hello")
    report_symbols(word, tmp_path / "hello.html", ["hell"])
    with Visit(browser, tmp_path / "hello.html", color_scheme="light", viewport={"width": 390, "height": 800}) as visit:
        light = visit.page.evaluate(GROUNDS)
        assert len(set(light)) > 3
        visit.page.click("#theme")
        assert visit.page.evaluate(GROUNDS) != light
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert visit.complaints == []


def test_the_tables_stand_without_javascript(browser: Any, folder: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto((folder / "one.html").as_uri())
    assert result().verdict.sentence in page.locator("header").inner_text()
    assert page.locator("table").count() >= 4
    page.close()
