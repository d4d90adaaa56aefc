"""Every error that stepahead raises on purpose.

    StepaheadError
    |- DataError         the table: file, column, row, what was found, what to do   (also a ValueError)
    |- ConfigError       an argument that cannot be                                 (also a ValueError)
    |- NotFittedError    a model was asked before it learned                        (also a ValueError)
    |- TrainingError     the training went wrong (a loss that is not a number)      (also a RuntimeError)
    |- ModelFileError    a model file that cannot be trusted                        (also a ValueError)
    `- MissingExtraError an optional package is not installed                       (also an ImportError)

The shell prints any of them as one line and exits with status 2.
"""

from importlib import import_module
from types import ModuleType
from typing import Any


class StepaheadError(Exception):
    """What all errors of this package have in common."""


class DataError(StepaheadError, ValueError):
    """The table cannot be used as it is; the message names column, row and remedy."""


class ConfigError(StepaheadError, ValueError):
    """An argument, or a combination of arguments, that cannot be."""


class NotFittedError(StepaheadError, ValueError):
    """A model was asked for a forecast before `fit`."""


class TrainingError(StepaheadError, RuntimeError):
    """The training could not go on; what was good so far is kept.

    kept: what was learned so far: results of each network from `train`, a fitted model from `learn`.
    """

    def __init__(self, message: str, kept: Any = ()) -> None:
        super().__init__(message)
        self.kept = kept


def not_a_number(step: int, kept_step: int, kept: Any = ()) -> TrainingError:
    """What is raised where the loss of a step is not a number.  kept: what was learned up to kept_step."""
    return TrainingError(
        f"the loss is not a number at step {step}; the weights of step {kept_step} are kept; "
        f"try a smaller learning_rate or gradient_clip=1",
        kept=kept,
    )


class ModelFileError(StepaheadError, ValueError):
    """A model file that is damaged, foreign, or from a newer version."""


class MissingExtraError(StepaheadError, ImportError):
    """An optional package is not installed; the message says how to get it."""


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or say kindly which extra brings it.

    Raises:
        MissingExtraError: "fit needs torch: pip install 'stepahead[train]'".
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = (error.name or module).split(".")[0]  # of stepahead.train it is torch that is absent
        if package == "stepahead":
            raise
        raise MissingExtraError(f"{purpose} needs {package}: pip install 'stepahead[{extra}]'") from error
