"""The shell: what `stepahead audit` says of a model file and of a function, and how it ends."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typed import run

import stepahead as sa

MINE = """
import functools
import sys

import numpy as np
import polars as pl
import torch

def frame(table, cutoff, values):
    known = table.filter(pl.col("ds") <= cutoff)
    ahead = range(1, len(values) + 1)
    return pl.DataFrame({"unique_id": ["y"] * len(values), "ds": [cutoff + i for i in ahead], "forecast": values})

def last(table, cutoff):
    return frame(table, cutoff, [float(table.filter(pl.col("ds") <= cutoff)["y"][-1])] * 2)

def leaky(table, cutoff):
    return frame(table, cutoff, [float(table["y"].mean()) + last(table, cutoff)["forecast"][0]])

def broken(table, cutoff):
    return table["no such column"]

def leaves(table, cutoff):
    sys.exit(3)

class Broken(torch.nn.Module):
    def forward(self, x):
        raise RuntimeError("no such shape")

class Called:
    def __call__(self, table, cutoff):
        return broken(table, cutoff)

module, called, part, number = Broken(), Called(), functools.partial(broken), 3
"""
UNREADABLE = {"unread": "def forecast(:", "divides": "1 / 0", "exits": "import sys; sys.exit(4)"}


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random walk in a folder of its own, beside a module of functions that forecast it."""
    monkeypatch.chdir(tmp_path)
    name = f"mine_{abs(hash(tmp_path)):x}"  # a module of another test must not be taken from the cache
    (tmp_path / f"{name}.py").write_text(MINE, encoding="utf-8")
    for kind, text in UNREADABLE.items():
        (tmp_path / f"{name}_{kind}.py").write_text(text, encoding="utf-8")
    y = 50 + np.random.default_rng(0).normal(size=90).cumsum()
    pl.DataFrame({"ds": np.arange(90), "y": y}).write_csv("walk.csv")
    return tmp_path / f"{name}.py"


def test_a_model_file_is_audited_as_the_library_does(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    panel = sa.read("walk.csv")
    sa.Forecaster(recipe="classic", window=4, max_steps=5, holdout=None).fit(panel).save("m.safetensors")
    found = json.loads(run(capsys, "audit", "m.safetensors", "walk.csv", "--json"))
    expected = sa.audit(sa.load("m.safetensors"), panel).to_json()
    assert found == json.loads(json.dumps(expected))
    assert found["ok"] is True


def test_a_function_that_sees_later_rows_is_found_with_evidence_and_cause(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run(capsys, "audit", f"{table.stem}:leaky", "walk.csv")
    assert (
        "later rows: when the rows after ds 67 were replaced by others, the forecast of series 'y' at step 1" in printed
    )
    assert "likely cause: " in printed
    assert run(capsys, "audit", f"{table.stem}:leaky", "walk.csv", "--quiet") == "1 findings\n"


def test_a_clean_function_has_none_and_its_echo_is_a_measurement(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run(capsys, "audit", f"{table.stem}:last", "walk.csv", "--horizon", "2", "--cutoff", "60")
    assert printed.startswith("no finding in ")
    assert "measured: the forecast lies closer to the value before (RMSE 0 to it" in printed
    found = json.loads(run(capsys, "audit", f"{table.stem}:last", "walk.csv", "--horizon", "2", "--json"))
    assert (found["ok"], found["findings"]) == (True, [])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{mine}:nothing", "has no 'nothing'"),
        ("no_such_module:forecast", "cannot be imported"),
        ("{mine}:broken", "broken: raised ColumnNotFoundError at 67"),
        ("{mine}:leaves", "leaves: raised SystemExit at 67: 3"),
        ("{mine}:called", "called: raised ColumnNotFoundError at 67"),
        ("{mine}:part", "part: raised ColumnNotFoundError at 67"),
        ("{mine}:Called", "Called is a class"),
        ("{mine}:module", "module: raised RuntimeError: no such shape"),
        ("{mine}_unread:forecast", "cannot be imported, raised SyntaxError"),
        ("{mine}_divides:forecast", "cannot be imported, raised ZeroDivisionError: division by zero"),
        ("{mine}_exits:forecast", "cannot be imported, raised SystemExit: 4"),
        ("{mine}:number", "cannot forecast with a int"),
        ("absent.safetensors", "absent.safetensors"),
        ("walk.csv", "walk.csv"),
    ],
)
def test_what_cannot_be_audited_is_one_line_and_status_2(
    table: Path, capsys: pytest.CaptureFixture[str], model: str, message: str
) -> None:
    window = ["--window", 5] if model.endswith(":module") else []
    said = run(capsys, "audit", model.format(mine=table.stem), "walk.csv", *window, status=2)
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1


def test_a_model_s_columns_cannot_be_named_again(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sa.Forecaster(recipe="classic", max_steps=2, holdout=None).fit(sa.read("walk.csv")).save("m.safetensors")
    said = run(capsys, "audit", "m.safetensors", "walk.csv", "--target", "y", status=2)
    assert said == "error: --target: the model knows its columns; leave the option out\n"


def test_a_horizon_that_cannot_be_is_one_line(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for horizon in (0, -1):
        said = run(capsys, "audit", f"{table.stem}:last", "walk.csv", "--horizon", horizon, status=2)
        assert said == f"error: --horizon {horizon} must be a whole number of at least 1\n"


def test_a_cutoff_that_is_no_time_is_one_line(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, "audit", f"{table.stem}:last", "walk.csv", "--cutoff", "soon", status=2)
    assert "'soon' is no time of" in said
