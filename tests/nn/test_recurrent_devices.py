"""Layers under a default device that is not the CPU's: tensors lie where the input does."""

import subprocess
import sys

import pytest

from stepahead.nn import stack

pytestmark = pytest.mark.skipif(stack._native is None, reason="the native kernel is not built")

PROGRAM = """
import sys, torch, stepahead.nn
layer = getattr(stepahead.nn, sys.argv[1])(3, 4, num_layers=int(sys.argv[2]))
x = torch.randn(5, 2, 3)
torch.set_default_device("meta")
outputs = layer(x)[0]
outputs.sum().backward()
print(outputs.device, layer.weight_ih_l0.grad.device)
"""


@pytest.mark.parametrize("layers", ["1", "2"])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_a_default_device_does_not_move_what_the_kernel_writes_to(name: str, layers: str) -> None:
    """It wrote to addresses of another device: the process died."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, name, layers], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "cpu cpu\n"), done.stderr[-500:]
