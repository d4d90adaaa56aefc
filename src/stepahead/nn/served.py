"""Which sizes torch's own layers serve.  (cell, steps, rows, hidden, learns, double) -> whether the kernel is faster.

Large weights on few rows fill no vector of the kernel, whose lanes are rows; a step or two do not pay for putting the
weights in order; on many rows torch's blocked products read large weights more seldom. Measured on two cores of an AMD
and of an Intel processor, forward and backward or forward alone, 1 to 400 steps, 1 to 256 rows, 16 to 512 units, 16
inputs or as many as units (LOG.md, "The kernel beside torch"): on either the kernel may be below 0.95 of torch's speed
here.
"""

import sys
from functools import lru_cache

from stepahead.kernel import native

Region = tuple[int, int, int]  # hidden units from, rows from, rows below
Bounds = tuple[tuple[int, tuple[Region, ...]], ...]  # steps from -> where torch is faster, up to the next entry

ALL = sys.maxsize
SMALL = 24  # hidden units below which the kernel is faster at any size

LSTM_BY_AVX512: Bounds = (
    (1, ((160, 1, 2), (192, 2, 4), (224, 4, 16), (300, 16, ALL))),
    (2, ((112, 1, 2), (160, 2, 16), (300, 16, 32), (384, 32, 64), (300, 64, ALL))),
    (4, ((80, 1, 4), (112, 4, 16), (160, 16, 32), (320, 32, 64))),
    (15, ((56, 1, 2), (72, 2, 4), (96, 4, 8), (112, 8, 16), (160, 16, 32), (320, 32, 64))),
    (40, ((44, 1, 2), (56, 2, 4), (80, 4, 16), (160, 16, 32), (320, 32, 64))),
    (64, ((44, 1, 8), (72, 8, 16), (160, 16, 32), (320, 32, 64))),
    (1000, ((SMALL, 1, 2), (44, 2, 8), (72, 8, 16), (160, 16, 32), (320, 32, 64))),
)
LSTM_BY_AVX2: Bounds = (
    (1, ((160, 1, 4), (224, 4, 8), (320, 8, 16), (448, 16, ALL))),
    (2, ((144, 1, 4), (160, 4, 8), (320, 8, 16), (448, 16, ALL))),
    (4, ((72, 1, 4), (112, 4, 8), (160, 8, 16), (192, 16, 32), (400, 32, ALL))),
    (64, ((40, 1, 2), (80, 2, 8), (112, 8, 16), (192, 16, 32), (400, 32, ALL))),
)
LEARNING: Bounds = (
    (1, ((80, 1, 2), (112, 2, 8), (160, 8, 32), (224, 32, ALL))),
    (2, ((112, 1, 4), (224, 4, 16), (320, 16, 64), (384, 64, ALL))),
    (4, ((160, 1, 2), (256, 2, 4), (320, 4, 16))),
    (15, ((160, 1, 2), (320, 2, 4), (448, 4, 16))),
)
INFERRING: Bounds = (
    (1, ((56, 1, 2), (112, 2, 4), (160, 4, 16), (224, 16, 32))),
    (2, ((112, 1, 2), (160, 2, 8), (224, 8, 16))),
    (4, ((112, 1, 2), (160, 2, 4), (192, 4, 8), (224, 8, 16))),
    (15, ((112, 1, 2), (160, 2, 4), (224, 4, 8), (320, 8, 16))),
)
ON_MANY_ROWS_BY_AVX2 = {"gru": (320, 128, ALL), "rnn_tanh": (448, 128, ALL), "rnn_relu": (448, 128, ALL)}
AT_ONE_STEP_BY_AVX2 = ((224, 8, 32), (320, 32, ALL))
DOUBLE: Bounds = (
    (1, ((56, 1, 4), (112, 4, 32), (160, 32, ALL))),
    (2, ((96, 1, 4), (160, 4, 16), (224, 16, 32), (300, 32, 128), (224, 128, ALL))),
    (4, ((112, 1, 2), (300, 2, 4), (320, 4, 8), (448, 8, 128), (384, 128, ALL))),
    (15, ((112, 1, 2), (300, 2, 4))),
)
FORWARD_BY_DOUBLE = (160, 2, 4)  # of the GRU and the RNN, beside DOUBLE, where nothing is learned


@lru_cache(maxsize=4096)
def kernel_is_faster(
    cell: str, steps: int, rows: int, hidden: int, *, learns: bool = True, double: bool = False
) -> bool:
    """Whether the kernel beats torch at this size.  learns: forward that is followed by backward."""
    if hidden < SMALL:
        return True
    return not any(hidden >= units and low <= rows < high for units, low, high in regions(cell, steps, learns, double))


def regions(cell: str, steps: int, learns: bool, double: bool) -> tuple[Region, ...]:
    """Where torch is faster at so many steps."""
    wide = native is not None and native.simd == "avx512"
    if double:
        bounds = DOUBLE
    elif cell == "lstm":
        bounds = LSTM_BY_AVX512 if wide else LSTM_BY_AVX2
    else:
        bounds = LEARNING if learns else INFERRING
    found = next(found for least, found in reversed(bounds) if steps >= least)
    if double and cell != "lstm" and not learns:
        found = (*found, FORWARD_BY_DOUBLE)
    if wide or cell == "lstm":
        return found
    return (*found, *(AT_ONE_STEP_BY_AVX2 if steps == 1 and learns else ()), ON_MANY_ROWS_BY_AVX2[cell])
