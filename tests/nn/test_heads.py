"""Losses against numbers worked by hand and scipy's densities."""

import numpy as np
import pytest
import torch
from scipy import stats

from stepahead.nn.heads import HEADS, make_head, weighted_mean

OUTPUT = torch.tensor([[[1.0], [2.0]], [[-1.0], [0.5]]])
TARGET = torch.tensor([[1.5, -1.0], [-1.0, 3.0]])  # errors 0.5 and -3, 0 and 2.5
TAIL = torch.tensor(3.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", [[0.25, 9.0], [0.0, 6.25]]),
        ("mae", [[0.5, 3.0], [0.0, 2.5]]),
        ("huber", [[0.125, 2.5], [0.0, 2.0]]),  # e^2 / 2 up to 1, then |e| - 1/2
    ],
)
def test_point_losses_equal_those_by_hand(name, expected):
    head = make_head(name, ())
    assert head.outputs == 1
    assert head.loss(OUTPUT, TARGET, TAIL).tolist() == expected


def test_the_quantile_loss_equals_a_loop_by_hand():
    levels = (0.1, 0.5, 0.9)
    head = make_head("quantile", levels)
    output, target = torch.randn(4, 2, 3, generator=torch.manual_seed(0)), torch.tensor([[0.3, -0.2]] * 4)
    found = head.loss(output, target, TAIL)
    assert head.outputs == 3
    for n in range(4):
        for h in range(2):
            errors = [float(target[n, h] - output[n, h, q]) for q in range(3)]
            by_hand = np.mean(
                [level * e if e > 0 else (level - 1) * e for level, e in zip(levels, errors, strict=True)]
            )
            assert float(found[n, h]) == pytest.approx(by_hand, rel=1e-6)


def test_the_median_s_loss_is_half_the_absolute_error():
    found = make_head("quantile", (0.5,)).loss(OUTPUT, TARGET, TAIL)
    assert torch.equal(found, HEADS["mae"].loss(OUTPUT, TARGET, TAIL) / 2)


@pytest.mark.parametrize("tail", [-2.0, 0.0, 3.0, 20.0])
def test_the_student_t_loss_is_scipy_s_log_density(tail):
    output, target = torch.randn(5, 2, 2, generator=torch.manual_seed(1)), torch.randn(5, 2)
    found = HEADS["student_t"].loss(output, target, torch.tensor(tail)).numpy()
    scale = np.log1p(np.exp(output[..., 1].double().numpy())) + 1e-4
    freedom = 2 + np.log1p(np.exp(tail))
    expected = -stats.t.logpdf(target.double().numpy(), freedom, loc=output[..., 0].double().numpy(), scale=scale)
    assert np.abs(found - expected).max() < 1e-5  # float32 against float64


def test_student_t_learns_its_tail():
    output, tail = torch.zeros(3, 1, 2, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    HEADS["student_t"].loss(output, torch.ones(3, 1), tail).sum().backward()
    assert tail.grad is not None
    assert float(tail.grad) != 0


def test_unobserved_targets_do_not_count():
    losses, weight = torch.tensor([[1.0, 50.0], [3.0, 2.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert float(weighted_mean(losses, weight)) == 2.0
    assert float(weighted_mean(losses, torch.zeros(2, 2))) == 0.0
