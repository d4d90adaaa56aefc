"""A layer that reads symbols, and softmax with cross-entropy in one pass: held against torch's own layers."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stepahead.nn import codes, recurrent

KINDS = {"RNN": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}
SIZES = [(64, 9, 65, 40, 16), (5, 3, 7, 9, 4), (1, 9, 3, 1, 2), (30, 11, 5, 33, 8)]  # B, T, V, H, E


def twins(kind: str, inputs: int, hidden: int, dtype: torch.dtype) -> tuple[torch.nn.RNNBase, torch.nn.RNNBase]:
    ours = getattr(recurrent, kind)(inputs, hidden, batch_first=True).to(dtype)
    theirs = KINDS[kind](inputs, hidden, batch_first=True).to(dtype)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def everything(layer: torch.nn.RNNBase, outputs: Tensor, state: object, sources: list[Tensor]) -> list[Tensor]:
    """Outputs, state, and the gradients of a sum that tells all of them apart."""
    parts = [outputs, *(state if isinstance(state, tuple) else (state,))]
    total = sum((part * torch.arange(part.numel()).reshape(part.shape).sin()).sum() for part in parts)
    return [*parts, *torch.autograd.grad(total, [*layer.parameters(), *sources])]


@pytest.mark.parametrize(("kind", "size"), list(itertools.product(KINDS, SIZES)))
def test_reading_rows_of_a_table_equals_torch_on_their_vectors(kind: str, size: tuple[int, ...]) -> None:
    rows, steps, symbols, hidden, inputs = size
    torch.manual_seed(0)
    ours, theirs = twins(kind, inputs, hidden, torch.float64)
    vectors = torch.randn(symbols, inputs, dtype=torch.float64, requires_grad=True)
    states = [torch.randn(1, rows, hidden, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    given = tuple(states) if kind == "LSTM" else states[0]
    sources = [vectors, *(states if kind == "LSTM" else states[:1])]
    read = torch.randint(symbols, (rows, steps + 2))[:, 1:-1]  # strided
    table = F.linear(vectors, ours.weight_ih_l0, ours.bias_ih_l0)
    found = everything(ours, *codes.read_codes(ours, read, table, given), sources)
    wanted = everything(theirs, *theirs(vectors[read], given), sources)
    for one, other in zip(found, wanted, strict=True):
        # float64: sums of at most 600 numbers, in another order.
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


def test_a_code_beyond_the_table_is_refused() -> None:
    layer, _ = twins("GRU", 2, 3, torch.float32)
    with pytest.raises(ValueError, match="expected 0 to 4, found 5"):
        codes.read_codes(layer, torch.tensor([[0, 5]]), torch.zeros(5, 9), None)


@pytest.mark.parametrize("kind", KINDS)
def test_training_gives_the_same_bits_on_one_thread_and_two(kind: str) -> None:
    layer, _ = twins(kind, 8, 64, torch.float32)
    vectors, read = torch.randn(50, 8, requires_grad=True), torch.randint(50, (64, 32))
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            table = F.linear(vectors, layer.weight_ih_l0, layer.bias_ih_l0)
            results.append(everything(layer, *codes.read_codes(layer, read, table, None), [table]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize(("rows", "hidden", "classes"), [(500, 33, 65), (1, 1, 1), (37, 5, 2), (300, 64, 300)])
def test_the_loss_and_its_gradients_equal_torchs_in_double_precision(rows: int, hidden: int, classes: int) -> None:
    torch.manual_seed(1)
    sources = [torch.randn(rows, hidden), 0.3 * torch.randn(classes, hidden), torch.randn(classes)]
    targets = torch.randint(classes, (rows,))
    targets[1::7] = -1
    ours = [source.clone().requires_grad_() for source in sources]
    theirs = [source.double().requires_grad_() for source in sources]
    scale = 1 / int((targets >= 0).sum())
    loss = codes.softmax_loss(*ours, targets, scale)
    exact = F.cross_entropy(F.linear(*theirs), targets, ignore_index=-1)
    # float32 rounds to 6e-8; sums of some hundred such.
    torch.testing.assert_close(loss.double(), exact, rtol=2e-6, atol=2e-6)
    for one, other in zip(torch.autograd.grad(loss, ours), torch.autograd.grad(exact, theirs), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=2e-6 * float(other.abs().max()))


def test_logits_far_apart_neither_overflow_nor_vanish() -> None:
    hidden, weight = torch.tensor([[1.0], [-1.0]]), torch.tensor([[500.0], [-500.0], [0.0]])
    loss = codes.softmax_loss(hidden, weight, torch.zeros(3), torch.tensor([1, 1]), 1.0)
    assert float(loss) == pytest.approx(1000.0)
