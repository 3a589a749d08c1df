"""schemathesis, which makes requests out of /openapi.json and holds the answers against it: all its checks, no failure.

Bounded here; with ``SCHEMATHESIS_FULL=1`` in the environment all of its phases run, which takes some minutes.
"""

import base64
import hashlib
import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.programs import Service

ROOT = Path(__file__).parents[2]
FULL = "SCHEMATHESIS_FULL" in os.environ
BOUNDS = (
    ["--max-examples", "50"]
    if FULL
    else [
        *("--max-examples", "8", "--phases", "examples,fuzzing,stateful"),
        "--generation-deterministic",
    ]
)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = Service(tmp_path)
    running.start("--lab")
    yield running
    running.stop()


@pytest.mark.timeout(1800 if FULL else 600)
@pytest.mark.parametrize("how", ["with credentials", "without"])
def test_schemathesis_finds_no_failure(service: Service, tmp_path: Path, how: str) -> None:
    account = service.account
    credentials = hashlib.md5(f"{account['username']}:{account['password']}".encode()).hexdigest()
    # Basic: a token would be gone after the first DELETE /token_auth. And for an account below the user's own: it would have
    # changed its own password before long, and be a stranger from then on.
    _, made = service.http("PUT", "/v1/accounts", {"data": {"name": "Below"}})
    below = made["data"]["id"]
    access = ["--auth", f"{account['id']}:{credentials}"] if how == "with credentials" else []
    config = f'[parameters]\naccount_id = "{below}"\n'
    (tmp_path / "schemathesis.toml").write_text(
        config + (ROOT / "tests" / "schemathesis.toml").read_text("utf-8")
    )
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", str(tmp_path / "schemathesis.toml")),
        *("run", f"{service.url}/openapi.json"),
        *("--checks", "all", "--no-color", "--request-timeout", "20"),
        *BOUNDS,
        *access,
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=1700,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "tests.interop.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
    )
    print(*re.findall(r"^.*(?:Tested:|generated,|found).*$", done.stdout, re.M), sep="\n")
    assert done.returncode == 0, done.stdout[-20000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated is not None and int(generated[1]) > 100, done.stdout[-3000:]
    assert service.http("GET", "/healthz")[0] == 200
    basic = base64.b64encode(f"{account['id']}:{credentials}".encode()).decode()
    client = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=20)
    client.request("GET", f"/v2/accounts/{below}", headers={"Authorization": f"Basic {basic}"})
    assert client.getresponse().status == 200, "the credentials no longer served"
    client.close()
