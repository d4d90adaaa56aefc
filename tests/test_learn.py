"""From a panel to a trained model: what is learned from which rows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from stepahead.config import Config
from stepahead.data.panel import Panel
from stepahead.errors import DataError
from stepahead.learn import Training, learn, learn_together, make_jobs, prepare, split_tail, t_table
from stepahead.recipe import resolve

TINY: dict[str, Any] = {"recipe": "classic", "window": 4, "hidden_size": 3, "max_steps": 6, "check_every": 3}


def made_panel(lengths: tuple[int, ...] = (40,), seed: int = 0) -> Panel:
    past = np.exp(0.1 * np.random.default_rng(seed).standard_normal((sum(lengths), 2)).cumsum(axis=0))
    return Panel.from_arrays(past, ids=[f"s{i}" for i in range(len(lengths))], offsets=[0, *np.cumsum(lengths)])


def config_of(panel: Panel, **changes: Any) -> Config:
    return resolve(TINY | changes, panel)


def test_the_classic_recipe_equals_the_same_loop_by_hand():
    """Min-max scaling, LSTM, linear layer on the last step, full-batch Adam: written out in torch.nn alone."""
    panel = made_panel((80,))
    config = config_of(panel, max_steps=30, check_every=1, window=7, hidden_size=10)
    fitted, (trained,) = learn(panel, config, Training())

    scaled = (panel.past - panel.past.min(axis=0)) / (panel.past.max(axis=0) - panel.past.min(axis=0))
    x = torch.tensor(np.stack([scaled[i : i + 7] for i in range(73)]), dtype=torch.float32)
    y = torch.tensor(scaled[7:, -1:], dtype=torch.float32)
    torch.manual_seed(0)
    lstm, linear = torch.nn.LSTM(2, 10, batch_first=True), torch.nn.Linear(10, 1)
    optimizer = torch.optim.Adam([*lstm.parameters(), *linear.parameters()], lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(linear(lstm(x)[0][:, -1]), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    found = [loss for _, loss, _ in trained.history]
    difference = np.abs(np.subtract(found, losses)).max()
    assert difference < 1e-5, difference  # float32, whose rounding grows a little with every step
    weights = fitted.members[0]
    for name, value in [(f"cell.{n}", p) for n, p in lstm.named_parameters()]:
        assert np.abs(weights[name] - value.detach().numpy()).max() < 1e-3, name


def test_validation_origins_are_the_last_and_share_no_target_with_the_others():
    panel = made_panel((30, 50))
    config = config_of(panel, patience=3, horizon=3, validation_size=0.2)
    source = prepare(panel, config)
    learned, validated = split_tail(source, source.training_origins(), config)
    for start, stop in ((0, 30), (30, 80)):
        mine = learned[(learned >= start) & (learned < stop)]
        held = validated[(validated >= start) & (validated < stop)]
        origins = np.arange(start + 3, stop - 3)
        count = int(0.2 * len(origins))
        assert held.tolist() == origins[-count:].tolist()
        assert mine.tolist() == origins[: -count - 2].tolist()
        assert mine.max() + 3 < held.min() + 1  # the last target learned lies before the first one validated


def test_a_series_too_short_to_validate_learns_only():
    panel = made_panel((40, 6))
    config = config_of(panel, patience=3)
    learned, validated = split_tail(prepare(panel, config), prepare(panel, config).training_origins(), config)
    assert {43, 44} <= set(learned.tolist())
    assert validated.max() < 40


def test_nothing_to_validate_is_said_with_the_remedies():
    panel = made_panel((7,))
    with pytest.raises(DataError, match=r"3 windows are too few .* more rows, a smaller window, or patience=None"):
        make_jobs(prepare(panel, config_of(panel, patience=3)), config_of(panel, patience=3))


def test_without_patience_every_origin_learns():
    panel = made_panel()
    job = make_jobs(prepare(panel, config_of(panel)), config_of(panel))[0]
    assert job.train.tolist() == list(range(3, 39))
    assert len(job.valid) == 0


def test_members_and_neighbouring_seeds_share_no_seed():
    panel = made_panel()
    seeds = [
        job.seed
        for s in range(3)
        for job in make_jobs(prepare(panel, config_of(panel)), config_of(panel, seed=s, ensemble=5))
    ]
    assert len(set(seeds)) == 15


def test_any_seed_that_is_a_number_can_be_used():
    panel = made_panel()
    fitted, _ = learn(panel, config_of(panel, seed=2**63, max_steps=1), Training())
    assert all(np.isfinite(array).all() for array in fitted.members[0].values())


def test_too_short_a_panel_says_what_is_needed():
    panel = made_panel((4,))
    with pytest.raises(DataError, match="the longest series has 4 rows; window 4 and horizon 1 need 5"):
        learn(panel, config_of(panel), Training())


def test_a_window_and_a_target_are_enough():
    panel = made_panel((5,))
    fitted, (trained,) = learn(panel, config_of(panel), Training())
    assert trained.steps == 6
    assert np.isfinite(fitted.forecast(fitted.source(panel), np.array([4])).mean).all()


@pytest.mark.parametrize(
    "changes", [{}, {"patience": 2, "batch_size": 8, "ensemble": 2}, {"num_layers": 2, "dropout": 0.5}]
)
def test_learning_together_equals_learning_alone_to_the_last_bit(changes):
    panels = [made_panel(seed=s) for s in range(3)]
    config = config_of(panels[0], **changes)
    together = learn_together(panels, config, Training())
    for panel, (fitted, _) in zip(panels, together, strict=True):
        alone, _ = learn(panel, config, Training())
        for mine, theirs in zip(alone.members, fitted.members, strict=True):
            assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
        assert alone.shrinkage == fitted.shrinkage


def test_the_student_t_table_is_scipy_s():
    config = config_of(made_panel(), head="student_t")
    table = t_table(config, [{"tail": np.float32(1.0)}, {"tail": np.float32(3.0)}])
    freedom = 2 + np.log1p(np.exp(2.0))
    assert np.allclose(table[:, 1], stats.t.ppf(table[:, 0], freedom), atol=1e-12)
    assert table[0, 0] == 0.0005
    assert table[-1, 0] == 0.9995
    assert t_table(replace(config, head="mse"), []).shape == (0, 2)


def shrinkage_of(y: np.ndarray) -> float:
    panel = Panel.from_arrays(y)
    config = resolve(
        {"recipe": "price", "window": 5, "max_steps": 300, "hidden_size": 4, "learning_rate": 1e-2, "ensemble": 1},
        panel,
    )
    return learn(panel, config, Training())[0].shrinkage


def test_a_change_that_the_validation_part_supports_is_kept_and_noise_is_shrunk_away():
    noise = np.random.default_rng(0).standard_normal(600)
    swinging = np.zeros(600)
    for t in range(1, 600):
        swinging[t] = -0.7 * swinging[t - 1] + noise[t]
    assert shrinkage_of(swinging) > 0.8
    assert shrinkage_of(noise.cumsum() + 100) < 0.3


@pytest.mark.parametrize("memory", ["window", "carried"])
def test_the_config_says_what_difference_the_target_got(memory: str):
    panel = made_panel()
    zero = replace(panel, past=np.where(np.arange(40)[:, None] == [-1, 20], 0.0, panel.past))
    for given, used in ((panel, "log"), (zero, True)):
        fitted, _ = learn(given, config_of(given, recipe="price", memory=memory, patience=None), Training())
        assert fitted.config.difference == used
        assert fitted.scale.logs.tolist() == [True, used == "log"]  # the other input keeps its logarithm
