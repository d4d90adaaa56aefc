"""Tables that ship with the package.  A name -> the path of a CSV file."""

from pathlib import Path

from stepahead.errors import ConfigError

FOLDER = Path(__file__).parent


def path(name: str) -> Path:
    """Where a bundled table lies.

    Args:
        name: "goog", daily Google prices from 2004-08-19 to 2013-03-01: date, open, high, low, volume, close.

    Returns:
        The path of a CSV file, for `stepahead.read`.

    Raises:
        ConfigError: there is no such table; names those that there are.

    Example:
        >>> path("goog").name
        'goog.csv'
    """
    found = FOLDER / f"{name}.csv"
    if name not in names():
        raise ConfigError(f"no sample '{name}'; there is {', '.join(names())}")
    return found


def names() -> tuple[str, ...]:
    """The names of the bundled tables, sorted.

    Example:
        >>> names()
        ('goog',)
    """
    return tuple(sorted(file.stem for file in FOLDER.glob("*.csv")))
