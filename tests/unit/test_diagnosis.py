"""What is said of failures, from facts: those that nobody can provoke at will, and what may stand in a sentence at all."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from c2c_sip.calling.diagnosis import (
    CallFacts,
    LegFacts,
    cut_off,
    explain,
    for_visitor,
    of_trunk,
    refused,
)
from c2c_sip.calling.diagnosis.calls import ENDS
from c2c_sip.calling.diagnosis.words import MOST, clean
from sipstack.call import Evidence
from sipstack.media import LegCounters
from sipstack.message import REASONS
from sipstack.registration import Failure, Standing
from sipstack.resolver import Target
from tests.failures import normal, rows, told

ROOT = Path(__file__).parents[2]
HEARD = LegCounters(packets_received=500)
EXTENSION = LegFacts("extension", "101", created=0.0, answered=1.0, ended_by="local", is_to_be_heard=True, media=HEARD)  # fmt: skip
CONTACT = replace(EXTENSION, role="contact", dialled="+12025550123", created=1.0, answered=2.0, ended=60.0)  # fmt: skip


def call(contact: LegFacts = CONTACT, connected: float | None = 2.0, **more: object) -> CallFacts:
    facts = CallFacts(0.0, 60.0, (EXTENSION, contact), contact, connected=connected)
    return replace(facts, **more)  # type: ignore[arg-type]


def lost(**evidence: object) -> CallFacts:
    seen = Evidence(**evidence)  # type: ignore[arg-type]
    return call(replace(CONTACT, ended_by="network", evidence=seen))


def unreachable(why: str) -> CallFacts:
    seen = Evidence("us", why, target="192.0.2.3:5061")
    return call(replace(CONTACT, answered=None, ended=1.5, status=503, evidence=seen), None)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("ack_missing", lost(lost_by="ACK")),
        ("ack_lost", call(replace(CONTACT, ended_by="peer", ended=34.0, evidence=Evidence(not_acknowledged="no address for nowhere.test: no answer from the name servers")))),
        ("reinvite_unanswered", lost(lost_by="re-INVITE")),
        ("fault", call(connected=None, why="fault", guilty=None)),
        ("no_way", call(connected=None, why="no way", role="contact", detail="192.0.2.3: sip.listen has no TLS address for IPv4")),
        ("dns_dead", call(connected=None, why="no way", role="extension", detail="no address for nobody.test: no answer from the name servers: LifetimeTimeout")),
        ("tls_failed", unreachable("no TLS: WRONG_VERSION_NUMBER")),
        ("unreachable", unreachable("Network is unreachable")),
        ("spoke", call(replace(CONTACT, ended_by="peer"), legs=(EXTENSION, replace(CONTACT, media=LegCounters(packets_received=880, lost=120))))),
    ],
)  # fmt: skip
def test_what_is_said_of_a_call(name: str, facts: CallFacts) -> None:
    found = explain(facts)
    print(f"| `{found.name}` | {found.text} |")
    assert found.name == name
    assert normal(found.text) in told(name)


@pytest.mark.parametrize(
    ("name", "standing"),
    [
        ("registered", Standing("registered", server=Target("UDP", ("192.0.2.7", 5060)))),
        ("registering", Standing()),
        ("unregistered", Standing("unregistered")),
        ("static", None),
        ("trunk_silent", Standing("failed", failure=Failure(None, "408 Request Timeout to OPTIONS", 0.0))),
        ("registration_password_asked", Standing("failed", failure=Failure(401, "401 Unauthorized", 0.0, "refused", phrase="Unauthorized"))),
        ("registration_refused", Standing("failed", failure=Failure(420, "420 Bad Extension", 0.0, "refused", phrase="Bad Extension"))),
    ],
)  # fmt: skip
def test_what_is_said_of_a_trunk(name: str, standing: Standing | None) -> None:
    found = of_trunk("provider", standing, None)
    print(f"| `{found.name}` | {found.text} |")
    assert found.name == name
    assert normal(found.text) in told(name)


@pytest.mark.parametrize(
    ("seconds", "name"),
    [(30.5, "spoke"), (31.2, "spoke"), (32.1, "dropped_at_32_s"), (34.0, "spoke")],
)
def test_a_call_that_somebody_ends_within_half_a_minute_or_so_is_nothing_special(
    seconds: float, name: str
) -> None:
    found = explain(call(replace(CONTACT, ended_by="peer", ended=2.0 + seconds)))
    assert found.name == name
    assert found.text.startswith("The ") and "gave" not in found.text


def test_each_name_in_the_code_is_on_the_page_and_each_on_the_page_in_the_code() -> None:
    source = "".join(
        path.read_text("utf-8")
        for path in sorted((ROOT / "c2c_sip" / "calling" / "diagnosis").glob("*.py"))
    )
    named = set(re.findall(r'Diagnosis\(\s*"([a-z0-9_]+)"', source)) - {"refused_"}
    named |= {name for name, _ in ENDS.values()}
    told_of = {name for name, *_ in rows()}
    assert len(named) > 50
    assert named <= told_of
    assert {name for name in told_of if not name.startswith("refused_")} <= named | {
        "no_audio",
        "one_way_audio",
        "spoke",
    }


def test_each_rule_that_refuses_is_on_the_page() -> None:
    folder = ROOT / "c2c_sip" / "calling"
    sources = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    rules = set(re.findall(r'reason="([a-z_]+)"', sources))
    rules |= {"throttled", "full", "per_address", "per_contact", "per_account", "per_service"}
    rules |= {"whitelist", "country", "kind", "link_used", "link_contact", "link_expired"}
    told_of = {name for name, *_ in rows()}
    assert rules >= {"never_call", "hours", "proof", "captcha", "daily_minutes"}
    assert not {rule for rule in rules if f"refused_{rule}" not in told_of}


@pytest.mark.parametrize("row", [row for row in rows() if row[0].startswith("refused_")])
def test_each_refusal_on_the_page_is_what_the_code_says(row: tuple[str, str, str, str]) -> None:
    name, _, sentence, _ = row
    message = re.fullmatch(r"Nobody was called: (.*?)(?: \(rule .*\))?\.", sentence)
    assert message is not None
    rule = {"refused_kind": "premium"}.get(name, name.removeprefix("refused_"))
    found = refused(rule, message[1])
    assert (found.name, found.text) == (name, sentence)


HOSTILE = "Busy\r\nVia: x\x1b[31m\u202egnp.exe " + "A" * 5000


def test_what_a_peer_says_is_one_short_line() -> None:
    seen = Evidence("peer", HOSTILE, warning=HOSTILE, target=HOSTILE)
    for status in (*range(300, 608), 699):
        leg = replace(
            CONTACT, answered=None, status=status, evidence=seen, dialled=HOSTILE, trunk="p"
        )
        text = explain(call(leg, None)).text
        assert text.isprintable() and len(text) < 700
    assert clean(HOSTILE).isprintable() and len(clean(HOSTILE)) == MOST
    for status in range(300, 700):
        failure = Failure(status, HOSTILE, 0.0, "refused", HOSTILE, HOSTILE)
        text = of_trunk("provider", Standing("failed", failure=failure), None).text
        assert text.isprintable() and len(text) < 500
    assert refused(HOSTILE[:30], HOSTILE).text.isprintable()
    assert cut_off(HOSTILE, False).text.isprintable()


def test_a_visitor_learns_what_everybody_would_hear() -> None:
    assert for_visitor("contact_ringing", None, None) == ""
    assert for_visitor("connected", "success", None) == ""
    assert for_visitor("ended", "success", "NORMAL_CLEARING") == "The call has ended."
    assert for_visitor("ended", "error", "USER_BUSY") == "The line is busy."
    assert for_visitor("extension_answered", "error", "SWITCH_CONGESTION") == (
        "The call could not be connected."
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "host", "word"),
    [
        ("10.0.0.5:20000", "203.0.113.9:4000", "203.0.113.1:5060", "set sip.public_address"),
        ("198.51.100.1:20000", "192.168.1.20:4000", "203.0.113.1:5060", "cross a NAT"),
        ("198.51.100.1:20000", "203.0.113.9:4000", "203.0.113.1:5060", "media.ports"),
        ("192.168.1.5:20000", "192.168.1.20:4000", "192.168.1.20:5060", "media.ports"),
    ],
)
def test_audio_that_never_came_is_looked_for_at_the_address_that_is_wrong(
    ours: str, theirs: str, host: str, word: str
) -> None:
    mute = replace(
        CONTACT,
        media=LegCounters(rejected=7, stranger="203.0.113.77:4000"),
        announced=ours,
        described=theirs,
        evidence=Evidence(target=host),
    )
    found = explain(call(mute, legs=(EXTENSION, mute)))
    assert found.name == "one_way_audio"
    assert word in found.text
    assert "7 packets came from 203.0.113.77:4000 instead" in found.text


@pytest.mark.parametrize(
    ("status", "q850", "text"),
    [
        (486, 17, "The contact's phone answered 486 Busy Here after 1.0 s."),
        (603, 21, "The contact's phone answered 603 Decline after 1.0 s: the call was declined."),
        (603, 16, "The contact's phone answered 603 Decline after 1.0 s: the call was declined."),
        (603, 41, "The provider (trunk pbx) answered 603 Decline after 1.0 s to the call to the contact and gave the cause NORMAL_TEMPORARY_FAILURE (Q.850 41)."),
        (480, 20, "The provider (trunk pbx) answered 480 Temporarily Unavailable after 1.0 s to the call to the contact: no phone is registered there as 102@pbx.test."),
        (480, 31, "The contact's phone answered 480 Temporarily Unavailable after 1.0 s: nobody answered."),
        (480, 27, "The contact's phone answered 480 Temporarily Unavailable after 1.0 s: nobody answered. The cause given is DESTINATION_OUT_OF_ORDER (Q.850 27)."),
        (403, 21, "The provider (trunk pbx) answered 403 Forbidden after 1.0 s to the call to the contact: who was called declined it, or it does not take this caller, this number or calls of this account. We dialled 102, calling as c2c; check trunk.pbx.caller_id and trunk.pbx.number_format."),
    ],
)  # fmt: skip
def test_a_cause_of_the_telephone_network_is_heeded(status: int, q850: int, text: str) -> None:
    """The pairs are those that Asterisk 22 sends."""
    seen = Evidence("peer", REASONS[status])
    leg = LegFacts("contact", "102", "pbx.test", "c2c", "pbx", 1.0, 1.2, None, 2.0, "peer", status, seen, q850=q850)  # fmt: skip
    assert explain(call(leg, connected=None)).text == text


def test_a_cause_that_comes_with_a_bye_is_told() -> None:
    for q850, told_ in ((16, ""), (31, ""), (None, ""), (38, ", and gave the cause NETWORK_OUT_OF_ORDER (Q.850 38)")):  # fmt: skip
        gone = replace(CONTACT, ended_by="peer", q850=q850)
        text = explain(call(gone, legs=(EXTENSION, gone))).text
        assert text == f"The two spoke for 58.0 s; the contact hung up{told_}."


def test_nothing_is_said_of_audio_where_none_was_to_come() -> None:
    for silent in (
        replace(CONTACT, media=LegCounters(), is_to_be_heard=False),
        replace(CONTACT, media=None),
    ):
        assert explain(call(silent, legs=(EXTENSION, silent))).name == "spoke"
    mute = replace(CONTACT, media=LegCounters())
    assert explain(call(mute, legs=(EXTENSION, mute), ended=4.0)).name == "spoke"


def test_nothing_is_said_of_the_audio_of_a_phone_that_soon_left() -> None:
    """It had sent the call on before it said anything."""
    left = replace(EXTENSION, ended=2.5, media=LegCounters())
    target = replace(CONTACT, role="transfer", created=2.0, answered=2.4, ended_by="peer")
    facts = replace(call(target), legs=(left, CONTACT, target))
    assert explain(facts).text == "The two spoke for 58.0 s; the transfer target hung up."


def test_who_is_not_found_is_told_where_from_is_set_and_who_wants_srtp_that_it_is_off() -> None:
    """Asterisk asks again and again where From names no endpoint, and says 488 where it wants encrypted audio."""
    unknown = Evidence("peer", "Unauthorized", authenticated=True)
    leg = LegFacts("contact", "102", "pbx.test", "c2c", "pbx", 1.0, None, None, 2.0, "peer", 401, unknown)  # fmt: skip
    assert "trunk.pbx.from_user" in explain(call(leg, connected=None)).text
    leg = replace(leg, status=488, evidence=Evidence("peer", "Not Acceptable Here"), codecs=("PCMU",))  # fmt: skip
    text = explain(call(leg, connected=None)).text
    assert text.endswith(
        "it takes none of the codecs, or wants SRTP. We offered PCMU; check trunk.pbx.codecs and trunk.pbx.srtp."
    )
    text = explain(call(replace(leg, srtp="optional"), connected=None)).text
    assert text.endswith("it takes none of the codecs. We offered PCMU; check trunk.pbx.codecs.")


def test_of_several_that_rang_each_is_told_of() -> None:
    busy = LegFacts("extension", "101", ended=1.0, ended_by="peer", status=486, evidence=Evidence("peer", "Busy Here"))  # fmt: skip
    declined = replace(busy, status=603, evidence=Evidence("peer", "Decline"), dialled="102")
    silent = LegFacts("extension", "103", ended=20.0, ended_by="local", ringing=0.5)
    facts = CallFacts(0.0, 20.0, (busy, declined, silent), busy, "unanswered", timeout=20.0)
    text = explain(facts).text
    assert text.startswith("The extension's phone rang for 19.5 s and nobody answered")
    assert text.endswith("The other 2 that rang: 486 Busy Here, 603 Decline.")
