"""The shell: what commands print and write when all is well, and how they end."""

import json
import re
import stat
import subprocess
import sys
from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typed import run

import stepahead as sa
from stepahead.cli import app, output
from stepahead.cli.options import quoted
from stepahead.cli.shell import as_options
from stepahead.evaluate.walk import Walked
from stepahead.train import Report

QUICK = ["--recipe", "classic", "--window", "3", "--max-steps", "5"]


@pytest.fixture
def goog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small table of prices in an empty folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    close = 100 + rng.normal(size=80).cumsum()
    days = np.datetime64("2021-01-01") + np.arange(80)
    frame = pl.DataFrame({"date": days, "open": close + 0.5, "mood": ["up"] * 80, "close": close})
    frame.write_csv("goog.csv")
    return tmp_path / "goog.csv"


def test_backtest_prints_one_object_with_everything(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "backtest", goog, "--target", "close", "--time", "date", *QUICK, "--json"))
    assert {"mae", "rmse", "smape", "mase"} <= set(found["scores"]["LSTM"])
    assert set(found["baselines"]) <= {"naive", "seasonal_naive", "drift"}
    assert isinstance(found["beats"], bool)
    assert isinstance(found["echo"], bool)
    panel = sa.read(goog, time="date", target="close")
    model = sa.Forecaster(recipe="classic", window=3, max_steps=5)
    result = sa.backtest(model, panel, test_size=0.3)
    assert found["scores"]["LSTM"]["rmse"] == result.scores["LSTM"]["rmse"]
    assert (found["verdict"], found["skill"], found["p_value"]) == (str(result.verdict), result.skill, result.p_value)


def test_backtest_writes_picture_and_forecasts(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    out = run(capsys, "backtest", goog, "--target", "close", *QUICK, "--plot", "p.png", "-o", "f.csv", "--level", "80")
    assert Path("p.png").read_bytes()[:4] == b"\x89PNG"
    frame = pl.read_csv("f.csv")
    assert frame.columns == ["unique_id", "ds", "cutoff", "y", "LSTM", "LSTM-lo-80", "LSTM-hi-80"]
    assert len(frame) == 24  # 30 % of 80 rows
    assert frame["ds"][0] == "2021-02-26"
    assert "naive" in out
    assert sorted(p.name for p in Path().iterdir()) == ["f.csv", "goog.csv", "p.png"]


def test_fit_then_predict_equals_the_library(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "fit", goog, "--target", "close", *QUICK, "-o", "m.safetensors")
    assert "LSTM of 1 series, 80 rows -> m.safetensors" in out
    printed = run(capsys, "predict", "m.safetensors", goog, "--level", "50,80")
    model = sa.load("m.safetensors")
    expected = model.predict(sa.read(goog, time="date", target="close"), level=[50, 80])
    lines = printed.splitlines()
    assert lines[0].split(",") == expected.columns
    assert lines[1].split(",")[:2] == ["close", "2021-03-22"]
    assert [float(cell) for cell in lines[1].split(",")[2:]] == list(expected.row(0)[2:])
    again = json.loads(run(capsys, "predict", "m.safetensors", "--json"))  # the rows that it learned from
    assert again["forecasts"][0]["LSTM"] == expected["LSTM"][0]
    assert again["forecasts"][0]["date"] == "2021-03-22"
    assert "1 rows -> f.parquet" in run(capsys, "predict", "m.safetensors", goog, "-o", "f.parquet")
    assert pl.read_parquet("f.parquet")["LSTM"][0] == expected["LSTM"][0]


def test_the_time_format_holds_for_inputs_known_ahead_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    days = [date(2021, 1, 1) + timedelta(i) for i in range(82)]
    rows = [f"{day:%m/%d/%Y},{i % 5},{i % 7}" for i, day in enumerate(days)]
    Path("sold.csv").write_text("\n".join(["date,promo,y", *rows[:80]]))
    Path("ahead.csv").write_text("\n".join(["date,promo", *(row.rsplit(",", 1)[0] for row in rows[80:])]))
    written = ("--time-format", "%m/%d/%Y")
    run(capsys, "fit", "sold.csv", *written, "--future", "promo", *QUICK, "-o", "m.safetensors")
    printed = run(capsys, "predict", "m.safetensors", "sold.csv", *written, "--future", "ahead.csv")
    model, ahead = sa.load("m.safetensors"), pl.DataFrame({"date": days[80:], "promo": [i % 5 for i in (80, 81)]})
    expected = model.predict(sa.read("sold.csv", time_format="%m/%d/%Y", future=["promo"]), future=ahead)
    assert float(printed.splitlines()[1].split(",")[2]) == expected["LSTM"][0]


def test_fit_tells_its_verdict_as_json(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged = json.loads(run(capsys, "fit", goog, "--target", "close", *QUICK, "-o", "m.safetensors", "--json"))
    assert isinstance(judged["verdict"], str)
    assert judged["config"]["window"] == 3
    plain = json.loads(
        run(capsys, "fit", goog, "--target", "close", *QUICK, "--holdout", "none", "-o", "m.safetensors", "--json")
    )
    assert plain["verdict"] is None
    assert judged["series_verdict"] is plain["series_verdict"] is None  # one series


def test_fit_tells_on_how_many_series_it_wins(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = pl.read_csv(goog)
    tables = [prices.with_columns(stock=pl.lit(f"s{s}"), close=pl.col("close") * (1 + s)) for s in range(3)]
    pl.concat(tables).write_csv("many.csv")
    told = run(capsys, "fit", "many.csv", "--series", "stock", "--target", "close", *QUICK, "-o", "m.safetensors")
    sentence = str(sa.load("m.safetensors").series_verdict_)
    assert "of 3 series" in sentence
    assert sentence in told.splitlines()
    told = run(capsys, "fit", "many.csv", "--series", "stock", "--target", "close", *QUICK, "-o", "m", "--json")
    assert json.loads(told)["series_verdict"] == sentence


def test_quiet_says_the_bare_answer(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(["fit", str(goog), "--target", "close", *QUICK, "-o", "m.safetensors", "--quiet"])
    assert capsys.readouterr() == ("", "")
    out = run(capsys, "backtest", goog, "--target", "close", *QUICK, "--quiet")
    assert out.count("\n") == 1


def test_notes_go_to_stderr_and_speak_of_options(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(["fit", str(goog), "--target", "close", *QUICK, "-o", "m.safetensors"])
    assert capsys.readouterr().err == "note: left out 'mood': no column of numbers (choose inputs with --past)\n"


def test_steps_that_are_left_out_are_noted(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    days = pl.date_range(date(2021, 1, 1), date(2021, 4, 10), eager=True)
    pl.DataFrame({"ds": days, "y": range(100)}).filter(pl.col("y") != 50).write_csv("days.csv")
    with pytest.raises(SystemExit):
        app(["backtest", "days.csv", *QUICK])
    assert "note: 'ds' leaves out 1 step, the first after 2021-02-19" in (err := capsys.readouterr().err)
    assert "--frequency 'D' and fit with --missing 'mask', or fit the panel recipe with --elapsed\n" in err


def test_options_reach_the_model_and_the_reading(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--past none --cell gru --horizon 2 --scaler none --difference true --hidden-size 3 --batch-size none"
    run(capsys, "fit", goog, "--target", "close", *QUICK, *options.split(), "--season-length", "7", "-o", "m.st")
    model = sa.load("m.st")
    assert isinstance(model, sa.Forecaster)
    config = model.config_
    assert (config.cell, config.horizon, config.scaler, config.difference) == ("gru", 2, None, True)
    assert (config.hidden_size, config.batch_size, config.season_length) == (3, None, 7)
    assert model.fitted_.schema.past == ("close",)


@pytest.mark.parametrize(
    ("options", "known"),
    [
        ("--recipe panel --season-length 7,28 --max-steps 2", {"seasons": (7, 28)}),
        ("--season-length none --max-steps 2", {"seasons": ()}),
        ("--recipe classic --memory carried --max-steps 2", {"memory": "carried"}),
        ("--recipe classic --quantiles 0.1,0.5,0.9 --max-steps 2", {"head": "quantile", "quantiles": (0.1, 0.5, 0.9)}),
        ("--recipe classic --scaler robust --max-steps 2", {"scaler": "robust"}),
        ("--recipe panel --calendar --elapsed --max-steps 2", {"elapsed": True}),
    ],
)
def test_what_the_library_takes_the_shell_takes_too(
    goog: Path, capsys: pytest.CaptureFixture[str], options: str, known: dict[str, Any]
) -> None:
    run(capsys, "fit", goog, "--target", "close", *options.split(), "--holdout", "none", "-o", "m.st")
    config = sa.load("m.st").config_
    assert {name: getattr(config, name) for name in known} == known
    assert bool(config.calendar) == ("--calendar" in options)


def test_holidays_come_from_a_file(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("days.csv").write_text('date,name\n2021-02-14,"Carnival, of a kind"\n\n2021-03-01\n')
    fit = ["fit", goog, "--target", "close", "--recipe", "panel", "--max-steps", "2", "-o", "m.st"]
    run(capsys, *fit, "--holidays", "days.csv")
    config = sa.load("m.st").config_
    assert config.holidays == ("2021-02-14", "2021-03-01")
    assert any("holiday" in name for name in config.calendar)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("", "holds no date"),
        ("date\n", "holds no date"),
        ("14.2.2021\n2021-02-14\n", "line 1: '14.2.2021' is no date"),
        ("2021-02-14\n14.2.2021\n", "line 2: '14.2.2021' is no date; write them as 2024-12-25"),
    ],
)
def test_holidays_that_are_none(goog: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str) -> None:
    if text is not None:
        Path("days.csv").write_text(text)
    fit = ["fit", goog, "--target", "close", "--recipe", "panel", "--holidays", "days.csv", "-o", "m.st"]
    assert run(capsys, *fit, status=2).startswith(f"error: --holidays days.csv: {said}")
    assert not Path("m.st").exists()


def test_gaps_are_filled_where_a_frequency_is_given(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pl.read_csv(goog)
    frame.filter(pl.int_range(80) % 9 != 4).write_csv(goog)
    options = [*QUICK, "--missing", "mask", "--frequency", "D", "--holdout", "none", "-o", "m.st"]
    assert "of 1 series, 80 rows" in run(capsys, "fit", goog, "--target", "close", *options)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    old = tmp_path / "a.csv"
    old.write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(sa.errors.ConfigError, match="No space left on device"):
        output.write_files({old: lambda path: path.write_text("new") and None, tmp_path / "b.csv": fail})
    assert old.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_file_keeps_its_permissions_and_the_link_that_leads_to_it(tmp_path: Path) -> None:
    kept, link = tmp_path / "kept.csv", tmp_path / "link.csv"
    kept.write_text("old")
    kept.chmod(0o600)
    link.symlink_to(kept)
    output.write_files({link: lambda path: path.write_text("new") and None})
    assert (kept.read_text(), stat.S_IMODE(kept.stat().st_mode)) == ("new", 0o600)
    assert link.is_symlink()


def test_messages_speak_of_options_that_the_command_has() -> None:
    options = {"time_format": "--time-format", "past": "--past", "window": "--window"}
    assert as_options("pass time_format='%d/%m/%Y'", options) == "pass --time-format '%d/%m/%Y'"
    assert as_options("or past=None", options) == "or --past none"
    assert as_options("choose inputs with past=)", options) == "choose inputs with --past)"
    assert as_options("window=0 must be", options) == "--window 0 must be"
    known = {"difference": "--difference", "tied": "--tied"}
    assert as_options("pass difference=True, tied=True", known, {"difference"}) == "pass --difference true, --tied"
    assert as_options("/data/past=3/t.csv: sep=';'", options) == "/data/past=3/t.csv: sep=';'"


def test_a_fit_without_a_verdict_says_why(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["fit", goog, "--target", "close", "--recipe", "classic", "--max-steps", "2", "-o", "m.st"]
    why = "No verdict and no intervals: too few rows to hold some out (window 78, horizon 1)"
    assert run(capsys, *fit, "--window", "78").count(why) == 1
    assert "No verdict" not in run(capsys, *fit, "--window", "78", "--holdout", "none")
    assert "No verdict" not in run(capsys, *fit, "--window", "3")


def test_the_remedy_for_a_value_without_a_logarithm_works_as_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("ds,y\n" + "".join(f"{i},{0 if i == 90 else 9 + i % 4}\n" for i in range(100)))
    command = ["backtest", table, "--max-steps", "2", "--season-length", "none"]
    error = run(capsys, *command, status=2)
    assert "holds 0, but the model learned log-returns" in error
    assert "or with --difference true" in error
    assert "RMSE" in run(capsys, *command, "--difference", "true")


@pytest.mark.parametrize("command", [[], ["fit"], ["predict"], ["backtest"]])
def test_help_teaches_by_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, *command, "--help")
    assert re.search(r"^ +stepahead \w+ \S+\.(csv|safetensors)", out, re.MULTILINE)


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys) == run(capsys, "--help")


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == f"stepahead {sa.__version__}\n"


def test_public_load_stays_a_function_after_commands_ran() -> None:
    assert callable(sa.load)
    assert callable(sa.load)


def test_ctrl_c_ends_with_130_and_one_line(
    goog: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stepahead.data.read.read", stop)
    assert run(capsys, "fit", goog, "-o", "m.safetensors", status=130) == "stopped\n"


def test_ctrl_c_before_the_first_step_writes_nothing(
    goog: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    Path("prod.safetensors").write_text("the good one")
    for recipe, where in ("classic", "train.batches"), ("panel", "panels.descend.checked"):
        monkeypatch.setattr(f"stepahead.{where}", stop)
        words = ["--target", "close", "--recipe", recipe, "--max-steps", "5", "-o", "prod.safetensors"]
        assert run(capsys, "fit", goog, *words, "-q", status=130) == "stopped\n"
    assert Path("prod.safetensors").read_text() == "the good one"


def test_ctrl_c_among_the_held_out_rows_says_what_was_learned(
    goog: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stepahead.cli.output.progress_bar", lambda quiet: nullcontext(stop))
    words = ["fit", goog, "--target", "close", *QUICK, "-o", "m.safetensors"]
    assert "LSTM of 1 series, 64 of 80 rows, not those held out -> m.safetensors" in run(capsys, *words)
    for more, rows in ([], 64), (["--holdout", "none"], 80):
        told = json.loads(run(capsys, *words, *more, "--json"))
        assert (told["rows"], told["interrupted"]) == (rows, True)


def test_a_mistake_of_the_program_is_one_line_too(
    goog: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_(*_: object, **__: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("stepahead.data.read.read", break_)
    said = run(capsys, "fit", goog, "-o", "m.safetensors", status=1)
    assert said == "error: a mistake of stepahead's own, RuntimeError: two lines (STEPAHEAD_TRACEBACK=1 says where)\n"
    monkeypatch.setenv("STEPAHEAD_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="two"):
        app(["fit", str(goog), "-o", "m.safetensors"])


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from stepahead.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_ctrl_c_while_python_loads_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")  # in the middle of the imports
    command = [sys.executable, "-m", "stepahead", "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "stopped\n")


def test_the_command_is_the_module_that_python_runs() -> None:
    command = [sys.executable, "-m", "stepahead", "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (0, f"stepahead {sa.__version__}\n"), ended.stderr
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert 'stepahead = "stepahead.__main__:main"' in project.read_text(encoding="utf-8")


def test_a_true_process_ends_with_2_one_line_and_no_traceback(goog: Path) -> None:
    for arguments in (["fit", goog, "--target", "clsoe", "-o", "m"], ["fit", goog, "--window"], ["predict", goog]):
        ended = process(*arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("error: ")
        assert ended.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_stream_that_is_full_or_closed_is_one_line(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "fit", goog, "--target", "close", *QUICK, "-o", "m.safetensors")
    code = f"{sys.executable} -c 'from stepahead.cli import main; main()'"
    for words, said in {
        "predict m.safetensors > /dev/full": "standard output: cannot be written (No space left on device)",
        "predict m.safetensors --json > /dev/full": "standard output: cannot be written (No space left on device)",
        "--help > /dev/full": "standard output: cannot be written (No space left on device)",
        "predict m.safetensors >&-": "standard output is closed",
        "stream m.safetensors <&-": "standard input is closed",
        "symbols fit - -o s <&-": "standard input is closed",
        "stream m.safetensors 0> other": "standard input: cannot be read",
    }.items():
        ended = subprocess.run(
            ["bash", "-c", f"{code} {words}"], capture_output=True, text=True, timeout=120, check=False
        )
        assert (ended.returncode, ended.stdout) == (2, ""), words
        assert said in ended.stderr
        assert ended.stderr.count("\n") == 1, ended.stderr


def test_predict_in_a_process_never_meets_torch(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "fit", goog, "--target", "close", *QUICK, "-o", "m.safetensors")
    code = (
        "import sys\nfrom stepahead.cli import app\n"
        "app(['predict', 'm.safetensors', 'goog.csv'], standalone_mode=False)\n"
        "print(sorted({'torch', 'pandas', 'pyarrow', 'matplotlib', 'narwhals', 'scipy'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_a_walk_in_the_shell_is_the_library_s(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["--n-windows", "3", "--step-size", "2", "--refit", "2", "--train-rows", "40", "--checkpoint", "c.st"]
    found = json.loads(run(capsys, "backtest", goog, "--target", "close", *QUICK, *plan, "--json"))
    model = sa.Forecaster(recipe="classic", window=3, max_steps=5)
    result = sa.backtest(
        model, sa.read(goog, time="date", target="close"), n_windows=3, step_size=2, refit=2, train_rows=40
    )
    assert found == json.loads(json.dumps(result.to_json()))
    assert (found["n_fits"], found["step_size"]) == (2, 2)
    assert Path("c.st").exists()


def test_the_bar_tells_of_a_training_and_of_a_walk() -> None:
    assert output.told(Report(50, 500, 0.25, None, 12345.6)) == (50, 500, "loss 0.25, 12,346 rows/s")
    assert output.told(Walked(3, 50, 6.0, 94.0)) == (3, 50, "fits, 1 min 34 s left")
    assert output.told(Walked(0, 50, 6.0, 6.0)) == (25, 50, "fits, 6 s left")  # half way through a fleet of all
    assert [output.duration(s) for s in (0.4, 59.6, 3700)] == ["0 s", "1 min 0 s", "1 h 1 min"]


def test_a_backtest_tells_what_its_intervals_cover(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ("backtest", goog, "--target", "close", *QUICK, "--level", "80")
    learning, fitted = run(capsys, *plan).splitlines()[-1], run(capsys, *plan, "--as-fitted").splitlines()[-1]
    told = json.loads(run(capsys, *plan, "--json"))
    assert learning.startswith(
        f"Intervals that learn from each truth cover {100 * told['coverage']['50']:.1f} of 50 %, "
    )
    assert fitted.startswith(f"Intervals cover {100 * told['coverage_as_fitted']['50']:.1f} of 50 %, ")
    assert learning.split("as fitted ")[1].startswith(f"{100 * told['coverage_as_fitted']['50']:.1f}, ")
    assert "ntervals" not in run(capsys, "backtest", goog, "--target", "close", *QUICK)


def test_names_with_commas_stand_in_quotes(goog: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("Rio, RJ", 'the "big" one', "plain")
    prices = pl.read_csv(goog)
    pl.concat([prices.with_columns(place=pl.lit(name)) for name in names]).write_csv("places.csv")
    run(capsys, "fit", "places.csv", "--series", "place", "--target", "close", *QUICK, "-o", "m.safetensors")
    asked = '"Rio, RJ","the ""big"" one"'
    told = run(capsys, "predict", "m.safetensors", "places.csv", "--ids", asked, "--json")
    assert [row["place"] for row in json.loads(told)["forecasts"]] == list(names[:2])
    assert ",".join(map(quoted, names[:2])) == asked
    with pytest.raises(SystemExit):
        app(["predict", "m.safetensors", "places.csv", "--ids", '"Rio, RJ'])
    assert "a quote that is not closed" in capsys.readouterr().err
