"""The base install: no torch, and here no compiler either.  It forecasts, tells what is missing, and says so once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stepahead as sa

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment of its own with the base package alone, built where every compiler fails."""
    folder = tmp_path_factory.mktemp("base")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    broken = os.environ | {"CXX": "/bin/false", "CC": "/bin/false", "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    install = [python, "-m", "pip", "install", "--quiet", f"{ROOT}", "--config-settings=build-dir="]
    done = subprocess.run([*map(str, install)], env=broken, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return python


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, a forecaster and a word, made by the full install."""
    folder = tmp_path_factory.mktemp("models")
    panel = sa.Panel.from_arrays(np.sin(np.arange(120) / 5) + 2)
    lines = [f"{t},{y}" for t, y in zip(panel.times, panel.y, strict=True)]
    (folder / "wave.csv").write_text("\n".join(["ds,y", *lines]))
    model = sa.Forecaster(recipe="classic", max_steps=30, holdout=None).fit(sa.read(folder / "wave.csv"))
    model.save(folder / "wave.safetensors")
    sa.SymbolModel(cell="rnn", hidden_size=2).fit("hello").save(folder / "hello.safetensors")
    return folder


def shell(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python.with_name("stepahead")), *words], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_it_has_neither_torch_nor_the_kernel(python: Path) -> None:
    found = "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('stepahead._native'))"
    done = subprocess.run([str(python), "-c", found], capture_output=True, text=True, cwd="/")
    assert done.stdout.strip() == "None None", done.stderr


def test_it_forecasts_what_the_full_install_forecasts_and_says_once_that_it_is_slow(python: Path, models: Path) -> None:
    done = shell(python, models, "predict", "wave.safetensors", "wave.csv", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("native kernel is not installed") == 1
    expected = sa.load(models / "wave.safetensors").predict()["LSTM"][0]
    (row,) = json.loads(done.stdout)["forecasts"]
    # NumPy sums in another order than the kernel: float32, values near 2.
    assert row["LSTM"] == pytest.approx(expected, abs=1e-5)


def test_the_word_is_completed_without_torch(python: Path, models: Path) -> None:
    done = shell(python, models, "symbols", "next", "hello.safetensors", "hell", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith("o")


def test_fit_asks_kindly_for_torch(python: Path, models: Path) -> None:
    done = shell(python, models, "fit", "wave.csv", "-o", "other.safetensors")
    assert done.returncode == 2
    assert "pip install 'stepahead[train]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (models / "other.safetensors").exists()
