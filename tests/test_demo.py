"""The tour: what README promises of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import stepahead as sa
from stepahead import demo
from stepahead.cli import app

FILES = {
    "hello.safetensors",
    "hello-states.png",
    "hello-states.svg",
    *(f"goog-{recipe}{suffix}" for recipe in demo.RECIPES for suffix in (".csv", ".png", ".svg", ".safetensors")),
}


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The whole demo, once: its folder and what it printed as JSON."""
    folder = tmp_path_factory.mktemp("tour") / "new"
    run = CliRunner().invoke(app, ["demo", "--output", str(folder), "--json"])
    assert run.exit_code == 0, run.output
    return folder, json.loads(run.stdout)


def test_the_cell_has_the_promised_shapes_and_the_last_output_is_the_status() -> None:
    part = demo.run_cell()
    shapes = (part.inputs, part.outputs, part.status, part.deep_outputs, part.deep_status)
    assert shapes == ((1, 10, 5), (1, 10, 8), (1, 1, 8), (1, 10, 16), (4, 1, 8))
    assert part.gap == 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_last_output_is_the_status_for_any_seed(seed: int) -> None:
    assert demo.run_cell(seed).gap == 0


def test_hello_is_spelled_and_o_follows_hell(tour: tuple[Path, dict]) -> None:
    word = tour[1]["word"]
    assert word["symbols"] == ["h", "e", "l", "o"]
    assert (word["input_size"], word["hidden_size"]) == (4, 2)
    assert next(iter(word["next"])) == "o"
    assert word["next"]["o"] > 0.5
    assert sum(word["next"].values()) == pytest.approx(1)
    assert word["completed"] == "hello"


def test_both_recipes_are_judged_on_the_last_30_percent_and_neither_is_called_a_winner(
    tour: tuple[Path, dict],
) -> None:
    stock = tour[1]["stock"]
    assert list(stock) == ["classic", "price"]
    for part in stock.values():
        assert part["n_forecasts"] == 2148 - int(0.7 * 2148)
        assert not part["beats"]
        assert "Does not beat repeating the last close" in part["verdict"]


def test_the_price_recipe_is_hardly_worse_than_naive(tour: tuple[Path, dict]) -> None:
    part = tour[1]["stock"]["price"]
    assert part["scores"]["GRU"]["rmse"] <= 1.02 * part["baselines"]["naive"]["rmse"]


def test_the_folder_holds_pictures_forecasts_and_models_and_nothing_else(tour: tuple[Path, dict]) -> None:
    folder, printed = tour
    assert {file.name for file in folder.iterdir()} == FILES
    assert {Path(file).name for file in printed["files"]} == FILES


def test_the_saved_models_load_and_go_on(tour: tuple[Path, dict]) -> None:
    folder, _ = tour
    assert sa.load(folder / "hello.safetensors").complete("h", 4) == "hello"
    panel = demo.read_stock()
    for recipe in demo.RECIPES:
        frame = sa.load(folder / f"goog-{recipe}.safetensors").predict(panel, level=[80])
        assert len(frame) == 1
        assert np.isfinite(frame.drop("unique_id", "date", strict=False).to_numpy()).all()


def test_the_forecasts_on_disk_are_those_of_the_test_part(tour: tuple[Path, dict]) -> None:
    folder, printed = tour
    rows = sa.read(folder / "goog-classic.csv", past=["LSTM"])
    assert rows.n_rows == printed["stock"]["classic"]["n_forecasts"]
    rmse = np.sqrt(np.mean((rows.past[:, 0] - rows.y) ** 2))
    assert rmse == pytest.approx(printed["stock"]["classic"]["scores"]["LSTM"]["rmse"], rel=1e-6)


def test_a_folder_that_cannot_be_is_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = CliRunner().invoke(app, ["demo", "--output", str(tmp_path / "file")])
    assert run.exit_code == 2
    assert run.stderr.count("\n") == 1
    assert "--output" in run.stderr


def test_the_demo_prints_shapes_tables_and_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tour: tuple[Path, dict]
) -> None:
    panel = demo.read_stock()
    quick = sa.Forecaster(recipe="classic", max_steps=2, holdout=50).fit(panel.tail(300))
    part = demo.StockPart("classic", quick, quick.backtest_)
    monkeypatch.setattr(demo, "run_stock", lambda _panel, recipe, progress: replace(part, recipe=recipe))
    run = CliRunner().invoke(app, ["demo", "--output", str(tmp_path)])
    assert run.exit_code == 0, run.output
    for words in (
        "(1, 10, 16)",
        "the last output is the status",
        "[1, 0, 0, 0]",
        "goes on as 'hello'",
        "rmse",
        "naive",
    ):
        assert words in run.output
    assert run.output.count(str(quick.verdict_)) == 2
