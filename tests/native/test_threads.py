"""Tasks run on torch's team where torch is loaded, on the kernel's own threads where not, when asked, after a fork."""

import os
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
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


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_own_pool_serves_inside_and_torch_s_team_outside():
    run(
        "import os, torch\nfrom stepahead.kernel import native, own_pool\n"
        "native.set_threads(2)\ntorch.set_num_threads(2)\n(torch.ones(10**6) * 2).sum()\n"
        "count = lambda: len(os.listdir('/proc/self/task'))\nteam = outputs()\nbefore = count()\n"
        "with own_pool():\n"
        "    with own_pool(): own = outputs()\n"
        "    assert native.use_own_pool(True)\n"
        "assert not native.use_own_pool(False)\n"
        "assert (own == team).all()\nassert count() == before + 1, (before, count())\n"
        "assert (outputs() == team).all()"
    )


def test_own_pool_is_left_on_an_error_and_is_this_thread_s_alone():
    run(
        "import torch\nfrom threading import Thread\nfrom stepahead.kernel import native, own_pool\nseen = []\n"
        "try:\n"
        "    with own_pool():\n"
        "        Thread(target=lambda: seen.append(native.use_own_pool(False))).start()\n"
        "        while not seen: pass\n"
        "        raise KeyError\n"
        "except KeyError: pass\n"
        "assert seen == [False]\nassert not native.use_own_pool(False)"
    )
