"""Which addresses the service is not led to, in every spelling that a resolver takes."""

from ipaddress import ip_network

import pytest

from c2c_sip.calling.address import is_forbidden, is_forbidden_host, read_address
from c2c_sip.calling.planner import accepts
from sipstack.transport.own import is_own

INNER = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F.1", "0177.0.0.1", "017700000001",
    "0x7f.0.0x0.01", "127.0.0.1.", "127.255.255.254",
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "0300.0250.1.1", "3232235777", "100.64.0.1",
    "169.254.169.254", "2852039166", "0xa9fea9fe", "0xa9.254.0251.0376",
    "0", "0.0.0.0", "0x0", "0x", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
    "::", "::1", "[::1]", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254",
    "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1",
    "ff0e::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:808:808::1",
    "2001:0:7f00:1::", "2001:db8::1", "100::1", "4000::1",
]  # fmt: skip
OUTER = ["8.8.8.8", "134744072", "0x08080808", "1.1", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"]  # fmt: skip


@pytest.mark.parametrize("address", INNER)
def test_inner_addresses_are_forbidden_in_any_spelling(address: str) -> None:
    assert is_forbidden(address)
    assert is_forbidden_host(address)


@pytest.mark.parametrize("address", OUTER)
def test_addresses_of_the_internet_are_not(address: str) -> None:
    assert not is_forbidden(address)
    assert not is_forbidden_host(address)


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "a.localhost"])
def test_names_of_this_machine_are_forbidden_at_once(name: str) -> None:
    assert is_forbidden_host(name)
    assert not is_forbidden_host(name, [ip_network("127.0.0.0/8")])


@pytest.mark.parametrize(
    "name",
    ["example.net", "localhost.example.net", "1.2.3.4.5", "256.1.1.1", "1.2.3.256", "4294967296", "0x1ffffffff", "08.1", "12a", "1..1", "a.1"],
)  # fmt: skip
def test_other_names_are_left_to_the_resolver(name: str) -> None:
    assert read_address(name) is None
    assert not is_forbidden_host(name)


def test_what_is_no_address_is_not_sent_to() -> None:
    assert is_forbidden("example.net")
    assert is_forbidden("")


def test_networks_that_are_allowed_are_allowed_in_any_spelling_and_no_others() -> None:
    allowed = [ip_network("127.0.0.0/8"), ip_network("fd00::/8")]
    for address in ("127.0.0.1", "0x7f.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00::1"):
        assert not is_forbidden(address, allowed)
    for address in ("10.0.0.1", "::1", "169.254.169.254", "fe80::1"):
        assert is_forbidden(address, allowed)


def test_this_machine_s_own_addresses_are_accepted_only_where_they_are_listed() -> None:
    own = {"8.8.4.4", "2606:4700::99"}
    accepted = accepts([], own.__contains__)
    assert [accepted(host) for host in ("8.8.4.4", "2606:4700::99", "8.8.8.8", "10.0.0.1")] == [
        *(False, False, True, False)
    ]
    assert accepts([ip_network("8.8.4.0/24")], own.__contains__)("8.8.4.4")


def test_an_address_is_own_if_it_can_be_bound() -> None:
    assert is_own("127.0.0.1") and is_own("127.3.2.1")
    for other in ("192.0.2.77", "8.8.8.8", "2001:db8::77", "name.example", ""):
        assert not is_own(other)
