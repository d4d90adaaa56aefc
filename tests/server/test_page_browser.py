"""The live page in a real Chromium, on a real server: it draws, follows, asks for its token, and keys can work it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

pytest.importorskip("fastapi", reason="the service is not installed")

from running_server import Running, running
from server_models import daily_rows

import chromium

pytestmark = chromium.needs_chromium
TOKEN = "a-token-for-the-page-0123456789"
EVIL = "<img src=x onerror='window.pwned = 1'>"
INK = """selector => {
  const canvas = document.querySelector(selector);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colors = new Set();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0) colors.add(data.slice(i, i + 3).join());
  return colors.size;
}"""
ENDS = "() => { const x = stepahead.charts.get('live').data[0]; return [x[0], x[x.length - 1]]; }"
SHOWN = "() => stepahead.charts.get('live').scales.x.max"
FOLLOWS = f"() => ({SHOWN})() === ({ENDS})()[1]"  # the picture goes along
ROWS = "() => stepahead.watched()?.times.length"
ODDS = "() => [...document.querySelectorAll('#odds .share')].map((one) => one.textContent).join()"
NAMELESS = """() => [...document.querySelectorAll("button, input, select, canvas.heat, [role=meter]")]
  .filter((one) => !one.textContent.trim() && !one.getAttribute("aria-label") && !one.labels?.length)
  .map((one) => one.outerHTML)"""
# A file dropped on the page, as the browser hands it over.
DROP = """([name, text]) => {
  const given = new DataTransfer();
  given.items.add(new File([text], name, { type: "text/csv" }));
  const how = { dataTransfer: given, bubbles: true, cancelable: true };
  for (const kind of ["dragover", "drop"]) document.getElementById("drop").dispatchEvent(new DragEvent(kind, how));
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(str(tmp_path_factory.mktemp("page") / "page.db")) as server:
        yield server


@pytest.fixture(autouse=True)
def begin_empty(server: Running) -> None:
    for one in server.ask("GET", "/v1/series")[1]["series"]:
        server.ask("DELETE", f"/v1/series/{quote(one['series'])}")


class Visit(chromium.Visit):
    def __init__(self, browser: Any, server: Running, path: str = "", **options: Any) -> None:
        self.home = f"http://127.0.0.1:{server.port}/"
        super().__init__(browser, self.home + path, **options)

    def wait_live(self) -> None:
        self.page.wait_for_selector("#link[data-state=live]:text-is('Live')", timeout=10_000)

    def wait(self, script: str) -> None:
        self.page.wait_for_function(script, timeout=10_000)

    def drop(self, name: str, text: str) -> None:
        self.page.wait_for_selector("#series-part:not([hidden])")
        self.page.evaluate(DROP, [name, text])


def begin(server: Running, name: str = "plant", rows: int = 60) -> None:
    status, answer = server.ask("PUT", f"/v1/series/{quote(name)}", {"model": "daily", "rows": daily_rows(rows)})
    assert status == 201, answer


def push(server: Running, first: int, rows: int = 1, name: str = "plant") -> Any:
    status, answer = server.ask("POST", f"/v1/series/{name}/observations", {"rows": daily_rows(rows, first)})
    assert status == 200, answer
    return answer


def as_csv(rows: list[dict[str, Any]], **renamed: str) -> str:
    head = ",".join(renamed.get(name, name) for name in rows[0])
    return "\n".join([head, *(",".join(map(str, row.values())) for row in rows)]) + "\n"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everything_is_drawn_without_complaint_and_nothing_is_asked_of_another(
    browser: Any, server: Running, width: int, scheme: str
) -> None:
    begin(server)
    with Visit(browser, server, viewport={"width": width, "height": 800}, color_scheme=scheme) as visit:
        visit.wait_live()
        visit.page.fill("#type", "hell")
        visit.page.wait_for_selector("#odds li")
        assert visit.page.evaluate(INK, "#chart-live canvas") > 20
        assert visit.page.evaluate(INK, "#heat-live") > 5
        assert visit.page.evaluate(INK, "#heat-type") > 5
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width  # nothing hangs over
        assert all(url.startswith(visit.home) for url in visit.requests)
        assert visit.complaints == []


def test_without_a_series_the_page_says_how_to_begin_one_and_the_learned_rows_do(browser: Any, server: Running) -> None:
    with Visit(browser, server) as visit:
        visit.page.wait_for_selector("#series-empty:not([hidden])")
        assert visit.page.is_hidden("#forecast-part")
        assert visit.page.is_hidden("nav [data-part=forecast-part]")
        visit.page.click("#learned")
        visit.wait_live()
        assert visit.page.evaluate(ROWS) > 3
        assert visit.complaints == []


def test_the_verdict_of_the_model_stands_at_the_top(browser: Any, server: Running) -> None:
    begin(server)
    daily = next(one for one in server.ask("GET", "/v1/models")[1] if one["name"] == "daily")
    with Visit(browser, server) as visit:
        visit.wait_live()
        assert visit.page.inner_text("#verdict .sentence") == daily["verdict"]["sentence"]


def test_a_row_that_arrives_moves_the_chart_the_heat_map_and_the_words(browser: Any, server: Running) -> None:
    begin(server)
    with Visit(browser, server) as visit:
        visit.wait_live()
        columns = visit.page.evaluate("stepahead.watched().hidden.length")
        for row in (60, 61, 62):
            answer = push(server, row)
        visit.wait("() => stepahead.watched().times.length === 63")
        visit.wait("() => stepahead.charts.get('live').data[0].length === 65")
        visit.wait(FOLLOWS)
        assert visit.page.evaluate("stepahead.watched().hidden.length") > columns
        assert answer["forecast"][0]["ds"][:10] in visit.page.inner_text("#next")
        assert f"{daily_rows(1, 62)[0]['y']:.4f}".rstrip("0") in visit.page.inner_text("#last")
        assert visit.page.evaluate("stepahead.watched().before.size") == 3  # what was forecast stays beside what came
        reached = visit.page.get_attribute("#coverage .meter >> nth=0", "aria-valuetext")
        assert "% reached" in reached or "no row yet" in reached
        assert visit.page.inner_text("#drift") in ("Steady", "Drifting: the errors are not what they were")


def test_held_still_the_page_waits_and_then_shows_all_that_came(browser: Any, server: Running) -> None:
    begin(server)
    with Visit(browser, server) as visit:
        visit.wait_live()
        visit.page.click("#pause")
        last = visit.page.inner_text("#last")
        push(server, 60)
        visit.wait("() => stepahead.watched().times.length === 61")
        assert visit.page.inner_text("#last") == last
        visit.page.click("#pause")
        assert visit.page.inner_text("#last") != last


def test_rows_missed_while_the_connection_was_lost_are_there_afterwards(browser: Any, server: Running) -> None:
    begin(server)
    with Visit(browser, server) as visit:
        visit.wait_live()
        visit.page.context.set_offline(True)
        visit.page.route("**/v1/series/plant/events", lambda route: route.abort())
        push(server, 60, rows=2)
        visit.page.unroute("**/v1/series/plant/events")
        visit.page.context.set_offline(False)
        visit.wait("() => stepahead.watched().times.length === 62")
        push(server, 62)
        visit.wait("() => stepahead.watched().times.length === 63")
        visit.wait("() => stepahead.charts.get('live').data[0].length === 65")
        visit.wait(FOLLOWS)


def test_a_look_at_the_past_stays_where_it_is_while_rows_arrive(browser: Any, server: Running) -> None:
    begin(server)
    with Visit(browser, server) as visit:
        visit.wait_live()
        visit.page.click(".tools[data-for=live] [data-do=in]")
        visit.page.click(".tools[data-for=live] [data-do=left]")
        visit.wait(f"() => ({SHOWN})() < ({ENDS})()[1]")
        shown = visit.page.evaluate(SHOWN)
        push(server, 60)
        visit.wait("() => stepahead.charts.get('live').data[0].length === 63")
        assert visit.page.evaluate(SHOWN) == shown


def test_a_dropped_csv_shows_a_forecast_and_its_last_rows_can_be_played_in(browser: Any, server: Running) -> None:
    with Visit(browser, server) as visit:
        visit.drop("mill.csv", as_csv(daily_rows(50)))
        visit.page.wait_for_selector("#begin:not([hidden])")
        assert visit.page.input_value("#begin-name") == "mill"
        visit.page.fill("#begin-back", "2")
        visit.page.select_option("#begin-model", "daily")
        visit.page.click("#begin-go")
        visit.wait_live()
        assert server.ask("GET", "/v1/series/mill")[1]["rows"] == 48
        visit.page.click("#table-part summary")
        visit.wait("() => document.querySelectorAll('#table tbody tr').length === 2")
        visit.page.click("#play")
        visit.wait("() => stepahead.watched().times.length === 50")
        visit.page.wait_for_selector("#play", state="hidden")
        assert visit.complaints == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ds,y\n2024-01-01,1\n", "The file lacks 'load'"),
        ("ds,load,y\n2024-01-01,1,many\n", "'many' is not a number"),
        ("ds,load,y\n", "no rows below its first line"),
        ('ds,load,y\n"2024-01-01,1,2\n', "not well-formed CSV"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_a_plain_sentence(
    browser: Any, server: Running, text: str, words: str
) -> None:
    with Visit(browser, server) as visit:
        visit.drop("bad.csv", text)
        visit.wait("() => document.querySelector('.problem:not([hidden])')?.textContent")
        assert words in visit.page.inner_text(".problem:not([hidden]) >> nth=0")
        assert server.ask("GET", "/v1/series")[1]["series"] == []


def test_a_quoted_file_with_other_names_and_semicolons_is_read(browser: Any, server: Running) -> None:
    rows = [f'"2024-01-{day:02}";"x; ""y""";{day}' for day in range(1, 29)]
    with Visit(browser, server) as visit:
        visit.page.wait_for_selector("#series-part:not([hidden])")
        read = "import('/static/csv.js').then((csv) => csv.fit(csv.parse(text), model))"
        model = {"time": "ds", "target": "y", "columns": ["y"], "time_kind": "naive"}
        script = f"([text, model]) => {read}"
        [part] = visit.page.evaluate(script, ["\n".join(["day;note;sold", *rows]), model])
        assert part["length"] == 28
        assert part["columns"]["ds"][-1] == "2024-01-28"
        assert part["columns"]["y"] == list(range(1, 29))


def test_each_key_changes_the_probabilities_and_a_symbol_can_be_chosen(browser: Any, server: Running) -> None:
    with Visit(browser, server) as visit:
        visit.page.focus("#type")
        seen = []
        for key in "hel":
            visit.page.keyboard.type(key)
            visit.wait(
                f"() => document.querySelector('#odds') && ({ODDS})() !== {json.dumps(seen[-1] if seen else '')}"
            )
            seen.append(visit.page.evaluate(ODDS))
        assert len(set(seen)) == 3
        likeliest = server.ask("POST", "/v1/symbols/word/next", {"prefix": "hel", "k": 1})[1]["next"][0]["symbol"]
        visit.page.click("#odds button >> nth=0")
        assert visit.page.input_value("#type") == "hel" + likeliest
        visit.page.fill("#type", "")
        visit.page.wait_for_selector("#odds li", state="detached")
        assert visit.complaints == []


def test_one_of_many_series_is_found_by_a_part_of_its_name(browser: Any, server: Running) -> None:
    for number in range(13):
        begin(server, f"mill {number}", rows=20)
    with Visit(browser, server) as visit:
        visit.wait_live()
        assert visit.page.input_value("#pick") == "mill 0"
        visit.page.fill("#find", "LL 7")
        assert visit.page.inner_text("#series-count").startswith("1 of 13 series")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("#title:has-text('mill 7')")
        assert visit.page.url.endswith("?series=mill%207")
        visit.page.reload()
        visit.page.wait_for_selector("#title:has-text('mill 7')")


def test_the_keyboard_reaches_everything_and_reads_charts_and_cells_aloud(browser: Any, server: Running) -> None:
    begin(server)
    with Visit(browser, server) as visit:
        visit.wait_live()
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.className") == "skip"
        reached = set()
        for _ in range(60):
            visit.page.keyboard.press("Tab")
            reached.add(visit.page.evaluate("document.activeElement.id || document.activeElement.dataset.do || ''"))
        assert {"theme", "pick", "remove", "in", "all", "pause", "chart-live", "heat-live", "type", "go-on"} <= reached
        visit.page.focus("#chart-live")
        visit.page.keyboard.press("ArrowLeft")
        assert "y, the truth" in visit.page.text_content("#live-spoken")
        visit.page.focus("#heat-live")
        visit.page.keyboard.press("ArrowLeft")
        assert visit.page.text_content("#heat-live-spoken").startswith("unit 1, 2024-02-29")


def test_what_can_be_operated_has_a_name_and_what_changes_is_announced(browser: Any, server: Running) -> None:
    begin(server)
    with Visit(browser, server) as visit:
        visit.wait_live()
        assert visit.page.evaluate(NAMELESS) == []
        assert visit.page.locator("header, nav, main, footer").count() == 4
        visit.wait("() => document.getElementById('news').textContent.includes('Next: ')")
        assert visit.page.get_attribute("#drift", "role") == "status"


def test_a_token_is_asked_for_sent_with_every_request_and_kept_nowhere(
    browser: Any, server: Running, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with running(str(tmp_path / "guarded.db"), "--token-file", str(tmp_path / "token")) as guarded:
        headers = {"authorization": f"Bearer {TOKEN}"}
        rows = daily_rows(30)
        assert guarded.ask("PUT", "/v1/series/plant", {"model": "daily", "rows": rows}, **headers)[0] == 201
        with Visit(browser, guarded) as visit:
            visit.page.wait_for_selector("#ask[open]")
            visit.page.fill("#token", "not the token")
            visit.page.keyboard.press("Enter")
            visit.page.wait_for_selector("#ask-problem:not([hidden])")
            assert "does not take this token" in visit.page.inner_text("#ask-problem")
            visit.page.fill("#token", TOKEN)
            visit.page.keyboard.press("Enter")
            visit.wait_live()  # the stream of events has it, too
            kept = "JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie + location.href"
            assert TOKEN not in visit.page.evaluate(kept)
            assert all(TOKEN not in url for url in visit.requests)


def test_a_series_called_like_markup_does_nothing(browser: Any, server: Running) -> None:
    with Visit(browser, server) as visit:
        visit.drop("evil.csv", as_csv(daily_rows(30)))
        visit.page.wait_for_selector("#begin:not([hidden])")
        visit.page.fill("#begin-name", EVIL)
        visit.page.click("#begin-go")
        visit.wait_live()
        assert EVIL in visit.page.inner_text("#title")
        assert visit.page.evaluate("window.pwned") is None
        visit.page.click("#remove")
        visit.page.click("#remove")
        visit.page.wait_for_selector("#series-empty:not([hidden])")
        assert visit.complaints == []


def test_what_the_service_refuses_is_said_in_a_sentence(browser: Any, server: Running) -> None:
    begin(server)
    with Visit(browser, server) as visit:
        visit.wait_live()
        visit.page.click("#add-part summary")
        visit.page.fill("#add-fields input[name=ds]", "2023-01-01")
        visit.page.fill("#add-fields input[name=load]", "1")
        visit.page.fill("#add-fields input[name=y]", "20")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("#add-problem:not([hidden])")
        assert visit.page.inner_text("#add-problem").endswith(".")
        visit.page.fill("#add-fields input[name=ds]", "")
        visit.page.keyboard.press("Enter")
        visit.wait("() => stepahead.watched().times.length === 61")
        visit.page.wait_for_selector("#add-problem", state="hidden")  # the event may come before the answer
