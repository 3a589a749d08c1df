"""The service with more open files than select() can name."""

import os
import resource
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from c2c_sip.config import Config, Database, Http, Sip
from c2c_sip.service import Service


@pytest.fixture
def few_allowed() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 2048:
        pytest.skip("this machine allows no more files than select() can name")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_api_answers_with_the_sockets_of_many_calls_open(
    tmp_path: Path, few_allowed: None
) -> None:
    service = Service(
        Config(
            http=Http(listen="127.0.0.1:0"),
            database=Database(url=f"sqlite:///{tmp_path / 'test.db'}"),
            sip=Sip(listen=("udp:127.0.0.1:0",)),
        )
    )
    service.start()
    descriptors = []
    try:
        while not descriptors or descriptors[-1] < 1100:
            descriptors.append(os.dup(0))
        with urllib.request.urlopen(f"{service.url}/healthz", timeout=5) as answer:
            assert answer.status == 200
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        service.stop()
