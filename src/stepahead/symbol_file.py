"""A SymbolModel as what a model file holds, and back.  SymbolModel -> (tensors, configuration) -> SymbolModel."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.data.symbols import Vocabulary
from stepahead.evaluate.symbols import scores_from_json
from stepahead.runtime.symbols import Shape
from stepahead.symbol_model import SymbolModel

Array = NDArray[Any]

CALIBRATED_BY = "repairs"  # what the scores of clean sequences in a file are; without it: of an older rule


def pack_symbols(model: SymbolModel) -> tuple[dict[str, Array], dict[str, Any]]:
    """What was learned, the parameters, and the scores of clean sequences that set the level of alarms."""
    # One network alone is written as before ensembles: earlier versions read it.
    params = {name: value for name, value in model.get_params().items() if (name, value) != ("ensemble", 1)}
    config = {
        "kind": "symbols",
        "params": params,
        "vocabulary": asdict(model.vocabulary_),
        "shape": asdict(model.shape_),
        "n_symbols": model.n_symbols_,
        "scores": model.scores_.to_json() if model.scores_ else None,
        "stopped": model.stopped_,
        "calibrated": CALIBRATED_BY,
    }
    extra = {} if model.edges_ is None else {"time_edges": model.edges_}
    return {**model.weights_, "calibration": model.clean_, **extra}, config


def load_symbols(tensors: Mapping[str, Array], config: Mapping[str, Any]) -> SymbolModel:
    """A model from what `store.load` read.  What it lacks is an error of any kind; `open_model.load` says so."""
    model = SymbolModel(**config["params"])
    stored = config["vocabulary"]
    model.vocabulary_ = Vocabulary(tuple(stored["symbols"]), stored["tokens"], stored["end"], stored["rare"])
    model.shape_ = Shape(**config["shape"])
    model.n_symbols_, model.stopped_ = config["n_symbols"], config["stopped"]
    model.scores_, model.verdict_ = scores_from_json(config["scores"])
    # Scores by the older rule, the two largest surprises, say nothing of this one: calibrate anew.
    model.clean_ = tensors["calibration"] if config.get("calibrated") == CALIBRATED_BY else np.empty(0)
    model.edges_ = tensors["time_edges"] if model.shape_.times else None
    model._settle({name: array for name, array in tensors.items() if name not in ("calibration", "time_edges")})
    return model
