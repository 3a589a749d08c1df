"""G.711: µ-law and A-law (ITU-T G.711), and straight from one to the other by table."""


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
