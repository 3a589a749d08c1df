"""What phones that we did not write hear and see of each other and of us, from ringing to the end."""

from __future__ import annotations

import math
import random
import struct
import time
import wave
from array import array
from pathlib import Path

from sipstack.media import wav
from sipstack.media.g711 import decode
from sipstack.media.tones import FRAME
from tests.interop.conftest import Start
from tests.interop.programs import (
    Baresip,
    Kamailio,
    Linphone,
    Service,
    SippUas,
    Way,
    until,
)
from tests.interop.test_sounds import CUSTOMER, DESK, upload_file

#: The ringback of the United Kingdom.
RINGING = (400, 450)


def test_linphone_hears_a_country_s_ringback_and_keys_go_both_ways(start: Start) -> None:
    proxy = start(Kamailio, way=Way())
    desk = start(Linphone, "1001", proxy, DESK)
    customer = start(Baresip, "1002", proxy, CUSTOMER)
    ringing = start(SippUas, "ring", name="ringing")
    service = start(Service, proxy.trunk("2000"), realm=proxy.realm).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    definition = service.define(extension="1001", realm=proxy.realm, ringback="uk")

    waiting = service.connect(definition, ringing.uri)
    until(lambda: ringing.received("INVITE"), 15, "the contact's INVITE")
    time.sleep(5.0)
    channel = f"{service.base}/channels/{waiting['call_id']}"
    assert service.http("POST", channel, {"data": {"action": "hangup"}})[0] == 200
    service.ended(definition, waiting["id"])
    # What it hears is written when it ends. The cadence is 0.4 on, 0.2 off, 0.4 on, 2 off.
    tenths = [-n / 10 for n in range(50, 1, -1)]

    def rings() -> int:
        return sum(sum(desk.heard(tone, (at - 0.1, at)) for tone in RINGING) > 0.8 for at in tenths)

    until(lambda: rings() >= 4, 15, "the ringback at linphone")

    talking = service.connect(definition, "1002")
    until(lambda: service.record(definition, talking["id"])["state"] == "connected", 15, "the call")
    time.sleep(2.0)
    until(lambda: customer.heard(DESK) > 0.5, 15, "the desk")
    with customer.watched() as keys:
        for key in "19*#":
            desk.command(key)
        until(lambda: keys() == "19*#", 15, "linphone's keys at baresip")
    for key in "28":
        customer.command("sndcode", key)
        time.sleep(0.5)
    until(lambda: all(f"Receiving tone {k}" in desk.printed() for k in "28"), 15, "baresip's keys")
    desk.command("pause")
    until(lambda: "a=sendonly" in customer.printed(), 15, "hold at the customer")
    time.sleep(2.5)
    desk.command("resume 2")
    time.sleep(2.5)
    until(lambda: customer.heard(DESK) > 0.5, 15, "the desk after resume")
    customer.hang_up()
    assert service.ended(definition, talking["id"])["cause"] == "NORMAL_CLEARING"
    until(lambda: desk.heard(CUSTOMER) > 0.5, 5, "the customer after resume")


def chirps(seconds: float) -> list[int]:
    """Something that no piece of which is like another: noise in the band of a phone."""
    rng = random.Random(7)
    tones = [
        (rng.uniform(300.0, 3300.0), rng.uniform(0.0, 6.28), rng.uniform(0.1, 0.9))
        for _ in range(40)
    ]
    return [
        round(900 * sum(math.sin(f * 2 * math.pi * n / 8000 * (1 + k * n / 80000) + p) for f, p, k in tones))
        for n in range(int(seconds * 8000))
    ]  # fmt: skip


def correlation(some: list[float], others: list[float]) -> float:
    """Pearson's coefficient."""
    means = [sum(values) / len(values) for values in (some, others)]
    a, b = (
        [value - mean for value in values]
        for values, mean in zip((some, others), means, strict=True)
    )
    power = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / power


def test_an_announcement_arrives_as_it_was_uploaded(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "said.wav"
    said = chirps(2.0)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(struct.pack(f"<{len(said)}h", *said))
    proxy = start(Kamailio, way=Way())
    desk = start(Baresip, "1001", proxy, DESK)
    service = start(Service, proxy.trunk("2000"), realm=proxy.realm).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    announcement = upload_file(service, path)
    definition = service.define(
        extension="1001", realm=proxy.realm, confirm="1", announcement=announcement
    )
    asked = service.connect(definition, "1002")
    law = array("h", decode(wav.load(path).octets("PCMU"), "PCMU"))
    middle = len(law) // 2 // FRAME * FRAME
    # baresip decodes what stands for zero as 2 or -2.
    while 0 in law[middle : middle + FRAME]:
        middle += FRAME
    known = law[middle : middle + FRAME].tobytes()

    def recorded() -> bytes:
        found = list(desk.folder.glob("dump-*-dec.wav"))
        return found[0].read_bytes()[44:] if found else b""

    # It is said again and again: the second time is compared, which came in whole.
    until(lambda: recorded().count(known) >= 3, 30, "the announcement, three times")
    channel = f"{service.base}/channels/{asked['extension_call_id']}"
    assert service.http("POST", channel, {"data": {"action": "hangup"}})[0] == 200
    service.ended(definition, asked["id"])
    octets = recorded()
    first = octets.find(known)
    begin = octets.find(known, first + len(known)) - 2 * middle
    heard = array("h", octets[begin : begin + 2 * len(law)])
    exact = sum(abs(a - b) <= 2 for a, b in zip(heard, law, strict=True)) / len(law)
    alike = correlation([float(s) for s in heard], [float(s) for s in said])
    print(f"{exact:.2%} of the samples are those that were sent; correlation {alike:.5f}")
    assert exact > 0.9
    assert alike > 0.95
