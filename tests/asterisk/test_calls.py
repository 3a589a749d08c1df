"""Click-to-calls through Asterisk, with what an endpoint of PJSIP can be told to do."""

from __future__ import annotations

import re

import pytest

from tests.asterisk.conftest import TONES, Make, Pbx
from tests.interop.programs import HOST, WAYS, Way, until
from tests.interop.programs.asterisk import MUSIC

DESK, CUSTOMER, OTHER = "1001", "1002", "1003"


def both_hear(made: Pbx) -> None:
    made.hears(CUSTOMER, TONES[DESK])
    made.hears(DESK, TONES[CUSTOMER])


def talk(made: Pbx) -> list[str]:
    """A call in which both are heard, and its messages."""
    call = made.call(CUSTOMER)
    both_hear(made)
    made.phones[CUSTOMER].hang_up()
    record = made.ended(call)
    assert (record["result"], record["cause"]) == ("success", "NORMAL_CLEARING"), made.ladder(call)
    until(lambda: not made.asterisk.channels(), 10, "no channel left")
    return made.messages(call)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_register_call_hold_resume_and_a_call_in(pbx: Make, way: Way) -> None:
    made = pbx((DESK, CUSTOMER), way=way, endpoint={"moh_passthrough": "yes"})
    # Its OPTIONS are answered.
    until(lambda: "Avail" in made.asterisk.cli("pjsip show contacts"), 10, "qualify")
    call = made.call(CUSTOMER)
    both_hear(made)
    made.phones[DESK].command("hold")
    made.hears(CUSTOMER, MUSIC)
    made.phones[DESK].command("resume")
    both_hear(made)
    made.phones[CUSTOMER].hang_up()
    record = made.ended(call)
    assert (record["result"], record["cause"]) == ("success", "NORMAL_CLEARING")
    assert "lost" not in record["explanation"]
    # Hold came by re-INVITE, and went on to the other leg as one.
    offers = [m for m in made.messages(call) if m.endswith("INVITE [SDP]")]
    assert offers.count("< extension INVITE [SDP]") == 2
    assert offers.count("> contact INVITE [SDP]") == 3
    # Nobody takes calls here.
    made.asterisk.cli("channel originate PJSIP/c2c application Echo")
    until(lambda: any(text.startswith("SIP/2.0 480") for way, text in made.asterisk.messages()), 10, "480")  # fmt: skip


@pytest.mark.parametrize("digest", ["MD5", "SHA-256", "SHA-512-256", "MD5,SHA-256,SHA-512-256"])
def test_digest(pbx: Make, digest: str) -> None:
    made = pbx((), auth={"supported_algorithms_uas": digest})
    call = made.call("601", extension="600")
    made.asterisk.cli("channel request hangup all")
    assert made.ended(call)["result"] == "success"
    used = {
        re.search(r"algorithm=([^,\s]+)", text)[1]  # type: ignore[index]
        for way, text in made.asterisk.messages()
        if way == "received" and "\nAuthorization:" in text
    }
    # Of several the strongest.
    assert used == {digest.rpartition(",")[2]}


@pytest.mark.parametrize(
    ("endpoint", "seen"),
    [
        ({"rewrite_contact": "yes", "force_rport": "yes", "rtp_symmetric": "yes"}, ""),
        ({"force_rport": "no"}, ""),
        ({"rtcp_mux": "yes"}, ""),
        ({"allow": "alaw,ulaw"}, ""),
        ({"allow": "opus,g722,alaw"}, ""),
        ({"inband_progress": "yes"}, "< contact 183 Session Progress (INVITE) [SDP]"),
        ({"timers": "always"}, ""),
        ({"timers": "required"}, ""),
        ({"timers_min_se": "3600", "timers_sess_expires": "7200"}, "< contact 422 Session Interval Too Small (INVITE)"),
        ({"100rel": "required"}, "> contact PRACK"),
        ({"100rel": "peer_supported"}, ""),
        ({"send_pai": "yes", "send_rpid": "yes", "send_connected_line": "yes"}, ""),
        ({"bundle": "yes", "ice_support": "yes"}, ""),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)  # fmt: skip
def test_an_endpoint_with(pbx: Make, endpoint: dict[str, str], seen: str) -> None:
    messages = talk(pbx((DESK, CUSTOMER), endpoint=endpoint))
    assert not seen or seen in messages


def test_direct_media(pbx: Make) -> None:
    direct = {"direct_media": "yes"}
    messages = talk(pbx((DESK, CUSTOMER), endpoint=direct, phone=direct))
    assert "< extension INVITE [SDP]" in messages and "< contact INVITE [SDP]" in messages


@pytest.mark.parametrize(
    ("endpoint", "srtp", "encrypted"),
    [
        ({"media_encryption": "sdes"}, "required", True),
        ({"media_encryption": "sdes", "media_encryption_optimistic": "yes"}, "optional", True),
        ({}, "optional", False),
    ],
)
def test_srtp(pbx: Make, endpoint: dict[str, str], srtp: str, encrypted: bool) -> None:
    made = pbx((DESK, CUSTOMER), way=Way("tls"), endpoint=endpoint, trunk={"srtp": f'"{srtp}"'})
    talk(made)
    answers = [
        text for way, text in made.asterisk.messages()
        if way == "sent" and text.startswith("SIP/2.0 200") and "pbx.test" in text and "m=audio" in text
    ]  # fmt: skip
    assert answers and all(("a=crypto:" in text) == encrypted for text in answers)


@pytest.mark.parametrize(
    ("endpoint", "srtp", "words"),
    [
        ({"allow": "g722"}, "off", "trunk.pbx.codecs"),
        ({"media_encryption": "sdes"}, "off", "trunk.pbx.srtp"),
        ({}, "required", "takes no SRTP"),
    ],
)
def test_media_that_the_two_do_not_agree_on(
    pbx: Make, endpoint: dict[str, str], srtp: str, words: str
) -> None:
    made = pbx((), endpoint=endpoint, trunk={"srtp": f'"{srtp}"'})
    record = made.ended(made.call("601", extension="600"))
    assert (record["cause"], record["sip_status"]) == ("INCOMPATIBLE_DESTINATION", 488)
    assert words in record["explanation"]


@pytest.mark.parametrize("direct", [False, True])
def test_a_phone_sends_the_call_on_within_asterisk(pbx: Make, direct: bool) -> None:
    """Connected line updates and re-INVITEs are all that is seen of it."""
    more = {"direct_media": "yes"} if direct else {}
    line = {"send_pai": "yes", "send_connected_line": "yes"}
    made = pbx((DESK, CUSTOMER, OTHER), endpoint=more | line, phone=more)
    call = made.call(CUSTOMER)
    both_hear(made)
    made.phones[DESK].command("transfer", f"sip:{OTHER}@{HOST}:{made.asterisk.port}")
    made.hears(OTHER, TONES[CUSTOMER])
    made.hears(CUSTOMER, TONES[OTHER])
    made.phones[OTHER].hang_up()
    assert made.ended(call)["cause"] == "NORMAL_CLEARING"


def test_asterisk_sends_the_call_on_by_refer(pbx: Make) -> None:
    made = pbx(())
    call = made.call("600", extension="609")
    until(lambda: "< extension 200 OK (BYE)" in made.messages(call), 15, "the old leg's end")
    messages = made.messages(call)
    assert "< extension REFER" in messages and "< transfer 200 OK (INVITE) [SDP]" in messages
    assert messages.count("< extension 200 OK (NOTIFY)") == 2
    made.asterisk.cli("channel request hangup all")
    record = made.ended(call)
    assert record["result"] == "success"
    assert {cdr["role"] for cdr in made.service.cdrs(call[1])} == {"extension", "contact", "transfer"}  # fmt: skip


def test_only_the_extension_may_send_the_call_on(pbx: Make) -> None:
    made = pbx(())
    call = made.call("609", extension="600")
    until(lambda: "> contact 603 Decline (REFER)" in made.messages(call), 15, "603")
    assert made.service.record(*call)["state"] == "connected"


@pytest.mark.parametrize("mode", ["rfc4733", "info", "auto", "auto_info"])
def test_keys_go_both_ways(pbx: Make, mode: str) -> None:
    made = pbx(endpoint={"dtmf_mode": mode})
    pressing = made.call("607")
    with made.phones[DESK].watched() as keys:
        until(lambda: keys() == "159#", 15, "the keys at the phone")
    made.phones[DESK].hang_up()
    made.ended(pressing)
    made.call("608")
    for key in "738":
        made.phones[DESK].command("sndcode", key)
    made.told("keys were 738")


@pytest.mark.parametrize("mode", ["rfc4733", "info"])
def test_the_extension_confirms_by_a_key(pbx: Make, mode: str) -> None:
    made = pbx((DESK, CUSTOMER), endpoint={"dtmf_mode": mode})
    call = made.call(CUSTOMER, state="extension_ringing", confirm="5")
    until(lambda: "< extension 200 OK (INVITE) [SDP]" in made.messages(call), 15, "the answer")
    made.phones[DESK].command("sndcode", "5")
    made.reaches(call, "connected")
    both_hear(made)


@pytest.mark.parametrize("direct", ["no", "yes"])
def test_media_past_us(pbx: Make, direct: str) -> None:
    """With direct media on its side too both send re-INVITEs at once, and have to wait for each other (491)."""
    more = {"direct_media": direct, "moh_passthrough": "yes"}
    made = pbx((DESK, CUSTOMER), endpoint=more, phone={"direct_media": direct})
    call = made.call(CUSTOMER, bypass_media=True)
    both_hear(made)
    made.phones[DESK].command("hold")
    made.hears(CUSTOMER, MUSIC)
    made.phones[DESK].command("resume")
    both_hear(made)
    made.phones[CUSTOMER].hang_up()
    assert made.ended(call)["cause"] == "NORMAL_CLEARING"


def test_of_several_extensions_one_answers(pbx: Make) -> None:
    made = pbx((DESK, CUSTOMER))
    call = made.call(CUSTOMER, extension=[DESK, "604", "602"])
    both_hear(made)
    until(lambda: "< extension 487 Request Terminated (INVITE)" in made.messages(call), 10, "487")
    made.phones[CUSTOMER].hang_up()
    made.ended(call)
    until(lambda: not made.asterisk.channels(), 10, "no channel left")


@pytest.mark.parametrize("reliable", ["no", "required"])
def test_early_media_and_forwarding(pbx: Make, reliable: str) -> None:
    made = pbx(endpoint={"100rel": reliable, "send_pai": "yes", "rpid_immediate": "yes"})
    call = made.call("605", state="contact_ringing")
    made.hears(DESK, 1500)
    made.reaches(call, "connected")
    made.hears(DESK, 1900)
    made.phones[DESK].hang_up()
    made.ended(call)
    assert "< contact 183 Session Progress (INVITE) [SDP]" in made.messages(call)
    forwarded = made.call("611")
    made.hears(DESK, 1500)
    messages = made.messages(forwarded)
    assert "< contact 181 Call Is Being Forwarded (INVITE)" in messages
    until(lambda: "> contact 200 OK (UPDATE)" in made.messages(forwarded), 10, "UPDATE")


def test_it_changes_the_codec_by_invite_and_by_update(pbx: Make) -> None:
    made = pbx()
    call = made.call("612")
    until(lambda: "> contact 200 OK (UPDATE) [SDP]" in made.messages(call), 20, "UPDATE")
    assert "> contact 200 OK (INVITE) [SDP]" in made.messages(call)
    made.hears(DESK, 1500)


def test_a_session_is_refreshed(pbx: Make) -> None:
    """Takes the 45 s that it takes."""
    made = pbx(("1001", "1002"), env={"C2C_SIP_SIP__SESSION_EXPIRES": "90"})
    call = made.call(CUSTOMER)
    until(
        lambda: {"< extension 200 OK (UPDATE)", "< contact 200 OK (UPDATE)"} <= set(made.messages(call)),
        60, "both refreshes",
    )  # fmt: skip
    both_hear(made)


@pytest.mark.parametrize(
    ("identity", "trusted", "shown"),
    [
        ('["from-display", "pai"]', "yes", "sip:4930123@"),
        ('["from-display", "rpid"]', "yes", "sip:4930123@"),
        ('["from-display", "pai"]', "no", '"4930123" <sip:c2c@'),
    ],
)
def test_who_is_shown_at_the_phone(pbx: Make, identity: str, trusted: str, shown: str) -> None:
    made = pbx(endpoint={"trust_id_inbound": trusted}, trunk={"identity": identity})
    made.call("601", caller_id_number="4930123")
    invites = [
        text for way, text in made.asterisk.messages()
        if way == "sent" and text.startswith("INVITE sip:1001")
    ]  # fmt: skip
    assert invites and all(shown in re.search("^From: .*", text, re.M)[0] for text in invites)  # type: ignore[index]


def test_many_at_once(pbx: Make) -> None:
    made = pbx(())
    definition = made.service.define(extension="601")
    calls = [(definition, made.service.connect(definition, "600")["id"]) for _ in range(25)]
    for call in calls:
        made.reaches(call, "connected")
    assert len(made.asterisk.channels()) == 50
    made.asterisk.cli("channel request hangup all")
    assert {made.ended(call)["result"] for call in calls} == {"success"}
    until(lambda: not made.service.open_rtp_ports(), 10, "the RTP ports to be free")
