"""Sliding windows and minutes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c_sip.calling.limits import DAY, Full, Meter, Windows, client_key, stricter, until_tomorrow

KEYS = {"address": "a", "contact": "c"}


def test_so_many_are_admitted_in_the_span_and_then_as_they_leave_it() -> None:
    windows = Windows(100.0)
    limits = {"address": 3}
    assert [windows.admit(KEYS, limits, t) for t in (0.0, 10.0, 20.0)] == [None] * 3
    assert windows.admit(KEYS, limits, 30.0) == Full("address", 70.0)
    assert windows.admit(KEYS, limits, 99.9) == Full("address", pytest.approx(0.1))
    assert windows.admit(KEYS, limits, 100.0) is None
    assert windows.admit(KEYS, limits, 100.0) == Full("address", 10.0)


def test_what_is_refused_is_not_counted() -> None:
    windows = Windows(100.0)
    limits = {"address": 5, "contact": 1}
    assert windows.admit(KEYS, limits, 0.0) is None
    for t in range(1, 50):
        assert windows.admit(KEYS, limits, float(t)) == Full("contact", 100.0 - t)
    assert windows.admit({"address": "a", "contact": "other"}, limits, 60.0) is None
    assert windows.admit(KEYS, limits, 100.0) is None


def test_what_is_taken_back_leaves_room() -> None:
    windows = Windows(100.0)
    assert windows.admit(KEYS, {"contact": 1}, 5.0) is None
    windows.take_back(KEYS, 5.0)
    windows.take_back(KEYS, 5.0)
    assert windows.admit(KEYS, {"contact": 1}, 6.0) is None
    assert windows.admit(KEYS, {"contact": 1}, 7.0) is not None


def test_a_limit_of_none_counts_nothing_and_what_is_over_is_forgotten() -> None:
    windows = Windows(100.0)
    for t in range(1000):
        assert windows.admit({"address": str(t)}, {"address": 0}, float(t)) is None
    assert len(windows) == 0
    for t in range(1000, 2000):
        assert windows.admit({"address": str(t)}, {"address": 1}, float(t)) is None
    assert len(windows) <= 101


@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.sampled_from("ab"), st.sampled_from("xy")), max_size=60
    ),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_never_are_more_admitted_in_any_span_than_the_limit(
    asked: list[tuple[float, str, str]], per_address: int, per_contact: int
) -> None:
    windows, now = Windows(50.0), 0.0
    admitted: list[tuple[float, str, str]] = []
    for pause, address, contact in asked:
        now += pause
        keys, limits = (
            {"address": address, "contact": contact},
            {"address": per_address, "contact": per_contact},
        )
        lately = [one for one in admitted if one[0] > now - 50.0]
        full = (
            sum(one[1] == address for one in lately) >= per_address
            or sum(one[2] == contact for one in lately) >= per_contact
        )
        assert (windows.admit(keys, limits, now) is not None) == full
        if not full:
            admitted.append((now, address, contact))


def test_minutes_are_counted_while_calls_are_up_and_begin_anew_at_midnight() -> None:
    noon = 20_000 * DAY + DAY / 2
    meter = Meter.begun(100.0, noon)
    assert meter.read(noon + 50) == 100.0
    meter.start(noon + 60)
    meter.start(noon + 70)
    assert meter.read(noon + 80) == 130.0
    meter.stop(noon + 90)
    assert meter.read(noon + 100) == 160.0
    assert meter.read(noon + 95) == 160.0
    midnight = noon + DAY / 2
    assert meter.read(midnight + 7) == 7.0
    meter.stop(midnight + 9)
    assert meter.read(midnight + 1000) == 9.0
    assert until_tomorrow(noon) == DAY / 2
    assert until_tomorrow(midnight) == DAY


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("nonsense", "nonsense"),
        ("x" * 500, "x" * 64),
    ],
)
def test_a_client_is_counted_by_its_address_or_by_its_network(address: str, key: str) -> None:
    assert client_key(address) == key


def test_the_stricter_of_limits_counts() -> None:
    assert stricter(5, 0, 3) == 3
    assert stricter(0, 0) == 0
    assert stricter() == 0
