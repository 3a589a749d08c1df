"""Session descriptions (:rfc:`8866`) and one audio stream's side of offer and answer (:rfc:`3264`). Pure."""

import contextlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sipstack import sdes
from sipstack.literal import family_of
from sipstack.message import ParseError
from sipstack.sdes import MOST, Agreement, Mode, Plan

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_MOST_LINES = 1000
_MOST_MEDIA = 16
_MOST_FORMATS = 64
#: Characters of a format's parameters, which the other leg of a call is asked for too; opus has some 200.
_LONGEST_FMTP = 500
#: Milliseconds of audio in a packet, as phones have them.
PACKET_TIMES = (10, 20, 30, 40, 60)
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_REVERSED = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}


class SdpError(ParseError):
    """A description that cannot be read (400) or that shares nothing with us (488)."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One RTP payload format: its number in a description, encoding name, clock rate in Hz, channels, parameters."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    fmtp: str | None = None

    def same_as(self, other: "Codec") -> bool:
        """Whether the encoding is the same, whatever its number."""
        return (
            (self.name == other.name or self.name.upper() == other.name.upper())
            and self.clock_rate == other.clock_rate
            and self.channels == other.channels
        )

    def among(self, codecs: "Sequence[Codec]") -> "Codec | None":
        """The first of ``codecs`` that is the same, if one is."""
        for other in codecs:
            if self.same_as(other):
                return other
        return None


CODECS: dict[str, Codec] = {
    "PCMU": Codec(0, "PCMU", 8000),
    "PCMA": Codec(8, "PCMA", 8000),
    "G722": Codec(9, "G722", 8000),
    "opus": Codec(107, "opus", 48000, 2, "useinbandfec=1"),
    "telephone-event": Codec(101, "telephone-event", 8000, 1, "0-16"),
}
"""The formats that we offer, by the names of the settings."""

_STATIC: dict[int, Codec] = {
    0: CODECS["PCMU"],
    3: Codec(3, "GSM", 8000),
    4: Codec(4, "G723", 8000),
    8: CODECS["PCMA"],
    9: CODECS["G722"],
    13: Codec(13, "CN", 8000),
    18: Codec(18, "G729", 8000),
}


def codec_list(names: Sequence[str]) -> tuple[Codec, ...]:
    """The codecs of these names in this order, and telephone-event.

    :raises KeyError: a name that we do not know.
    """
    codecs = [CODECS[name] for name in names if name != "telephone-event"]
    return (*codecs, CODECS["telephone-event"])


class MediaDescription(NamedTuple):
    """One ``m=`` section. ``address`` is ``None`` where only the session has one."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    codecs: tuple[Codec, ...] = ()
    direction: str | None = None
    address: str | None = None
    rtcp_port: int | None = None
    rtcp_address: str | None = None
    rtcp_mux: bool = False
    ptime: int | None = None
    maxptime: int | None = None
    #: What is behind each ``a=crypto``.
    cryptos: tuple[str, ...] = ()


class SessionDescription(NamedTuple):
    """A whole description, as far as an audio call needs it."""

    address: str | None
    direction: str | None
    media: tuple[MediaDescription, ...]

    @classmethod
    def parse(cls, octets: bytes) -> "SessionDescription":
        """Read a description; bare line feeds and missing lines that nobody needs are forgiven.

        :raises SdpError: 400, it is none.
        """
        text = octets.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
        lines = [line.rstrip("\r ") for line in text.split("\n") if line.strip()]
        if not lines or len(lines) > _MOST_LINES:
            raise SdpError(400, "No usable SDP")
        if _CONTROL.search(text.replace("\r", "")):
            raise SdpError(400, "Control character in SDP")
        if lines[0].replace(" ", "") != "v=0":
            raise SdpError(400, "SDP without v=0")
        session: list[str] = []
        sections: list[list[str]] = []
        for line in lines:
            if line[1:2] != "=":
                raise SdpError(400, "Malformed SDP line")
            if line[0] == "m":
                sections.append([line])
                if len(sections) > _MOST_MEDIA:
                    raise SdpError(400, "Too many media in SDP")
            elif sections:
                sections[-1].append(line)
            else:
                session.append(line)
        return cls(
            address=_address(session),
            direction=_direction(session),
            media=tuple([_media(section) for section in sections]),
        )


def _address(lines: Sequence[str]) -> str | None:
    for line in lines:
        if line.startswith("c="):
            parts = line[2:].split()
            if len(parts) != 3 or parts[0] != "IN" or parts[1] not in ("IP4", "IP6"):
                raise SdpError(400, "Malformed c= line")
            return parts[2].partition("/")[0]
    return None


def _direction(lines: Sequence[str]) -> str | None:
    found = None
    for line in lines:
        if line[:2] == "a=" and line[2:].strip() in DIRECTIONS:
            found = line[2:].strip()
    return found


def _number(text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > most:
        raise SdpError(400, "Malformed number in SDP")
    return int(text)


def _media(lines: Sequence[str]) -> MediaDescription:
    fields = lines[0][2:].split(None, 3 + _MOST_FORMATS)
    if len(fields) < 3:
        raise SdpError(400, "Malformed m= line")
    kind, port_text, protocol, *formats = fields
    if len(formats) > _MOST_FORMATS:
        raise SdpError(400, "Too many formats in SDP")
    port = _number(port_text.partition("/")[0], 65535)
    if kind != "audio":
        # It is refused in its own words, which are none of ours: what cannot be read in them costs the audio nothing.
        address: str | None = None
        with contextlib.suppress(SdpError):
            address = _address(lines)
        return MediaDescription(kind, port, protocol, tuple(formats), address=address)
    maps: dict[int, Codec] = {}
    parameters: dict[int, str] = {}
    rtcp_port: int | None = None
    rtcp_address: str | None = None
    rtcp_mux = False
    direction: str | None = None
    times: dict[str, int] = {}
    cryptos: list[str] = []
    for line in lines[1:]:
        if line[0] != "a":
            continue
        name, _, value = line[2:].partition(":")
        if name == "rtpmap":
            text, _, encoding = value.strip().partition(" ")
            codec = _rtpmap(text, encoding.strip())
            if codec is not None:
                maps[codec.payload_type] = codec
        elif name == "fmtp":
            text, _, parameter = value.strip().partition(" ")
            if len(parameter) <= _LONGEST_FMTP:
                parameters[_number(text, 127)] = parameter.strip()
        elif name == "rtcp":
            parts = value.split()
            if parts:
                rtcp_port = _number(parts[0], 65535)
            if len(parts) == 4:
                rtcp_address = parts[3]
        elif name == "rtcp-mux":
            rtcp_mux = True
        elif name == "crypto":
            cryptos.append(value)
        elif name in ("ptime", "maxptime") and re.fullmatch("[0-9]{1,3}", value.strip()):
            times[name] = int(value)
        elif line[2:].strip() in DIRECTIONS:
            direction = line[2:].strip()
    codecs: list[Codec] = []
    if "RTP/" in protocol:
        for text in formats:
            number = _number(text, 127)
            known = maps.get(number) or _STATIC.get(number)
            if known is not None:
                fmtp = parameters.get(number)
                if (known.payload_type, known.fmtp) != (number, fmtp):
                    known = replace(known, payload_type=number, fmtp=fmtp)
                codecs.append(known)
    return MediaDescription(
        kind=kind,
        port=port,
        protocol=protocol,
        formats=tuple(formats),
        codecs=tuple(codecs),
        direction=direction,
        address=_address(lines),
        rtcp_port=rtcp_port,
        rtcp_address=rtcp_address,
        rtcp_mux=rtcp_mux,
        ptime=times.get("ptime"),
        maxptime=times.get("maxptime"),
        cryptos=tuple(cryptos[:MOST]),
    )


def _rtpmap(number: str, encoding: str) -> Codec | None:
    """A format; ``None`` for one that is described by half, and so is none that we could use."""
    name, _, rest = encoding.partition("/")
    rate, _, channels = rest.partition("/")
    if not name or not rate:
        return None
    count = _number(channels, 16) if channels.isdigit() else 1
    return Codec(_number(number, 127), name, _number(rate.strip(), 1_000_000), count)


class RemoteMedia(NamedTuple):
    """What a peer's description says of our one audio stream.

    ``codecs`` are those both sides have, preferred first, with the numbers the peer wants to receive; ``direction`` is
    the peer's own view; ``on_hold`` covers the old style (address 0.0.0.0) too. With ``rtcp_mux`` both sides have RTCP on
    the port of RTP (:rfc:`5761`). ``withheld``: nothing is sent to the addresses it names, but only to where the peer
    is heard from.
    """

    address: str
    port: int
    rtcp_address: str
    rtcp_port: int
    codecs: tuple[Codec, ...]
    direction: str = "sendrecv"
    ptime: int | None = None
    maxptime: int | None = None
    rtcp_mux: bool = False
    withheld: bool = False
    #: The keys of both sides; ``None``: plain RTP.
    agreement: Agreement | None = None

    @property
    def on_hold(self) -> bool:
        """Whether the peer wants to hear nothing now."""
        return self.direction in ("sendonly", "inactive")

    def packet_time(self, usual: int) -> int:
        """Milliseconds of audio that a packet to the peer had best have (:rfc:`8866` §6.3, §6.4).

        That is what it asks for, or ``usual``, unless it can take only less. Of what it says only common times count:
        nobody is made to send a thousand packets a second for it.
        """
        wanted = self.ptime if self.ptime in PACKET_TIMES else usual
        if not self.maxptime or wanted <= self.maxptime:
            return wanted
        return max(
            (time for time in PACKET_TIMES if time <= self.maxptime), default=PACKET_TIMES[0]
        )


class LocalMedia:
    """Our side of a leg's one audio stream: makes offers, reads answers, answers offers.

    ``address`` and ``port`` are where we receive RTP; ``codecs`` what we take, preferred first, with our numbers;
    ``ptime`` the milliseconds of audio that a packet to us had best have; ``srtp`` whether it is to be encrypted, with keys of
    ``random`` octets.
    """

    def __init__(
        self,
        address: str,
        port: int,
        codecs: tuple[Codec, ...],
        session_id: int,
        ptime: int = 20,
        srtp: Mode = Mode.OFF,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.address = address
        self.port = port
        self.ptime = ptime
        #: What was agreed on, with the numbers that we receive; what we offer, before that.
        self.receive_codecs = codecs
        #: The direction that we want, from our view; a held peer's refresh must not undo the hold.
        self.direction = "sendrecv"
        self._codecs = codecs
        #: Whose stream is described instead of ours.
        self._other: RemoteMedia | None = None
        self._before_offer = codecs
        self._srtp = srtp
        self._random = random
        self._offered = Plan("RTP/AVP")
        #: What was agreed on last: the protocol and the keys.
        self._agreed: Plan | None = None
        self._session_id = session_id
        self._version = 0
        self._last: tuple[str, str] | None = None

    def restrict(self, codecs: tuple[Codec, ...]) -> None:
        """Offer and take only these from the next description on."""
        self._codecs = codecs

    def stand_for(self, other: RemoteMedia | None) -> None:
        """Describe another party's stream from the next description on, so that the two send to each other past us
        (:rfc:`3725`); ``None``: ours again."""
        self._other = other

    @property
    def stands_for_another(self) -> bool:
        """Whether it is another party's stream that is described."""
        return self._other is not None

    @property
    def _ours(self) -> tuple[Codec, ...]:
        """What can be offered and agreed on now."""
        return self._other.codecs if self._other is not None else self._codecs

    def offer(self, direction: str | None = None) -> bytes:
        """A description that offers our stream, from now on in ``direction`` where one is given."""
        self.direction = direction or self.direction
        self._before_offer = self.receive_codecs
        self.receive_codecs = self._ours
        if self._agreed is None:
            self._offered = sdes.offer(self._srtp, self._random)
        elif self._agreed.agreement is not None:
            # The same key: who knows it goes on with the stream.
            self._offered = self._agreed
        else:
            self._offered = Plan("RTP/AVP")
        return self._describe([self._section(self._ours, self.direction, self._offered)])

    def withdraw_offer(self) -> None:
        """The peer refused our offer: what was agreed on before stays (:rfc:`3261` §14.1)."""
        self.receive_codecs = self._before_offer

    def accept_answer(self, answer: bytes) -> RemoteMedia:
        """Take the peer's answer to our offer.

        :raises SdpError: it cannot be read, refuses the stream, or has no codec of ours.
        """
        description = SessionDescription.parse(answer)
        if not description.media or description.media[0].kind != "audio":
            raise SdpError(488, "No audio in the answer")
        media = description.media[0]
        remote, receive = self._agree(description, media)
        try:
            plan = sdes.accept(self._offered, self._srtp, media.protocol, media.cryptos)
        except sdes.SrtpError as error:
            raise SdpError(488, str(error)) from error
        self._agreed = plan
        if plan.agreement is not None:
            remote = remote._replace(agreement=plan.agreement)
        # The answer's numbers should be those of our offer; some peers renumber, and the names decide.
        self.receive_codecs = receive
        return remote

    def answer(self, offer: bytes) -> tuple[bytes, RemoteMedia]:
        """Answer the peer's offer: our description, and what we learned of the peer's stream.

        The first audio stream that we can use is taken, every other one is refused with port 0. Of the direction that
        we want it is what the offer leaves us.

        :raises SdpError: there is no audio that we can use.
        """
        description = SessionDescription.parse(offer)
        chosen: tuple[int, RemoteMedia, tuple[Codec, ...], Plan] | None = None
        failure = SdpError(488, "No audio in the offer")
        for index, media in enumerate(description.media):
            if media.kind != "audio" or not media.port:
                continue
            try:
                remote, receive = self._agree(description, media)
                plan = self._answer_plan(media)
            except SdpError as error:
                failure = error
                continue
            chosen = (index, remote._replace(agreement=plan.agreement), receive, plan)
            break
        if chosen is None:
            raise failure
        index, remote, receive, plan = chosen
        self._agreed = plan
        wanted = _narrowed(_REVERSED[remote.direction], self.direction)
        sections = []
        for at, media in enumerate(description.media):
            if at == index:
                # An answer uses the offer's numbers (RFC 3264 §6.1).
                numbered = tuple(
                    replace(codec, fmtp=own.fmtp)
                    for codec, own in zip(remote.codecs, receive, strict=True)
                )
                sections.append(self._section(numbered, wanted, plan, media.rtcp_mux))
            else:
                formats = " ".join(media.formats) or "0"
                sections.append([f"m={media.kind} 0 {media.protocol} {formats}"])
        self.receive_codecs = remote.codecs
        return self._describe(sections), remote

    def _answer_plan(self, media: MediaDescription) -> Plan:
        current = self._agreed.agreement if self._agreed is not None else None
        try:
            return sdes.answer(self._srtp, media.protocol, media.cryptos, self._random, current)
        except sdes.SrtpError as error:
            raise SdpError(488, str(error)) from error

    def _agree(
        self, description: SessionDescription, media: MediaDescription
    ) -> tuple[RemoteMedia, tuple[Codec, ...]]:
        if media.port == 0:
            raise SdpError(488, "Audio refused")
        if media.protocol not in ("RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF"):
            raise SdpError(488, "Audio over an unknown protocol")
        address = media.address or description.address
        if address is None:
            raise SdpError(400, "SDP without c= line")
        if not _can_be_sent_to(address, ":" in self.address):
            raise SdpError(488, "Audio at an address that we cannot send to")
        ours, receive, send = self._ours, list[Codec](), list[Codec]()
        for theirs in media.codecs:
            for own in ours:
                if own.same_as(theirs):
                    if own not in receive:
                        receive.append(own)
                        send.append(theirs)
                    break
        if not [own for own in receive if own.name != "telephone-event"]:
            raise SdpError(488, "No codec in common")
        direction = media.direction or description.direction or "sendrecv"
        if address in ("0.0.0.0", "::"):  # noqa: S104 - hold in the style of RFC 2543
            direction = "inactive" if direction in ("recvonly", "inactive") else "sendonly"
        remote = RemoteMedia(
            address=address,
            port=media.port,
            rtcp_address=media.rtcp_address or address,
            rtcp_port=media.rtcp_port or min(media.port + 1, 65535),
            codecs=tuple(send),
            direction=direction,
            ptime=media.ptime,
            maxptime=media.maxptime,
            rtcp_mux=media.rtcp_mux,
        )
        return remote, tuple(receive)

    def _section(
        self,
        codecs: tuple[Codec, ...],
        direction: str,
        plan: Plan,
        rtcp_mux: bool = True,
    ) -> list[str]:
        numbers = " ".join([str(codec.payload_type) for codec in codecs])
        other = self._other
        port = other.port if other is not None else self.port
        lines = [f"m=audio {port} {plan.protocol} {numbers}"]
        lines += [f"a=crypto:{crypto}" for crypto in plan.cryptos]
        for codec in codecs:
            channels = f"/{codec.channels}" if codec.channels > 1 else ""
            lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}")
            if codec.fmtp:
                lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
        if other is not None:
            rtcp_mux = rtcp_mux and other.rtcp_mux
            if (other.rtcp_address, other.rtcp_port) != (other.address, other.port + 1):
                lines.append(f"a=rtcp:{other.rtcp_port} {_network(other.rtcp_address)}")
        if rtcp_mux:
            lines.append("a=rtcp-mux")
        ptime = other.packet_time(self.ptime) if other is not None else self.ptime
        lines.append(f"a=ptime:{ptime}")
        if other is not None and other.maxptime:
            lines.append(f"a=maxptime:{other.maxptime}")
        lines.append(f"a={direction}")
        return lines

    def _describe(self, sections: list[list[str]]) -> bytes:
        place = self._other.address if self._other is not None else self.address
        body = "\r\n".join(["\r\n".join(section) for section in sections])
        if (place, body) != self._last:
            # §8 of RFC 3264: the version goes up by one when, and only when, the description changes.
            self._version += 1
            self._last = place, body
        head = (
            "v=0",
            f"o=- {self._session_id} {self._version} {_network(self.address)}",
            "s=-",
            f"c={_network(place)}",
            "t=0 0",
        )
        # A stream that we refuse is described in its own words, which need not be UTF-8.
        return ("\r\n".join((*head, body)) + "\r\n").encode("utf-8", "surrogateescape")


def _can_be_sent_to(address: str, six: bool) -> bool:
    """Whether it is an IP literal of our family (``six``: IPv6), and of one host; 0.0.0.0 is one that is on hold."""
    return family_of(address) == (6 if six else 4)


def _network(address: str) -> str:
    """An address with its kind of network, as SDP writes it."""
    return f"IN {'IP6' if ':' in address else 'IP4'} {address}"


def _narrowed(allowed: str, wanted: str) -> str:
    sends = allowed in ("sendrecv", "sendonly") and wanted in ("sendrecv", "sendonly")
    receives = allowed in ("sendrecv", "recvonly") and wanted in ("sendrecv", "recvonly")
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"
