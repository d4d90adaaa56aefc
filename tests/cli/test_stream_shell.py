"""stepahead stream as a process: a pipe that answers at once, a state that lasts, and no torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepahead as sa

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
    cells = [line.split(",") for line in [*first, *second.stdout.splitlines()[2:]]]
    assert second.stdout.splitlines()[1] == first[-1]
    assert [c[:2] for c in cells] == [line.split(",")[:2] for line in whole]
    ends = [float(c[2]) for c in cells[1:]], [float(line.split(",")[2]) for line in whole[1:]]
    np.testing.assert_allclose(*ends, rtol=1e-6)
    state.write_bytes(state.read_bytes()[:-3])
    assert "error:" in run(model, "--state", state, rows=lines(141, 142)).stderr


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
