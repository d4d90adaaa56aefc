"""The public surface: sorted, documented, and each name in docs/reference.md."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import stepahead as sa

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
MODULES = ("errors", "nn", "samples")  # public modules beside the top-level names


def test_public_names_are_sorted_and_there() -> None:
    assert list(sa.__all__) == sorted(sa.__all__)
    assert all(getattr(sa, name) is not None for name in sa.__all__)
    assert set(sa.__all__) <= set(dir(sa))


@pytest.mark.parametrize("name", ["errors", "nn", "samples"])
def test_a_module_among_the_names_is_there_after_import_stepahead_alone(name: str) -> None:
    # In a process of its own: the attribute is there for good once anything has imported the module.
    code = f"import sys, stepahead\nassert 'stepahead.{name}' not in sys.modules\nprint(stepahead.{name}.__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == f"stepahead.{name}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'stepahead' has no attribute 'Forcaster'"):
        _ = sa.Forcaster


def members(value: Any) -> list[tuple[str, Any]]:
    """The public methods and properties that a class defines itself, or that a module says it has."""
    if inspect.ismodule(value):
        names = getattr(value, "__all__", [n for n, v in vars(value).items() if is_own(v, value.__name__)])
        return [(name, getattr(value, name)) for name in names if not name.startswith("_")]
    own = [(n, v) for n, v in vars(value).items() if not n.startswith("_")] if inspect.isclass(value) else []
    return [(n, v) for n, v in own if inspect.isfunction(v) or isinstance(v, classmethod | property)]


def is_own(value: Any, module: str) -> bool:
    return (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == module


@pytest.mark.parametrize("name", sa.__all__)
def test_every_public_name_and_method_has_a_docstring(name: str) -> None:
    value = getattr(sa, name)
    assert inspect.getdoc(value), f"{name} has no docstring"
    bare = [member for member, found in members(value) if inspect.isfunction(found) and not found.__doc__]
    assert not bare, f"{name}: no docstring of {bare}"


@pytest.mark.parametrize("name", [*sa.__all__, *MODULES])
def test_every_public_name_and_method_stands_in_the_reference(name: str) -> None:
    value = __import__(f"stepahead.{name}", fromlist=["x"]) if name in MODULES else getattr(sa, name)
    words = set(re.findall(r"[A-Za-z_]\w*", REFERENCE))
    missing = [member for member, _ in members(value) if member not in words]
    assert name in words
    assert not missing, f"{name}: docs/reference.md does not name {missing}"


def test_every_parameter_of_the_forecaster_stands_in_the_reference() -> None:
    words = set(re.findall(r"[A-Za-z_]\w*", REFERENCE))
    assert set(sa.Forecaster().get_params()) <= words


def test_the_version_is_the_one_in_pyproject() -> None:
    import tomllib

    assert sa.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
