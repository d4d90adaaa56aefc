"""Going on after a symbol: the kernel's loop against the same choices made one by one in NumPy."""

import numpy as np
import pytest

from stepahead.cell_names import GATES
from stepahead.errors import ConfigError
from stepahead.runtime.cell import has_kernel
from stepahead.runtime.symbols import Engine, Sampling, Shape, check_sampling, generate, likeliest, pick

WAYS = [Sampling(), Sampling(1.0), Sampling(0.7, top_k=3), Sampling(1.3, top_p=0.8), Sampling(2.0, top_k=5, top_p=0.5)]


def engine(cell: str, *, layers: int = 1, hidden: int = 21, symbols: int = 37) -> Engine:
    rng = np.random.default_rng(3)
    shape = Shape(cell, symbols, symbols, hidden, layers, embedding=6)
    weights = {"embedding.weight": rng.normal(size=(symbols + 1, 6)), "head.bias": rng.normal(size=symbols)}
    weights["head.weight"] = rng.normal(size=(symbols, hidden))
    for layer in range(layers):
        inputs = hidden if layer else 6
        for name, shape_of in {"weight_ih": (inputs,), "weight_hh": (hidden,), "bias_ih": (), "bias_hh": ()}.items():
            weights[f"cell.{name}_l{layer}"] = rng.normal(0, 0.4, (GATES[cell] * hidden, *shape_of))
    return Engine.build(shape, {name: array.astype(np.float32) for name, array in weights.items()})


@pytest.mark.parametrize("sampling", WAYS, ids=str)
@pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("lstm", 2), ("gru", 1)])
def test_the_kernel_goes_on_as_choosing_one_by_one_does(
    cell: str, layers: int, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_kernel():
        pytest.skip("no kernel here: there is nothing to compare")
    uniforms, model, other = (
        np.random.default_rng(7).random(300),
        engine(cell, layers=layers),
        engine(cell, layers=layers),
    )
    other.__dict__["generator"] = None
    start = model.zero_state()
    monkeypatch.setattr("stepahead.runtime.symbols.AT_A_TIME", 64)
    found = generate(model, start, 5, uniforms, -1, sampling)
    assert found.tolist() == generate(other, start, 5, uniforms, -1, sampling).tolist()
    assert len(set(found.tolist())) > 1
    assert not any(part.any() for part in start)  # a state that was given stays as it was
    end = int(found[100])
    assert generate(model, start, 5, uniforms, end, sampling).tolist() == found[: found.tolist().index(end)].tolist()


def test_draws_follow_the_probabilities_that_top_k_and_top_p_leave() -> None:
    odds = np.array([0.1, 0.4, 0.2, 0.3])
    uniforms = (np.arange(10_000) + 0.5) / 10_000
    wanted = {
        Sampling(1.0): [0.1, 0.4, 0.2, 0.3],
        Sampling(1.0, top_k=2): [0, 4 / 7, 0, 3 / 7],
        Sampling(1.0, top_p=0.75): [0, 4 / 9, 2 / 9, 3 / 9],
        Sampling(1.0, top_k=3, top_p=0.5): [0, 4 / 7, 0, 3 / 7],
    }
    for sampling, shares in wanted.items():
        drawn = np.bincount([pick(np.log(odds), u, sampling) for u in uniforms], minlength=4) / len(uniforms)
        assert np.abs(drawn - shares).max() <= 1e-4, sampling  # one draw in ten thousand on each border


@pytest.mark.parametrize(
    "sampling", [Sampling(-1.0), Sampling(float("nan")), Sampling(1.0, 0), Sampling(1.0, None, 0.0)]
)
def test_sampling_that_cannot_be_is_refused(sampling: Sampling) -> None:
    with pytest.raises(ConfigError, match="must"):
        check_sampling(sampling)


@pytest.mark.parametrize("k", [1, 2, 5, 99, 100, 101, None])
def test_the_likeliest_are_those_of_a_whole_stable_sort(k: int | None) -> None:
    rng = np.random.default_rng(0)
    for odds in (rng.normal(size=100), rng.integers(5, size=100) / 4, np.zeros(100), np.full(100, -np.inf)):
        assert likeliest(odds, k).tolist() == sorted(range(100), key=lambda place: -odds[place])[:k]
