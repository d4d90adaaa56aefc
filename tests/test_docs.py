"""The papers keep their word: code runs, links lead somewhere, every command and option is described."""

import re
import shlex
import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from stepahead import samples
from stepahead.cli import app

ROOT = Path(__file__).parent.parent
PAPERS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("benchmarks/**/*.md")]
)
SOURCES = (".py", ".pyi", ".h", ".cpp", ".sh", ".js", ".css", ".html")
COMMANDS: Any = typer.main.get_command(app)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(paper: Path, language: str) -> list[str]:
    """The code blocks of one language, in order."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", paper.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that can be typed, with its words: (("symbols", "fit"), command)."""
    for word in group.list_commands(None):
        command = group.get_command(None, word)
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, word))
        else:
            yield (*path, word), command


ALL_COMMANDS = dict(commands(COMMANDS))


@pytest.mark.parametrize("paper", [p for p in PAPERS if blocks(p, "python")], ids=name)
def test_the_python_of_a_paper_runs_from_top_to_bottom(
    paper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {"__name__": "paper"}
    for block in blocks(paper, "python"):
        exec(compile(block, name(paper), "exec"), known)


@pytest.mark.parametrize("example", sorted(ROOT.glob("examples/*.py")), ids=name)
def test_an_example_runs(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(example.read_text(encoding="utf-8"), name(example), "exec"), {"__name__": "__main__"})


def shell_lines(paper: Path) -> list[str]:
    """The lines of a paper that call stepahead; other programs are not ours to check."""
    lines = [line.strip() for block in blocks(paper, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("stepahead ")]


@pytest.mark.parametrize("paper", [p for p in PAPERS if shell_lines(p)], ids=name)
def test_the_shell_lines_of_a_paper_are_commands_with_options_that_exist(paper: Path) -> None:
    for line in shell_lines(paper):
        words = shlex.split(line)[1:]
        path = tuple(words[:2]) if tuple(words[:2]) in ALL_COMMANDS else tuple(words[:1])
        assert path in ALL_COMMANDS, f"{name(paper)}: {line}"
        ALL_COMMANDS[path].make_context(path[-1], words[len(path) :], resilient_parsing=False)


def test_the_shell_lines_of_the_readme_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(samples.path("goog"), "goog.csv")
    Path("names.txt").write_text("\n".join(["emma", "olivia", "ava", "mia", "amelia"] * 8), encoding="utf-8")
    for line in shell_lines(ROOT / "README.md"):
        words = [*shlex.split(line)[1:]]
        quick = ["--max-steps", "20"] if words[0] in ("fit", "backtest") else []
        quick = ["--epochs", "2"] if words[:2] == ["symbols", "fit"] else quick
        run = CliRunner().invoke(app, words + quick)
        assert run.exit_code == 0, f"{line}\n{run.output}"


@pytest.mark.parametrize("path", ALL_COMMANDS, ids=" ".join)
def test_every_command_and_option_stands_in_the_paper_on_the_shell(path: tuple[str, ...]) -> None:
    paper = (ROOT / "docs" / "shell.md").read_text(encoding="utf-8")
    first = paper.index(f"## {path[0]}")
    section = paper[first : paper.find("\n## ", first) if "\n## " in paper[first:] else None]
    # backtest takes the options of fit, and says so.
    section += paper if path[0] == "backtest" else ""
    assert path[-1] in section
    options = [flag for parameter in ALL_COMMANDS[path].params for flag in (*parameter.opts, *parameter.secondary_opts)]
    missing = [flag for flag in options if flag.startswith("-") and f"`{flag}" not in section]
    assert not missing


def test_every_command_but_serve_has_json_as_the_papers_say() -> None:
    flags = {
        path: {flag for parameter in command.params for flag in parameter.opts}
        for path, command in ALL_COMMANDS.items()
    }
    assert [path for path in flags if "--json" not in flags[path]] == [("serve",)]


@pytest.mark.parametrize("path", ALL_COMMANDS, ids=" ".join)
def test_the_help_of_every_command_teaches_by_example(path: tuple[str, ...]) -> None:
    run = CliRunner().invoke(app, [*path, "--help"])
    assert run.exit_code == 0
    assert f"stepahead {' '.join(path)}" in run.output


@pytest.mark.parametrize("paper", PAPERS, ids=name)
def test_every_link_and_picture_of_a_paper_is_there(paper: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", paper.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (paper.parent / target).exists()]
    assert not missing


def tree(paper: Path) -> str:
    return next(block for block in blocks(paper, "") if "src/stepahead/" in block)


def test_the_tree_in_the_readme_names_files_that_are_there() -> None:
    files = re.findall(r"\b(\w+\.py)\b", tree(ROOT / "README.md"))
    there = {file.name for file in (ROOT / "src").rglob("*.py")}
    assert set(files) <= there


def named(layout: str) -> Iterator[tuple[str, str]]:
    """What a tree names: (folder, file or pattern), and (folder, "*") for a folder without lines of its own."""
    folders: dict[int, str] = {}  # by how far they are indented
    empty: dict[str, None] = {}
    for line in layout.splitlines():
        found = re.match(r"( *)((?:[\w*/]+(?:\.[a-z]+|/)(?:, )?)+) +\S", line)
        assert found, f"docs/design.md: {line!r} names no file"
        inside = len(found[1])
        parent = folders.get(inside - 2, "")
        empty.pop(parent, None)
        for one in found[2].rstrip(", ").split(", "):
            if one.endswith("/"):
                folders[inside] = parent + one
                empty[parent + one] = None
            else:
                yield parent, one
    yield from ((folder, "*") for folder in empty)


def test_the_tree_in_the_design_names_every_file_and_none_that_is_not_there() -> None:
    files = {f for top in ("native", "src") for f in (ROOT / top).rglob("*") if f.suffix in SOURCES}
    there = {(f"{f.parent.relative_to(ROOT).as_posix()}/", f.name) for f in files}
    lines = list(named(tree(ROOT / "docs" / "design.md")))
    gone = [folder + file for folder, file in lines if not any(w == folder and fnmatch(n, file) for w, n in there)]
    untold = [w + n for w, n in there if not any(w == folder and fnmatch(n, file) for folder, file in lines)]
    left_out = sorted(file for file in untold if not file.endswith("/__init__.py"))
    assert not gone, f"docs/design.md names what is not there: {gone}"
    assert not left_out, f"docs/design.md leaves out {left_out}"
