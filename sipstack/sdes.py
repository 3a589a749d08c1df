"""Keys for SRTP in the description (SDES, :rfc:`4568`): who offers and takes which. Pure.

They are as secret as the signalling that carries them: without TLS they are there for all to read.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

#: Octets of a master key and its salt, for both suites.
KEY_SIZE = 30
#: Crypto attributes of one stream that are looked at.
MOST = 16
LONGEST_LINE = 1000

_LINE = re.compile(r"([0-9]{1,9})[ \t]+([A-Za-z0-9_]{1,64})[ \t]+(\S+)((?:[ \t]+\S+)*)[ \t]*")
_LIFETIME = re.compile(r"2\^[0-9]{1,2}|[1-9][0-9]{0,14}")
_MKI = re.compile(r"[0-9]{1,38}:([0-9]{1,3})")


class SrtpError(Exception):
    """What one side wants and the other offers do not go together; the text says why."""


class Mode(StrEnum):
    """What a trunk's ``srtp`` says. ``REQUIRED`` never becomes plain RTP, whatever the peer answers."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Suite(StrEnum):
    """What is agreed on: AES in counter mode, and the length of the tag in bits."""

    TAG_80 = "AES_CM_128_HMAC_SHA1_80"
    TAG_32 = "AES_CM_128_HMAC_SHA1_32"

    @property
    def tag_size(self) -> int:
        """Octets of authentication behind each RTP packet."""
        return 10 if self is Suite.TAG_80 else 4


@dataclass(frozen=True, slots=True)
class Crypto:
    """One ``a=crypto``: the key that its writer encrypts with. ``mki_size`` octets of key number are in its packets."""

    tag: int
    suite: Suite
    key: bytes
    mki_size: int = 0

    def __str__(self) -> str:
        """The attribute's value, behind ``a=crypto:``. A key number is not written: we have one key."""
        return f"{self.tag} {self.suite} inline:{b64encode(self.key).decode()}"

    def __repr__(self) -> str:
        """Without the key, so that no log has it."""
        return f"Crypto({self.tag}, {self.suite})"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Both directions' keys, agreed on."""

    ours: Crypto
    theirs: Crypto


@dataclass(frozen=True, slots=True)
class Plan:
    """How a stream goes into a description: the protocol of its ``m=`` line, its ``a=crypto`` lines, what is agreed.

    ``agreement`` is ``None`` in an offer, and where plain RTP is agreed on.
    """

    protocol: str
    cryptos: tuple[Crypto, ...] = ()
    agreement: Agreement | None = None


def parse(value: str) -> Crypto | None:
    """Read what is behind ``a=crypto:``; ``None``: malformed, or it asks for something that we do not do.

    Not done: other suites, several keys, key derivation rates, unencrypted or unauthenticated streams, error correction.
    A key's lifetime needs nothing of us, since calls end before; whoever has a shorter one sends a new key.
    """
    if len(value) > LONGEST_LINE:
        return None
    found = _LINE.fullmatch(value.strip())
    if found is None or found[2] not in set(Suite):
        return None
    # §6.3: what is not understood must not be accepted, unless it is marked as safe to ignore.
    for parameter in found[4].split():
        if not parameter.startswith(("-", "WSH=")):
            return None
    method, _, rest = found[3].partition(":")
    text, *options = rest.split("|")
    if method.lower() != "inline" or len(options) > 2:
        return None
    try:
        key = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(key) != KEY_SIZE:
        return None
    mki_size = 0
    for option in options:
        if mki := _MKI.fullmatch(option):
            mki_size = int(mki[1])
        elif not _LIFETIME.fullmatch(option):
            return None
    if mki_size > 128:
        return None
    return Crypto(int(found[1]), Suite(found[2]), key, mki_size)


def is_secure(protocol: str) -> bool:
    """Whether the protocol of an ``m=`` line is SRTP."""
    return protocol in ("RTP/SAVP", "RTP/SAVPF")


def _generated(suites: Sequence[Suite], random: Callable[[int], bytes]) -> tuple[Crypto, ...]:
    return tuple(Crypto(tag, suite, random(KEY_SIZE)) for tag, suite in enumerate(suites, start=1))


def offer(mode: Mode, random: Callable[[int], bytes]) -> Plan:
    """What we offer; ``random`` gives that many secret octets.

    ``OPTIONAL`` offers RTP/AVP with keys, which a peer that knows nothing of them passes over.
    """
    if mode is Mode.OFF:
        return Plan("RTP/AVP")
    protocol = "RTP/SAVP" if mode is Mode.REQUIRED else "RTP/AVP"
    return Plan(protocol, _generated((Suite.TAG_80, Suite.TAG_32), random))


def accept(offered: Plan, mode: Mode, protocol: str, values: Sequence[str]) -> Plan:
    """What an answer to our offer means: its ``protocol`` and the values of its ``a=crypto`` lines.

    :raises SrtpError: plain RTP where it may not be, or keys that do not go with the offer.
    """
    if mode is Mode.OFF or not offered.cryptos:
        if is_secure(protocol):
            raise SrtpError("SRTP in the answer to an offer of RTP")
        return Plan(protocol)
    if not values:
        if mode is Mode.REQUIRED or is_secure(protocol):
            raise SrtpError("no key in the answer")
        return Plan(protocol)
    if mode is Mode.REQUIRED and not is_secure(protocol):
        # Keys or no keys: what was offered is taken or refused, and this may mean that it sends plain RTP.
        raise SrtpError("RTP in the answer to an offer of SRTP")
    # From here on the peer encrypts, or believes that it does: there is no way back to plain RTP.
    theirs = parse(values[0]) if len(values) == 1 else None
    if theirs is None:
        raise SrtpError("no usable key in the answer")
    ours = next((crypto for crypto in offered.cryptos if crypto.tag == theirs.tag), None)
    if ours is None or ours.suite is not theirs.suite:
        raise SrtpError("a key in the answer that goes with none of the offer")
    return Plan(protocol, (ours,), Agreement(ours, theirs))


def answer(
    mode: Mode,
    protocol: str,
    values: Sequence[str],
    random: Callable[[int], bytes],
    current: Agreement | None = None,
) -> Plan:
    """Our answer to an offer with this ``protocol`` and these values of ``a=crypto`` lines.

    The first line that can be used is taken: its writer prefers it. ``current``: what was agreed on before; an offer
    that repeats its key gets ours again, so that the streams go on.

    :raises SrtpError: plain RTP where it may not be, or SRTP where there is none.
    """
    secure = is_secure(protocol)
    if mode is Mode.OFF:
        if secure:
            raise SrtpError("SRTP is off")
        return Plan(protocol)
    theirs = next(filter(None, map(parse, values[:MOST])), None)
    if theirs is None:
        if mode is Mode.REQUIRED or secure:
            raise SrtpError("no usable key in the offer" if values else "no key in the offer")
        return Plan(protocol)
    if current is not None and current.theirs == theirs:
        ours = current.ours
    else:
        ours = Crypto(theirs.tag, theirs.suite, random(KEY_SIZE))
    return Plan(protocol, (ours,), Agreement(ours, theirs))
