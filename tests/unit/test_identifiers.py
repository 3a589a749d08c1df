"""Identifiers: in the order of time, and nobody's guess."""

from c2c_sip.store.identifiers import new_id, token


def test_identifiers_are_in_the_order_of_time_and_have_32_digits() -> None:
    moments = [0.0, 1.0, 1.01, 1_700_000_000.0, 1_700_000_000.5, 4_294_967_295.0]
    found = [new_id(lambda moment=moment: moment) for moment in moments]  # type: ignore[misc]
    assert found == sorted(found)
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in found)
    assert len(new_id(lambda: 1e12)) == 32


def test_of_identifiers_of_one_moment_88_bits_are_random() -> None:
    found = {new_id(lambda: 1_700_000_000.0) for _ in range(2000)}
    assert len(found) == 2000
    assert len({one[:10] for one in found}) == 1
    for at in range(10, 32):
        assert {one[at] for one in found} == set("0123456789abcdef")


def test_a_token_is_as_long_as_it_is_wanted() -> None:
    assert [len(token(octets)) for octets in (0, 1, 12, 5000)] == [0, 2, 24, 10000]
    assert token(16) != token(16)
