"""What is an IP address as it is written, and what is remembered of it."""

import ipaddress

import pytest

from sipstack import literal
from sipstack.literal import canonical, family_of, read_literal


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


def test_an_address_is_one_however_it_is_written_and_a_name_stays() -> None:
    assert canonical("2001:DB8::0:1") == canonical("2001:db8:0::1") == "2001:db8::1"
    for host in ("192.0.2.1", "example.net", "192.0.2.01", "1" * 65, ""):
        assert canonical(host) == host


@pytest.mark.parametrize(
    ("host", "family"),
    [
        ("192.0.2.1", 4),
        ("0.0.0.0", 4),
        ("2001:db8::1", 6),
        ("::", 6),
        ("224.0.0.1", 0),
        ("ff02::1", 0),
        ("example.net", 0),
        ("", 0),
        ("2001:db8::1" + "0" * 60, 0),
    ],
)
def test_the_family_is_that_of_one_host(host: str, family: int) -> None:
    assert family_of(host) == family
