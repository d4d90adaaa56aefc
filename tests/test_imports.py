"""Who may import whom.  The rules of docs/design.md, read off the source and seen in a fresh process."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stepahead

ROOT = Path(stepahead.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# Each heavy library lives in one place: a file, or a folder where it is the folder's whole business.
HOMES = {
    "torch": ("nn/", "train.py"),
    "matplotlib": ("show/plots.py",),
    "polars": ("data/",),
    "narwhals": ("data/",),
    "pandas": ("data/frames.py",),
    "pyarrow": ("data/frames.py",),
    "safetensors": ("store.py",),
    "scipy": ("evaluate/significance.py", "learn.py"),
    "threadpoolctl": ("panels/learn.py",),
    "statsforecast": ("evaluate/classical.py",),
    "fastapi": ("server/app.py", "cli/serve.py"),
    "starlette": ("server/",),
    "uvicorn": ("server/run.py", "server/slow.py", "cli/serve.py"),
    "httptools": ("cli/serve.py",),
    "msgspec": ("server/", "cli/serve.py"),
    "psycopg": ("server/postgres.py",),
    "prometheus_client": ("server/metrics.py", "cli/serve.py"),
    "typer": ("cli/",),
    "rich": ("cli/",),
}
BASE = {"numpy", "polars", "narwhals", "safetensors", "typer", "rich"}  # what the base install brings
ASKS = ("__init__.py", "symbol_model.py", "demo.py")  # they ask for torch kindly, at the moment of use
APART = ("data", "nn", "runtime")  # rooms that know nothing of one another's insides
VALUES = {"stepahead.data.symbols.Corpus", "stepahead.runtime.symbols.Shape"}  # frozen values travel between rooms
EDGES = ("cli", "server", "__main__")  # they may import anything, and nothing imports them


def imports(file: Path, *, late: bool = True) -> Iterator[str]:
    """The modules that a file imports, "stepahead.data.panel" say; those for the type checker alone are left out.

    late: those inside functions too, and those that `require` or `import_module` load by name.
    """
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and late:
            yield from loaded_by_name(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
        elif late or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def loaded_by_name(call: ast.Call) -> Iterator[str]:
    if ast.unparse(call.func) in ("require", "import_module") and call.args and isinstance(call.args[0], ast.Constant):
        yield str(call.args[0].value)


def place(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room(module: str) -> str:
    """The part of the package that a module belongs to: "data" of stepahead.data.panel."""
    parts = module.split(".")
    return parts[1] if parts[0] == "stepahead" and len(parts) > 1 else ""


@pytest.mark.parametrize("library", sorted(HOMES))
def test_each_heavy_library_is_imported_in_its_one_place(library: str) -> None:
    users = {place(file) for file in FILES if any(name.split(".")[0] == library for name in imports(file))}
    homes = HOMES[library] + (ASKS if library == "torch" else ())
    strangers = {user for user in users if not user.startswith(homes)}
    assert not strangers


def test_the_design_names_every_heavy_library_and_a_home_that_it_has() -> None:
    paper = ROOT.parent.parent / "docs" / "design.md"
    if not paper.exists():
        pytest.skip("installed away from its source")
    told: dict[str, list[str]] = {}
    for names, homes in re.findall(r"^  \| ([\w, ]+) \| (.*) \|$", paper.read_text(encoding="utf-8"), re.MULTILINE):
        told |= dict.fromkeys(names.split(", "), re.findall(r"`([\w/]+(?:\.py|/))`", homes))
    assert set(told) - {"library"} == set(HOMES)
    for library, homes in HOMES.items():
        assert all(home.startswith(tuple(told[library])) for home in homes), library


def test_no_other_library_is_imported_than_those_that_have_a_home() -> None:
    found = {name.split(".")[0] for file in FILES for name in imports(file)}
    known = set(HOMES) | {"numpy", "stepahead"} | set(sys.stdlib_module_names)
    assert found <= known


def test_data_nn_and_runtime_know_nothing_of_one_another() -> None:
    crossings = [
        f"{place(file)} imports {name}"
        for file in FILES
        if place(file).split("/")[0] in APART
        for name in imports(file)
        if room(name) in APART and room(name) != place(file).split("/")[0] and name not in VALUES
    ]
    assert not crossings


def test_the_rooms_below_do_not_import_the_facades_above_them() -> None:
    facades = {"forecaster", "symbol_model", "learn", "evaluate", "show", "demo"}
    crossings = [
        f"{place(file)} imports {name}"
        for file in FILES
        if place(file).split("/")[0] in APART
        for name in imports(file)
        if room(name) in facades
    ]
    assert not crossings


def test_nothing_imports_the_edges() -> None:
    crossings = [
        f"{place(file)} imports {name}"
        for file in FILES
        if not place(file).startswith(EDGES)
        for name in imports(file)
        if room(name) in EDGES
    ]
    assert not crossings


def test_evaluate_asks_models_through_what_they_offer() -> None:
    found = {room(name) for file in (ROOT / "evaluate").rglob("*.py") for name in imports(file)}
    assert not found & {"forecaster", "symbol_model", "open_model", "learn", "train", "carried", "nn", "panels", *EDGES}


def test_show_reads_results_only() -> None:
    found = {room(name) for file in (ROOT / "show").rglob("*.py") for name in imports(file)}
    assert found <= {"", "errors", "show", "evaluate"}


def loaded(code: str) -> set[str]:
    """The top-level modules that a fresh process has loaded after some code."""
    command = f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, timeout=120)
    return set(run.stdout.splitlines()[-1].split())


def test_importing_stepahead_loads_nothing_heavy() -> None:
    assert not loaded("import stepahead") & (set(HOMES) | {"numpy"})


def test_reading_a_table_and_the_shell_load_neither_torch_nor_matplotlib_nor_scipy() -> None:
    code = (
        "import stepahead, stepahead.samples, stepahead.cli\n"
        "stepahead.read(stepahead.samples.path('goog'), time='date', target='close')\n"
        "stepahead.Forecaster, stepahead.SymbolModel, stepahead.backtest, stepahead.load, stepahead.windows"
    )
    assert not loaded(code) & {"torch", "matplotlib", "scipy", "pandas", "pyarrow"}


def test_the_base_libraries_are_the_dependencies_of_the_package() -> None:
    import tomllib

    project = ROOT.parent.parent / "pyproject.toml"
    if not project.exists():
        pytest.skip("installed away from its source")
    dependencies = tomllib.loads(project.read_text())["project"]["dependencies"]
    assert {entry.split(">")[0] for entry in dependencies} == BASE
