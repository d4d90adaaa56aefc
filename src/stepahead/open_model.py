"""Open a model file, whatever kind of model it holds.  A path -> Forecaster or SymbolModel."""

from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from stepahead import store
from stepahead.errors import MissingExtraError, ModelFileError

if TYPE_CHECKING:
    from stepahead.forecaster import Forecaster
    from stepahead.symbol_model import SymbolModel


def load(path: str | PathLike[str], *, network: Any = None) -> "Forecaster | SymbolModel":
    """Open a saved model; it does not need torch to forecast.

    path: a file that `save` wrote. network: the torch module that a Forecaster was given as `network=`, if any.
    Returns: the model, as it was fitted.
    Raises: ModelFileError for a damaged file, another program's, or one of a newer version.
    Example: `stepahead.load("goog.safetensors").predict()`
    """
    tensors, config = store.load(path)
    try:
        if config.get("kind") == "forecaster":
            from stepahead.forecaster_file import load_forecaster

            return load_forecaster(tensors, config, network, fspath(path))
        if config.get("kind") == "symbols":
            from stepahead.symbol_file import load_symbols

            return load_symbols(tensors, config)
    except (ModelFileError, MissingExtraError):
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        # Its checksum fits: something else than `save` made it.
        found = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ModelFileError(
            f"{fspath(path)}: does not hold what a model holds ({found:.120}); copy it again or train anew"
        ) from error
    raise ModelFileError(f"{fspath(path)}: holds a {config.get('kind')!r}, not a model; give a file that save() wrote")
