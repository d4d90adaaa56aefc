"""What each parameter of a Forecaster may be, by itself; recipe.py checks them against one another."""

from collections.abc import Mapping
from typing import Any

from stepahead.cell_names import GATES
from stepahead.data.scale import DIFFERENCES, SCALERS
from stepahead.errors import ConfigError
from stepahead.parameters import MOST, ROWS, check_between

CELLS = tuple(GATES)
HEADS = ("mse", "mae", "huber", "quantile", "student_t", "relative", "negative_binomial")
QUANTILES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
LARGEST = {"window": ROWS, "horizon": ROWS, "hidden_size": 1 << 16, "num_layers": 1000, "ensemble": 10_000}

CHOICES: dict[str, tuple] = {
    "recipe": ("classic", "price", "panel"),
    "cell": CELLS,
    "scaler": SCALERS,
    "difference": DIFFERENCES,
    "head": HEADS,
    "schedule": ("constant", "one_cycle"),
    "combine": ("mean", "median", "by_series"),
    "missing": ("error", "ffill", "interpolate", "mask"),
    "zero_head": (False, True),
    "shrink": (False, True),
    "elapsed": (False, True),
    "memory": ("window", "carried"),
}


def column_name(cell: str) -> str:
    """What the forecasts of a cell are named: the cell in capitals."""
    return cell.removesuffix("_relu").upper()


def check_values(values: Mapping[str, Any]) -> None:
    """Check each parameter by itself."""
    for name in ("max_steps", "check_every"):
        check_count(values, name, least=1)
    for name, most in LARGEST.items():
        check_count(values, name, least=1, most=most)
    check_count(values, "batch_size", least=1, optional=True)
    check_count(values, "patience", least=1, optional=True)
    check_count(values, "seed", least=0, most=None)
    for name in ("learning_rate", "gradient_clip", "clip"):
        check_number(values, name, above=0.0, optional=name != "learning_rate")
    check_number(values, "weight_decay", least=0.0)
    check_number(values, "blend", least=0.0, below=1.0)
    check_number(values, "dropout", least=0.0, below=1.0)
    check_number(values, "validation_size", above=0.0, below=1.0)
    for name, allowed in CHOICES.items():
        if name in values and not any(type(v) is type(values[name]) and v == values[name] for v in allowed):
            others = "'auto', " if name == "recipe" else ""
            raise ConfigError(f"{name}={values[name]!r} is not one of {others}{', '.join(map(repr, allowed))}")
    check_quantiles(values.get("quantiles", QUANTILES))
    if "quantiles" in values and values.get("head", "quantile") != "quantile":
        raise ConfigError(f"quantiles= is for head='quantile', not head={values['head']!r}; leave one of them out")


def check_count(
    values: Mapping[str, Any], name: str, *, least: int, most: int | None = MOST, optional: bool = False
) -> None:
    if name in values and not (optional and values[name] is None):
        check_between(name, values[name], least, most, " or None" if optional else "")


def check_number(
    values: Mapping[str, Any],
    name: str,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float = float("inf"),
    optional: bool = False,
) -> None:
    """Check that a number lies above `above`, or is at least `least`, and lies below `below`."""
    if name not in values or (optional and values[name] is None):
        return
    value = values[name]
    real = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    if not (real and value < below and (value > above if above is not None else value >= least)):
        limit = f"a number above {above:g}" if above is not None else f"a number of at least {least:g}"
        limit += "" if below == float("inf") else f" and below {below:g}"
        raise ConfigError(f"{name}={value!r} must be {limit}{' or None' if optional else ''}")


def check_quantiles(quantiles: Any) -> None:
    try:
        given = [float(q) for q in quantiles]
    except (TypeError, ValueError):
        given = []
    if 0.5 not in given or given != sorted(set(given)) or not all(0 < q < 1 for q in given):
        raise ConfigError(f"quantiles={quantiles!r} must be numbers that ascend, lie between 0 and 1 and hold 0.5")
