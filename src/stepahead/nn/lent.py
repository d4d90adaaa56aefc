"""Large memory for what a layer saves, used again at the next step.  A number of elements -> an uninitialised tensor.

A block beyond what the allocator keeps back comes from the system anew at each step, page by page, each with a fault
and 4 kB of zeros: a fifth of a training step. So it is lent: when the graph that holds the tensor is gone, the block
waits for the next one.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGE = 32 << 20  # bytes; glibc's malloc keeps smaller ones itself once it has seen one go, and reuses them as well
SMALL = 128 << 10  # bytes: those it keeps from the start
IDLE = 256 << 20  # bytes that wait at most
_idle: dict[int, Any] = {}  # address -> block, the longest unused first


def lend(size: int, dtype: torch.dtype) -> Tensor:
    """A tensor [size], its memory that of an earlier one where one is idle that fits."""
    needed = size * dtype.itemsize
    if needed < LARGE:
        if needed > SMALL:
            teach_malloc()
        return torch.empty(size, dtype=dtype, device="cpu")
    fitting = [block for block in list(_idle.values()) if needed <= len(block) <= 2 * needed]
    block = _idle.pop(min(fitting, key=len).ctypes.data, None) if fitting else None
    if block is None:  # none fits, or another thread took it
        block = torch.empty(needed, dtype=torch.uint8, device="cpu").numpy()
    lent = block[:needed].view(Lent)
    lent.block = block
    return torch.from_numpy(lent).view(dtype)


@lru_cache(maxsize=1)
def teach_malloc() -> None:
    """Let glibc's malloc see a block go that is as large as it keeps: from then on it keeps what is freed, whatever the
    order of a step's blocks. Without this some processes, by chance, fetch a step's memory anew each time.
    """
    # Gone at once, never touched: two calls of the system.
    torch.empty(LARGE - (1 << 20), dtype=torch.uint8, device="cpu")


def release() -> None:
    """Give the idle blocks back to the system."""
    _idle.clear()


class Lent(np.ndarray):
    """A view of a block: torch lets go of it with the last tensor on that memory."""

    block: Any = None

    def __del__(self) -> None:
        block = self.block
        if block is None or len(block) > IDLE:
            return
        _idle[block.ctypes.data] = block
        while sum(map(len, list(_idle.values()))) > IDLE:
            _idle.pop(next(iter(_idle), 0), None)
