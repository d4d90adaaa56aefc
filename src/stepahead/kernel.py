"""The compiled kernel, or None where it was not built.  STEPAHEAD_SIMD in the environment -> its instruction set.

The best that the processor has, unless one is named that it has too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stepahead.errors import ConfigError

SIMD = ("avx512", "avx2", "sse2", "neon", "plain")

asked = os.environ.get("STEPAHEAD_SIMD", "")
if asked and asked not in SIMD:
    raise ConfigError(f"STEPAHEAD_SIMD={asked!r} names no instruction set: use one of {', '.join(SIMD)}, or unset it")

native: Any
try:
    from stepahead import _native as native
except ImportError:  # neither a wheel nor a compiler
    native = None


@contextmanager
def own_pool() -> Iterator[None]:
    """The kernel's own threads inside, not torch's team: for where torch computes nothing, or with one thread.

    A team is waited for to its last thread, which a busy machine does not let run for milliseconds.
    """
    before = native is not None and native.use_own_pool(True)
    try:
        yield
    finally:
        if native is not None:
            native.use_own_pool(before)
