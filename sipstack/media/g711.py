"""G.711: µ-law and A-law (ITU-T G.711), and straight from one to the other by table."""

from collections.abc import Iterable
from functools import cache


def ulaw_to_linear(octet: int) -> int:
    """The 14-bit sample (times 4: 16-bit scale) of a µ-law octet."""
    value = ~octet & 0xFF
    magnitude = (((value & 0x0F) << 3) + 0x84) << ((value & 0x70) >> 4)
    return 0x84 - magnitude if value & 0x80 else magnitude - 0x84


def linear_to_ulaw(sample: int) -> int:
    """The µ-law octet nearest to a 16-bit sample."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 0x84
    segment = max(0, magnitude.bit_length() - 8)
    return ~(sign | segment << 4 | (magnitude >> (segment + 3)) & 0x0F) & 0xFF


def alaw_to_linear(octet: int) -> int:
    """The 13-bit sample (on the 16-bit scale) of an A-law octet."""
    value = octet ^ 0x55
    segment = (value & 0x70) >> 4
    magnitude = (value & 0x0F) << 4
    magnitude = magnitude + 8 if segment == 0 else (magnitude + 0x108) << (segment - 1)
    return magnitude if value & 0x80 else -magnitude


def linear_to_alaw(sample: int) -> int:
    """The A-law octet nearest to a 16-bit sample."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = min(abs(sample) if sample >= 0 else -sample - 1, 32767)
    segment = max(0, magnitude.bit_length() - 8)
    mantissa = magnitude >> (segment + 3 if segment else 4)
    return (sign | segment << 4 | mantissa & 0x0F) ^ 0x55


#: For bytes.translate: a whole payload at once, in C.
ULAW_TO_ALAW = bytes(linear_to_alaw(ulaw_to_linear(octet)) for octet in range(256))
ALAW_TO_ULAW = bytes(linear_to_ulaw(alaw_to_linear(octet)) for octet in range(256))

_TO_LINEAR = {"PCMU": ulaw_to_linear, "PCMA": alaw_to_linear}
_FROM_LINEAR = {"PCMU": linear_to_ulaw, "PCMA": linear_to_alaw}


@cache
def _octets(encoding: str) -> bytes:
    # Every sample's octet; negative samples stand at the end, where a negative index finds them.
    return bytes(map(_FROM_LINEAR[encoding], (*range(0x8000), *range(-0x8000, 0))))


@cache
def linear_tables(encoding: str) -> tuple[bytes, bytes]:
    """For bytes.translate of ``PCMU`` or ``PCMA``: the low and the high octet of each octet's 16-bit sample.

    :raises KeyError: another encoding.
    """
    samples = [_TO_LINEAR[encoding](octet) & 0xFFFF for octet in range(256)]
    return bytes(sample & 0xFF for sample in samples), bytes(sample >> 8 for sample in samples)


def encode(samples: Iterable[int], encoding: str) -> bytes:
    """16-bit samples as ``PCMU`` or ``PCMA``, one octet each.

    :raises KeyError: another encoding.
    :raises IndexError: a sample of more than 16 bits.
    """
    return bytes(map(_octets(encoding).__getitem__, samples))


def decode(octets: bytes, encoding: str) -> bytes:
    """``PCMU`` or ``PCMA`` as little-endian 16-bit samples.

    :raises KeyError: another encoding.
    """
    low, high = linear_tables(encoding)
    samples = bytearray(2 * len(octets))
    samples[0::2] = octets.translate(low)
    samples[1::2] = octets.translate(high)
    return bytes(samples)
