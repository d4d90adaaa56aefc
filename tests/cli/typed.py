"""A command as it is typed: its words -> what it prints."""

import pytest

from stepahead.cli import app


def run(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> str:
    """Stdout of a command that ends with this status, or its stderr."""
    with pytest.raises(SystemExit) as ended:
        app([str(argument) for argument in arguments], prog_name="stepahead")
    printed = capsys.readouterr()
    assert ended.value.code == status, printed.err
    return printed.out if status == 0 else printed.err
