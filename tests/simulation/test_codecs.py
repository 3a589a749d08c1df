"""What the two phones of a call speak: the same, if there is a way to it without changing the sound."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sipstack.message import Request, Response, parse_datagram
from sipstack.sdp import codec_list
from tests.simulation.scripts import Script
from tests.simulation.test_flow import CUSTOMER, DESK, Outcome, good

ULAW, ALAW, WIDE = "0 PCMU/8000", "8 PCMA/8000", "9 G722/8000"


def speaks(*codecs: str, **more: Any) -> Script:
    return Script(answer_after=1.0, codecs=codecs, **more)


def offered(outcome: Outcome, host: str) -> list[list[str]]:
    """The voice codecs of each offer that a phone got, in order, copies left out."""
    found: dict[tuple[str, int], list[str]] = {}
    for passage in outcome.network.journal:
        message = parse_datagram(passage.data)
        if passage.destination[0] == host and isinstance(message, Request) and message.body:
            names = re.findall(r"a=rtpmap:\d+ ([^/]+)/", message.body.decode())
            names = [name for name in names if name != "telephone-event"]
            found[message.call_id, message.cseq.number] = names
    return list(found.values())


def call(desk: Script, customer: Script, **more: Any) -> Outcome:
    codecs = codec_list(["G722", "PCMU", "PCMA"])
    return good(desk, customer, codecs=codecs, max_duration=10.0, **more)


def test_the_contact_is_offered_first_what_the_extension_took() -> None:
    outcome = call(speaks(ALAW), speaks(ALAW, ULAW, WIDE))
    assert offered(outcome, CUSTOMER)[0][0] == "PCMA"


@pytest.mark.parametrize(
    ("desk", "customer"),
    [
        ((WIDE, ULAW), (WIDE, ULAW)),
        ((ULAW,), (ULAW,)),
        ((ULAW,), (ALAW,)),  # the relay makes one of the other
        ((WIDE,), (WIDE, ALAW)),
    ],
)
def test_what_goes_through_is_left_alone(desk: tuple[str, ...], customer: tuple[str, ...]) -> None:
    outcome = call(speaks(*desk), speaks(*customer))
    assert (len(offered(outcome, DESK)), len(offered(outcome, CUSTOMER))) == (1, 1)


def test_else_the_extension_moves_to_what_the_contact_has() -> None:
    outcome = call(speaks(WIDE, ULAW), speaks(ULAW))
    assert offered(outcome, DESK) == [["G722", "PCMU", "PCMA"], ["PCMU", "PCMA"]]
    assert len(offered(outcome, CUSTOMER)) == 1
    remote = outcome.media.legs[0].remotes[-1]
    assert [codec.name for codec in remote.codecs] == ["PCMU", "telephone-event"]


def test_whoever_was_rung_first_is_the_one_that_moves() -> None:
    outcome = call(speaks(ULAW), speaks(WIDE, ULAW), dial_first="contact")
    assert offered(outcome, CUSTOMER)[-1] == ["PCMU", "PCMA"]


def test_one_who_will_not_move_keeps_the_call() -> None:
    outcome = call(speaks(WIDE, ULAW, statuses=(("INVITE", 488),)), speaks(ULAW))
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"


def test_hold_after_it_stays_with_the_codec() -> None:
    holds = speaks(WIDE, ULAW, reinvite_after=6.0, resume_after=7.0)
    outcome = call(holds, speaks(ULAW))
    remote = outcome.media.legs[0].remotes[-1]
    assert remote.codecs[0].name == "PCMU"


def test_what_the_extension_s_decoder_wants_is_asked_of_the_contact() -> None:
    opus = "107 opus/48000/2\r\na=fmtp:107 maxaveragebitrate=20000;stereo=0"
    outcome = good(
        speaks(opus), speaks(opus), codecs=codec_list(["PCMU", "opus"]), max_duration=10.0
    )
    invites = [
        message.body.decode()
        for passage in outcome.network.journal
        if passage.destination[0] == CUSTOMER
        and isinstance(message := parse_datagram(passage.data), Request)
        and message.method == "INVITE"
        and message.body
    ]
    assert "m=audio 20002 RTP/AVP 107 0 101\r\n" in invites[0]
    assert "a=fmtp:107 maxaveragebitrate=20000;stereo=0\r\n" in invites[0]
    assert "useinbandfec" not in invites[0]


def answered(outcome: Outcome, host: str) -> list[list[str]]:
    """The voice codecs of each answer that a phone got to an offer of its own, in order, copies left out."""
    found: dict[int, list[str]] = {}
    for passage in outcome.network.journal:
        message = parse_datagram(passage.data)
        if passage.destination[0] == host and isinstance(message, Response) and message.body:
            names = re.findall(r"a=rtpmap:\d+ ([^/]+)/", message.body.decode())
            found[message.cseq.number] = [name for name in names if name != "telephone-event"]
    return list(found.values())


@pytest.mark.parametrize(
    ("offers", "agreed"),
    [((WIDE, ULAW), [["PCMU"]]), ((WIDE, ALAW), [["PCMA"]]), ((WIDE,), [])],
)
@pytest.mark.parametrize("who", [DESK, CUSTOMER])
def test_who_offers_more_in_the_call_is_answered_what_the_other_one_can_take(
    who: str, offers: tuple[str, ...], agreed: list[list[str]]
) -> None:
    """As of a phone that takes a call up again, or is a PBX that has moved it: G.722 alone would be silence for both."""
    more = {"reinvite_after": 5.0, "offers": offers}
    scripts = [speaks(ULAW, **(more if who == host else {})) for host in (DESK, CUSTOMER)]
    outcome = call(*scripts)
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"
    assert answered(outcome, who) == agreed
    # Where there is nothing it stays as it was.
    index = 0 if who == DESK else 1
    codec, *_ = outcome.media.legs[index].remotes[-1].codecs
    assert codec.name == (agreed[0][0] if agreed else "PCMU")


def test_who_moves_to_another_codec_widens_what_the_other_one_may_offer() -> None:
    desk = speaks(ULAW, WIDE, reinvite_after=4.0, offers=(WIDE, ULAW))
    customer = speaks(ULAW, WIDE, reinvite_after=6.0, offers=(WIDE,))
    outcome = call(desk, customer)
    assert answered(outcome, DESK) == [["G722", "PCMU"]]
    assert answered(outcome, CUSTOMER) == [["G722"]]


def asked_for(outcome: Outcome, host: str) -> list[str]:
    """The ptime of each offer that a phone got, in order, copies left out."""
    found: dict[tuple[str, int], str] = {}
    for passage in outcome.network.journal:
        message = parse_datagram(passage.data)
        if passage.destination[0] == host and isinstance(message, Request) and message.body:
            (found[message.call_id, message.cseq.number],) = re.findall(
                r"a=ptime:(\d+)", message.body.decode()
            )
    return list(found.values())


@pytest.mark.parametrize(
    ("said", "ptime"),
    [
        ("", "20"),
        ("a=ptime:30", "30"),
        ("a=ptime:20", "20"),
        ("a=ptime:60\r\na=maxptime:40", "40"),
        ("a=maxptime:10", "10"),
        ("a=maxptime:150", "20"),
        # Nobody is made to send a thousand packets a second, or seconds in one.
        ("a=ptime:1", "20"),
        ("a=ptime:999", "20"),
        ("a=ptime:0\r\na=maxptime:0", "20"),
        ("a=ptime:x\r\na=maxptime:-5", "20"),
    ],
)
def test_the_contact_is_asked_for_packets_as_the_extension_wants_them(
    said: str, ptime: str
) -> None:
    """What the contact sends, the extension gets: the relay cuts no packets."""
    outcome = call(speaks(f"{ULAW}\r\n{said}" if said else ULAW), speaks(ULAW))
    assert asked_for(outcome, CUSTOMER) == [ptime]
    assert asked_for(outcome, DESK) == ["20"]


def test_the_extension_sends_no_longer_packets_than_the_contact_can_take() -> None:
    outcome = call(speaks(ULAW), speaks(f"{ULAW}\r\na=ptime:10\r\na=maxptime:10"))
    assert asked_for(outcome, DESK) == ["20", "10"]
    assert asked_for(outcome, CUSTOMER) == ["20"]


def test_a_wish_of_the_contact_alone_moves_nobody() -> None:
    """Whoever says ``ptime`` only can play what is longer (:rfc:`8866` §6.4)."""
    outcome = call(speaks(ULAW), speaks(f"{ULAW}\r\na=ptime:10"))
    assert asked_for(outcome, DESK) == ["20"]
