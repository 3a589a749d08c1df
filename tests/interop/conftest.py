"""Starts the programs that a test asks for, and stops them after it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme

from tests.interop.abuse import Table
from tests.interop.programs import Certificate, Program, stop_all

P = TypeVar("P", bound=Program)
Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(Class, …)`` makes a program in the test's folder."""
    running: list[Program] = []

    def launch(kind: type[P], *arguments: Any, **more: Any) -> P:
        program = kind(tmp_path, *arguments, **more)
        running.append(program)
        return program

    yield launch
    stop_all([p for p in reversed(running) if hasattr(p, "process")])


@pytest.fixture(scope="session")
def table() -> Iterator[Table]:
    """The table of what attacks got: printed with ``-s``, and written to the file that ``$ABUSE_TABLE`` names."""
    made = Table()
    yield made
    print(f"\n{made}")
    if os.environ.get("ABUSE_TABLE"):
        Path(os.environ["ABUSE_TABLE"]).write_text(f"{made}\n")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate of loopback, by an authority that nobody knows but those who are told."""
    folder = tmp_path_factory.mktemp("certificates")
    # RSA: what every phone knows.
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    made = Certificate(folder / "authority.pem", folder / "own.pem")
    authority.cert_pem.write_to_path(str(made.authority))
    authority.issue_cert(
        "127.0.0.1", "::1", "localhost"
    ).private_key_and_cert_chain_pem.write_to_path(str(made.own))
    return made
