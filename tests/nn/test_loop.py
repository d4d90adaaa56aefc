"""Steps of descent against the same loop written by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from stepahead.nn import loop as loops
from stepahead.nn.heads import make_head
from stepahead.nn.loop import Descent, TorchLoop, TorchTeam
from stepahead.nn.network import Network

X = np.random.default_rng(0).standard_normal((40, 5, 2)).astype(np.float32)
Y = X[:, -1, :1] * 0.5 + X[:, -2, :1] * 0.25
CONTEXT = np.zeros((40, 0), dtype=np.float32)
ALL = np.arange(40)


def made_network(seed: int = 0, dropout: float = 0.0) -> Network:
    torch.manual_seed(seed)
    return Network(
        cell="gru",
        n_features=2,
        n_context=0,
        hidden_size=4,
        num_layers=2,
        dropout=dropout,
        horizon=1,
        outputs=1,
        zero_head=False,
    )


def feed(origins: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return X[origins], CONTEXT[origins], Y[origins], np.ones_like(Y[origins])


def made_loop(clip: float | None = None, decay: float = 0.0, **changes: float) -> TorchLoop:
    return TorchLoop(
        made_network(**changes), make_head("mse", ()), feed, Descent(decay, clip), seed=changes.get("seed", 0)
    )


@pytest.mark.parametrize(("clip", "decay"), [(None, 0.0), (0.05, 0.0), (None, 0.1), (0.05, 0.1)])
def test_steps_equal_adamw_by_hand(clip, decay):
    random = np.random.default_rng(1)
    block, rates = [random.permutation(40)[:8] for _ in range(12)], np.linspace(0.02, 0.001, 12)
    loop, network = made_loop(clip, decay), made_network()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=decay)
    expected = []
    for origins, rate in zip(block, rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(
            network(torch.tensor(X[origins]), torch.zeros(8, 0))[..., 0], torch.tensor(Y[origins])
        )
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
        expected.append(loss.item())
    losses = loop.run(block, rates)
    assert np.abs(losses - expected).max() < 1e-6  # float32; the fused optimizer rounds in another order
    for name, value in network.state_dict().items():
        assert np.abs(loop.weights()[name] - value.numpy()).max() < 1e-5, name


def test_a_full_batch_in_parts_takes_the_same_steps(monkeypatch):
    whole = made_loop()
    expected = whole.run([ALL] * 8, np.full(8, 0.01))
    monkeypatch.setattr(loops, "CHUNK", 7)
    parts = made_loop()
    found = parts.run([ALL] * 8, np.full(8, 0.01))
    assert np.abs(found - expected).max() < 1e-6  # sums in another order
    assert parts.loss(ALL) == pytest.approx(whole.loss(ALL), rel=1e-5)


def test_the_loss_without_a_step_changes_nothing_and_drops_nothing_out():
    loop = made_loop(dropout=0.5)
    before = loop.weights()
    assert loop.loss(ALL) == loop.loss(ALL)
    assert all(np.array_equal(before[n], v) for n, v in loop.weights().items())


def test_weights_and_state_put_a_loop_back_to_the_last_bit():
    loop, other = made_loop(dropout=0.5, decay=0.1), made_loop(seed=9, dropout=0.5, decay=0.1)
    loop.run([ALL] * 3, np.full(3, 0.01))
    weights, state = loop.weights(), loop.state()
    expected = loop.run([ALL[:9], ALL[9:]] * 2, np.full(4, 0.01))
    other.load(weights)
    other.load_state(state)
    found = other.run([ALL[:9], ALL[9:]] * 2, np.full(4, 0.01))
    assert np.array_equal(found, expected)
    assert all(np.array_equal(other.weights()[n], v) for n, v in loop.weights().items())


def test_weights_given_out_do_not_change_with_later_steps():
    loop = made_loop()
    given = loop.weights()
    copy = {n: v.copy() for n, v in given.items()}
    loop.run([ALL], np.array([0.1]))
    assert all(np.array_equal(given[n], v) for n, v in copy.items())


def test_a_member_s_dropout_does_not_hang_on_its_neighbours():
    rates = np.full(4, 0.01)
    alone = TorchTeam([made_loop(seed=3, dropout=0.5)])
    expected = alone.run([[ALL] * 4], rates)[0]
    together = TorchTeam([made_loop(seed=1, dropout=0.5), made_loop(seed=3, dropout=0.5)])
    assert np.array_equal(together.run([[ALL] * 4, [ALL] * 4], rates)[1], expected)


def test_a_network_that_stopped_takes_no_step():
    team = TorchTeam([made_loop(), made_loop(seed=1)])
    before = team.weights(0)
    losses = team.run([None, [ALL, ALL]], np.full(2, 0.01))
    assert np.isnan(losses[0]).all()
    assert np.isfinite(losses[1]).all()
    assert all(np.array_equal(before[n], v) for n, v in team.weights(0).items())
    assert set(team.losses({1: ALL})) == {team.loops[1].loss(ALL)}
