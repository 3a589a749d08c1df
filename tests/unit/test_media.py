"""The pure parts of media: G.711, tones and ports."""

import audioop
import struct

import pytest

from c2c_sip.lab.listening import hears, strength
from sipstack.media.g711 import (
    ALAW_TO_ULAW,
    ULAW_TO_ALAW,
    alaw_to_linear,
    linear_to_alaw,
    linear_to_ulaw,
    ulaw_to_linear,
)
from sipstack.media.ports import NoPortsLeft, PortPairs
from sipstack.media.tones import RINGBACK


def test_g711_is_what_everybody_else_has() -> None:
    octets = bytes(range(256))
    assert [ulaw_to_linear(o) for o in octets] == list(
        struct.unpack("<256h", audioop.ulaw2lin(octets, 2))
    )
    assert [alaw_to_linear(o) for o in octets] == list(
        struct.unpack("<256h", audioop.alaw2lin(octets, 2))
    )
    for sample in range(-32768, 32768, 7):
        two = struct.pack("<h", sample)
        # The peers' tables round to the same step or the one beside it.
        assert (
            abs(
                ulaw_to_linear(linear_to_ulaw(sample)) - ulaw_to_linear(audioop.lin2ulaw(two, 2)[0])
            )
            <= 1024
        )
        assert (
            abs(
                alaw_to_linear(linear_to_alaw(sample)) - alaw_to_linear(audioop.lin2alaw(two, 2)[0])
            )
            <= 1024
        )


def test_a_tone_survives_both_translations() -> None:
    frames = b"".join(RINGBACK["eu"].frames("PCMU")[:50])
    through = frames.translate(ULAW_TO_ALAW).translate(ALAW_TO_ULAW)
    samples = [float(ulaw_to_linear(octet)) for octet in through]
    assert strength(samples, 425.0) > 0.9


def test_ears_tell_tones_apart() -> None:
    samples = [float(ulaw_to_linear(o)) for o in b"".join(RINGBACK["eu"].frames("PCMU")[:40])]
    assert hears(samples, 425.0)
    assert not hears(samples, 1000.0)
    assert not hears([0.0] * 8000, 425.0)


def test_ports_are_even_and_rest_before_they_are_used_again() -> None:
    pairs = PortPairs(20001, 20009)
    taken = [pairs.take() for _ in range(3)]
    assert taken == [20002, 20004, 20006]
    pairs.give_back(20002)
    assert pairs.take() == 20008
    pairs = PortPairs(20000, 20005)
    first, second, third = (pairs.take() for _ in range(3))
    with pytest.raises(NoPortsLeft):
        pairs.take()
    pairs.give_back(third)
    pairs.give_back(first)
    assert pairs.take() == third
    # Nothing else is left: rather a pair that has not rested than none.
    assert pairs.take() == first
    assert second == 20002


def test_the_pair_that_has_rested_longest_is_next() -> None:
    pairs = PortPairs(20000, 20399)
    taken = [pairs.take() for _ in range(200)]
    for port in taken[:100]:
        pairs.give_back(port)
    assert [pairs.take() for _ in range(100)] == taken[:100]
