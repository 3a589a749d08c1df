"""``c2c-sip lab``: other people's user agents see each thing that its phones can do."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.interop.conftest import Start
from tests.interop.programs import HOST, Baresip, Service, read_samples, until
from tests.interop.programs.lab import Lab
from tests.interop.programs.sipp_uac import (
    SippUac,
    ack,
    answer,
    bye,
    cancel,
    invite,
    pause,
    receive,
)

SCRIPT = """
[lab]
challenge = false

[[phone]]
user = "busy"
ringing = 0.0
status = 486

[[phone]]
user = "throttled"
status = 503
reason = "Come Back Later"
retry_after = 17

[[phone]]
user = "moved"
ringing = 0.0
redirect = "sip:else@192.0.2.1"

[[phone]]
user = "early"
early_media = "ringback"
ringing = 1.5

[[phone]]
user = "never"
never_answers = true

[[phone]]
user = "slow"
delay = 1.0
ringing = 2.0

[[phone]]
user = "holds"
ringing = 0.0
hold_after = 0.3
hold_for = 0.5

[[phone]]
user = "deaf"
ringing = 0.0
drop_acks = 2

[[phone]]
user = "short"
ringing = 0.0
hang_up_after = 0.7
"""


def talk(user: str) -> str:
    return receive(180, optional=True) + receive(200) + ack(user)


SEEN = {
    "busy": invite("busy") + receive(486) + ack("busy", refused=True),
    "throttled": invite("throttled")
    + receive(180)
    + receive(503, "17", "Retry-After:")
    + ack("throttled", refused=True),
    "moved": invite("moved")
    + receive(302, "sip:else@192.0.2.1", "Contact:")
    + ack("moved", refused=True),
    "early": invite("early")
    + receive(183, "m=audio")
    + pause(500)
    + receive(200, "m=audio")
    + ack("early")
    + bye("early"),
    "never": invite("never") + receive(180) + pause(1500) + cancel("never"),
    "slow": invite("slow") + receive(180) + receive(200) + ack("slow") + bye("slow"),
    "holds": invite("holds")
    + talk("holds")
    + receive("INVITE", "a=sendonly")
    + answer(2)
    + receive("ACK")
    + receive("INVITE", "a=sendrecv")
    + answer(3)
    + receive("ACK")
    + bye("holds"),
    "deaf": invite("deaf") + talk("deaf") + pause(4000) + bye("deaf"),
    "short": invite("short") + talk("short") + receive("BYE") + answer(),
}


def test_sipp_sees_what_each_phone_does(start: Start) -> None:
    lab = start(Lab, SCRIPT)
    callers = {user: start(SippUac, steps, lab.port, name=user) for user, steps in SEEN.items()}
    for user, caller in callers.items():
        assert caller.finish() == 0, f"{user}:\n{caller.why()}\n{lab.printed()}"

    assert callers["throttled"].received("SIP/2.0 503 Come Back Later")
    # The 200 comes again each time that the ACK was not heard, and no more once it was.
    assert len(callers["deaf"].received("SIP/2.0 200 OK(?s:.)*CSeq: 1 INVITE")) >= 3
    assert len(lab.events("ack-dropped", phone="deaf")) == 2
    called, rings = lab.saw("called", phone="slow"), callers["slow"].received("SIP/2.0 180")
    assert rings and lab.saw("answered", phone="slow")["time"] - called["time"] >= 2.9
    assert lab.saw("failed", phone="never")["status"] == 487
    assert lab.saw("ended", phone="short")["by"] == "local"
    assert lab.saw("ended", phone="early")["packets_sent"] > 20, "heard while it rang"
    assert len(lab.events("offer-answered", phone="holds")) == 2

    assert lab.stop(signal.SIGTERM) == 0
    assert "Traceback" not in lab.printed()


def test_a_phone_registers_hears_an_echo_and_lost_packets_and_is_called(start: Start) -> None:
    lab = start(
        Lab,
        """
[[phone]]
user = "echo"
ringing = 0.0
plays = "echo"

[[phone]]
user = "lossy"
ringing = 0.0
plays = 1400
loses = 10.0
keys = "42#"

""",
    )
    phone = start(Baresip, "guest", lab, 900)
    lab.saw("registered", user="guest")

    phone.command("dial", f"sip:echo@{HOST}:{lab.port}")
    lab.saw("answered", phone="echo")
    until(lambda: phone.heard(900) > 0.9, 15, "its own tone")
    phone.hang_up()
    assert lab.saw("ended", phone="echo", by="peer")["packets_sent"] > 10

    phone.command("dial", f"sip:lossy@{HOST}:{lab.port}")
    lab.saw("answered", phone="lossy")
    until(lambda: len(read_samples(recording(phone))) > 3 * 8000, 15, "three seconds of it")
    assert phone.heard(1400) > 0.3
    phone.hang_up()
    heard = lab.saw("ended", phone="lossy", by="peer")
    assert 0 < heard["lost"] < heard["packets_received"]
    assert lab.stop(signal.SIGTERM) == 0


def recording(phone: Baresip) -> Path:
    """The newest one of what it heard."""
    return max(phone.folder.glob("dump-*-dec.wav"), key=lambda path: path.stat().st_mtime)


def test_a_phone_calls_who_registers(start: Start) -> None:
    lab = start(
        Lab,
        '[[phone]]\nuser = "caller"\nplays = 700\ncalls = "guest"\ncalls_after = 0.5\nhang_up_after = 4.0\n',
    )
    phone = start(Baresip, "guest", lab, 900)
    lab.saw("calls", phone="caller")
    lab.saw("answered", phone="caller")
    until(lambda: phone.heard(700) > 0.9, 15, "the tone of who calls")
    lab.saw("ended", phone="caller", by="local")


def test_a_service_rings_scripted_phones_too(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "lab.toml"
    script.write_text(
        '[[phone]]\nuser = "201"\nringing = 0.0\nnumbers = ["+12025550201"]\nstatus = 486\n'
    )
    service = start(Service).start("--lab-script", str(script))
    until(lambda: service.http("GET", "/readyz")[0] == 200, 20, "the registration")
    assert "lab: 201 refuses with 486" in service.printed()
    definition = service.define(extension="101")
    record = service.ended(definition, service.connect(definition, "+12025550201")["id"])
    assert record["cause"] == "USER_BUSY", record
    assert " called phone=201 " in service.printed()
    assert service.stop(signal.SIGTERM) == 0
