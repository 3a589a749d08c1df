"""What people hear besides each other, heard by phones that we did not write."""

from __future__ import annotations

import io
import time
import urllib.error
import urllib.request
import wave
from array import array
from pathlib import Path

from tests.interop.conftest import Start
from tests.interop.programs import Baresip, Kamailio, Linphone, Service, SippUas, Way, until
from tests.interop.programs.baresip import strength, write_tone

DESK, CUSTOMER, RINGING, MUSIC = 700, 1100, 500, 900


def upload(service: Service, folder: Path, frequency: int) -> str:
    """A tone as audio of the account; its id."""
    path = folder / f"{frequency}.wav"
    write_tone(path, frequency, 5)
    return upload_file(service, path)


def upload_file(service: Service, path: Path) -> str:
    """A file as audio of the account; its id."""
    status, answer = service.http("PUT", f"{service.base}/media", {"data": {"name": path.name}})
    assert status in (200, 201), answer
    identifier = str(answer["data"]["id"])
    request = urllib.request.Request(
        f"{service.url}{service.base}/media/{identifier}/raw",
        data=path.read_bytes(),
        headers={"Content-Type": "audio/wav", "X-Auth-Token": service.token},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        assert response.status == 200
    return identifier


def test_ringback_and_music_of_the_account(start: Start, tmp_path: Path) -> None:
    proxy = start(Kamailio, way=Way())
    desk = start(Baresip, "1001", proxy, DESK)
    # A baresip that is held stops listening.
    customer = start(Linphone, "1002", proxy, CUSTOMER)
    ringing = start(SippUas, "ring", name="ringing")
    service = start(Service, proxy.trunk("2000"), realm=proxy.realm).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    fields = {
        "ringback": upload(service, tmp_path, RINGING),
        "music_on_hold": {"media_id": upload(service, tmp_path, MUSIC)},
    }
    definition = service.define(extension="1001", realm=proxy.realm, **fields)

    waiting = service.connect(definition, ringing.uri)
    time.sleep(2.5)  # of which the phone has to have written something
    until(lambda: desk.heard(RINGING) > 0.8, 8, "the ringback")
    channel = f"{service.base}/channels/{waiting['call_id']}"
    assert service.http("POST", channel, {"data": {"action": "hangup"}})[0] == 200
    service.ended(definition, waiting["id"])

    talking = service.connect(definition, "1002")
    until(lambda: service.record(definition, talking["id"])["state"] == "connected", 10, "the call")
    time.sleep(2.0)
    until(lambda: desk.heard(CUSTOMER) > 0.5, 15, "the customer")
    desk.command("hold")
    until(lambda: "a=sendonly" in customer.messages(), 5, "hold at the customer")
    time.sleep(3.0)
    desk.command("resume")
    time.sleep(2.5)
    until(lambda: desk.heard(CUSTOMER) > 0.5, 15, "the customer after resume")
    desk.hang_up()
    assert service.ended(definition, talking["id"])["cause"] == "NORMAL_CLEARING"
    # What it hears is written when it ends.
    until(lambda: customer.heard(DESK) > 0.8, 5, "the desk after resume")
    seconds = [number / 2 for number in range(18)]
    loud = [
        [customer.heard(tone, (-end - 0.5, -end)) > 0.8 for end in seconds]
        for tone in (MUSIC, DESK)
    ]
    assert sum(loud[0]) >= 4, "half seconds of music"
    first = loud[0].index(True)
    assert any(loud[1][:first])
    assert any(loud[1][first + sum(loud[0]) :]), "the desk before and after it"


def test_two_phones_that_hear_each_other_past_us(start: Start) -> None:
    proxy = start(Kamailio, way=Way())
    desk = start(Baresip, "1001", proxy, DESK)
    customer = start(Baresip, "1002", proxy, CUSTOMER)
    service = start(Service, proxy.trunk("2000"), realm=proxy.realm).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    definition = service.define(extension="1001", realm=proxy.realm, bypass_media=True)
    talking = service.connect(definition, "1002")
    until(lambda: service.record(definition, talking["id"])["state"] == "connected", 10, "the call")
    time.sleep(4.0)
    until(lambda: customer.heard(DESK) > 0.8, 15, "the desk")
    until(lambda: desk.heard(CUSTOMER) > 0.5, 15, "the customer")
    legs = [f"{service.base}/channels/{talking[key]}" for key in ("call_id", "extension_call_id")]

    def received() -> list[int]:
        return [service.http("GET", leg)[1]["data"]["media"]["packets_received"] for leg in legs]

    before = received()
    time.sleep(1.0)
    assert received() == before, "no more comes to us"
    customer.hang_up()
    assert service.ended(definition, talking["id"])["cause"] == "NORMAL_CLEARING"
    for cdr in service.cdrs(talking["id"]):
        assert cdr["media"]["packets_received"] in before


def test_a_recording_has_both_one_on_each_side(start: Start, tmp_path: Path) -> None:
    proxy = start(Kamailio, way=Way())
    desk = start(Baresip, "1001", proxy, DESK)
    customer = start(Baresip, "1002", proxy, CUSTOMER)
    settings = f'[recording]\ndirectory = "{tmp_path}/recordings"\n'
    service = start(Service, proxy.trunk("2000") + settings, realm=proxy.realm).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    definition = service.define(extension="1001", realm=proxy.realm, record=True)
    talking = service.connect(definition, "1002")
    until(lambda: service.record(definition, talking["id"])["state"] == "connected", 10, "the call")
    time.sleep(4.0)
    until(lambda: customer.heard(DESK) > 0.5, 15, "the desk")
    desk.hang_up()
    service.ended(definition, talking["id"])
    path = f"{service.base}/clicktocall/{definition}/history/{talking['id']}/recording.wav"
    request = urllib.request.Request(service.url + path, headers={"X-Auth-Token": service.token})

    def fetched() -> bytes:
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return bytes(response.read())
        except urllib.error.HTTPError:
            return b""

    until(fetched, 10, "the recording")
    with wave.open(io.BytesIO(fetched())) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        samples = array("h", file.readframes(file.getnframes()))
    for side, tone in ((0, DESK), (1, CUSTOMER)):
        heard = [float(sample) for sample in samples[side::2]]
        assert len(heard) > 3 * 8000
        assert strength(heard[-8000 - 2400 : -2400], tone) > 0.5
