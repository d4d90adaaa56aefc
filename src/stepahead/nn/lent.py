"""Memory for what a layer saves, used again at the next step.  A number of elements -> an uninitialised tensor.

A step's memory from the allocator is now here, now there: small tensors that live on settle in what the step before
freed, and what no longer fits comes from the system anew, page by page, each with a fault and 4 kB of zeros. A training
step then takes up to half as long again. So memory is lent: when the graph that holds it is gone, the next step has it.
"""

import threading
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

SMALL = 128 << 10  # bytes: what glibc's malloc keeps from the start
KEPT = 31 << 20  # bytes: the most that it can be taught to keep
IDLE = 256 << 20  # bytes that wait at most, of one thread
_uses: Any = getattr(torch._C, "_storage_Use_Count", None)  # of a storage by its address; without it nothing is lent


class Blocks(threading.local):
    """Those of this thread, so that no other takes the same one: each with its storage's address and the count of that
    one's users while nobody has it; the newest first.
    """

    def __init__(self) -> None:
        self.all: list[tuple[Tensor, int, int]] = []

    def idle(self) -> list[Tensor]:
        """Those that nobody has."""
        return [block for block, at, unused in self.all if _uses(at) == unused]


blocks = Blocks()


def lend(size: int, dtype: torch.dtype) -> Tensor:
    """A tensor [size], its memory that of an earlier one where one is idle that fits."""
    needed = size * dtype.itemsize
    # Of a tensor made in inference mode autograd would keep none, ever after.
    if needed <= SMALL or needed > IDLE or _uses is None or torch.is_inference_mode_enabled():
        return torch.empty(size, dtype=dtype, device="cpu")
    own = blocks.all
    for place, (block, at, unused) in enumerate(own):
        if _uses(at) == unused and block.dtype is dtype and size <= block.numel() <= 2 * size:
            if place:
                own.insert(0, own.pop(place))
            return block[:size]  # another tensor on its storage: counted as long as anyone has it
    teach_malloc()
    block = torch.empty(size, dtype=dtype, device="cpu")
    at = block.untyped_storage()._cdata
    own.insert(0, (block, at, _uses(at)))
    while sum(block.nbytes for block, _, _ in own) > IDLE:
        own.pop()
    return block[:]


@lru_cache(maxsize=1)
def teach_malloc() -> None:
    """Let glibc's malloc see a block go that is as large as it keeps: from then on it keeps what is freed, whatever the
    order of a step's blocks. Without this some processes, by chance, fetch a step's outputs anew each time.
    """
    # Gone at once, never touched: two calls of the system.
    torch.empty(KEPT, dtype=torch.uint8, device="cpu")


def release() -> None:
    """Give this thread's idle blocks back to the system; those in use follow when they are done with."""
    blocks.all.clear()
