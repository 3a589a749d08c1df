"""What is an IP address as it is written, and what is remembered of it."""

import ipaddress

import pytest

from sipstack import literal
from sipstack.literal import read_literal


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "2001:db8::1", "fe80::1%wlp0s20f3u1u2", "::ffff:192.0.2.128", "0.0.0.0"]
)
def test_a_literal_is_the_address_that_it_is(host: str) -> None:
    assert read_literal(host) == ipaddress.ip_address(host)


@pytest.mark.parametrize("host", ["", "example.test", "192.0.2", "[::1]", "192.0.2.1 ", "1" * 65])
def test_what_is_none_is_none(host: str) -> None:
    assert read_literal(host) is None


def test_a_long_name_takes_no_room() -> None:
    before = literal._read.cache_info()
    assert read_literal("fe80::1%" + "x" * 100_000) is None
    assert literal._read.cache_info() == before
