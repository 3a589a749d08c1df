"""How much a stranger may send."""

from sipstack.transport import quota
from sipstack.transport.quota import Quota, network_of


def test_a_peer_may_send_a_burst_and_then_as_much_as_the_rate() -> None:
    bucket = Quota(10.0, 20.0)
    assert sum(bucket.takes("192.0.2.1", 0, 0.0) for _ in range(100)) == 20
    assert sum(bucket.takes("192.0.2.1", 0, 1.0) for _ in range(100)) == 10
    assert sum(bucket.takes("192.0.2.1", 0, 1000.0) for _ in range(100)) == 20


def test_one_peer_s_messages_are_not_another_s() -> None:
    bucket = Quota(10.0, 20.0)
    while bucket.takes("192.0.2.1", 0, 0.0):
        pass
    assert bucket.takes("192.0.2.2", 0, 0.0)


def test_large_messages_cost_more() -> None:
    bucket = Quota(10.0, 20.0)
    assert sum(bucket.takes("192.0.2.1", 18_000, 0.0) for _ in range(100)) == 2


def test_a_network_of_ipv6_is_one_peer() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8:0:0:ffff::2")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2")


def test_inventing_senders_fills_no_memory_and_opens_no_door() -> None:
    bucket = Quota(10.0, 20.0)
    taken = sum(bucket.takes(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 0, 0.0) for n in range(9000))
    assert len(bucket._buckets) <= quota.PEERS + 1
    assert taken == quota.PEERS + 20
    # Once the others' buckets are full again there is room.
    assert bucket.takes("192.0.2.1", 0, 3.0)
    assert len(bucket._buckets) < 10
