"""stepahead stream as a process: a pipe that answers at once, a state that lasts, and no torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import polars as pl
import pytest

import stepahead as sa
from stepahead import store
from stepahead.cli.pipe import Cells
from stepahead.cli.stream import Pipe

NAMES = ("open", "y")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    panel = sa.Panel.from_arrays(rng.normal(size=(120, 2)).cumsum(axis=0), names=NAMES)
    path = tmp_path_factory.mktemp("stream") / "walk.safetensors"
    sa.Forecaster("classic", max_steps=3).fit(panel).save(path)
    return path


def lines(first: int, last: int) -> list[str]:
    """Rows of CSV for the steps first..last."""
    rng = np.random.default_rng(9)
    values = rng.normal(size=(400, 2))
    return [
        f"{t},{values[t, 0]!r},{values[t, 1]!r}".replace("np.float64(", "").replace(")", "")
        for t in range(first, last + 1)
    ]


def run(*words: Any, rows: list[str], header: str = "ds,open,y") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stepahead.cli", "stream", *map(str, words)]
    command[1:3] = ["-c", "from stepahead.cli import main; main()"]
    text = "\n".join([*([header] if header else []), *rows]) + "\n"
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)


def test_csv_goes_in_and_out_and_equals_the_library(model: Path) -> None:
    done = run(model, rows=lines(121, 150))
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header == "ds,cutoff,LSTM,LSTM-lo-95,LSTM-lo-80,LSTM-hi-80,LSTM-hi-95"
    stream = sa.load(model).stream()  # type: ignore[union-attr, call-arg]
    for line, row in zip(lines(121, 150), rows, strict=True):
        ds, *values = line.split(",")
        pushed = stream.push({"ds": int(ds), "open": float(values[0]), "y": float(values[1])}).records()[0]  # type: ignore[arg-type, union-attr]
        wanted = [pushed["ds"], int(ds), *(pushed[name] for name in header.split(",")[2:])]
        np.testing.assert_allclose([float(cell) for cell in row.split(",")], wanted, rtol=1e-5)


def test_json_lines_go_in_and_out(model: Path) -> None:
    done = run(model, rows=['{"ds": 121, "open": 1, "y": 2.5}', '{"y": 2.25, "open": 0.5}'], header="")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["cutoff"] for answer in answers] == [121, 122]
    assert answers[1]["forecast"][0]["ds"] == 123


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("123,x,1", "line 4: column 'open': 'x' is not a number"),
        ("123,1", "line 4: has 2 cells"),
        ("122,1,1", "line 4: series '1': ds 122 is not after the last row, 122"),
        ("123,,1", "line 4: series '1': column 'open' is missing"),
        ("123,nan,1", "line 4: series '1': column 'open' is missing"),
    ],
)
def test_a_bad_row_is_named_and_the_rows_before_it_are_done(model: Path, row: str, message: str) -> None:
    done = run(model, rows=[*lines(121, 122), row, *lines(124, 125)])
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(done.stdout.splitlines()) == 3


def test_the_state_survives_and_a_row_sent_again_is_answered_again(model: Path, tmp_path: Path) -> None:
    state = tmp_path / "walk.state"
    whole = run(model, rows=lines(121, 140)).stdout.splitlines()
    first = run(model, "--state", state, rows=lines(121, 130)).stdout.splitlines()
    second = run(model, "--state", state, "--quiet", rows=lines(128, 140))
    assert second.stderr == ""
    cells = [line.split(",") for line in [*first, *second.stdout.splitlines()[4:]]]
    assert second.stdout.splitlines()[1:4] == first[-3:]
    assert [c[:2] for c in cells] == [line.split(",")[:2] for line in whole]
    ends = [float(c[2]) for c in cells[1:]], [float(line.split(",")[2]) for line in whole[1:]]
    np.testing.assert_allclose(*ends, rtol=1e-6)
    state.write_bytes(state.read_bytes()[:-3])
    assert "error:" in run(model, "--state", state, rows=lines(141, 142)).stderr


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("130,1,2", "line 3: series '1': ds 130: column 'open' is 1.0, but the row that was taken in has 0.4"),
        ("126,1,2", "line 3: series '1': ds 126: column 'open' is 1.0, but the row that was taken in has"),
        ("130,x,2", "line 3: column 'open': 'x' is not a number"),
    ],
)
def test_another_row_at_a_time_that_was_taken_in_ends_the_stream_and_changes_nothing(
    model: Path, tmp_path: Path, row: str, message: str
) -> None:
    state = tmp_path / "walk.state"
    first = run(model, "--state", state, rows=lines(121, 130)).stdout.splitlines()
    before = state.read_bytes()
    done = run(model, "--state", state, rows=[lines(125, 125)[0], row, *lines(131, 132)])
    assert (done.returncode, done.stdout.splitlines()) == (2, [first[0], first[5]])
    assert message in done.stderr
    assert state.read_bytes() == before


def take(model: Path, state: Path | None, first: int, last: int, form: str = "csv") -> None:
    """A new start that reads some rows at once."""
    rows = [line.split(",") for line in lines(first, last)]
    cells = [Cells(i + 2, None, int(ds), [*map(float, values)]) for i, (ds, *values) in enumerate(rows)]
    Pipe(sa.load(model), None, None, state, quiet=True).take(cells, form)  # type: ignore[arg-type]


def test_a_kill_between_the_state_and_the_answers_loses_no_forecast(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    take(model, None, 121, 150)
    whole = capsys.readouterr().out
    state = tmp_path / "walk.state"
    with monkeypatch.context() as killing:
        killing.setattr(sys.stdout, "write", Mock(side_effect=KeyboardInterrupt))
        for last in (140, 150):  # the second one is killed among the answers that it gives again
            with pytest.raises(KeyboardInterrupt):
                take(model, state, 121, last)
    take(model, state, 121, 150)
    ours, theirs = ([line.split(",") for line in text.splitlines()] for text in (capsys.readouterr().out, whole))
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    # A chunk of another length is another product of matrices: the last bit may differ.
    np.testing.assert_allclose(*([[float(row[2]) for row in rows[1:]] for rows in (ours, theirs)]), rtol=1e-6)


def test_another_form_or_an_old_state_file_answers_only_the_last_row_again(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "walk.state"
    take(model, state, 121, 130)
    last = capsys.readouterr().out.splitlines()[-1]
    take(model, state, 121, 130, "json")
    assert [json.loads(line)["cutoff"] for line in capsys.readouterr().out.splitlines()] == [130]
    tensors, config = store.load(state)
    del tensors["answers"], config["form"]
    store.save(state, tensors, config)
    take(model, state, 121, 130)
    assert capsys.readouterr().out.splitlines()[1:] == [last]


def test_a_row_that_was_left_out_before_comes_too_late(model: Path, tmp_path: Path) -> None:
    state = tmp_path / "walk.state"
    run(model, "--state", state, rows=[*lines(121, 127), *lines(129, 130)])
    done = run(model, "--state", state, rows=lines(128, 131))
    assert done.returncode == 2
    assert "line 2: series '1': ds 128 comes after the row at 130, and is none of those taken in" in done.stderr


def test_rows_older_than_the_state_keeps_are_passed_over_and_the_note_says_so(model: Path, tmp_path: Path) -> None:
    state = tmp_path / "walk.state"
    window = sa.load(model).config_.window  # type: ignore[union-attr]
    last = 121 + window + 4
    run(model, "--state", state, rows=lines(121, last))
    done = run(model, "--state", state, rows=["121,1,2", *lines(122, last + 1)])
    assert done.returncode == 0, done.stderr
    assert [line.split(",")[1] for line in done.stdout.splitlines()[1:]] == [str(t) for t in range(121, last + 2)]
    assert f"{window + 5} rows were taken in before" in done.stderr
    assert f"5 of them are older than the {window} rows that it keeps, and were not compared" in done.stderr


def test_rows_that_the_model_learned_from_are_known_to_the_state(model: Path, tmp_path: Path) -> None:
    state = tmp_path / "walk.state"
    run(model, "--state", state, rows=lines(121, 121))
    learned = sa.load(model).panel_.tail(1)  # type: ignore[union-attr]
    row = ",".join(map(repr, [int(learned.times[0]), *learned.past[0].tolist()]))
    done = run(model, "--state", state, "-q", rows=[row, *lines(121, 122)])
    assert (done.returncode, done.stderr) == (0, "")


def test_one_stream_at_a_time_writes_to_a_state_and_a_killed_one_does_not_stand_in_the_way(
    model: Path, tmp_path: Path
) -> None:
    state = tmp_path / "walk.state"
    command = [sys.executable, "-c", "from stepahead.cli import main; main()", "stream", model, "--state", state]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        first.stdin.write(f"ds,open,y\n{lines(121, 121)[0]}\n".encode())
        first.stdin.flush()
        assert len([first.stdout.readline() for _ in range(2)]) == 2  # it is there
        second = run(model, "--state", state, rows=lines(121, 123))
        assert (second.returncode, second.stdout) == (2, "")
        assert "another stream writes to it" in second.stderr
        first.kill()
    assert (tmp_path / "walk.state.lock").exists()
    third = run(model, "--state", state, rows=lines(122, 123))
    assert (third.returncode, len(third.stdout.splitlines())) == (0, 3), third.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["walk.state"]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_last_line_that_may_be_cut_short_is_no_row_of_a_state(model: Path, tmp_path: Path, form: str) -> None:
    state = tmp_path / "walk.state"
    rows = ["ds,open,y", "121,1,12.75", "122,1,12.75"]
    if form == "json":
        rows = ['{"ds": 121, "open": 1, "y": 12.75}', '{"ds": 122, "open": 1, "y": 12.75}']
    command = [sys.executable, "-c", "from stepahead.cli import main; main()", "stream", str(model)]
    for more, status, told in (["--state", str(state)], 2, 1), ([], 0, 2):
        text = "\n".join(rows)
        done = subprocess.run([*command, *more], input=text, capture_output=True, text=True, timeout=120)
        assert (done.returncode, len(done.stdout.splitlines())) == (status, told + (form == "csv")), done.stderr
        assert ("no line break" in done.stderr) == bool(more)
    whole = run(model, "--state", state, "-q", rows=rows, header="")
    assert (whole.returncode, whole.stderr) == (0, "")


def test_levels_belong_to_the_state(model: Path, tmp_path: Path) -> None:
    state = tmp_path / "walk.state"
    run(model, "--state", state, "--level", "80", rows=lines(121, 122))
    before = state.read_bytes()
    done = run(model, "--state", state, "--level", "50", rows=lines(123, 124))
    assert (done.returncode, done.stdout) == (2, "")
    assert "--level 50" in done.stderr
    assert "keeps a stream whose levels are 80" in done.stderr
    assert "leave --level out" in done.stderr
    assert state.read_bytes() == before
    same = run(model, "--state", state, "--level", "80", rows=lines(123, 124))
    none = run(model, "--state", state, rows=lines(125, 126))
    assert [each.stdout.splitlines()[0] for each in (same, none)] == ["ds,cutoff,LSTM,LSTM-lo-80,LSTM-hi-80"] * 2


def test_a_state_that_cannot_be_read_names_its_file_and_what_to_do(model: Path, tmp_path: Path) -> None:
    state, other = tmp_path / "walk.state", tmp_path / "other.safetensors"
    walk = np.random.default_rng(1).normal(size=(120, 2)).cumsum(axis=0)
    sa.Forecaster("classic", max_steps=3).fit(sa.Panel.from_arrays(walk, names=NAMES)).save(other)
    run(model, "--state", state, rows=lines(121, 123))
    whole = state.read_bytes()
    said = run(other, "--state", state, rows=lines(121, 123)).stderr
    assert said == f"error: {state}: is of another model; restore it with the model that it came from\n"
    tensors, config = store.load(state)
    for damaged in (b"", whole[:-3], whole[:50]):
        state.write_bytes(damaged)
        said = run(model, "--state", state, rows=lines(124, 125)).stderr
        assert said.startswith(f"error: {state}: ")
        assert said.endswith("or delete it and send the rows again\n")
    for part, answers in ({"kind": "streams"}, b"[]"), (config, b"7"):
        store.save(state, tensors | {"answers": np.frombuffer(answers, np.uint8)}, part)
        done = run(model, "--state", state, rows=lines(124, 125))
        assert (done.returncode, "does not hold what a state holds" in done.stderr) == (2, True)


def test_a_series_that_joins_a_state_gets_its_levels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    panel = sa.Panel.from_arrays(rng.normal(size=240).cumsum(), ids=("a", "b"), offsets=(0, 120, 240))
    path, state = tmp_path / "two.safetensors", tmp_path / "two.state"
    sa.Forecaster("classic", max_steps=3).fit(panel).save(path)
    run(path, "--state", state, "--level", "80", "--series", "a", rows=["121,1"], header="ds,y")
    done = run(path, "--state", state, "--series", "b", rows=["121,1"], header="ds,y")
    header, row = done.stdout.splitlines()
    assert header.endswith("cutoff,LSTM,LSTM-lo-80,LSTM-hi-80")
    assert len(row.split(",")) == len(header.split(","))


def test_names_are_written_in_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    walks = np.random.default_rng(0).normal(size=(240, 1)).cumsum(axis=0)
    panel = sa.Panel.from_arrays(walks, ids=("Zürich", "东京"), offsets=[0, 120, 240])
    sa.Forecaster("classic", max_steps=3).fit(panel).save(tmp_path / "m.safetensors")
    command = [sys.executable, "-c", "from stepahead.cli import main; main()", "stream", tmp_path / "m.safetensors"]
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    rows = "unique_id,ds,y\nZürich,121,2\n东京,121,2\n".encode()
    for more in ([], ["--json"]):
        done = subprocess.run([*command, *more], input=rows, capture_output=True, env=plain, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "Zürich" in done.stdout.decode()
        assert "东京" in done.stdout.decode()


def test_json_is_told_when_it_is_asked_for(model: Path) -> None:
    done = run(model, "--json", rows=lines(121, 122))
    assert [json.loads(line)["cutoff"] for line in done.stdout.splitlines()] == [121, 122]


def test_an_answer_comes_while_the_pipe_stays_open(model: Path) -> None:
    command = [sys.executable, "-c", "from stepahead.cli import main; main()", "stream", str(model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("ds,open,y\n" + lines(121, 121)[0] + "\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("ds,cutoff")
        assert process.stdout.readline().startswith("122,121,")
        process.stdin.close()
    assert process.returncode == 0


def test_no_stream_ever_imports_torch(model: Path) -> None:
    code = (
        "import sys; from stepahead.cli import app; app(['stream', sys.argv[1]], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    text = "ds,open,y\n" + lines(121, 121)[0] + "\n"
    done = subprocess.run([sys.executable, "-c", code, str(model)], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def dated_model(folder: Path, frequency: str | None = None, **settings: Any) -> Path:
    """A model of daily rows up to 2021-04-10."""
    days = np.datetime64("2021-01-01") + np.arange(100)
    frame = pl.DataFrame({"ds": days, "y": np.random.default_rng(0).normal(size=100).cumsum() + 50})
    path = folder / "dated.safetensors"
    sa.Forecaster(max_steps=2, holdout=None, **settings).fit(sa.read(frame, frequency=frequency)).save(path)
    return path


def test_times_are_read_in_the_format_that_is_named(tmp_path: Path) -> None:
    model = dated_model(tmp_path, recipe="classic")
    plain = run(model, rows=["2021-04-11,50", "2021-04-12,51", ",52"], header="ds,y")
    rows = ["11/04/2021,50", "12/04/2021,51", "2021-04-13,52", "14/04/2021,52"]
    done = run(model, "--time-format", "%d/%m/%Y", "--state", tmp_path / "state", rows=rows, header="ds,y")
    assert done.returncode == 2
    assert done.stderr == (
        "error: standard input, line 4: column 'ds': '2021-04-13' is not a time as '%d/%m/%Y' says; "
        "correct it or --time-format\n"
    )
    assert done.stdout.splitlines() == plain.stdout.splitlines()[:3]
    again = run(model, "--time-format", "%d/%m/%Y", "--state", tmp_path / "state", rows=rows[:2], header="ds,y")
    assert "2 rows were taken in before" in again.stderr
    assert again.stdout == done.stdout
    told = run(model, "--time-format", "%Y%m%d", rows=['{"ds": 20210411, "y": 50}', '{"y": 51}'], header="")
    assert [json.loads(line)["cutoff"] for line in told.stdout.splitlines()] == ["2021-04-11", "2021-04-12"]


@pytest.mark.parametrize(
    ("form", "time", "said"),
    [
        ("integer", "7", "line 2: --time-format 'integer' reads none of the dates that the model learned"),
        ("%Y-%m-%d %H:%M%z", "2021-04-11 10:00+0100", "line 2: the times that the model learned have no zone"),
        (
            "%d/%m/%Y",
            "20/07/9500",
            "line 2: series 'y': ds 9500-07-20T00:00:00.000000 must be a time of the years 1 to",
        ),
        ("decimal_year", "2021-04-11", "line 2: column 'ds': '2021-04-11' is no year with twelfths"),
    ],
)
def test_a_format_of_other_times_than_the_models_is_refused(tmp_path: Path, form: str, time: str, said: str) -> None:
    done = run(dated_model(tmp_path), "--time-format", form, rows=[f"{time},50"], header="ds,y")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_a_bound_beyond_all_numbers_is_null_in_json(tmp_path: Path) -> None:
    still = np.where(np.arange(300) % 50 == 0, 1e3, 1e-2)
    model = sa.Forecaster("classic", head="quantile", max_steps=30, difference="log", window=5)
    model.fit(sa.Panel.from_arrays(still)).save(tmp_path / "still.safetensors")
    draws = np.random.default_rng(3).normal(size=130) * np.where(np.arange(130) % 2, 20, 5)
    rows = [repr(value) for value in np.exp(draws).clip(1e-28, 1e28).tolist()]
    plain = [line.split(",") for line in run(tmp_path / "still.safetensors", rows=rows, header="y").stdout.split()]
    done = run(tmp_path / "still.safetensors", "--json", rows=rows, header="y")
    told = [json.loads(line, parse_constant=pytest.fail)["forecast"][0] for line in done.stdout.splitlines()]
    assert any(row[-1] == "inf" for row in plain), "the rows were to come to it"
    for row, answer in zip(plain[1:], told, strict=True):
        assert [None if cell == "inf" else float(cell) for cell in row[2:]] == list(answer.values())[1:]


def test_a_row_that_leaves_steps_out_is_told_of_once_where_rows_are_neighbours(tmp_path: Path) -> None:
    model = dated_model(tmp_path, recipe="classic")
    rows = ["2021-04-11,50", "2021-04-14,51", "2021-05-14,52"]
    done = run(model, rows=rows, header="ds,y")
    assert done.stderr == (
        "note: ds 2021-04-14 leaves out 2 steps since 2021-04-11, and rows are taken for neighbours; send each step, "
        "or fit with --frequency\n"
    )
    assert len(done.stdout.splitlines()) == 4
    assert run(model, "--quiet", rows=rows, header="ds,y").stderr == ""
    late = run(model, rows=["2021/04/12,50"], header="ds,y").stderr
    assert "ds 2021-04-12 leaves out 1 step since 2021-04-10" in late


@pytest.mark.parametrize(
    ("apart", "said"),
    [
        ([1, 1, 1, 4], {4: False, 5: True}),  # days from row to row, over and over
        ([2, 9, 31, 47, 20], {2: False, 200: False}),  # no step at all, of which `fit` has told
    ],
)
def test_steps_left_out_as_among_the_rows_that_it_goes_on_from_are_no_news(
    tmp_path: Path, apart: list[int], said: dict[int, bool]
) -> None:
    days = np.datetime64("2021-01-01") + np.cumsum(np.tile(apart, 100 // len(apart)))
    frame = pl.DataFrame({"ds": days, "y": np.random.default_rng(0).normal(size=100).cumsum() + 50})
    path = tmp_path / "apart.safetensors"
    sa.Forecaster("classic", max_steps=2, holdout=None).fit(sa.read(frame)).save(path)
    for gap, noted in said.items():
        done = run(path, rows=[f"{days[-1] + gap},51"], header="ds,y")
        assert (done.returncode, "leaves out" in done.stderr) == (0, noted), (gap, done.stderr)


@pytest.mark.parametrize(
    ("frequency", "settings"),
    [("D", {"recipe": "classic", "missing": "ffill"}), (None, {"recipe": "panel", "elapsed": True})],
)
def test_a_model_that_reads_how_far_rows_are_apart_says_nothing(
    tmp_path: Path, frequency: str | None, settings: dict[str, Any]
) -> None:
    done = run(dated_model(tmp_path, frequency, **settings), rows=["2021-04-14,51"], header="ds,y")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_row_of_a_series_that_nobody_knows_is_named_by_its_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    panel = sa.Panel.from_arrays(rng.normal(size=120).cumsum(), ids=("a", "b"), offsets=(0, 60, 120))
    path = tmp_path / "two.safetensors"
    sa.Forecaster("classic", max_steps=2, holdout=None).fit(panel).save(path)
    done = run(path, rows=["a,61,1.0", "c,61,1.0"], header="unique_id,ds,y")
    assert (done.returncode, len(done.stdout.splitlines())) == (2, 2)
    assert done.stderr == "error: standard input, line 3: no series 'c'; the model knows 'a', 'b'\n"
    unnamed = run(path, rows=["61,1.0"], header="ds,y")
    assert unnamed.stderr.startswith("error: standard input, line 2: the model knows 2 series; name one with --series")
