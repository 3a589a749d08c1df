"""A leg's figures as the API shows them."""

from c2c_sip.api.answers import HEARD
from c2c_sip.calling.heard import shown
from sipstack.media import LegCounters


def test_all_figures_are_shown_and_described_and_silence_is_in_seconds() -> None:
    found = shown(LegCounters(packets_received=3, last_received=100.0), 107.26)
    assert (found["packets_received"], found["silent_seconds"]) == (3, 7.3)
    assert set(found) == set(HEARD)
    assert set(LegCounters._fields) - set(found) == {"last_received"}


def test_who_never_spoke_has_no_seconds_of_silence() -> None:
    assert shown(LegCounters(), 107.0)["silent_seconds"] is None


def test_a_packet_that_comes_meanwhile_is_no_negative_silence() -> None:
    assert shown(LegCounters(last_received=107.5), 107.0)["silent_seconds"] == 0.0
