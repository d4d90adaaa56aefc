"""schemathesis, with all its checks, against the OpenAPI document of a running server, with the token.

The long form (20,000 cases) is `make soak`; STEPAHEAD_EXAMPLES and STEPAHEAD_SEED cut it into parts.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running_server import running
from server_models import daily_rows

TOKEN = "a-token-for-the-tests"
SEED = os.environ.get("STEPAHEAD_SEED", "1")
CONFIG = Path(__file__).parent / "schemathesis.toml"

pytest.importorskip("schemathesis", reason="schemathesis is not installed")


def cases(folder: Path, examples: int, seconds: int, *more: str) -> int:
    """Run it; how many cases there were. Fails where a check did."""
    secret = folder / "token"
    secret.write_text(TOKEN)
    with running(str(folder / "store.db"), "--token-file", str(secret)) as server:
        header = {"authorization": f"Bearer {TOKEN}"}
        for name in ("one", "two"):
            assert (
                server.ask("PUT", f"/v1/series/{name}", {"model": "daily", "rows": daily_rows(7)}, **header)[0] == 201
            )
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
            *(f"http://127.0.0.1:{server.port}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}"),
            *("--checks", "all", "--max-examples", str(examples), "--seed", SEED),
            *("--no-color", "--request-timeout", "10"),
            *more,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=folder)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
        assert server.ask("GET", "/v2/health/ready")[0] == 200
    found = re.search(r"([\d,]+) generated", done.stdout)
    assert found, done.stdout[-1000:]
    return int(found[1].replace(",", ""))


def test_no_check_of_schemathesis_fails(tmp_path: Path) -> None:
    assert cases(tmp_path, 3, 200, "--phases", "examples,coverage,fuzzing") > 300


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_no_check_of_schemathesis_fails_in_20_000_cases(tmp_path: Path) -> None:
    examples = int(os.environ.get("STEPAHEAD_EXAMPLES", "1600"))  # of an operation, some 14 of which have variety
    found = cases(tmp_path, examples, 7_200)
    print(f"{found} cases")
    assert found >= 13 * examples
