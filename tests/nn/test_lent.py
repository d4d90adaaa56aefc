"""Memory that is lent: whoever holds it has it alone, and nobody sees the difference."""

import platform
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch

import stepahead.nn
from stepahead.nn import lent, stack

pytestmark = [
    pytest.mark.skipif(stack._native is None, reason="the native kernel is not built"),
    pytest.mark.skipif(lent._uses is None, reason="this torch does not count a storage's users"),
]


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(lent, "SMALL", 0)
    lent.release()
    yield
    lent.release()


def idle() -> int:
    """Bytes that wait."""
    return sum(block.nbytes for block in lent.blocks.idle())


def gradients(layer: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters())))


def test_a_block_is_used_again_once_its_tensor_is_gone() -> None:
    first = lent.lend(100, torch.float32)
    address = first.data_ptr()
    second = lent.lend(100, torch.float32)
    assert second.data_ptr() != address
    part = first[10:20]
    del first
    assert idle() == 0  # a view still holds it
    del part
    assert idle() == 400
    third = lent.lend(60, torch.float32)  # fewer numbers
    assert third.data_ptr() == address
    assert (third.shape, third.dtype, idle()) == ((60,), torch.float32, 0)
    assert lent.lend(101, torch.float32).data_ptr() not in (address, second.data_ptr())


@pytest.mark.parametrize(("size", "dtype"), [(49, torch.float32), (100, torch.float64), (101, torch.float32)])
def test_a_block_of_twice_the_size_or_of_other_numbers_is_not_taken(size: int, dtype: torch.dtype) -> None:
    address = lent.lend(100, torch.float32).data_ptr()
    assert lent.lend(size, dtype).data_ptr() != address
    assert len(lent.blocks.all) == 2


def test_small_memory_is_torch_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lent, "SMALL", 400)
    lent.lend(100, torch.float32)
    assert not lent.blocks.all


def test_a_torch_that_does_not_count_lends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lent, "_uses", None)
    assert lent.lend(100, torch.float32).shape == (100,)
    assert not lent.blocks.all


def test_no_more_waits_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lent, "IDLE", 1000)
    held = [lent.lend(size, torch.float32) for size in (100, 110, 120, 300)]
    assert [block.nbytes for block, *_ in lent.blocks.all] == [480, 440]  # the oldest went, the largest never came
    del held
    assert idle() == 920


def test_memory_that_another_tensor_shares_is_not_lent() -> None:
    address = lent.lend(100, torch.float32).data_ptr()
    taken = lent.lend(100, torch.float32).view(10, 10).T.detach()
    array = lent.lend(100, torch.float32).numpy()
    assert taken.data_ptr() == address
    assert lent.lend(100, torch.float32).data_ptr() not in (address, array.ctypes.data)


def test_memory_of_inference_mode_is_not_lent_to_training() -> None:
    layer, x = stepahead.nn.LSTM(3, 8), torch.randn(6, 5, 3)
    expected = gradients(layer, x)
    lent.release()
    with pytest.raises(RuntimeError, match="Inference tensors"), torch.inference_mode(), torch.enable_grad():
        layer(x)
    assert not lent.blocks.all
    assert all(map(torch.equal, gradients(layer, x), expected))


@pytest.mark.parametrize("layers", [1, 2])
def test_graphs_that_live_side_by_side_do_not_share(layers: int) -> None:
    torch.manual_seed(0)
    layer = stepahead.nn.LSTM(3, 8, num_layers=layers)
    theirs = torch.nn.LSTM(3, 8, num_layers=layers)
    theirs.load_state_dict(layer.state_dict())
    xs = [torch.randn(6, 5, 3) for _ in range(3)]
    expected = [gradients(theirs, x) for x in xs]
    losses = [layer(x)[0].square().sum() for x in xs]
    for order in ((2, 0, 1), (1, 2, 0)):  # each graph twice
        for number in order:
            found = torch.autograd.grad(losses[number], list(layer.parameters()), retain_graph=True)
            torch.testing.assert_close(list(found), expected[number])
    assert idle() == 0
    del losses
    assert idle() > 0


def test_a_loop_of_steps_keeps_to_one_block() -> None:
    layer, x = stepahead.nn.GRU(3, 8), torch.randn(6, 5, 3)
    for _ in range(5):
        loss = layer(x)[0].sum()
        loss.backward()  # the graph is done with, though `loss` lives on
        assert len(lent.blocks.all) == len(lent.blocks.idle()) == 1


def test_inference_gives_idle_memory_back() -> None:
    layer, x = stepahead.nn.LSTM(3, 8), torch.randn(6, 5, 3)
    layer(x)[0].sum().backward()
    assert idle() > 0
    with torch.no_grad():
        layer(x)
    assert idle() == 0


def test_threads_do_not_take_one_another_s_memory() -> None:
    layer = stepahead.nn.LSTM(3, 8)
    xs = [torch.randn(6, 5, 3) for _ in range(4)]
    expected = [gradients(layer, x) for x in xs]
    wrong = []

    def work(number: int) -> None:
        for _ in range(50):
            if not all(map(torch.equal, gradients(layer, xs[number]), expected[number])):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_graph_that_lives_until_the_end_leaves_in_silence() -> None:
    code = (
        "import torch, stepahead.nn as nn; from stepahead.nn import lent; lent.SMALL = 0\n"
        "loss = nn.LSTM(3, 8)(torch.randn(6, 5, 3))[0].sum(); other = nn.GRU(3, 8)(torch.randn(6, 5, 3))[0].sum()\n"
        "other.backward()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


STEPS = """
import resource, torch
from stepahead.nn import lent
lent.lend(100_000, torch.float32)
def step():
    return [torch.ones(500_000) for _ in range(4)]
for _ in range(10): step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_malloc_keeps_what_a_step_frees() -> None:
    """Four blocks of 2 MB that go together, some 2,000 pages, would be given back and had anew at each step."""
    assert int(subprocess.check_output([sys.executable, "-c", STEPS])) < 100
