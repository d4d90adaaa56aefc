"""A run that was killed goes on and ends in the same bits; another run's checkpoint is refused."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stepahead import store
from stepahead.checkpoint import Trained
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, ModelFileError
from stepahead.forecaster import Forecaster
from stepahead.learn import make_jobs, prepare
from stepahead.recipe import resolve
from stepahead.train import train

TINY: dict[str, Any] = {"recipe": "classic", "window": 4, "hidden_size": 3, "max_steps": 12, "check_every": 3}
WAVE = Panel.from_arrays(np.stack([np.cos(np.arange(60) / 4), np.sin(np.arange(60) / 4) + 2], axis=1))
RUNS: dict[str, dict[str, Any]] = {
    "full batch": {},
    "mini-batches of several members": {"batch_size": 8, "ensemble": 3, "patience": 2, "learning_rate": 0.1},
    "dropout": {"num_layers": 2, "dropout": 0.4, "ensemble": 2, "batch_size": 8},
    "validation": {"patience": 50, "weight_decay": 0.1, "gradient_clip": 0.1, "schedule": "one_cycle"},
    "student t": {"head": "student_t", "patience": 50},
}


class Killed(Exception):
    """In the place of a kill: nothing of the run's own catches it."""


def run(
    panel: Panel = WAVE, *, checkpoint: Path | None = None, kill_at: int = 0, network: Any = None, **changes: Any
) -> list[Trained]:
    config = resolve(TINY | changes, panel)

    def progress(report: Any) -> None:
        if report.step == kill_at:
            raise Killed

    jobs = make_jobs(prepare(panel, config), config)
    return train(jobs, config, checkpoint=checkpoint, network=network, progress=progress)


def assert_same(found: list[Trained], expected: list[Trained]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.weights.keys() == other.weights.keys()
        assert all(np.array_equal(one.weights[name], other.weights[name]) for name in other.weights)
        assert (one.steps, one.stopped) == (other.steps, other.stopped)
        assert np.array_equal(one.best, other.best, equal_nan=True)
        assert np.array_equal(one.history, other.history, equal_nan=True)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("kill_at", [3, 9])
def test_a_killed_run_goes_on_and_ends_in_the_same_bits(name, kill_at, tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        run(checkpoint=path, kill_at=kill_at, **RUNS[name])
    assert_same(run(checkpoint=path, **RUNS[name]), run(**RUNS[name]))


def test_a_run_killed_again_and_again_ends_in_the_same_bits(tmp_path):
    path, options = tmp_path / "run.safetensors", RUNS["dropout"]
    for kill_at in (3, 6, 9):
        with pytest.raises(Killed):
            run(checkpoint=path, kill_at=kill_at, **options)
    assert_same(run(checkpoint=path, **options), run(**options))


def test_writing_checkpoints_changes_no_bit_of_the_run(tmp_path):
    assert_same(run(checkpoint=tmp_path / "run.safetensors"), run())


def test_a_finished_run_is_read_back_whole(tmp_path):
    path = tmp_path / "run.safetensors"
    finished = run(checkpoint=path, patience=1, check_every=1, learning_rate=0.3)
    assert finished[0].stopped == "patience"
    assert_same(run(checkpoint=path, patience=1, check_every=1, learning_rate=0.3), finished)


def test_a_module_of_the_user_s_goes_on_too(tmp_path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1)
    )
    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        run(checkpoint=path, kill_at=6, network=module)
    assert_same(run(checkpoint=path, network=module), run(network=module))


OTHER = WAVE.past.copy()
OTHER[30, 1] += 1e-9
GAPPY = WAVE.past.copy()
GAPPY[30] = np.nan
CARRIED = WAVE.past.copy()
CARRIED[30] = CARRIED[29]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"seed": 1}),
        ({}, {"max_steps": 15}),
        ({}, {"learning_rate": 0.02}),
        ({}, {"panel": WAVE.with_past(OTHER)}),
        ({"missing": "ffill"}, {"missing": "ffill", "panel": WAVE.head(59)}),
        ({"missing": "ffill", "panel": WAVE.with_past(GAPPY)}, {"missing": "ffill", "panel": WAVE.with_past(CARRIED)}),
        ({"network": torch.nn.Flatten()}, {}),
    ],
    ids=["seed", "steps", "rate", "one value", "rows", "what was observed", "network"],
)
def test_the_checkpoint_of_another_run_is_refused(first, second, tmp_path):
    path = tmp_path / "run.safetensors"
    first = {
        k: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 1)) if k == "network" else v
        for k, v in first.items()
    }
    with pytest.raises(Killed):
        run(checkpoint=path, kill_at=3, **first)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="is the checkpoint of another run; delete it, or give another checkpoint="):
        run(checkpoint=path, **second)
    assert path.read_bytes() == before


def test_static_inputs_are_part_of_the_run(tmp_path):
    path = tmp_path / "run.safetensors"
    panel = Panel.from_arrays(WAVE.past, ids=("a", "b"), offsets=[0, 30, 60])
    schema = replace(panel.schema, static=("size",))
    one, other = (replace(panel, static=np.array([[1.0], [x]]), schema=schema) for x in (2.0, 0.0))
    with pytest.raises(Killed):
        run(one, checkpoint=path, kill_at=3)
    with pytest.raises(ConfigError, match="another run"):
        run(other, checkpoint=path)


def test_a_model_file_is_no_checkpoint_and_a_damaged_one_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    store.save(path, {"w": np.ones(2)}, {"kind": "forecaster"})
    with pytest.raises(ConfigError, match="another run"):
        run(checkpoint=path)
    with pytest.raises(Killed):
        run(checkpoint=tmp_path / "whole", kill_at=3)
    content = bytearray((tmp_path / "whole").read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        run(checkpoint=path)


SCRIPT = """
import os, signal, sys
import numpy as np
from stepahead import Forecaster, Panel
def kill(report):
    if report.step == 6:
        os.kill(os.getpid(), signal.SIGKILL)
panel = Panel.from_arrays(np.sin(np.arange(60) / 4) + 2)
Forecaster(**OPTIONS).fit(panel, checkpoint=sys.argv[1], progress=kill)
"""


def test_a_process_killed_for_real_goes_on_in_another(tmp_path):
    options = TINY | {"num_layers": 2, "dropout": 0.4, "holdout": None}
    path, panel = tmp_path / "run.safetensors", Panel.from_arrays(np.sin(np.arange(60) / 4) + 2)
    script = SCRIPT.replace("OPTIONS", repr(options))
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == -9
    assert store.load(path)[1]["step"] == 6
    reports: list[int] = []
    resumed = Forecaster(**options).fit(panel, checkpoint=path, progress=lambda report: reports.append(report.step))
    whole = Forecaster(**options).fit(panel)
    assert reports == [9, 12]
    resumed.save(tmp_path / "resumed")
    whole.save(tmp_path / "whole")
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()
