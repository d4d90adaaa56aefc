"""memory="carried" against one long forward of torch's own layers, its streams, and what an AR(1) allows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stepahead as sa
from stepahead.errors import ConfigError, TrainingError
from stepahead.runtime.stream import push_many


def walk(rows: int, seed: int = 0, phi: float = 0.8) -> sa.Panel:
    rng, y = np.random.default_rng(seed), np.zeros(rows)
    for t in range(1, rows):
        y[t] = phi * y[t - 1] + rng.normal()
    return sa.Panel.from_arrays(y)


def fitted(panel: sa.Panel, **params: Any) -> sa.Forecaster:
    defaults: dict[str, Any] = {"recipe": "classic", "scaler": "standard", "max_steps": 20, "holdout": 40}
    return sa.Forecaster(memory="carried", **(defaults | params)).fit(panel)


@pytest.fixture(scope="module")
def model() -> sa.Forecaster:
    return fitted(walk(300).head(250))


def test_a_forecast_is_the_head_on_one_long_forward_of_torch(model: sa.Forecaster) -> None:
    panel, weights = walk(300), model.fitted_.members[0]
    cell = torch.nn.LSTM(1, 10, batch_first=True)
    cell.load_state_dict({n.removeprefix("cell."): torch.as_tensor(w) for n, w in weights.items() if n[:5] == "cell."})
    scale = model.fitted_.scale  # type: ignore[union-attr]
    x = torch.as_tensor((panel.past - scale.center) / scale.spread, dtype=torch.float32)
    said = cell(x[None])[0][0].detach().numpy() @ weights["head.weight"].T + weights["head.bias"]
    origins = np.arange(40, 300)
    wanted = scale.center[-1] + scale.spread[-1] * said[origins]
    np.testing.assert_allclose(model.forecast(panel, origins).mean, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"cell": "gru", "num_layers": 2, "ensemble": 2},
        {"cell": "rnn", "difference": True, "horizon": 3},
        {"head": "quantile", "cell": "gru"},
    ],
)
def test_streaming_equals_predict_on_the_same_rows_to_the_last_bit(params: dict[str, Any]) -> None:
    panel = walk(300)
    model = fitted(panel.head(250), **params)
    stream, others = model.stream(level=[80], adaptive=False), [model.stream(level=[80]) for _ in range(3)]
    for i in range(250, 280):
        pushed, predicted = stream.push({"y": panel.y[i]}), model.forecast(panel, np.array([i]), level=[80])
        assert np.array_equal(pushed.mean, predicted.mean), i
        np.testing.assert_allclose(pushed.hi, predicted.hi, rtol=1e-12)
        for other in push_many(others, [{"y": panel.y[i]}] * 3):
            np.testing.assert_allclose(other.mean, pushed.mean, rtol=1e-5, atol=1e-6)


def test_forks_and_snapshots_carry_the_state(model: sa.Forecaster) -> None:
    stream = model.stream()
    stream.push({"y": 1.0})
    fork, again = stream.fork(), model.restore(stream.snapshot())
    stream.push({"y": -5.0})
    assert fork.push({"y": 2.0}).records() == again.push({"y": 2.0}).records()
    assert len(again.snapshot()) < 8192


def test_a_saved_model_goes_on_from_its_state(model: sa.Forecaster, tmp_path: Path) -> None:
    model.save(tmp_path / "m.safetensors")
    again = sa.load(tmp_path / "m.safetensors")
    assert again.predict().equals(model.predict())  # type: ignore[union-attr]
    assert again.stream().forecast().records() == model.stream().forecast().records()  # type: ignore[union-attr, call-arg]


def test_a_later_row_changes_no_forecast_at_an_origin(model: sa.Forecaster) -> None:
    panel = walk(300)
    changed = panel.past.copy()
    changed[281:] = 99.0
    origins = np.array([100, 280])
    here, there = (model.forecast(p, origins).mean for p in (panel, panel.with_past(changed)))
    assert np.array_equal(here, there)


def test_on_an_ar1_it_comes_close_to_the_noise_and_backtest_works() -> None:
    panel = walk(700)
    model = sa.Forecaster("classic", memory="carried", scaler="standard", max_steps=300, holdout=None)
    result = sa.backtest(model, panel, test_size=0.3)
    error = float(np.sqrt(np.mean(np.square((result.forecasts["LSTM"] - result.forecasts["y"]).to_numpy()))))
    assert error < 1.1  # the noise is 1; repeating the last value gives 1.05


def test_sampled_paths_spread_as_the_state_forgets(model: sa.Forecaster) -> None:
    paths = model.stream(level=[80]).sample(150, seed=1, steps=10)
    assert paths.shape == (150, 10)
    assert paths[:, 9].std() > 1.1 * paths[:, 0].std()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"scaler": "window"}, "no window to scale by"),
        ({"patience": 3}, "validates nothing"),
        ({"missing": "interpolate"}, "reads each row once"),
        ({"memory": "other"}, "memory='other'"),
    ],
)
def test_what_a_carried_state_cannot_go_with_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sa.Forecaster("classic", **({"memory": "carried"} | params)).fit(walk(120))


def test_every_member_and_every_run_has_its_own_seed_and_the_same_bits() -> None:
    one, two = (fitted(walk(120), ensemble=2, max_steps=5, holdout=None) for _ in range(2))
    for a, b in zip(one.fitted_.members, two.fitted_.members, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)
    first, second = one.fitted_.members
    assert not np.array_equal(first["head.weight"], second["head.weight"])


def test_the_schedule_and_the_clip_are_as_asked() -> None:
    cycle, constant = (fitted(walk(120), schedule=name, holdout=None) for name in ("one_cycle", "constant"))
    clipped, free = (fitted(walk(120), gradient_clip=clip, holdout=None) for clip in (1e-9, None))
    assert not np.array_equal(cycle.fitted_.members[0]["head.bias"], constant.fitted_.members[0]["head.bias"])
    assert not np.array_equal(clipped.fitted_.members[0]["head.bias"], free.fitted_.members[0]["head.bias"])


def test_a_loss_that_is_no_number_keeps_the_last_good_weights() -> None:
    model = sa.Forecaster("classic", memory="carried", scaler="standard", holdout=None, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"not a number at step \d+; the weights of step \d+ are kept"):
        model.set_params(max_steps=60, check_every=1, gradient_clip=None).fit(walk(120))
    assert np.isfinite(model.predict()["LSTM"].to_numpy()).all()


@pytest.mark.parametrize(("stop_at", "members"), [(4, 1), (14, 2)])
def test_ctrl_c_keeps_what_was_learned(stop_at: int, members: int) -> None:
    told: list[int] = []

    def stop(report: Any) -> None:
        told.append(report.step)
        if len(told) == stop_at:
            raise KeyboardInterrupt

    model = sa.Forecaster("classic", memory="carried", scaler="standard", holdout=None, ensemble=3, max_steps=10)
    with pytest.warns(UserWarning, match="interrupted after 4 steps"):
        model.set_params(check_every=1).fit(walk(120), progress=stop)
    assert len(model.fitted_.members) == model.config_.ensemble == members
    assert len(model.predict()) == 1
