"""Descriptions, offers and answers."""

import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.message import ParseError
from sipstack.sdes import Mode
from sipstack.sdp import (
    CODECS,
    Codec,
    LocalMedia,
    RemoteMedia,
    SdpError,
    SessionDescription,
    codec_list,
)

US = codec_list(["PCMU", "PCMA"])


def media() -> LocalMedia:
    return LocalMedia("192.0.2.1", 20000, US, 1)


def offer(body: str, head: str = "c=IN IP4 192.0.2.9\r\n") -> bytes:
    return f"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\n{head}t=0 0\r\n{body}".encode()


def test_an_offer_says_where_and_what() -> None:
    text = media().offer().decode()
    assert "m=audio 20000 RTP/AVP 0 8 101\r\n" in text
    assert "c=IN IP4 192.0.2.1\r\n" in text
    assert "a=fmtp:101 0-16\r\n" in text


def test_the_version_goes_up_only_when_the_description_changes() -> None:
    local = media()
    first, again, held = local.offer(), local.offer(), local.offer("sendonly")
    assert first == again
    assert b"o=- 1 2 " in held


def test_an_answer_with_other_numbers_is_understood_by_name() -> None:
    local = media()
    remote = local.accept_answer(
        offer("m=audio 4000 RTP/AVP 8 97\r\na=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\n")
    )
    assert [(c.payload_type, c.name) for c in remote.codecs] == [
        (8, "PCMA"),
        (97, "telephone-event"),
    ]
    assert [c.payload_type for c in local.receive_codecs] == [8, 101]
    assert (remote.address, remote.port, remote.rtcp_port) == ("192.0.2.9", 4000, 4001)


def test_we_answer_with_the_offer_s_numbers_and_refuse_video() -> None:
    body, remote = media().answer(
        offer(
            "m=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
            "m=audio 4000 RTP/AVP 111 0 96\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:96 telephone-event/8000\r\n"
        )
    )
    text = body.decode()
    assert text.index("m=video 0 RTP/AVP 96") < text.index("m=audio 20000 RTP/AVP 0 96")
    assert [c.name for c in remote.codecs] == ["PCMU", "telephone-event"]


@pytest.mark.parametrize(
    ("lines", "direction", "ours"),
    [
        ("a=sendonly\r\n", "sendonly", "a=recvonly"),
        ("a=inactive\r\n", "inactive", "a=inactive"),
        ("c=IN IP4 0.0.0.0\r\n", "sendonly", "a=recvonly"),
        ("a=recvonly\r\n", "recvonly", "a=sendonly"),
        ("", "sendrecv", "a=sendrecv"),
    ],
)
def test_hold_is_understood_in_both_styles(lines: str, direction: str, ours: str) -> None:
    body, remote = media().answer(offer("m=audio 4000 RTP/AVP 0\r\n" + lines))
    assert remote.direction == direction
    assert ours in body.decode()
    assert remote.on_hold is (direction in ("sendonly", "inactive"))


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"", 400),
        (b"nonsense", 400),
        (b"v=1\r\n", 400),
        (offer("m=audio 0 RTP/AVP 0\r\n"), 488),
        (offer("m=audio 4000 RTP/AVP 18\r\n"), 488),
        (offer("m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n"), 488),
        (offer("m=audio 4000 RTP/SAVP 0\r\n"), 488),
        (offer("m=video 4000 RTP/AVP 0\r\n"), 488),
        (offer("m=audio 4000 RTP/AVP 0\r\n", head=""), 400),
        (offer("m=audio 99999 RTP/AVP 0\r\n"), 400),
        (offer("m=audio 4000 RTP/AVP 0\r\n" * 40), 400),
        (offer("m=audio 4000 RTP/AVP" + " 0" * 65 + "\r\n"), 400),
        (offer("m=audio 4000 RTP/AVP 0\r\na=x:\x07\r\n"), 400),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_status(octets: bytes, status: int) -> None:
    with pytest.raises(SdpError) as caught:
        media().answer(octets)
    assert caught.value.status == status


def test_sloppy_descriptions_are_forgiven() -> None:
    remote = media().accept_answer(b"v=0\no=x\nc=IN IP4 192.0.2.9\nm=audio 4000 RTP/AVP 0 8 101\n")
    assert [c.name for c in remote.codecs] == ["PCMU", "PCMA"]


def test_ipv6_and_rtcp_attributes_are_read() -> None:
    ours = LocalMedia("2001:db8::1", 20000, media().receive_codecs, 1)
    remote = ours.accept_answer(
        offer(
            "m=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::9\r\na=rtcp:5001 IN IP6 2001:db8::8\r\n"
        )
    )
    assert (remote.address, remote.rtcp_address, remote.rtcp_port) == (
        "2001:db8::9",
        "2001:db8::8",
        5001,
    )


@pytest.mark.parametrize(
    "other",
    [
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\na=fmtp:webrtc-datachannel max-message-size=65536\r\n",
        "m=image 0 udptl t38\r\nc=NONE\r\na=rtcp:none\r\n",
        "m=message 0 TCP/MSRP *\r\na=accept-types:*\r\na=rtpmap:* x/8000\r\n",
        "m=video 0 RTP/AVP 96\r\na=rtpmap:960 VP8/90000000\r\na=rtcp:99999999\r\n",
        "m=image 4000 udptl t38\r\n",
    ],
)
def test_what_is_said_of_other_streams_costs_the_audio_nothing(other: str) -> None:
    description = offer("m=audio 4000 RTP/AVP 0\r\n" + other)
    assert media().accept_answer(description).port == 4000
    body, remote = media().answer(description)
    assert remote.port == 4000
    assert f"\r\n{other.split(' ')[0]} 0 {other.split(' ')[2]} " in body.decode()


def test_who_is_described_in_our_place_gets_packets_as_it_wants_them() -> None:
    ours = media()
    other = media().accept_answer(
        offer("m=audio 4000 RTP/AVP 0\r\na=ptime:30\r\na=maxptime:40\r\n")
    )
    ours.stand_for(other)
    assert b"\r\na=ptime:30\r\na=maxptime:40\r\n" in ours.offer()
    ours.stand_for(None)
    again = ours.offer()
    assert b"a=ptime:20\r\n" in again
    assert b"maxptime" not in again


def test_parameters_without_end_are_not_passed_on() -> None:
    """The other leg is asked for what this one asks for: an INVITE of 60 kB would not get there."""
    lines = "m=audio 4000 RTP/AVP 0 8\r\na=fmtp:0 " + "x" * 50000 + "\r\na=fmtp:8 y=1\r\n"
    remote = media().accept_answer(offer(lines))
    assert [codec.fmtp for codec in remote.codecs] == [None, "y=1"]


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("IP4", "phone.example.net"),
        ("IP6", "2001:db8::1"),
        ("IP4", "224.2.1.1/127"),
        ("IP4", "999.1.1.1"),
        ("IP4", "1." * 1000),
        ("IP6", "fe80::1%eth0;x"),
    ],
)
def test_audio_at_an_address_that_nothing_can_be_sent_to_is_refused(
    kind: str, address: str
) -> None:
    """It would be a call of two who hear nothing, and nobody would know why."""
    description = offer(f"m=audio 4000 RTP/AVP 0\r\nc=IN {kind} {address}\r\n")
    for take in (media().accept_answer, media().answer):
        with pytest.raises(SdpError) as caught:
            take(description)
        assert (caught.value.status, caught.value.reason) == (
            488,
            "Audio at an address that we cannot send to",
        )


def test_codecs_are_the_same_by_name_rate_and_channels() -> None:
    assert Codec(97, "pcmu", 8000).same_as(CODECS["PCMU"])
    assert not Codec(97, "PCMU", 16000).same_as(CODECS["PCMU"])


#: As a browser's softphone offers: bundled, ICE-lite, both streams with an address of their own.
BUNDLED = (
    "a=group:BUNDLE 0 1\r\na=ice-lite\r\na=msid-semantic: WMS *\r\n"
    "m=audio 4000 RTP/AVPF 111 9 0 110\r\nc=IN IP4 198.51.100.7\r\na=rtcp:4003 IN IP4 198.51.100.8\r\n"
    "a=mid:0\r\na=ice-ufrag:Rk0s\r\na=ice-pwd:oFh1x0bYcMTi0yL9mkk6b1Fq\r\n"
    "a=candidate:1 1 udp 2130706431 203.0.113.66 5555 typ host\r\na=end-of-candidates\r\n"
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=rtcp-fb:111 transport-cc\r\na=setup:actpass\r\n"
    "a=rtpmap:111 opus/48000/2\r\na=rtpmap:110 telephone-event/8000\r\na=rtcp-mux\r\na=ssrc:77 cname:x\r\n"
    "m=video 4000 RTP/AVPF 96\r\nc=IN IP4 198.51.100.9\r\na=mid:1\r\na=bundle-only\r\na=rtpmap:96 VP8/90000\r\n"
    "m=application 4000 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n"
)


def test_bundled_and_ice_attributes_are_passed_over_and_other_streams_refused() -> None:
    body, remote = media().answer(offer(BUNDLED, head=""))
    # Its own c= and a=rtcp count; no candidate does, nor the address of another stream.
    assert (remote.address, remote.port) == ("198.51.100.7", 4000)
    assert (remote.rtcp_address, remote.rtcp_port, remote.rtcp_mux) == ("198.51.100.8", 4003, True)
    assert [(c.payload_type, c.name) for c in remote.codecs] == [
        (0, "PCMU"),
        (110, "telephone-event"),
    ]
    text = body.decode()
    assert re.findall(r"^m=(.*?)\r$", text, re.M) == [
        "audio 20000 RTP/AVPF 0 110",
        "video 0 RTP/AVPF 96",
        "application 0 UDP/DTLS/SCTP webrtc-datachannel",
    ]
    assert not re.search("BUNDLE|ice|candidate|mid|setup|extmap", text)


def test_a_stream_that_is_held_and_one_of_no_port_leave_the_other_of_two() -> None:
    body, remote = media().answer(
        offer("m=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/AVP 0 8\r\na=sendonly\r\na=ptime:30\r\n")
    )
    assert (remote.port, remote.direction, remote.ptime) == (4000, "sendonly", 30)
    assert body.decode().index("m=audio 0 RTP/AVP 0\r\n") < body.decode().index("m=audio 20000")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 300), st.integers(0, 30), st.binary(max_size=20))
def test_damaged_descriptions_raise_nothing_but_parse_errors(
    at: int, cut: int, noise: bytes
) -> None:
    whole = offer(
        "m=audio 4000 RTP/AVP 0 8 96\r\na=rtpmap:96 telephone-event/8000\r\na=ptime:20\r\n"
    )
    try:
        SessionDescription.parse(whole[:at] + noise + whole[at + cut :])
        media().answer(whole[:at] + noise + whole[at + cut :])
    except ParseError:
        pass


# --- encrypted audio


def secured(mode: Mode) -> LocalMedia:
    return LocalMedia(
        "192.0.2.1", 20000, codec_list(["PCMU"]), 1, srtp=mode, random=Random(3).randbytes
    )


def exchanged(one: LocalMedia, two: LocalMedia) -> tuple[RemoteMedia, RemoteMedia]:
    """What each learns of the other in an offer by ``one``."""
    body, seen_by_two = two.answer(one.offer())
    return one.accept_answer(body), seen_by_two


@pytest.mark.parametrize("mode", [Mode.OPTIONAL, Mode.REQUIRED])
def test_both_sides_agree_on_each_other_s_keys(mode: Mode) -> None:
    one, two = secured(mode), secured(mode)
    first, second = exchanged(one, two)
    assert first.agreement is not None
    assert second.agreement is not None
    assert first.agreement.ours.key == second.agreement.theirs.key
    assert first.agreement.theirs.key == second.agreement.ours.key


@pytest.mark.parametrize("asks", ["one", "two"])
def test_an_offer_in_the_call_keeps_the_keys(asks: str) -> None:
    one, two = secured(Mode.REQUIRED), secured(Mode.REQUIRED)
    before, _ = exchanged(one, two)
    if asks == "one":
        after, _ = exchanged(one, two)
    else:
        _, after = exchanged(two, one)
    assert after.agreement == before.agreement


def test_who_knows_nothing_of_keys_is_answered_in_the_clear_only_where_that_may_be() -> None:
    plain = secured(Mode.OFF)
    first, second = exchanged(secured(Mode.OPTIONAL), plain)
    assert (first.agreement, second.agreement) == (None, None)
    with pytest.raises(SdpError) as error:
        exchanged(secured(Mode.REQUIRED), plain)
    assert error.value.status == 488
    with pytest.raises(SdpError):
        exchanged(plain, secured(Mode.REQUIRED))
    required = secured(Mode.REQUIRED)
    offered = required.offer().replace(b"RTP/SAVP", b"RTP/AVP")
    body, _ = plain.answer(offered)
    with pytest.raises(SdpError):
        required.accept_answer(body)


def test_no_key_is_in_the_clear_after_the_peer_has_left_it_out() -> None:
    """A re-INVITE without keys in an encrypted call: never silently plain."""
    one, two = secured(Mode.REQUIRED), secured(Mode.REQUIRED)
    exchanged(one, two)
    with pytest.raises(SdpError):
        one.answer(secured(Mode.OFF).offer())
