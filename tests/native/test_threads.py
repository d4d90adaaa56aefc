"""Tasks run on torch's thread team where torch is loaded, and on the kernel's own where it is not, or after a fork."""

import subprocess
import sys

import numpy as np
import pytest

SCAN = """
import numpy as np
from stepahead.runtime.cell import scan
def outputs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 12, 3)).astype("f4")
    ih, hh = rng.normal(size=(64, 3)).astype("f4"), rng.normal(size=(64, 16)).astype("f4")
    return scan("lstm", x, {"weight_ih_l0": ih, "weight_hh_l0": hh})[0]
"""


def run(code: str) -> bytes:
    done = subprocess.run([sys.executable, "-c", SCAN + code], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_outputs_are_the_same_bits_with_torch_loaded_before_after_or_never():
    alone = run("import sys; sys.stdout.buffer.write(outputs().tobytes())")
    later = run("outputs(); import torch, sys; torch.ones(10**6).sum(); sys.stdout.buffer.write(outputs().tobytes())")
    first = run("import torch, sys; torch.ones(10**6).sum(); sys.stdout.buffer.write(outputs().tobytes())")
    assert len(alone) == 400 * 12 * 16 * 4
    assert alone == later == first


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this system")
def test_a_forked_child_answers_after_its_parent_used_the_team():
    # GNU OpenMP's team does not survive a fork: a child that waited for it would hang.
    run(
        "import torch, os\nbefore = outputs(); (torch.ones(10**6) * 2).sum()\nchild = os.fork()\n"
        "if child == 0: os._exit(0 if (outputs() == before).all() else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0"
    )


def test_two_python_threads_call_at_once_and_agree():
    found = run(
        "import torch, sys\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool: many = list(pool.map(lambda _: outputs(), range(40)))\n"
        "assert all((one == many[0]).all() for one in many)\nsys.stdout.buffer.write(many[0][0, 0].tobytes())"
    )
    assert np.isfinite(np.frombuffer(found, "f4")).all()
