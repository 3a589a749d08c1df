"""Small rules at the edges of the library, each where a reader might doubt that anybody thought of it."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from sipstack.alarms import Alarm, Alarms
from sipstack.entropy import Entropy
from sipstack.media.quality import StreamQuality, opinion
from sipstack.media.recording import Recorder
from sipstack.message import ParseError, Request, Response, Uri, parse_datagram
from sipstack.message.headers import MOST_PARAMS, parse_params
from sipstack.message.parser import LARGEST_HEAD
from sipstack.reliable import _LARGEST, Received, Sent
from sipstack.resolver import Answer, DnsLookup, ResolveError, Resolver
from sipstack.session_timer import SessionTimer
from tests.simulation.clock import run

HEAD = (
    b"OPTIONS sip:a@b.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n"
    b"From: <sip:c@d.test>;tag=1\r\nTo: <sip:a@b.test>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
)


# -- messages -----------------------------------------------------------------------------------------


def test_a_quote_that_is_escaped_ends_no_quoted_parameter() -> None:
    assert parse_params(r';a="x\";y=\\";b=2') == (("a", r'"x\";y=\\"'), ("b", "2"))


@pytest.mark.parametrize("text", ['; a="x', ";a b=1 ;", "x;a=1", "; =1"])
def test_parameters_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_params(text)


def test_blank_parameters_and_a_stray_semicolon_are_forgiven() -> None:
    assert parse_params("  ") == ()
    assert parse_params("; a=1 ;") == (("a", "1"),)


@pytest.mark.parametrize("separator", [";a=1", "; a=1"])
def test_parameters_are_bounded(separator: str) -> None:
    assert len(parse_params(separator * MOST_PARAMS)) == MOST_PARAMS
    with pytest.raises(ParseError):
        parse_params(separator * (MOST_PARAMS + 1))
    uri = "sip:a@b.test" + separator.replace(" ", "") * 65
    with pytest.raises(ParseError, match="Too many URI parameters"):
        Uri.parse(uri + "?x=1")


def test_a_uri_parameter_without_a_name_is_none() -> None:
    with pytest.raises(ParseError, match="Malformed URI"):
        Uri.parse("sip:a@b.test;=1")


def test_a_head_that_is_too_large_is_refused_as_too_large() -> None:
    with pytest.raises(ParseError) as caught:
        parse_datagram(HEAD + b"X: " + b"a" * LARGEST_HEAD + b"\r\n\r\n")
    assert caught.value.status == 513


def test_a_via_of_commas_is_none() -> None:
    message = parse_datagram(HEAD.replace(b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx", b",") + b"\r\n")
    with pytest.raises(ParseError, match="Via"):
        _ = message.via


def test_a_message_reads_as_its_octets_whatever_they_are() -> None:
    message = parse_datagram(HEAD + b"Subject: \xff\xfe\r\n\r\n")
    assert "Subject: " in str(message)
    assert str(message).startswith("OPTIONS sip:a@b.test SIP/2.0\r\n")


# -- timers of a session and reliable responses ---------------------------------------------------------


def response(status: int, *headers: tuple[str, str]) -> Response:
    made = Response(status, "x")
    made.add("CSeq", "5 INVITE")
    for name, value in headers:
        made.add(name, value)
    return made


def test_a_peer_that_raises_the_interval_again_and_again_is_not_believed() -> None:
    timer = SessionTimer(1800)
    assert [timer.raised(response(422, ("Min-SE", str(2000 + n)))) for n in range(5)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert dict(timer.ask())["Session-Expires"] == "2002"


@pytest.mark.parametrize("value", [None, "", "x", "60", "99999999", "-1"])
def test_a_422_that_names_no_longer_interval_is_the_end(value: str | None) -> None:
    headers = [] if value is None else [("Min-SE", value)]
    assert not SessionTimer(1800).raised(response(422, *headers))


@pytest.mark.parametrize(
    ("able", "interval", "status"), [(True, "89", 422), (False, "89", 200), (True, "90", 200)]
)
def test_an_interval_that_is_too_small_is_refused_to_who_can_raise_it(
    able: bool, interval: str, status: int
) -> None:
    request = Request("INVITE", Uri.parse("sip:a@b.test"))
    request.add("Session-Expires", interval)
    if able:
        request.add("Supported", "timer")
    if status == 422:
        with pytest.raises(ParseError) as caught:
            SessionTimer().asked(request)
        assert caught.value.status == 422
    else:
        # Who cannot refresh does not; and below 90 seconds nobody refreshes.
        refresher = "uac" if able else "uas"
        expected = f"90;refresher={refresher}"
        assert dict(SessionTimer().asked(request))["Session-Expires"] == expected


@pytest.mark.parametrize("rseq", ["", "x", "0", "4294967296", "99999999999", "٣"])
def test_a_number_of_a_reliable_response_that_is_none_is_not_acknowledged(rseq: str) -> None:
    assert Received().acknowledges(response(183, ("Require", "100rel"), ("RSeq", rseq))) is None


@pytest.mark.parametrize("rseq", ["1", "2147483647", "2147483648", "4294967295"])
def test_any_number_of_32_bits_is_acknowledged(rseq: str) -> None:
    """RFC 3262 §7.1; only the first one has 31."""
    made = response(183, ("Require", "100rel"), ("RSeq", rseq))
    assert Received().acknowledges(made) == f"{rseq} 5 INVITE"


def test_the_number_after_the_greatest_is_the_first() -> None:
    sent = Sent(Request("INVITE", Uri.parse("sip:a@b.test")), _LARGEST)
    made = response(183)
    sent.mark(made)
    assert made.get("RSeq") == "1"


# -- what is counted, recorded, timed ----------------------------------------------------------------------


def test_a_clock_of_another_rate_scales_what_was_measured() -> None:
    """Jitter is kept in ticks (RFC 3550 §6.4.1): a codec of six times the rate has six times as many."""
    quality = StreamQuality()
    quality.restart()  # before anything came: nothing
    chance = random.Random(1)
    for number in range(500):
        quality.packet(number, number * 160, number * 0.02 + chance.random() * 0.02, 172)
    before = quality.snapshot()
    assert before.jitter > 0.003
    quality.retime(48000)
    after = quality.snapshot()
    assert after.jitter == pytest.approx(before.jitter)
    assert after.max_jitter == pytest.approx(before.max_jitter)
    for number in range(500, 1500):
        quality.packet(number, 80_000 + (number - 500) * 960, number * 0.02, 172)
    assert quality.snapshot().jitter < 0.0001
    assert quality.snapshot().max_jitter == pytest.approx(before.max_jitter)
    assert quality.snapshot().lost == 0


@pytest.mark.parametrize(("r", "score"), [(-5.0, 1.0), (0.0, 1.0), (100.0, 4.5), (150.0, 4.5)])
def test_ratings_beyond_the_scale_are_its_ends(r: float, score: float) -> None:
    assert opinion(r) == score


def test_a_recording_that_cannot_be_recovered_does_not_keep_the_service_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.wav.part").mkdir()
    Recorder(tmp_path)
    assert "a.wav.part cannot be recovered" in caplog.text
    assert os.listdir(tmp_path) == ["a.wav.part"]


def test_no_bits_are_none_and_fewer_than_none_an_error() -> None:
    entropy = Entropy()
    assert entropy.getrandbits(0) == 0
    with pytest.raises(ValueError, match="non-negative"):
        entropy.getrandbits(-1)
    assert {entropy.getrandbits(3) for _ in range(500)} == set(range(8))


def test_an_alarm_that_is_moved_forward_rings_once_and_not_again_at_its_old_moment() -> None:
    rung: list[tuple[str, float]] = []

    class Named(Alarm):
        def __init__(self, name: str) -> None:
            self.name = name

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        alarms: Alarms[Named] = Alarms(
            loop, lambda alarm: rung.append((alarm.name, round(loop.time() - start, 3)))
        )
        moved, other = Named("moved"), Named("other")
        alarms.set(moved, start + 10.0)
        alarms.set(other, start + 20.0)
        alarms.set(moved, start + 5.0)
        await asyncio.sleep(30.0)

    run(main(), 1)
    assert rung == [("moved", 5.0), ("other", 20.0)]


# -- names -------------------------------------------------------------------------------------------------


def test_where_nobody_answers_for_the_services_the_hosts_own_address_will_do() -> None:
    async def lame(name: str, kind: str) -> Answer:
        if kind != "A":
            raise OSError("no answer from the name servers")
        return Answer(("192.0.2.7",), 60.0)

    resolver = Resolver(lame, transports={"UDP"}, clock=lambda: 0.0)
    (target,) = asyncio.run(resolver.resolve(Uri.parse("sip:a@provider.test")))
    assert (target.transport, target.address) == ("UDP", ("192.0.2.7", 5060))


def test_a_uri_without_a_host_leads_nowhere() -> None:
    with pytest.raises(ResolveError, match="no host"):
        asyncio.run(Resolver(DnsLookup([("127.0.0.1", 1)])).resolve(Uri.parse("tel:+12025550100")))
