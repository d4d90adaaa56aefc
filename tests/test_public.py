"""The public surface: sorted, documented, and in docs/reference.md with every parameter and default."""

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepahead as sa
from stepahead.evaluate.result import Backtest

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
MODULES = ("errors", "nn", "samples")  # public modules beside the top-level names
CLASSES = {name: getattr(sa, name) for name in sa.__all__ if inspect.isclass(getattr(sa, name))} | {
    "Backtest": Backtest
}
FUNCTIONS = {name: getattr(sa, name) for name in sa.__all__ if inspect.isfunction(getattr(sa, name))}
TORCHS = ("RNN", "LSTM", "GRU")  # their arguments are torch's
REQUIRED = inspect.Parameter.empty
VALUES = {  # what comes back: where it is defined
    "Anomalies": "stepahead.runtime.anomalies",
    "Audit": "stepahead.evaluate.audit",
    "Comparison": "stepahead.evaluate.compare",
    "Corpus": "stepahead.data.symbols",
    "Curves": "stepahead.evaluate.result",
    "Forecast": "stepahead.forecast",
    "Look": "stepahead.symbol_stream",
    "NamedStream": "stepahead.symbol_stream",
    "SeriesVerdict": "stepahead.evaluate.over_series",
    "Stream": "stepahead.runtime.stream",
    "Surprise": "stepahead.symbol_stream",
    "SymbolScores": "stepahead.evaluate.symbols",
    "SymbolVerdict": "stepahead.evaluate.symbols",
    "Tuning": "stepahead.evaluate.tune",
    "Verdict": "stepahead.evaluate.verdict",
    "WindowChoice": "stepahead.evaluate.choose",
    "Windows": "stepahead.data.windows",
}


def test_public_names_are_sorted_and_there() -> None:
    assert list(sa.__all__) == sorted(sa.__all__)
    assert all(getattr(sa, name) is not None for name in sa.__all__)
    assert set(sa.__all__) <= set(dir(sa))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_among_the_names_is_there_after_import_stepahead_alone(name: str) -> None:
    # In a process of its own: the attribute is there for good once anything has imported the module.
    code = f"import sys, stepahead\nassert 'stepahead.{name}' not in sys.modules\nprint(stepahead.{name}.__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == f"stepahead.{name}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'stepahead' has no attribute 'Forcaster'"):
        _ = sa.Forcaster


# --- docstrings


def members(owner: Any) -> dict[str, Any]:
    """The public functions, classes and properties of a class, inherited ones too, or of a module."""
    if inspect.ismodule(owner):
        names = getattr(owner, "__all__", [n for n, v in vars(owner).items() if is_own(v, owner.__name__)])
        return {name: getattr(owner, name) for name in names if not name.startswith("_")}
    found = {name: inspect.getattr_static(owner, name) for name in dir(owner) if not name.startswith("_")}
    kinds = (property, cached_property, classmethod, staticmethod)
    return {name: v for name, v in found.items() if inspect.isfunction(v) or isinstance(v, kinds)}


def is_own(value: Any, module: str) -> bool:
    return (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == module


@pytest.mark.parametrize("name", [*sa.__all__, "Backtest"])
def test_every_public_name_method_and_property_has_a_docstring(name: str) -> None:
    value = CLASSES.get(name) or getattr(sa, name)
    assert inspect.getdoc(value), f"{name} has no docstring"
    has_members = inspect.isclass(value) or inspect.ismodule(value)
    bare = [member for member, found in members(value).items() if not found.__doc__] if has_members else []
    assert not bare, f"{name}: no docstring of {bare}"


# --- the reference


def section(name: str) -> str:
    """What stands below a heading of docs/reference.md, up to the next; "" for what has none."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


TOP = REFERENCE[: REFERENCE.index("\n## ")]


def spans(text: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`\n]+)`", text)


def is_named(name: str, text: str) -> bool:
    return any(re.match(rf"(\w+\.)?{name}\b(?!\.)", span) for span in spans(text))


def told_call(name: str, text: str) -> list[tuple[str, str, Any]] | None:
    """A call that a text writes out whole: of each parameter name, kind and default."""
    for span in spans(text):
        call = re.fullmatch(rf"(?:\w+\.)?{name}(\(.*\))", span)
        if call and "..." not in span:
            arguments = ast.parse(f"def {name}{call[1]}: pass").body[0].args  # type: ignore[attr-defined]
            return list(of_arguments(arguments))
    return None


def of_arguments(arguments: ast.arguments) -> Iterator[tuple[str, str, Any]]:
    missing = [None] * (len(arguments.args) - len(arguments.defaults))
    for of, default in zip(arguments.args, [*missing, *arguments.defaults], strict=True):
        yield of.arg, "positional", REQUIRED if default is None else ast.literal_eval(default)
    for of, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield of.arg, "by name", REQUIRED if default is None else ast.literal_eval(default)
    if arguments.kwarg:
        yield arguments.kwarg.arg, "all others", REQUIRED


def real_call(function: Any) -> list[tuple[str, str, Any]]:
    """The same of the signature that a function has."""
    kinds = {inspect.Parameter.KEYWORD_ONLY: "by name", inspect.Parameter.VAR_KEYWORD: "all others"}
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, kinds.get(p.kind, "positional"), p.default) for p in parameters]


def table_defaults(text: str) -> dict[str, Any]:
    """A table of parameters: name -> default.  A row may hold several names of one default."""
    table = re.search(r"^\| parameter \| default \| \|\n(?:\|.*\n)+", text, re.MULTILINE)
    assert table, "no table of parameters"
    found = {}
    for row in table[0].splitlines()[2:]:
        names, default = (spans(cell) for cell in row.split("|")[1:3])
        assert names, row
        assert len(default) <= 1, row
        found |= dict.fromkeys(names, ast.literal_eval(default[0]) if default else REQUIRED)
    return found


@pytest.mark.parametrize("name", [*FUNCTIONS, "Forecaster", "SymbolModel"])
def test_every_parameter_stands_in_the_reference_with_its_default(name: str) -> None:
    real = real_call(CLASSES.get(name) or FUNCTIONS[name])
    if not section(name):
        assert told_call(name, TOP) == real
        return
    assert table_defaults(section(name)) == {parameter: default for parameter, _, default in real}
    by_position = ", ".join(parameter for parameter, kind, _ in real if kind == "positional")
    assert f"{name}({by_position}{', ' if by_position else ''}*, ...)" in spans(section(name))


@pytest.mark.parametrize("name", CLASSES)
def test_every_member_stands_in_the_section_of_its_class_with_its_signature(name: str) -> None:
    owner = CLASSES[name]
    methods = {n: getattr(owner, n) for n, v in members(owner).items() if not isinstance(v, property | cached_property)}
    wrong = {
        method: told
        for method, bound in methods.items()
        if (told := told_call(method, section(name))) != [p for p in real_call(bound) if p[0] != "self"]
    }
    assert not wrong, f"docs/reference.md, {name}: {wrong}"
    fields = [field.name for field in dataclasses.fields(owner)] if dataclasses.is_dataclass(owner) else []
    missing = [member for member in {*members(owner), *fields} if not is_named(member, section(name))]
    assert not missing, f"docs/reference.md, {name}: nothing on {missing}"


def test_every_attribute_that_fit_leaves_stands_in_the_reference() -> None:
    models: list[Any] = [
        sa.Forecaster(recipe="classic", max_steps=2).fit(sa.Panel.from_arrays(np.sin(np.arange(60.0)))),
        sa.SymbolModel(hidden_size=2, epochs=1).fit("hello"),
    ]
    for model in models:
        name = type(model).__name__
        fitted = [n for n in {*vars(model), *dir(model)} if n.endswith("_") and not n.startswith("_")]
        missing = [attribute for attribute in fitted if not is_named(attribute, section(name))]
        assert not missing, f"docs/reference.md, {name}: nothing on {missing}"


@pytest.mark.parametrize("name", MODULES)
def test_every_name_of_a_public_module_stands_in_its_section_with_its_signature(name: str) -> None:
    for member, found in members(import_module(f"stepahead.{name}")).items():
        assert is_named(member, section(name)), f"docs/reference.md, {name}: nothing on {member}"
        own = inspect.isfunction(found) or (inspect.isclass(found) and "__init__" in vars(found))
        if own and member not in TORCHS:
            assert told_call(member, section(name)) == real_call(found)


@pytest.mark.parametrize("name", VALUES)
def test_what_comes_back_has_the_fields_that_the_reference_names(name: str) -> None:
    value = getattr(import_module(VALUES[name]), name)
    row = next(line for line in section("What comes back").splitlines() if line.startswith(f"| `{name}` |"))
    told = set(spans(row.split("|")[3]))
    fields = {field.name for field in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set()
    assert fields <= told
    assert told - fields <= {n for n in dir(value) if not n.startswith("_")} | set(getattr(value, "__slots__", ()))


def test_every_heading_of_the_reference_is_a_public_name() -> None:
    headings = set(re.findall(r"^## (.+)$", REFERENCE, re.MULTILINE))
    assert headings <= {*sa.__all__, *CLASSES, "What comes back"}
    assert all(is_named(name, TOP) for name in sa.__all__)


def test_the_version_is_the_one_in_pyproject() -> None:
    import tomllib

    assert sa.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
