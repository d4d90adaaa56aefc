"""The training loop: seeds, stops, what is kept, and what it leaves alone."""

from typing import Any

import numpy as np
import pytest
import torch

from stepahead.checkpoint import Job, Trained
from stepahead.config import Config
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, TrainingError
from stepahead.learn import Training, learn, make_jobs, prepare
from stepahead.recipe import resolve
from stepahead.train import Report, batches, learning_rates, train

TINY: dict[str, Any] = {"recipe": "classic", "window": 4, "hidden_size": 3, "max_steps": 12, "check_every": 4}
ENGINES: dict[str, dict[str, Any]] = {"fleet": {}, "autograd": {"num_layers": 2, "dropout": 0.3}}
WAVE = Panel.from_arrays(np.sin(np.arange(60) / 4) + 2)


def config_of(**changes: Any) -> Config:
    return resolve(TINY | changes, WAVE)


def run(panel: Panel = WAVE, *, network: Any = None, progress: Any = None, **changes: Any) -> list[Trained]:
    config = resolve(TINY | changes, panel)
    return train(make_jobs(prepare(panel, config), config), config, network=network, progress=progress)


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", ["rnn", "rnn_relu", "lstm", "gru"])
def test_a_seed_repeats_bit_for_bit_and_another_differs(engine, cell):
    options = ENGINES[engine] | {"cell": cell, "batch_size": 8}
    first, again, other = run(**options), run(**options), run(**options, seed=1)
    assert same(first[0].weights, again[0].weights)
    assert not same(first[0].weights, other[0].weights)


def test_members_differ_by_their_seeds():
    one, two = run(ensemble=2)
    assert not same(one.weights, two.weights)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_random_numbers_of_torch_and_numpy_are_left_alone(engine):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    run(**ENGINES[engine], batch_size=8, patience=3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[1], strict=True))  # noqa: NPY002


def test_what_the_user_s_own_seed_was_does_not_matter():
    torch.manual_seed(5)
    first = run(num_layers=2, dropout=0.3)
    torch.manual_seed(6)
    assert same(first[0].weights, run(num_layers=2, dropout=0.3)[0].weights)


def test_an_epoch_holds_every_window_once_and_each_epoch_is_shuffled_anew():
    config = config_of(batch_size=7, max_steps=40)
    job = make_jobs(prepare(WAVE, config), config)[0]
    assert len(job.train) == 56
    steps = batches(job, config, 0, 16)
    first, second = np.concatenate(steps[:8]), np.concatenate(steps[8:])
    assert sorted(first) == sorted(second) == sorted(job.train)
    assert first.tolist() != second.tolist()


def test_batches_are_a_function_of_the_step_however_it_was_reached():
    config = config_of(batch_size=9, max_steps=40)
    job = make_jobs(prepare(WAVE, config), config)[0]
    whole = batches(job, config, 0, 40)
    pieces = [b for start in range(0, 40, 5) for b in batches(job, config, start, start + 5)]
    assert all(np.array_equal(a, b) for a, b in zip(whole, pieces, strict=True))


def test_a_full_batch_is_all_windows_in_order():
    config = config_of()
    job = make_jobs(prepare(WAVE, config), config)[0]
    assert all(batch is job.train for batch in batches(job, config, 0, 3))


def test_one_cycle_goes_up_for_a_fifth_and_down_to_nearly_nothing():
    rates = learning_rates(config_of(schedule="one_cycle", max_steps=101, learning_rate=2.0))
    assert rates[20] == rates.max() == pytest.approx(2.0)
    assert (np.diff(rates[:21]) > 0).all()
    assert (np.diff(rates[20:]) < 0).all()
    assert (rates[0], rates[-1]) == (pytest.approx(0.08), pytest.approx(2e-4))
    assert len(learning_rates(config_of(schedule="one_cycle", max_steps=1))) == 1
    assert (learning_rates(config_of(learning_rate=0.5)) == 0.5).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_early_stopping_keeps_the_weights_of_the_best_check(engine):
    """A rate far too high: the validation loss must rise again, and the run ends `patience` checks after its best."""
    options = ENGINES[engine] | {"patience": 3, "learning_rate": 0.3, "check_every": 1, "max_steps": 60}
    (result,) = run(**options)
    losses = [valid for _, _, valid in result.history]
    best = int(np.argmin(losses))
    assert result.stopped == "patience"
    assert result.best == losses[best]
    assert result.steps == result.history[-1][0] == best + 3
    kept, config = result.weights, config_of(**options | {"max_steps": best, "patience": None} if best else options)
    if best:  # the same run without validation, ended at that step, has the same weights
        jobs = make_jobs(prepare(WAVE, config_of(**options)), config_of(**options))
        (short,) = train(jobs, config)
        assert same(kept, short.weights)


@pytest.mark.parametrize("patience", [None, 2])
def test_a_network_of_a_fleet_learns_and_stops_as_it_would_alone_bit_for_bit(patience):
    config = config_of(ensemble=3, patience=patience, learning_rate=0.1, check_every=1, max_steps=60)
    jobs = make_jobs(prepare(WAVE, config), config)
    together, alone = train(jobs, config), [train([job], config)[0] for job in jobs]
    for one, other in zip(together, alone, strict=True):
        assert (one.stopped, one.steps, one.best) == (
            other.stopped,
            other.steps,
            pytest.approx(other.best, nan_ok=True),
        )
        assert same(one.weights, other.weights)
        np.testing.assert_array_equal(one.history, other.history)
    assert (len({result.steps for result in together}) > 1) == (patience is not None)  # each at its own time


def test_checkpoint_zero_is_the_network_before_any_step():
    (result,) = run(patience=2, check_every=1, learning_rate=1e-30, max_steps=5)
    assert [step for step, _, _ in result.history] == [0, 1, 2]
    assert result.best == result.history[0][2]


def nan_at(step: int) -> Any:
    """A module whose output is not a number from its step-th call in training on."""

    class Broken(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = torch.nn.Linear(4, 1)
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            return self.line(x[..., 0]) * (float("nan") if self.calls >= step else 1.0)

    torch.manual_seed(0)
    return Broken()


@pytest.mark.parametrize("changes", [{}, {"patience": 50}], ids=str)
def test_a_loss_that_is_no_number_names_its_step_and_keeps_the_last_check(changes):
    with pytest.raises(
        TrainingError, match=r"not a number at step 7; the weights of step 4 are kept; try a smaller"
    ) as e:
        run(network=nan_at(7), **changes)
    (kept,) = e.value.kept
    (short,) = run(network=nan_at(1000), **changes, max_steps=4)
    assert kept.steps == 4
    assert same(kept.weights, short.weights) or changes  # with validation the best of the checks so far
    assert all(np.isfinite(w).all() for w in kept.weights.values())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("check_every", [1, 4, 12])
def test_weights_that_ran_away_are_never_kept(engine, check_every):
    """The first step throws the weights out of range; its own loss was still a number."""
    options = ENGINES[engine] | {"learning_rate": 1e38, "check_every": check_every, "cell": "rnn_relu"}
    with pytest.raises(TrainingError, match="the weights of step 0 are kept") as error:
        run(**options)
    (start,) = run(**ENGINES[engine], cell="rnn_relu", learning_rate=1e-30, max_steps=1)
    for name, value in error.value.kept[0].weights.items():
        assert np.allclose(value, start.weights[name], atol=1e-6), name


def test_the_model_kept_at_a_loss_that_is_no_number_can_forecast():
    config = config_of()
    with pytest.raises(TrainingError) as error:
        learn(WAVE, config, Training(network=nan_at(7)))
    fitted = error.value.kept
    assert fitted.config == config


class Interrupt:
    """Presses Ctrl-C at the n-th check."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.reports: list[Report] = []

    def __call__(self, report: Report) -> None:
        self.reports.append(report)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("patience", [None, 50])
def test_ctrl_c_keeps_the_best_so_far(engine, patience):
    results = run(**ENGINES[engine], ensemble=2, patience=patience, progress=Interrupt(2))
    short = run(**ENGINES[engine], ensemble=2, patience=patience, max_steps=8)
    for result, expected in zip(results, short, strict=True):
        assert (result.stopped, result.steps) == ("interrupted", 8)
        assert same(result.weights, expected.weights)


def test_ctrl_c_before_anything_is_learned_ends_all(monkeypatch):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("stepahead.train.batches", pressed)
    with pytest.raises(KeyboardInterrupt):
        run()


def test_ctrl_c_is_said_once_and_gives_a_model():
    with pytest.warns(UserWarning, match="interrupted after 4 steps: the best weights so far are kept"):
        fitted, _ = learn(WAVE, config_of(), Training(progress=Interrupt(1)))
    assert np.isfinite(fitted.forecast(fitted.source(WAVE), np.array([59])).mean).all()


def test_reports_tell_step_loss_and_speed():
    seen = Interrupt(100)
    results = run(patience=50, batch_size=8, progress=seen)
    assert [(r.step, r.max_steps) for r in seen.reports] == [(4, 12), (8, 12), (12, 12)]
    assert [(r.loss, r.valid) for r in seen.reports] == [(l, v) for _, l, v in results[0].history[1:]]
    assert all(r.rows_per_second > 0 for r in seen.reports)
    without = Interrupt(100)
    run(progress=without)
    assert {r.valid for r in without.reports} == {None}


def test_training_lowers_the_loss():
    (result,) = run(max_steps=50, learning_rate=0.02)
    assert result.history[-1][1] < result.history[0][1] / 2


def test_the_fleet_and_autograd_take_the_same_steps(monkeypatch):
    """Two engines, one arithmetic: the losses agree to float32."""
    from stepahead import train as module

    for changes in (
        {},
        {"cell": "gru", "head": "quantile", "difference": True, "weight_decay": 0.1, "gradient_clip": 0.1},
    ):
        quick = run(**changes, check_every=1)
        with monkeypatch.context() as patch:
            patch.setattr(module, "fits_fleet", lambda jobs, config: False)
            slow = run(**changes, check_every=1)
        one, other = ([loss for _, loss, _ in result[0].history] for result in (quick, slow))
        assert np.abs(np.subtract(one, other)).max() < 1e-5


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", 7.5])
def test_a_device_that_is_not_here_is_refused_with_what_is(device):
    config = config_of()
    jobs = make_jobs(prepare(WAVE, config), config)
    with pytest.raises(ConfigError, match=r"^device=.* cannot be used here \(.*\); pass 'cpu', or 'cuda' where torch"):
        train(jobs, config, device=device)


def test_what_is_no_module_is_refused():
    with pytest.raises(ConfigError, match=r"^network=.* must be a torch.nn.Module, from \(N, window, inputs\) to"):
        run(network=torch.nn.Linear)


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (torch.nn.Linear(1, 2), r"\[56, 4, 2\]"),
        (torch.nn.LSTM(1, 1, batch_first=True), "a tuple"),
        (torch.nn.Flatten(0), r"\[224\]"),
    ],
    ids=["rows", "tuple", "flat"],
)
def test_a_module_that_gives_another_shape_is_told_which(network, found):
    with pytest.raises(ConfigError, match=rf"network= gives {found} for windows \[56, 4, 1\]; it must give \[N, 1\]"):
        run(network=network)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_gpu_learns_what_a_cpu_does(engine):
    options = ENGINES[engine] | {"dropout": 0.0, "max_steps": 20, "batch_size": 16}
    config = config_of(**options)
    jobs = make_jobs(prepare(WAVE, config), config)
    (mine,), (other,) = train(jobs, config, device="cuda"), train(jobs, config)
    for name, value in other.weights.items():
        assert np.abs(mine.weights[name] - value).max() < 1e-3, name  # TF32 and other sums over 20 steps


def test_jobs_carry_what_a_network_learns_from():
    config = config_of(patience=2)
    job = make_jobs(prepare(WAVE, config), config)[0]
    assert isinstance(job, Job)
    assert set(job.train.tolist()).isdisjoint(job.valid.tolist())
