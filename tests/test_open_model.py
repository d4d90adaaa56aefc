"""A saved model opens as it was, to the last bit, and without torch."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import stepahead as sa
from stepahead import store
from stepahead.data.panel import Panel
from stepahead.errors import ModelFileError
from stepahead.forecaster import Forecaster

TINY: dict[str, Any] = {"recipe": "classic", "window": 4, "hidden_size": 3, "max_steps": 6, "check_every": 3}


def made_panel(gaps: bool = False) -> Panel:
    random = np.random.default_rng(0)
    past = np.exp(0.1 * random.standard_normal((90, 2)).cumsum(axis=0))
    if gaps:
        past[random.random(past.shape) < 0.3] = np.nan
        past[40:45, 0] = past[82:88, 1] = np.nan  # windows at the end begin in gaps
        past[[0, 45]] = 1.0
    return Panel.from_arrays(past, ids=("a", "b"), offsets=[0, 45, 90])


MODELS: dict[str, dict[str, Any]] = {
    "classic": {},
    "price": {"recipe": "price", "window": 8, "check_every": 50},
    "quantiles of three": {"head": "quantile", "ensemble": 3, "quantiles": [0.1, 0.5, 0.9], "horizon": 3},
    "student t": {"head": "student_t", "cell": "gru", "difference": True},
    "own windows": {"scaler": "window", "cell": "rnn", "clip": 1.0},
    "numpy's numbers": {"window": np.int64(5), "learning_rate": np.float64(0.01), "hidden_size": np.int32(4)},
    "ffill": {"missing": "ffill"},
    "interpolate": {"missing": "interpolate", "difference": "log", "scaler": "robust"},
    "mask": {"missing": "mask", "num_layers": 2, "dropout": 0.2},
}


@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_forecasts_to_the_last_bit_with_and_without_a_panel(name, tmp_path):
    options = TINY | MODELS[name]
    panel = made_panel(gaps=options.get("missing", "error") != "error")
    model = Forecaster(**options).fit(panel)
    model.save(tmp_path / "m.safetensors")
    loaded = sa.load(tmp_path / "m.safetensors")
    level = [80] if name == "quantiles of three" else [50]
    for given in (None, panel):
        assert loaded.predict(given, level=level).equals(model.predict(given, level=level))
    assert loaded.config_ == model.config_
    assert loaded.name == model.name
    assert loaded.season_length_ == model.season_length_


def test_a_loaded_model_saves_to_the_same_bytes(tmp_path):
    Forecaster(**TINY).fit(made_panel()).save(tmp_path / "one")
    sa.load(tmp_path / "one").save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_loaded_model_can_be_cloned_and_fitted_again(tmp_path):
    model = Forecaster(**TINY).fit(made_panel())
    model.save(tmp_path / "m")
    loaded = sa.load(tmp_path / "m")
    assert loaded.get_params() == model.get_params()
    assert loaded.verdict_ == model.verdict_ is not None
    assert loaded.clone().fit(made_panel()).predict().equals(model.predict())


def test_known_ahead_and_static_inputs_and_dates_survive(tmp_path):
    n = 40
    frame = pd.DataFrame(
        {
            "shop": ["a"] * n + ["b"] * n,
            "day": [*pd.date_range("2021-01-31", periods=n, freq="ME")] * 2,
            "sales": np.sin(np.arange(2.0 * n)),
            "promo": np.tile([0.0, 1.0], n),
            "kind": ["x"] * n + ["y"] * n,
            "size": [1.5] * n + [2.5] * n,
        }
    )
    panel = sa.read(
        frame, series="shop", time="day", target="sales", past=[], future=["promo"], static=["kind", "size"]
    )
    model = Forecaster(**TINY).fit(panel)
    model.save(tmp_path / "m")
    ahead = pd.DataFrame({"shop": ["a", "b"], "day": [pd.Timestamp("2024-05-31")] * 2, "promo": [1.0, 0.0]})
    found, expected = sa.load(tmp_path / "m").predict(future=ahead), model.predict(future=ahead)
    assert list(expected["day"]) == [pd.Timestamp("2024-05-31")] * 2
    assert found["LSTM"].to_list() == list(expected["LSTM"])
    assert [str(day)[:10] for day in found["day"]] == ["2024-05-31"] * 2
    again = sa.load(tmp_path / "m").predict(frame, future=ahead)
    assert isinstance(again, pd.DataFrame)
    assert list(again["LSTM"]) == list(expected["LSTM"])


class Own(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(8)
        self.line = torch.nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.line(self.norm(x.flatten(1)))


def test_a_module_of_the_user_s_is_given_again(tmp_path):
    model = Forecaster(**TINY, network=Own()).fit(made_panel())
    model.save(tmp_path / "m")
    with pytest.raises(
        ModelFileError, match=r"weights of your own network; give the module: load\(path, network=...\)"
    ):
        sa.load(tmp_path / "m")
    loaded = sa.load(tmp_path / "m", network=Own())
    assert loaded.predict(level=[50]).equals(model.predict(level=[50]))


def test_a_module_of_another_shape_is_refused(tmp_path):
    Forecaster(**TINY, network=Own()).fit(made_panel()).save(tmp_path / "m")
    with pytest.raises(ModelFileError, match="the weights do not fit the module given as network="):
        sa.load(tmp_path / "m", network=torch.nn.Linear(3, 1)).predict()


def test_a_module_for_a_model_that_has_none_is_refused(tmp_path):
    Forecaster(**TINY).fit(made_panel()).save(tmp_path / "m")
    with pytest.raises(ModelFileError, match="was not trained on a network of your own"):
        sa.load(tmp_path / "m", network=Own())


def test_a_checkpoint_is_no_model(tmp_path):
    store.save(tmp_path / "run", {"w": np.ones(1)}, {"kind": "checkpoint"})
    with pytest.raises(ModelFileError, match=r"holds a 'checkpoint', not a model; give a file that save\(\) wrote"):
        sa.load(tmp_path / "run")


def test_a_loaded_model_forecasts_without_torch(tmp_path):
    panel = made_panel()
    model = Forecaster(**TINY).fit(panel)
    model.save(tmp_path / "m")
    script = (
        "import sys, stepahead as sa; m = sa.load(sys.argv[1]); f = m.predict(level=[50]); "
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules; print(f['LSTM'].to_list())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "m")], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(model.predict()["LSTM"].to_list())


def test_a_panel_with_names_of_its_own_goes_on_under_them(tmp_path):
    panel = made_panel()
    panel = replace(panel, schema=replace(panel.schema, series="shop", time="week", series_kind="text"))
    Forecaster(**TINY).fit(panel).save(tmp_path / "m")
    assert sa.load(tmp_path / "m").predict().columns == ["shop", "week", "LSTM"]


@pytest.mark.parametrize("name", ["classic", "quantiles of three", "student t", "mask", "symbols", "panel"])
def test_a_file_that_lacks_something_is_refused_whatever_its_checksum_says(name, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    if name == "symbols":
        sa.SymbolModel(hidden_size=3, epochs=1).fit(["anna", "otto", "hannah"] * 9).save(whole)
    else:
        options = TINY | {"recipe": "panel"} if name == "panel" else TINY | MODELS[name]
        Forecaster(**options).fit(made_panel(gaps=name == "mask")).save(whole)
    tensors, config = store.load(whole)
    needed = [key for key in config if key not in ("over", "simple", "usual", "verdict", "calibrated")]
    for key in needed:
        store.save(part, tensors, {k: v for k, v in config.items() if k != key})
        with pytest.raises(ModelFileError, match="part: "):
            sa.load(part)
    loose = ("over.series", "shares.keys", "reading.correction", "tail", "recalibration", "time_edges", "calibration")
    for key, array in tensors.items():
        if any(word in key for word in loose):
            continue
        less = {k: v for k, v in tensors.items() if k != key}
        for held in ({}, {key: array[: len(array) // 2]}) if array.size else ({},):
            store.save(part, less | held, config)
            with pytest.raises(ModelFileError, match="part: "):
                pytest.fail(f"{key} was taken: {sa.load(part)}")


@pytest.mark.parametrize("head", ["auto", "student_t"])
def test_an_array_of_another_shape_is_refused_when_the_file_is_opened(head, tmp_path):
    rng, n = np.random.default_rng(0), 48
    frame = pd.DataFrame({"unique_id": np.repeat(list("abcd"), n), "ds": [*range(n)] * 4})
    frame["y"], frame["x"], frame["promo"] = rng.random((3, len(frame)))
    frame["kind"], frame["size"] = np.repeat(list("uvuv"), n), np.repeat([1.0, 2.0, 4.0, 9.0], n)
    panel = sa.read(frame, past=["x"], future=["promo"], static=["kind", "size"])
    Forecaster(recipe="panel", horizon=3, season_length=4, max_steps=2, head=head).fit(panel).save(tmp_path / "m")
    tensors, config = store.load(tmp_path / "m")
    # One more row, and one axis more: NumPy broadcasts some of them, and trips over others at the first forecast.
    for key, array in tensors.items():
        if array.size == 0 or "tail" in key:  # it says nothing any more: the table of t does
            continue
        row = array[:1] if key != "reading.t_table" else array[:1] + 1
        for other in (np.concatenate([array, row]), array[None]):
            if key.startswith("over.") and other.ndim == 1:
                continue
            store.save(tmp_path / "part", tensors | {key: other}, config)
            with pytest.raises(ModelFileError, match="part: does not hold what a model holds"):
                pytest.fail(f"{key} {other.shape} was taken: {sa.load(tmp_path / 'part')}")
