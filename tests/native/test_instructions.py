"""STEPAHEAD_SIMD chooses the kernel's instructions; a name that is none is said."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("stepahead._native", reason="the kernel was not built here")


def chosen(value: str, module: str) -> subprocess.CompletedProcess[str]:
    code = f"import {module}; from stepahead import _native; print(_native.simd)"
    environment = os.environ | {"STEPAHEAD_SIMD": value}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("module", ["stepahead.runtime.cell", "stepahead.nn"])
def test_an_unknown_name_is_an_error_that_names_the_known_ones(module: str) -> None:
    done = chosen("nonsense", module)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "stepahead.errors.ConfigError: STEPAHEAD_SIMD='nonsense' names no instruction set: "
        "use one of avx512, avx2, sse2, neon, plain, or unset it"
    )


def test_a_known_name_is_taken_where_the_processor_has_it_and_nothing_is_the_best() -> None:
    assert chosen("plain", "stepahead.runtime.cell").stdout == "plain\n"
    best = chosen("", "stepahead.runtime.cell")
    assert best.returncode == 0
    assert best.stdout.strip() in ("avx512", "avx2", "sse2", "neon", "plain")
