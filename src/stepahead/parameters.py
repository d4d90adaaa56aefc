"""What every model's constructor arguments are good for: shown, copied, changed, as scikit-learn does it."""

import inspect
from numbers import Real
from typing import Any, Self

from stepahead.errors import ConfigError


class Parameters:
    """A model whose constructor does nothing but store its arguments under their names."""

    @classmethod
    def parameters(cls) -> list[str]:
        """The names of the constructor's arguments."""
        return list(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters as they were given, as scikit-learn asks for them."""
        return {name: getattr(self, name) for name in self.parameters()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters, from the next fit on. Raises: ConfigError for one that does not exist."""
        known = self.parameters()
        for name, value in params.items():
            if name not in known:
                raise ConfigError(f"{type(self).__name__} has no parameter '{name}'; there are {', '.join(known)}")
            setattr(self, name, value)
        return self

    def clone(self) -> Self:
        """An unfitted model with the same parameters."""
        return type(self)(**self.get_params())

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        given = self.get_params().items()
        changed = [f"{n}={v!r}" for n, v in given if type(v) is not type(defaults[n]) or v != defaults[n]]
        return f"{type(self).__name__}({', '.join(changed)})"


MOST = 2**62  # of a whole number, so that what is added to it still fits 64 bits
ROWS = 10**9  # of a window, a horizon or a season
SEED_STRIDE = 1000  # between the members of an ensemble, so that seeds 1, 2, 3 of a user share no member


def check_whole(**numbers: tuple[Any, int]) -> None:
    """Raise ConfigError for a number that is no whole one of at least its least.  numbers: name -> (value, least)."""
    for name, (value, least) in numbers.items():
        check_between(name, value, least)


def check_between(name: str, value: Any, least: int, most: int | None = MOST, others: str = "") -> None:
    """Raise ConfigError for what is no whole number from least to most.  others: what else may be given."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise ConfigError(f"{name}={value!r} must be a whole number of at least {least}{others}")
    if most is not None and value > most:
        raise ConfigError(f"{name}={value!r} must be at most {most}{others}")


def is_number(value: Any) -> bool:
    """Whether a value is a number, nan and infinity among them; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_auto(value: Any) -> bool:
    """Whether a parameter was left open."""
    return isinstance(value, str) and value == "auto"
