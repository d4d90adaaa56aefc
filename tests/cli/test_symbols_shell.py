"""`stepahead symbols`: every command, standard input, and one clear line for bad input."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stepahead.cli import app

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in an empty folder -> exit status, stdout, stderr."""

    def call(*words: Any, stdin: str | bytes = "") -> tuple[int, str, str]:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))
        with pytest.raises(SystemExit) as ended:
            app(["symbols", *map(str, words)], prog_name="stepahead")
        out, err = capsys.readouterr()
        return ended.value.code, out, err  # type: ignore[return-value]

    monkeypatch.chdir(tmp_path)
    return call


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """word, lines and desk: a text, sequences and events."""
    import stepahead as sa

    folder = tmp_path_factory.mktemp("models")
    sa.SymbolModel(cell="rnn", hidden_size=2).fit("hello").save(folder / "word")
    names = ["anna", "hannah", "ann", "nan", "hanna"] * 24
    sa.SymbolModel(hidden_size=12, epochs=8).fit(names).save(folder / "lines")
    sa.SymbolModel(hidden_size=6).fit([["take in", "solve"], ["take in", "wait", "solve"]] * 8).save(folder / "desk")
    return folder


def test_the_word_from_the_shell(run: Run) -> None:
    status, out, _ = run("fit", "--text", "hello", "--cell", "rnn", "--hidden-size", 2, "-o", "word")
    assert status == 0
    assert "RNN of 2 units, 4 different symbols in 5 -> word" in out
    assert run("complete", "word", "h", "--length", 4) == (0, "hello\n", "")
    assert run("next", "word", "hell", "-q") == (0, "o\n", "")
    status, out, _ = run("next", "word", "hell", "--json", "-k", 2)
    first = json.loads(out)["next"][0]
    assert first["symbol"] == "o"
    assert first["probability"] > 0.8


def test_an_ensemble_from_the_shell(run: Run) -> None:
    import stepahead as sa

    words = ("fit", "--text", "hello", "--cell", "rnn", "--hidden-size", 2, "-q", "-o", "word")
    assert run(*words, "--ensemble", 3) == (0, "", "")
    assert len(sa.load("word").engine_.members) == 3
    assert run("complete", "word", "h", "--length", 4) == (0, "hello\n", "")
    status, _, err = run(*words, "--ensemble", 0)
    assert (status, "--ensemble 0 must be a whole number of at least 1" in err) == (2, True), err


def test_standard_input_is_read_where_a_dash_stands(run: Run, models: Path) -> None:
    assert run("next", models / "word", "-", "-q", stdin="hell")[1] == "o\n"
    assert run("next", models / "word", "-", "-q", stdin="hell\n")[1] == "o\n"
    status, out, _ = run("fit", "-", "--lines", "-o", "m", "--epochs", 2, "--json", stdin="ab\nabb\n" * 60)
    assert status == 0
    assert json.loads(out)["symbols"] == 2
    status, out, _ = run("score", models / "lines", "-", "--json", stdin="anna\nxyz\n")
    scored = json.loads(out)["sequences"]
    assert [one["sequence"] for one in scored] == ["anna", "xyz"]
    assert len(scored[0]["bits"]) == 5
    assert scored[0]["total"] < scored[1]["total"]


def test_lines_and_words_are_learned_from_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("open read close\nopen close\n" * 40)
    status, out, _ = run("fit", "log.txt", "--lines", "--tokens", "words", "-o", "log", "--epochs", 20)
    assert status == 0
    assert "3 different symbols" in out
    assert run("complete", "log", "open", "read", "--length", 5)[1] == "open read close\n"
    status, out, _ = run("evaluate", "log", "log.txt", "--json")
    assert json.loads(out)["top3"] > 0.9


def test_an_event_table_is_learned_and_asked(run: Run, models: Path, tmp_path: Path) -> None:
    rows = [f"{case},{step},{what}" for case in range(30) for step, what in enumerate(["take in", "solve"])]
    (tmp_path / "events.csv").write_text("\n".join(["case,at,what", *rows, "z,1,solve", "z,0,burn"]))
    events = ("--case", "case", "--time", "at", "--activity", "what")
    assert run("fit", "events.csv", *events, "-o", "m", "--epochs", 2)[0] == 0
    assert run("next", models / "desk", "take in", "wait", "-q")[1] == "solve\n"
    _, out, _ = run("anomalies", models / "desk", "events.csv", *events, "--top-g", 3, "--json")
    found = json.loads(out)["sequences"]
    assert [one["sequence"] for one in found if one["alarm"]] == ["z"]
    assert (found[-1]["step"], found[-1]["symbol"], found[-1]["repair"]) == (1, "burn", "")
    assert run("score", models / "desk", "events.csv", *events)[1].splitlines()[-1].split()[::3] == ["z", "burn"]


def test_symbols_that_were_never_learned_are_told_of(run: Run, models: Path) -> None:
    asked = (models / "desk", "take in", "wiat", "take in wait", "wiat")
    assert run("next", *asked)[::2] == (
        0,
        "note: the model never learned 'wiat', 'take in wait', which it reads as unknown\n",
    )
    assert run("next", *asked, "-k", 1, "-q")[2] == ""
    assert "'wiat'" in run("complete", *asked)[2]
    assert "'wiat'" in run("look", *asked)[2]
    assert run("next", models / "desk", "take in")[2] == ""


def test_a_table_that_is_learned_as_a_text_is_told_of(run: Run, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("case,what\n" + "1,in\n2,out\n" * 20)
    learn = ("fit", "events.csv", "-o", "m", "--epochs", 1)
    assert "note: events.csv is learned as a text; for a table of events name its columns" in run(*learn)[2]
    assert "note" not in run(*learn, "-q")[2]
    assert "note" not in run(*learn, "--case", "case", "--activity", "what")[2]


@pytest.mark.parametrize("command", ["fit", "score", "anomalies", "evaluate"])
def test_an_event_table_comes_on_standard_input_too(run: Run, models: Path, tmp_path: Path, command: str) -> None:
    rows = [f"{case},{step},{what}" for case in range(30) for step, what in enumerate(["take in", "solve"])]
    table = "\n".join(["case,at,what", *rows])
    (tmp_path / "events.csv").write_text(table)
    events = ("--case", "case", "--time", "at", "--activity", "what", "--json")
    words = {"fit": ("--epochs", 2, "-o", "m"), "anomalies": ("--top-g", 3)}.get(command, ())
    model = () if command == "fit" else (models / "desk",)
    from_file = run(command, *model, "events.csv", *events, *words)
    assert from_file[0] == 0, from_file
    assert run(command, *model, "-", *events, *words, stdin=table) == from_file
    for bad, message in (("", "standard input: is empty"), ("x,y\n1,2\n", "no column 'case'")):
        status, out, err = run(command, *model, "-", *events, *words, stdin=bad)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_a_sequence_is_known_by_its_line_and_its_own_text(run: Run, models: Path, tmp_path: Path) -> None:
    text = "anna\r\n\nzzz\nanna\u2028x\n"
    (tmp_path / "names.txt").write_text(text, encoding="utf-8", newline="")
    for source, stdin in (("-", text), ("names.txt", "")):
        asked = (models / "lines", source)
        found = json.loads(run("anomalies", *asked, "--top-g", 3, "--json", stdin=stdin)[1])["sequences"]
        assert [(one["line"], one["sequence"]) for one in found] == [(1, "anna"), (3, "zzz"), (4, "anna\u2028x")]
        assert (found[1]["alarm"], found[1]["symbol"]) == (True, "z")
        out = run("anomalies", *asked, "--top-g", 3, stdin=stdin)[1].splitlines()
        assert out[0].split() == ["line", "sequence", "score", "step", "symbol", "repair"]
        assert out[1].split()[:2] == ["3", "zzz"]
        scored = json.loads(run("score", *asked, "--json", stdin=stdin)[1])["sequences"]
        assert [(one["line"], one["sequence"]) for one in scored][1] == (3, "zzz")
        assert scored[1]["worst"] == "z"
        assert run("score", *asked, stdin=stdin)[1].splitlines()[2].split()[:2] == ["3", "zzz"]


def test_a_text_is_told_as_it_came(run: Run, models: Path) -> None:
    (one,) = json.loads(run("score", models / "word", "-", "--json", stdin="hezlo")[1])["sequences"]
    assert (one["sequence"], "line" in one) == ("hezlo", False)


def test_places_in_a_text_are_counted_from_its_first_symbol(run: Run, models: Path) -> None:
    found = json.loads(run("anomalies", models / "word", "-", "--top-g", 1, "--json", stdin="hezlo")[1])["sequences"]
    assert [(one["step"], one["symbol"]) for one in found] == [(3, "z")]
    found = json.loads(run("anomalies", models / "word", "-", "--level", -99, "--json", stdin="hellz")[1])["sequences"]
    assert (found[0]["step"], found[0]["symbol"], found[0]["repair"]) == (5, "z", "replace o at 5")


@pytest.mark.parametrize("command", ["predict {model}", "stream {model}", "audit {model} {table}"])
def test_commands_for_numbers_send_symbols_where_they_belong(command: str, models: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ds,y\n2021-01-01,1\n2021-01-02,2\n")
    words = command.format(model=models / "word", table=tmp_path / "t.csv").split()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert f"{models / 'word'}: is a model of symbols; use 'stepahead symbols'" in done.output


def test_anomalies_are_found_at_the_rate_asked_for(run: Run, models: Path, tmp_path: Path) -> None:
    (tmp_path / "clean.txt").write_text("anna\nhannah\nann\nnan\nhanna\n" * 40)
    (tmp_path / "today.txt").write_text("anna\nhaaah\nnan\n")
    command = ("anomalies", models / "lines", "today.txt", "--calibrate", "clean.txt", "--false-alarms", 0.05)
    status, out, _ = run(*command)
    assert status == 0
    assert "haaah" in out
    assert "1 of 3 sequences above" in out


def test_looking_inside_prints_units_and_draws_them(run: Run, models: Path, tmp_path: Path) -> None:
    status, out, _ = run("look", models / "word", "hello", "-o", "hello.png", "--units", 1)
    assert status == 0
    assert out.splitlines()[0].split() == ["symbol", "expected", "next", "unit", out.splitlines()[0].split()[-1]]
    assert "l  " in out
    assert (tmp_path / "hello.png").read_bytes()[:4] == b"\x89PNG"
    assert run("look", models / "word", "hello", "-o", "hello.html")[0] == 0
    assert (tmp_path / "hello.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    status, out, _ = run("look", models / "word", "hello", "--json")
    seen = json.loads(out)
    assert len(seen["hidden"]) == 5
    assert seen["next"][0][0]["symbol"] == "e"


def test_every_command_teaches_by_example(run: Run) -> None:
    for command in ("fit", "evaluate", "next", "complete", "score", "anomalies", "look"):
        status, out, _ = run(command, "--help")
        assert status == 0
        assert f"stepahead symbols {command} " in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fit",), "give SOURCE"),
        (("fit", "t.txt", "--text", "x"), "one of the two"),
        (("fit", "absent.txt", "-o", "m"), "absent.txt: cannot be read"),
        (("fit", "--text", "", "-o", "m"), "is empty"),
        (("fit", "--text", "a", "-o", "m"), "too few to learn from"),
        (("fit", "--text", "hello", "--cell", "cnn", "-o", "m"), "--cell 'cnn' is not one of 'auto', 'rnn'"),
        (("fit", "--text", "hello", "-o", "no/m"), "create it first"),
        (("fit", "--text", "hello", "--tokens", "bytes", "-o", "m"), "must be one of chars, words, items"),
        (("fit", "t.csv", "--case", "c", "-o", "m"), "needs both"),
        (("fit", "--text", "x", "--case", "c", "--activity", "a", "-o", "m"), "--text: is no event table"),
        (("fit", "t.csv", "--case", "c", "--activity", "a", "-o", "m"), "no column 'c'"),
        (("fit", "t.csv", "--case", "c", "--activity", "a", "--lines", "-o", "m"), "--lines: is for text, and --case"),
        (("fit", "t.csv", "--case", "c", "--activity", "a", "--tokens", "chars", "-o", "m"), "--tokens: is for text"),
        (("next", "absent", "h"), "absent: cannot be read"),
        (("next", "t.csv", "h"), "not a safetensors file"),
        (("next", "{word}"), "give at least one symbol"),
        (("next", "{word}", "h", "-k", "0"), "must be a whole number of at least 1"),
        (("complete", "{word}", "h", "--top-p", "2"), "must lie in (0, 1]"),
        (("complete", "{word}", "h", "--length", "-1"), "--length -1 must be a whole number of at least 0"),
        (("anomalies", "{lines}", "t.csv", "--top-g", "1", "--level", "2"), "two rules"),
        (("anomalies", "{lines}", "t.csv", "--false-alarms", "1e-9"), "clean sequences to calibrate"),
        (("evaluate", "{desk}", "t.csv"), "pass --case and --activity"),
        (("fit", "--text", "hello", "--time", "at", "-o", "m"), "--time: is a column of an event table"),
        (("evaluate", "{lines}", "t.csv", "--time", "x"), "--time: is a column of an event table"),
        (("evaluate", "{lines}", "t.csv", "--case", "x", "--activity", "y"), "the model learned text, no events"),
        (("anomalies", "{word}", "one.txt", "--level", "1"), "nothing foresees its first symbol"),
        (("look", "{word}", "hello", "-o", "x.gif"), "must end in .png or .svg or .html"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    run: Run, models: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "t.txt").write_text("hello")
    (tmp_path / "t.csv").write_text("x,y\n1,2\n")
    (tmp_path / "one.txt").write_text("h")
    before = sorted(tmp_path.iterdir())
    places = {name: models / name for name in ("word", "lines", "desk")}
    status, out, err = run(*(word.format(**places) for word in words))
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(tmp_path.iterdir()) == before


def test_text_that_is_not_utf8_is_refused(run: Run) -> None:
    status, _, err = run("fit", "-", "-o", "m", stdin=b"ab\xff")
    assert (status, err) == (2, "error: standard input: is not UTF-8 text at byte 2; convert it first\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("evaluate lines names.txt --skip -1", "--skip -1 must be a whole number of at least 0"),
        ("look word hell --units 0", "--units 0: must be at least 1"),
        ("look word hell --units 0 -o look.html", "--units 0: must be at least 1"),
        ("look word hell --units 0 -o look.png", "--units 0: must be at least 1"),
        ("anomalies lines names.txt --level nan", "--level nan: must be a number of bits"),
        ("anomalies lines names.txt --false-alarms nan", "--false-alarms nan: must lie in (0, 1)"),
    ],
)
def test_a_number_that_cannot_be_is_one_line_and_nothing_written(run: Run, models: Path, words: str, said: str) -> None:
    Path("names.txt").write_text("anna\nhannah\n")
    command, name, *rest = words.split()
    status, out, error = run(command, models / name, *rest)
    assert (status, out) == (2, "")
    assert said in error
    assert error.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["names.txt"]
