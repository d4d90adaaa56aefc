"""What stepahead.nn's layers promise beside numbers: when the kernel serves, and that torch's ways all work."""

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn.utils import prune
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import stepahead.nn
from stepahead.nn import recurrent, stack

NAMES = ["RNN", "LSTM", "GRU"]
every_layer = pytest.mark.parametrize("name", NAMES)
needs_kernel = pytest.mark.skipif(stack._native is None, reason="the native kernel is not built")


def pair(name: str, *args: Any, **options: Any) -> tuple[torch.nn.RNNBase, torch.nn.RNNBase]:
    """One of ours and torch's own with the same parameters."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **options)
    ours = getattr(stepahead.nn, name)(*args, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def assert_same(ours: Any, theirs: Any, **tolerance: float) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, torch.Tensor):
        torch.testing.assert_close(ours, theirs, **tolerance)
    elif ours is not None:
        for mine, other in zip(ours, theirs, strict=True):
            assert_same(mine, other, **tolerance)


class Spy:
    """The kernel, and how often it was asked."""

    def __init__(self, kernel: Any) -> None:
        self.kernel, self.calls = kernel, 0

    def __getattr__(self, name: str) -> Any:
        self.calls += name in ("scan_forward_at", "scan_backward_at")
        return getattr(self.kernel, name)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spy]:
    watched = Spy(stack._native)
    monkeypatch.setattr(stack, "_native", watched)
    return watched


@needs_kernel
@every_layer
def test_the_kernel_serves_forward_and_backward(name: str, spy: Spy) -> None:
    layer, x = getattr(stepahead.nn, name)(3, 4), torch.randn(5, 2, 3)
    layer(x)[0].sum().backward()
    assert spy.calls == 2
    with torch.no_grad():
        layer(pack_sequence([torch.randn(5, 3), torch.randn(2, 3)]))
        layer(torch.randn(5, 3))
    assert spy.calls == 4


def outcome(layer: torch.nn.Module, x: torch.Tensor) -> Any:
    """The result, or the error: oneDNN has no bfloat16 LSTM on every machine."""
    try:
        return layer(x)
    except RuntimeError as error:
        return error


@needs_kernel
@every_layer
@pytest.mark.parametrize("kind", ["half", "autocast", "dual", "other library", "pruned is served"])
def test_torch_serves_the_rest(name: str, kind: str, spy: Spy) -> None:
    ours, theirs = pair(name, 3, 4)
    x, served = torch.randn(5, 2, 3), False
    if kind == "half":
        ours, theirs, x = ours.bfloat16(), theirs.bfloat16(), x.bfloat16()
    if kind == "autocast":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found, expected = outcome(ours, x), outcome(theirs, x)
        assert_same(found, expected) if isinstance(expected, tuple) else None
        assert type(found) is type(expected)
    elif kind == "dual":
        ours, theirs, x = ours.double(), theirs.double(), x.double()  # oneDNN's float32 LSTM has no dual numbers
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
            tangents = [torch.autograd.forward_ad.unpack_dual(layer(dual)[0]).tangent for layer in (ours, theirs)]
        assert_same(*tangents)
    elif kind == "other library":

        class Own(torch.Tensor):
            pass

        assert_same(ours(x.as_subclass(Own)), theirs(x.as_subclass(Own)))
    else:
        if kind == "pruned is served":
            served = True
            for layer in (ours, theirs):
                prune.l1_unstructured(layer, "weight_hh_l0", amount=0.5)
        assert_same(ours(x), theirs(x))
    assert (spy.calls > 0) == served


def test_projections_are_torch_s(spy: Spy) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oneDNN has none either
        ours, theirs = pair("LSTM", 3, 4, 2, proj_size=2)
        x = torch.randn(5, 2, 3)
        assert_same(ours(x), theirs(x))
    assert spy.calls == 0


@needs_kernel
@pytest.mark.parametrize("way", ["learns", "infers"])
def test_torch_serves_the_sizes_where_it_is_faster(spy: Spy, way: str) -> None:
    few, many = torch.randn(5, 2, 3), torch.randn(5, 32, 3)
    with torch.set_grad_enabled(way == "learns"):
        for name in NAMES:
            ours, theirs = pair(name, 3, 512)
            assert_same(ours(few[:1]), theirs(few[:1]), rtol=0, atol=0)
            assert spy.calls == 0
        ours, theirs = pair("LSTM", 3, 128)
        assert_same(ours(few), theirs(few), rtol=0, atol=0)
        assert spy.calls == 0
        ours(many)
    assert spy.calls == 1


@needs_kernel
def test_a_packed_batch_that_would_be_padding_is_torch_s(spy: Spy) -> None:
    rows = [torch.randn(50, 3), *torch.randn(30, 2, 3).unbind()]
    ours, theirs = pair("GRU", 3, 4)
    assert_same(ours(pack_sequence(rows)), theirs(pack_sequence(rows)), rtol=0, atol=0)
    assert spy.calls == 0
    few = pack_sequence([torch.randn(5, 3), *torch.randn(30, 2, 3).unbind()])
    assert_same(ours(few), theirs(few))
    assert spy.calls == 1


@every_layer
def test_torchscript_keeps_the_forward_of_a_subclass(name: str) -> None:
    class Own(getattr(stepahead.nn, name)):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x) * 2

    class Within(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = Own(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    x = torch.randn(5, 2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert_same(torch.jit.script(Within())(x), torch.tanh(x) * 2)


@every_layer
def test_without_the_kernel_torch_serves(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrent, "_native", None)
    ours, theirs = pair(name, 3, 4, 2, bidirectional=True)
    x = torch.randn(5, 2, 3)
    assert_same(ours(x), theirs(x), rtol=0, atol=0)


@every_layer
@pytest.mark.parametrize("options", [{"bidirectional": True}, {"bias": False, "batch_first": True}])
def test_dropout_draws_as_torch_does(name: str, options: dict[str, bool]) -> None:
    ours, theirs = pair(name, 3, 4, 3, dropout=0.4, dtype=torch.float64, **options)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    results = []
    for layer in (ours, theirs):
        torch.manual_seed(7)
        outputs, _ = layer(x)
        results.append((outputs, *torch.autograd.grad(outputs.square().sum(), list(layer.parameters()))))
    assert_same(results[0], results[1], rtol=0, atol=1e-13)
    assert_same(ours.eval()(x), theirs.eval()(x), rtol=0, atol=1e-13)


@every_layer
@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_packed_sequences_come_back_packed(name: str, enforce_sorted: bool, dropout: float) -> None:
    ours, theirs = pair(name, 3, 4, 2, dropout=dropout, dtype=torch.float64)
    rows = [torch.randn(n, 3, dtype=torch.float64) for n in ((5, 3, 3, 1) if enforce_sorted else (1, 5, 2, 3))]
    packed = pack_sequence(rows, enforce_sorted=enforce_sorted)
    results = []
    for layer in (ours, theirs):
        torch.manual_seed(7)
        results.append(layer(packed))
    assert isinstance(results[0][0], PackedSequence)
    assert_same(results[0], results[1], rtol=0, atol=1e-13)


@every_layer
def test_full_rows_packed_need_no_lengths(name: str) -> None:
    ours, theirs = pair(name, 3, 4, dtype=torch.float64)
    packed = pack_padded_sequence(torch.randn(5, 3, 3, dtype=torch.float64), torch.tensor([5, 5, 5]))
    assert_same(ours(packed), theirs(packed), rtol=0, atol=1e-13)


@every_layer
def test_one_row_in_a_batch_equals_the_row_alone(name: str) -> None:
    layer, x = getattr(stepahead.nn, name)(3, 4), torch.randn(6, 5, 3)
    together = layer(x)[0]
    for row in range(5):
        torch.testing.assert_close(layer(x[:, row])[0], together[:, row], rtol=0, atol=0)


@every_layer
def test_state_carried_over_equals_one_long_forward(name: str) -> None:
    layer, x = getattr(stepahead.nn, name)(3, 4, 2), torch.randn(9, 2, 3)
    outputs, final = layer(x)
    first, state = layer(x[:4])
    second, last = layer(x[4:], state)
    assert_same(torch.cat([first, second]), outputs, rtol=0, atol=0)
    assert_same(last, final, rtol=0, atol=0)


@every_layer
def test_state_dicts_are_interchangeable(name: str) -> None:
    ours, theirs = pair(name, 3, 4, 2, bidirectional=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]


@every_layer
def test_same_seed_same_initial_weights(name: str) -> None:
    torch.manual_seed(3)
    ours = getattr(stepahead.nn, name)(3, 4)
    torch.manual_seed(3)
    theirs = getattr(torch.nn, name)(3, 4)
    assert_same(list(ours.state_dict().values()), list(theirs.state_dict().values()), rtol=0, atol=0)


BAD: list[tuple[str, Any, Any]] = [
    ("features", torch.zeros(5, 2, 9), None),
    ("dimensions", torch.zeros(5, 2, 3, 1), None),
    ("dtype", torch.zeros(5, 2, 3, dtype=torch.float64), None),
    ("no steps", torch.zeros(0, 2, 3), None),
    ("rows of the state", torch.zeros(5, 2, 3), torch.zeros(1, 3, 4)),
    ("units of the state", torch.zeros(5, 2, 3), torch.zeros(1, 2, 5)),
    ("state without rows", torch.zeros(5, 2, 3), torch.zeros(1, 4)),
    ("state with rows", torch.zeros(5, 3), torch.zeros(1, 2, 4)),
    ("dtype of the state", torch.zeros(5, 2, 3), torch.zeros(1, 2, 4, dtype=torch.float64)),
]


@every_layer
@pytest.mark.parametrize(("x", "state"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_errors_are_torch_s(name: str, x: torch.Tensor, state: torch.Tensor | None) -> None:
    ours, theirs = pair(name, 3, 4)
    given = (state, state) if name == "LSTM" and state is not None else state
    found = []
    for layer in (ours, theirs):
        with pytest.raises((RuntimeError, ValueError)) as caught:
            layer(x, given)
        found.append((caught.type, str(caught.value)))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["RNN", "GRU"])
@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize(
    "x", [torch.zeros(5, 2, 3), torch.zeros(5, 3), pack_sequence([torch.zeros(5, 3), torch.zeros(2, 3)])], ids=type
)
def test_a_pair_is_no_state_of_these(name: str, kind: Any, x: Any) -> None:
    """An LSTM's (h, c) given to a layer that has h alone; one state in a tuple too."""
    h = torch.zeros(1, 2, 4) if not isinstance(x, torch.Tensor) or x.dim() == 3 else torch.zeros(1, 4)
    for state in (kind([h, h]), kind([h])):
        found = []
        for layer in pair(name, 3, 4):
            with pytest.raises((AttributeError, TypeError)) as caught:
                layer(x, state)
            found.append((caught.type, str(caught.value)))
        assert found[0] == found[1]


@pytest.mark.parametrize("state", [(), (torch.zeros(1, 2, 4),), 5], ids=str)
def test_no_pair_is_no_state_of_an_lstm(state: Any) -> None:
    found = []
    for layer in pair("LSTM", 3, 4):
        with pytest.raises((IndexError, TypeError, RuntimeError)) as caught:
            layer(torch.zeros(5, 2, 3), state)
        found.append((caught.type, str(caught.value)))
    assert found[0] == found[1]


@every_layer
def test_a_weight_changed_in_place_before_backward_is_an_error(name: str) -> None:
    layer = getattr(stepahead.nn, name)(3, 4)
    outputs, _ = layer(torch.randn(5, 2, 3))
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()


@every_layer
def test_backward_twice_and_frozen_weights(name: str) -> None:
    ours, theirs = pair(name, 3, 4, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    results = []
    for layer in (ours, theirs):
        layer.weight_hh_l0.requires_grad_(False)
        outputs, _ = layer(x)
        first = torch.autograd.grad(outputs.sum(), x, retain_graph=True)
        second = torch.autograd.grad(outputs.sum(), [x, layer.weight_ih_l0, layer.bias_hh_l0])
        results.append((*first, *second))
    assert_same(results[0], results[1], rtol=0, atol=1e-13)


@every_layer
def test_gradient_of_the_state_alone(name: str) -> None:
    ours, theirs = pair(name, 3, 4, 2, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    results = []
    for layer in (ours, theirs):
        state = layer(x)[1]
        last = state[1] if name == "LSTM" else state
        results.append(torch.autograd.grad(last[0].sum(), list(layer.parameters()), allow_unused=True)[:4])
    assert_same(results[0], results[1], rtol=0, atol=1e-13)


@every_layer
def test_functional_call_sees_the_weights_it_is_given(name: str) -> None:
    layer, x = getattr(stepahead.nn, name)(3, 4), torch.randn(5, 2, 3)
    other = {key: torch.zeros_like(value) for key, value in layer.state_dict().items()}
    assert not torch.func.functional_call(layer, other, (x,))[0].any()
    assert layer(x)[0].any()


@every_layer
def test_special_numbers_spread_as_in_torch(name: str) -> None:
    ours, theirs = pair(name, 3, 4)
    x = torch.randn(6, 5, 3)
    x[2, 0, 0], x[2, 1, 1], x[2, 2, 2], x[2, 3] = torch.nan, torch.inf, -torch.inf, 1e-40
    assert_same(ours(x), theirs(x), equal_nan=True)


@pytest.mark.parametrize("rows", [1, 3, 16, 17, 100])
def test_gradients_are_those_of_the_rows_that_there_are(rows: int) -> None:
    """Lanes that stand for no row grew beyond all numbers here, and their 0 * inf made the weights' gradient NaN."""
    ours, theirs = torch.nn.RNN(1, 1, nonlinearity="relu"), stepahead.nn.RNN(1, 1, nonlinearity="relu")
    for layer in (ours, theirs):
        for parameter, value in zip(layer.parameters(), (10.0, 2.0, 1.0, 0.0), strict=True):
            torch.nn.init.constant_(parameter, value)
    x = torch.full((200, rows, 1), -1.0)
    found = [torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters())) for layer in (ours, theirs)]
    assert_same(*found)


@pytest.mark.parametrize("rows", [15, 16, 17])
@every_layer
def test_an_infinite_weight_spreads_as_in_torch(name: str, rows: int) -> None:
    ours, theirs = pair(name, 3, 4)
    with torch.no_grad():
        for layer in (ours, theirs):
            layer.weight_ih_l0[1, 2] = torch.inf
    x = torch.rand(5, rows, 3) + 0.5
    found = [torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters())) for layer in (ours, theirs)]
    assert_same(*found, equal_nan=True)


@every_layer
def test_threads_do_not_change_a_bit(name: str) -> None:
    layer, x = getattr(stepahead.nn, name)(9, 40), torch.randn(20, 130, 9)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            outputs, _ = layer(x)
            results.append([outputs, *torch.autograd.grad(outputs.square().sum(), list(layer.parameters()))])
    finally:
        torch.set_num_threads(before)
    assert_same(results[0], results[1], rtol=0, atol=0)
    assert_same(results[0], results[2], rtol=0, atol=0)


@every_layer
@pytest.mark.filterwarnings("ignore")
def test_torchscript_gets_torch_s_layer(name: str) -> None:
    class Last(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(stepahead.nn, name)(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.cell(x)[0]

    net, x = Last(), torch.randn(5, 2, 3)
    torch.testing.assert_close(torch.jit.script(net)(x), net(x))
    torch.testing.assert_close(torch.jit.trace(net, (x,))(x), net(x))


@every_layer
def test_a_deep_copy_has_weights_of_its_own(name: str) -> None:
    layer, x = getattr(stepahead.nn, name)(3, 4), torch.randn(5, 2, 3)
    before, twin = layer(x)[0], copy.deepcopy(layer)
    with torch.no_grad():
        twin.weight_ih_l0.zero_()
    torch.testing.assert_close(layer(x)[0], before, rtol=0, atol=0)
    assert not torch.equal(twin(x)[0], before)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
@every_layer
def test_cuda_is_torch_s(name: str, spy: Spy) -> None:
    ours, theirs = pair(name, 3, 4)
    x = torch.randn(5, 2, 3).cuda()
    assert_same(ours.cuda()(x), theirs.cuda()(x))
    assert spy.calls == 0
