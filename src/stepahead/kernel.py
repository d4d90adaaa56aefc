"""The compiled kernel, or None where it was not built.  STEPAHEAD_SIMD in the environment -> its instruction set.

The best that the processor has, unless one is named that it has too.
"""

import os
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
