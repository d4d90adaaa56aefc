"""The panel network: torch beside the path without it, and members beside one another."""

import numpy as np
import pytest
import torch

from stepahead.nn import members
from stepahead.nn import panel as net
from stepahead.runtime.panel import in_scale, member_output, product

MEMBERS, N, STEPS, PATCH, HORIZON, CONTEXT, KNOWN = 3, 5, 4, 3, 2, 6, 2


def network(cell: str) -> net.PanelNetwork:
    torch.manual_seed(0)
    shape = net.Shape(
        MEMBERS, STEPS * PATCH, PATCH, HORIZON, CONTEXT, hidden=8, cell=cell, embedding=7, extras=1, ahead=KNOWN
    )
    rng = np.random.default_rng(0)
    start = net.Start(
        rng.normal(size=(MEMBERS, STEPS * PATCH, HORIZON)).astype(np.float32),
        rng.normal(size=(MEMBERS, KNOWN, 1)).astype(np.float32),
    )
    found = net.PanelNetwork(shape, start).eval()
    with torch.no_grad():
        found.head_weight.normal_()
        found.head_bias.normal_()
    return found


def batch(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = {
        "patches": (STEPS, 3 * PATCH),
        "z": (STEPS * PATCH,),
        "base": (HORIZON,),
        "context": (CONTEXT,),
        "shift": (HORIZON, KNOWN),
        "level": (),
        "offset": (),
        "y": (HORIZON,),
        "there": (HORIZON,),
        "importance": (),
    }
    made = {name: rng.normal(size=(MEMBERS, N, *size)).astype(np.float32) for name, size in sizes.items()}
    return made | {"there": np.ones((MEMBERS, N, HORIZON), np.float32), "offset": np.abs(made["offset"])}


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn", "rnn_relu"])
def test_path_without_torch_gives_the_same_forecasts(cell: str) -> None:
    module, arrays = network(cell), batch()
    feed = net.Feed(**{name: torch.as_tensor(a) for name, a in arrays.items()})
    with torch.no_grad():
        expected = net.in_scale(module(feed), feed, logs=1).numpy()
    for m in range(MEMBERS):
        weights = {name: p[m].detach().numpy() for name, p in module.named_parameters()}
        read = {name: a[m] for name, a in arrays.items()}
        found = in_scale(member_output(cell, weights, read), read, logs=m == MEMBERS - 1)
        np.testing.assert_allclose(found, expected[m], rtol=2e-5, atol=2e-5)  # float32, other orders of adding


def test_torch_cells_are_those_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = net.Feed(**{name: torch.as_tensor(a) for name, a in batch().items()})
    for cell in ("gru", "lstm", "rnn", "rnn_relu"):
        module = network(cell)
        expected = module(feed).detach()
        with monkeypatch.context() as patched:
            patched.setattr(members, "_native", None)
            torch.testing.assert_close(module(feed).detach(), expected, rtol=1e-5, atol=1e-5)


def test_members_learn_apart_from_one_another() -> None:
    arrays = batch()
    changed = {name: a.copy() for name, a in arrays.items()}
    changed["y"][2] += 1.0
    outcomes = []
    for data in (arrays, changed):
        module = network("gru")
        feed = net.Feed(**{name: torch.as_tensor(a) for name, a in data.items()})
        loss = net.relative_loss(net.in_scale(module(feed), feed, logs=1), feed, percent=0.5)
        loss.sum().backward()
        net.clip_members(list(module.parameters()), 0.1)
        outcomes.append(module.weight_hh.grad.clone())
    assert torch.equal(outcomes[0][:2], outcomes[1][:2])
    assert not torch.equal(outcomes[0][2], outcomes[1][2])


def test_clipping_is_that_of_torch_for_each_member() -> None:
    module = network("gru")
    feed = net.Feed(**{name: torch.as_tensor(a) for name, a in batch().items()})
    net.relative_loss(net.in_scale(module(feed), feed, logs=1), feed, percent=0.5).sum().backward()
    parameters = list(module.parameters())
    alone = [[p.grad[m].clone() for p in parameters] for m in range(MEMBERS)]
    net.clip_members(parameters, 0.05)
    for m in range(MEMBERS):
        copies = [torch.zeros_like(g, requires_grad=True) for g in alone[m]]
        for copy, grad in zip(copies, alone[m], strict=True):
            copy.grad = grad
        torch.nn.utils.clip_grad_norm_(copies, 0.05)
        for p, copy in zip(parameters, copies, strict=True):
            torch.testing.assert_close(p.grad[m], copy.grad)


def test_product_of_a_row_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(70, 36)).astype(np.float32), rng.normal(size=(36, 12)).astype(np.float32)
    whole = product(x, w)
    np.testing.assert_allclose(whole, x @ w, rtol=1e-4, atol=1e-5)
    for start, stop in ((0, 1), (3, 50), (69, 70)):
        np.testing.assert_array_equal(product(x[start:stop], w), whole[start:stop])


def test_steps_are_those_of_torchs_adamw() -> None:
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(3, 4)), torch.nn.Parameter(torch.randn(5))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    own, other = net.AdamW(ours, 0.1), torch.optim.AdamW(theirs, weight_decay=0.1, fused=True)
    for step in range(5):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        other.param_groups[0]["lr"] = rate = 0.1 / (1 + step)
        own.step(rate)
        other.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0)
