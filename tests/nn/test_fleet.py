"""Fleets: members do not feel one another, and each learns what a torch.nn loop written by hand would learn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from stepahead.errors import ConfigError
from stepahead.nn import trainer
from stepahead.nn.fleet import Fleet, FleetShape, FleetTeam, FleetWindows, Member
from stepahead.nn.heads import make_head, weighted_mean
from stepahead.nn.loop import Descent, TorchLoop, TorchTeam
from stepahead.nn.network import Network
from stepahead.nn.trainer import pack, unpack

CELLS = ["rnn", "rnn_relu", "lstm", "gru"]
HEADS: list[tuple[str, tuple[float, ...]]] = [("mse", ()), ("mae", ()), ("huber", ()), ("quantile", (0.1, 0.5, 0.9))]
MODELS, STEPS, ROWS = 3, 12, 70


@pytest.fixture(params=["kernel", "torch"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both engines: the native trainer and torch's sums."""
    if request.param == "torch":
        monkeypatch.setattr(trainer, "native", None)
    elif trainer.native is None:
        pytest.skip("the native kernel is not built")
    return request.param


def made(
    cell: str = "lstm", head: str = "mse", quantiles: tuple[float, ...] = (), clip: float = 0.0
) -> tuple[Any, ...]:
    """A shape, windows with weights, starting parameters, an order with short batches, and rates."""
    random = np.random.default_rng(0)
    shape = FleetShape(cell, 3, 7, 2, head, quantiles, clip)
    rows = random.normal(size=(ROWS, 3)).astype(np.float32)
    targets = random.normal(size=(60, 2)).astype(np.float32)
    # No equal weights: under "mae" they cancel to a gradient of 0 or 1e-9, as rounding has it, which Adam makes a step.
    weights = np.maximum(random.uniform(-1, 1, (60, 2)), 0).astype(np.float32)
    windows = FleetWindows(rows, np.arange(60), 6, targets, weights)
    order = random.integers(0, 60, (STEPS, MODELS, 17))
    order[:, 1, 12:] = -1
    rates = np.full((STEPS, MODELS), 0.01) * [1, 0.5, 2]
    return shape, windows, start(shape, seeds=range(MODELS)), order, rates


def start(shape: FleetShape, seeds: Sequence[int]) -> np.ndarray:
    """Parameters [M, P] drawn as torch draws them: uniform within 1/sqrt(hidden), one seed for each member."""
    bound = shape.hidden_size**-0.5
    draws = [np.random.default_rng(seed).uniform(-bound, bound, shape.n_parameters) for seed in seeds]
    return np.stack(draws).astype(np.float32)


def by_hand(
    shape: FleetShape, windows: FleetWindows, parameters: np.ndarray, order: np.ndarray, rates: np.ndarray, decay: float
) -> Any:
    """One member's training, written with torch.nn and torch.optim: losses [S] and parameters [P]."""
    kinds = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    options = {"nonlinearity": "relu"} if shape.cell == "rnn_relu" else {}
    cell = kinds.get(shape.cell, torch.nn.RNN)(shape.n_features, shape.hidden_size, batch_first=True, **options)
    linear = torch.nn.Linear(shape.hidden_size, shape.outputs)
    own = [*cell.parameters(), *linear.parameters()]
    with torch.no_grad():
        for parameter, array in zip(own, unpack(shape, parameters).values(), strict=True):
            parameter.copy_(torch.from_numpy(array))
    head, optimizer, losses = make_head(shape.head, shape.quantiles), torch.optim.AdamW(own, weight_decay=decay), []
    for batch, rate in zip(order, rates, strict=True):
        batch = batch[batch >= 0]
        x = torch.from_numpy(np.stack([windows.rows[s : s + windows.steps] for s in windows.starts[batch]]))
        optimizer.param_groups[0]["lr"] = float(rate)
        optimizer.zero_grad()
        forecast = linear(cell(x)[0][:, -1]).unflatten(1, (shape.horizon, -1))
        target, weight = (torch.from_numpy(a[batch]) for a in (windows.targets, windows.weights))
        loss = weighted_mean(head.loss(forecast, target, torch.zeros(())), weight)
        loss.backward()
        if shape.clip:
            torch.nn.utils.clip_grad_norm_(own, shape.clip)
        optimizer.step()
        losses.append(loss.item())
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "head_weight", "head_bias")
    return np.array(losses), pack(shape, {n: p.detach().numpy() for n, p in zip(names, own, strict=True)})


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("head", "quantiles"), HEADS)
def test_members_learn_what_a_loop_by_hand_learns(
    cell: str, head: str, quantiles: tuple[float, ...], engine: str
) -> None:
    shape, windows, parameters, order, rates = made(cell, head, quantiles, clip=0.3)
    decays = [0.0, 0.1, 0.01]
    fleet = Fleet(shape, windows, parameters, weight_decay=decays)
    losses = fleet.run(order, rates)
    for m in range(MODELS):
        expected, learned = by_hand(shape, windows, parameters[m], order[:, m], rates[:, m], decays[m])
        # float32 over 12 steps of Adam, whose steps are of size rate however small the gradient.
        np.testing.assert_allclose(losses[:, m], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(fleet.parameters[m], learned, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_each_member_equals_a_fleet_of_one_bit_for_bit(cell: str, engine: str) -> None:
    shape, windows, parameters, order, rates = made(cell, clip=0.3)
    together = Fleet(shape, windows, parameters, weight_decay=0.05)
    losses = together.run(order, rates)
    for m in range(MODELS):
        alone = Fleet(shape, windows, parameters[m : m + 1], weight_decay=0.05, threads=1)
        assert np.array_equal(alone.run(order[:, m : m + 1], rates[:, m : m + 1])[:, 0], losses[:, m])
        assert np.array_equal(alone.parameters[0], together.parameters[m])
        assert np.array_equal(alone.losses(order[0, m : m + 1])[0], together.losses(order[0])[m])


def test_blocks_of_steps_equal_one_run(engine: str) -> None:
    shape, windows, parameters, order, rates = made()
    whole, parts = Fleet(shape, windows, parameters), Fleet(shape, windows, parameters)
    losses = whole.run(order, rates)
    assert np.array_equal(np.concatenate([parts.run(order[:5], rates[:5]), parts.run(order[5:], rates[5:])]), losses)
    assert np.array_equal(whole.parameters, parts.parameters)


def test_rate_zero_passes_a_member_by(engine: str) -> None:
    shape, windows, parameters, order, rates = made()
    fleet = Fleet(shape, windows, parameters, weight_decay=0.1)
    fleet.run(order, rates * [1, 0, 1])
    assert np.array_equal(fleet.parameters[1], parameters[1])
    assert list(fleet.taken) == [STEPS, 0, STEPS]
    assert not fleet.moments[:, 1].any()


def test_windows_scaled_one_by_one_equal_windows_scaled_before(engine: str) -> None:
    shape, windows, parameters, order, rates = made()
    cut = np.stack([windows.rows[s : s + 6] for s in windows.starts])  # [W, T, F]
    shift, factor = cut.mean(axis=1), 1 / cut.std(axis=1)
    scales = np.stack([shift, factor], axis=1).astype(np.float32)
    scaled = ((cut - scales[:, None, 0]) * scales[:, None, 1]).reshape(-1, 3)
    before = FleetWindows(scaled, np.arange(60) * 6, 6, windows.targets, windows.weights)
    within = FleetWindows(windows.rows, windows.starts, 6, windows.targets, windows.weights, scales)
    losses = [Fleet(shape, each, parameters).run(order, rates) for each in (before, within)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


BAD_ARRAYS: list[tuple[str, dict[str, Any]]] = [
    ("starts must lie in", {"starts": np.arange(60) + 10}),
    ("rows are", {"rows": np.zeros(ROWS, np.float32)}),
    ("weights are shaped", {"weights": np.zeros((60, 1), np.float32)}),
    ("scales are", {"scales": np.zeros((60, 3), np.float32)}),
]


@pytest.mark.parametrize(("message", "change"), BAD_ARRAYS, ids=[bad[0] for bad in BAD_ARRAYS])
def test_windows_that_do_not_fit_are_refused(message: str, change: dict[str, Any]) -> None:
    _, windows, _, _, _ = made()
    with pytest.raises(ConfigError, match=message):
        FleetWindows(**{**windows.__dict__, **change})


def test_other_bad_arguments_are_refused() -> None:
    shape, windows, parameters, order, rates = made()
    fleet = Fleet(shape, windows, parameters)
    with pytest.raises(ConfigError, match="cell='qrnn': must be one of rnn, rnn_relu, lstm, gru"):
        FleetShape("qrnn", 3, 7, 2)
    with pytest.raises(ConfigError, match=r"found 0\.\.60 of 60 windows"):
        fleet.run(np.where(order == order.max(), 60, np.maximum(order, 0)), rates)
    with pytest.raises(ConfigError, match="order: expected"):
        fleet.run(order[:, :2], rates)
    with pytest.raises(ConfigError, match="rates: expected"):
        fleet.run(order, rates[:3])
    with pytest.raises(ConfigError, match="parameters: expected"):
        Fleet(shape, windows, parameters[:, :-1])
    with pytest.raises(ConfigError, match="expected 3 features and 1 targets"):
        Fleet(FleetShape("lstm", 3, 7, 1), windows, start(FleetShape("lstm", 3, 7, 1), [0]))


def teams(engine: str) -> tuple[FleetTeam, TorchTeam, list[np.ndarray]]:
    """The same three networks behind both teams, two of them on shared windows."""
    random = np.random.default_rng(1)
    members = []
    for count in (40, 30):
        rows = random.normal(size=(count + 10, 3)).astype(np.float32)
        origins = np.arange(6, count)
        members.append(Member(rows, origins, rows[origins + 1, :1], np.ones((len(origins), 1), np.float32)))
    members.insert(1, members[0])
    networks = []
    for seed in range(3):
        torch.manual_seed(seed)
        networks.append(
            Network(cell="gru", n_features=3, n_context=0, hidden_size=5, num_layers=1, dropout=0.0, horizon=1,
                    outputs=1, zero_head=True)
        )  # fmt: skip

    def feed(member: Member) -> Any:
        def cut(origins: np.ndarray) -> tuple[np.ndarray, ...]:
            x = member.rows[origins[:, None] + np.arange(-5, 1)]
            place = np.searchsorted(member.origins, origins)
            return x, np.zeros((len(origins), 0), np.float32), member.targets[place], member.weights[place]

        return cut

    descent = Descent(0.01, 1.0)
    ours = FleetTeam(networks, members, steps=6, cell="gru", head="mse", descent=descent)
    loops = [
        TorchLoop(network, make_head("mse", ()), feed(member), descent)
        for network, member in zip(networks, members, strict=True)
    ]
    return ours, TorchTeam(loops), [member.origins for member in members]


def test_a_fleet_behind_the_training_loop_equals_torch_s_team(engine: str) -> None:
    ours, theirs, origins = teams(engine)
    rates = np.full(8, 0.02)
    blocks = [[origins[0]] * 8, None, [origins[2][k : k + 9] for k in range(8)]]
    found, expected = ours.run(blocks, rates), theirs.run(blocks, rates)
    np.testing.assert_allclose(found, expected, rtol=1e-4, equal_nan=True)
    for m in range(3):
        for name, array in theirs.weights(m).items():
            np.testing.assert_allclose(ours.weights(m)[name], array, atol=1e-4, err_msg=f"{m} {name}")
    wanted = {0: origins[0][:5], 2: origins[2]}
    np.testing.assert_allclose(ours.losses(wanted), theirs.losses(wanted), rtol=1e-4)


def test_a_fleet_goes_on_from_its_state_in_the_same_bits(engine: str) -> None:
    ours, _, origins = teams(engine)
    blocks, rates = [[own] * 4 for own in origins], np.full(4, 0.02)
    ours.run(blocks, rates)
    kept = [(ours.weights(m), ours.state(m)) for m in range(3)]
    expected = ours.run(blocks, rates)
    again, _, _ = teams(engine)
    for m, (weights, state) in enumerate(kept):
        again.load(m, weights)
        again.load_state(m, state)
    assert np.array_equal(again.run(blocks, rates), expected)
