"""A training run on disk, so that it can go on after a kill and end in the same bits.

write_checkpoint(path, run, ...) -> file -> resume(path, the same run, ...) -> the step it stands at.  The file is a
safetensors file as model files are: checksummed, written in one step, nothing pickled.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stepahead import store
from stepahead.config import Config
from stepahead.data.windows import WindowSource
from stepahead.errors import ConfigError

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Job:
    """One network to train: windows [N] origins to learn from, [V] origins to validate on (may be none), its seed."""

    source: WindowSource
    train: np.ndarray
    valid: np.ndarray
    seed: int


@dataclass
class Trained:
    """What a network learned, and how.

    weights: the best so far on the validation part, or the newest where there is none. history: (step, loss,
    validation loss or NaN) at each check; step 0 is before the first step. steps: taken. stopped: "max_steps" |
    "patience" | "interrupted", or "" while it goes on.
    """

    weights: Arrays
    best: float = float("inf")
    checks_without_gain: int = 0
    steps: int = 0
    stopped: str = ""
    history: list[tuple[int, float, float]] = field(default_factory=list)


class Team(Protocol):
    """What a checkpoint needs of the networks in training; nn/loop.py tells the whole of it."""

    def weights(self, m: int) -> Arrays: ...
    def load(self, m: int, weights: Arrays) -> None: ...
    def state(self, m: int) -> Arrays: ...
    def load_state(self, m: int, state: Arrays) -> None: ...


def write_checkpoint(path: Path, run: str, team: Team, results: Sequence[Trained], step: int) -> None:
    """Write where the run stands after `step` steps, replacing an older checkpoint in one step.

    run: its `fingerprint`.
    """
    tensors: Arrays = {}
    for m, result in enumerate(results):
        parts = {"now": team.weights(m), "state": team.state(m), "best": result.weights}
        tensors |= {f"{m}.{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        tensors[f"{m}.history"] = np.asarray(result.history, dtype=np.float64).reshape(-1, 3)
        tensors[f"{m}.best_loss"] = np.asarray(result.best)
    progress = [[r.checks_without_gain, r.steps, r.stopped] for r in results]
    store.save(path, tensors, {"kind": "checkpoint", "run": run, "step": step, "progress": progress})


def resume(path: Path, run: str, team: Team, results: Sequence[Trained]) -> int:
    """Put a run back where its checkpoint stands; returns the step.

    Raises:
        ConfigError: the checkpoint is of another run (other data, parameters or seed).
        ModelFileError: the file is damaged.
    """
    tensors, saved = store.load(path)
    if saved.get("kind") != "checkpoint" or saved.get("run") != run:
        raise ConfigError(f"{path}: is the checkpoint of another run; delete it, or give another checkpoint=")
    for m, result in enumerate(results):
        team.load(m, store.under(tensors, f"{m}.now."))
        team.load_state(m, store.under(tensors, f"{m}.state."))
        result.weights = store.under(tensors, f"{m}.best.")
        result.best = float(tensors[f"{m}.best_loss"])
        result.history = [(int(s), float(l), float(v)) for s, l, v in tensors[f"{m}.history"]]
        result.checks_without_gain, result.steps, result.stopped = saved["progress"][m]
    return saved["step"]


def fingerprint(jobs: Sequence[Job], config: Config, team: Team) -> str:
    """A digest of all that decides how a run goes: parameters, rows, origins, seeds, and networks before any step."""
    digest = hashlib.sha256(json.dumps(config.to_json(), sort_keys=True).encode())
    digest.update(type(team).__name__.encode())  # each engine keeps a state of its own
    seen: set[int] = set()
    for m, job in enumerate(jobs):
        arrays: list[Any] = [job.train, job.valid, np.asarray(job.seed), *team.weights(m).values()]
        if id(job.source) not in seen:
            seen.add(id(job.source))
            panel = job.source.panel
            arrays += [job.source.features, panel.past, panel.offsets, panel.future]
            digest.update(json.dumps(panel.static.tolist()).encode())
        for array in arrays:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
