"""``c2c-sip doctor`` with each thing broken in turn, and with nothing broken: against kamailio, the lab and dnsmasq."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner

from c2c_sip.cli import main
from c2c_sip.lab import Lab
from tests.interop.conftest import Start
from tests.interop.programs import (
    HOST,
    Certificate,
    Dnsmasq,
    Kamailio,
    Program,
    Service,
    Way,
    free_port,
    free_rtp_range,
    until,
)
from tests.interop.programs.base import is_bound

ROOT = str(Path(__file__).parents[2])
#: What keeps the settings themselves from being doubtful.
LIMITS = "[guard]\nper_address = 60\n"


@dataclass
class Patient:
    """A configuration, and what the doctor finds."""

    folder: Path
    parts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first, last = free_rtp_range(40)
        self.parts = {
            "http": f'listen = "{HOST}:{free_port()}"',
            "database": f'url = "sqlite:///{self.folder}/c2c.db"',
            "sip": f'listen = ["udp:{HOST}:{free_port()}"]',
            "media": f"ports = [{first}, {last}]",
        }

    @property
    def config(self) -> Path:
        return self.folder / "patient.toml"

    def write(self, trunk: str = "", **parts: str) -> None:
        sections = self.parts | parts
        text = "".join(f"[{name}]\n{body}\n" for name, body in sections.items())
        self.config.write_text(LIMITS + text + trunk)
        self.config.chmod(0o600)

    def examine(self, *options: str, code: int | None = None) -> dict[str, tuple[str, str, str]]:
        """(result, text, remedy) by check; of one that is there twice, the worse."""
        done = CliRunner().invoke(
            main, ["doctor", "--config", str(self.config), "--json", *options]
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        told = json.loads(done.stdout)
        assert told["ok"] is (done.exit_code == 0)
        assert code in (None, done.exit_code), told
        found: dict[str, tuple[str, str, str]] = {}
        for one in sorted(told["checks"], key=lambda one: one["result"] == "fail"):
            found[one["check"]] = (one["result"], one["text"], one["remedy"])
            # Whatever does not work has a remedy, and what works needs none.
            if one["result"] in ("warn", "fail"):
                assert one["remedy"] or one["check"] == "configuration"
            if one["result"] == "ok":
                assert not one["remedy"]
        return found


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


@pytest.fixture(scope="module")
def kamailio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    program = Kamailio(tmp_path_factory.mktemp("doctor"), stun=True)
    yield program
    program.stop()


def well(found: dict[str, tuple[str, str, str]], *but: str) -> None:
    wrong = {check: what for check, what in found.items() if what[0] != "ok" and check not in but}
    assert wrong == {}


#: What no machine of a test has to have; of the ports for RTP others may have some, which a test of their own is about.
ELSEWHERE = ("clock", "firewall rules", "open files", "database disk", "media.ports")


# --- nothing broken


def test_a_service_that_runs_and_one_that_does_not_are_well(
    start: Start, kamailio: Kamailio
) -> None:
    service = start(Service, LIMITS + kamailio.trunk("2000"))
    port = free_port()
    text = service.config.read_text().replace(f'"{HOST}:0"', f'"{HOST}:{port}"')
    service.config.write_text(text)
    service.config.chmod(0o600)
    patient = Patient(service.folder)
    (service.folder / "patient.toml").symlink_to(service.config)
    before = patient.examine(code=0)
    well(before, *ELSEWHERE)
    assert "not running" in before["service"][1] and "is free" in before["http.listen"][1]
    service.start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 20, "the registration")
    found = patient.examine(code=0)
    well(found, *ELSEWHERE)
    assert "is ready" in found["service"][1]
    for check in ("http.listen", "sip.listen udp"):
        assert "held by the running service" in found[check][1]
    assert "2000 is let in" in found["trunk kamailio: account"][1]
    # Nothing was changed by it: the registrar has the service, and nobody else.
    assert "one binding" in found["trunk kamailio: account"][1]
    assert service.http("GET", "/readyz")[0] == 200


def test_a_trunk_that_does_not_let_us_in_is_said_so_by_its_status_too(
    start: Start, kamailio: Kamailio
) -> None:
    service = start(Service, kamailio.trunk("2000", password="wrong")).start()
    options = ("--config", str(service.config), "--url", service.url)

    def failed() -> bool:
        done = CliRunner().invoke(main, ["trunk", "status", *options])
        return done.exit_code == 1 and "failed" in done.stdout and "password" in done.stdout

    until(failed, 30, "the refusal")


def test_the_lab_is_well(patient: Patient) -> None:
    lab = Lab()
    trunk = lab.start()
    try:
        patient.write(
            f'[[trunk]]\nname = "lab"\ndomain = "{trunk.domain}"\nusername = "{trunk.username}"\n'
            f'password = "{trunk.password}"\n'
        )
        found = patient.examine()
        assert found["trunk lab: server"][0] == found["trunk lab: account"][0] == "ok"
        assert found["trunk lab: NAT"][0] == "ok"
    finally:
        lab.stop()


def test_it_is_a_table_and_speaks_to_people(patient: Patient) -> None:
    patient.write()
    done = CliRunner().invoke(main, ["doctor", "--config", str(patient.config)])
    assert done.stdout.splitlines()[0].split() == ["CHECK", "RESULT", "WHAT", "WAS", "SEEN"]
    assert "\x1b" not in done.stdout
    assert "-> make it: c2c-sip init" in done.stdout


# --- the machine


def test_ports_that_others_have_are_named_with_who_has_them(patient: Patient) -> None:
    with (
        socket.socket() as http,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip,
    ):
        http.bind((HOST, 0))
        http.listen()
        sip.bind((HOST, 0))
        patient.write(
            http=f'listen = "{HOST}:{http.getsockname()[1]}"',
            sip=f'listen = ["udp:{HOST}:{sip.getsockname()[1]}"]',
        )
        http.settimeout(0.2)

        def refuse() -> None:  # what answers there is not c2c-sip
            until(lambda: _hang_up_on_one(http), 30)

        thread = threading.Thread(target=refuse)
        thread.start()
        found = patient.examine(code=1)
        thread.join()
    for check in ("http.listen", "sip.listen udp"):
        result, text, remedy = found[check]
        assert result == "fail" and f"pid {os.getpid()}" in text
        assert check.partition(" ")[0] in remedy


def _hang_up_on_one(listening: socket.socket) -> bool:
    try:
        listening.accept()[0].close()
    except TimeoutError:
        return False
    return True


def test_an_address_of_another_machine_cannot_be_listened_at(patient: Patient) -> None:
    patient.write(http='listen = "192.0.2.1:8000"', media='address = "192.0.2.1"')
    found = patient.examine(code=1)
    assert found["http.listen"][0] == "fail" and "192.0.2.1" in found["http.listen"][1]
    assert found["media.ports"][0] == "fail" and "media.address" in found["media.ports"][2]


def test_an_rtp_range_that_others_have_is_seen_as_far_as_it_is_gone(patient: Patient) -> None:
    first, _ = free_rtp_range(40)
    patient.write(media=f"ports = [{first}, {first + 7}]")
    held = []
    try:
        for port in range(first, first + 8):
            held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            held[-1].bind((HOST, port))
        found = patient.examine(code=1)
        result, text, remedy = found["media.ports"]
        assert result == "fail" and f"pid {os.getpid()}" in text and "media.ports" in remedy
        assert found["RTP to ourselves"][0] == "not checked"
        for one in held[2:]:
            one.close()
        result, text, _ = patient.examine(code=0)["media.ports"]
        assert result == "warn" and "2 of udp" in text and "room for 1 calls" in text
    finally:
        for one in held:
            one.close()


def test_a_database_that_cannot_be_made_or_is_none(patient: Patient) -> None:
    # /proc takes no files, not even root's.
    for url, seen in (
        (f"sqlite:///{patient.folder}/none/c2c.db", "there is no directory"),
        ("sqlite:////proc/c2c.db", "cannot be made"),
        (f"sqlite:///{patient.config}", "is damaged: file is not a database"),
        ("postgresql://u:s3cret@127.0.0.1:9/n", "PostgreSQL does not answer"),
    ):
        patient.write(database=f'url = "{url}"', recording='directory = "/proc/recordings"')
        found = patient.examine(code=1)
        result, text, remedy = found["database"]
        assert (result, seen in text, bool(remedy)) == ("fail", True, True), text
        assert "s3cret" not in text + remedy
        assert found["recording.directory"][0] == "fail"
    assert not (patient.folder / "none").exists()


def test_a_database_that_is_damaged_inside(patient: Patient) -> None:
    file = patient.folder / "broken.db"
    with closing(sqlite3.connect(file)) as made:
        made.execute("CREATE TABLE one (text TEXT)")
        made.executemany("INSERT INTO one VALUES (?)", [("x" * 500,)] * 500)
        made.commit()
    octets = bytearray(file.read_bytes())
    octets[20 * 4096 : 30 * 4096] = b"\xff" * (10 * 4096)
    file.write_bytes(octets)
    patient.write(database=f'url = "sqlite:///{file}"')
    result, text, remedy = patient.examine(code=1)["database"]
    assert (result, "is damaged" in text, "c2c-sip restore" in remedy) == ("fail", True, True), text


def test_too_few_file_descriptors_for_max_calls(patient: Patient) -> None:
    patient.write(calling="max_calls = 9")
    command = [sys.executable, "-m", "c2c_sip", "doctor", "--config", str(patient.config), "--json"]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 120; exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        timeout=90,
        env=os.environ | {"PYTHONPATH": ROOT},
    )
    (one,) = [c for c in json.loads(done.stdout)["checks"] if c["check"] == "open files"]
    assert (done.returncode, one["result"]) == (1, "fail")
    assert "enough for 3 calls" in one["text"] and "LimitNOFILE=154" in one["remedy"]


def test_a_malformed_configuration_is_all_that_is_looked_at(patient: Patient) -> None:
    patient.config.write_text("[http]\nthreads = 0\n[media]\nspeed = 1\n")
    done = CliRunner().invoke(main, ["doctor", "--config", str(patient.config)])
    assert done.exit_code == 1
    assert "http.threads" in done.stdout and "media.speed" in done.stdout
    assert "conf/c2c_sip.toml" in done.stdout and "not checked" in done.stdout
    patient.config.write_text("[http")
    result, text, _ = patient.examine(code=1)["configuration"]
    assert result == "fail" and "not TOML" in text


def test_a_secret_that_everybody_may_read(patient: Patient, kamailio: Kamailio) -> None:
    patient.write(kamailio.trunk("2000"))
    assert patient.examine()["configuration"][:2] == ("ok", f"{patient.config} is valid")
    patient.config.chmod(0o644)
    result, text, remedy = patient.examine()["configuration"]
    assert result == "warn" and "secret" in text and remedy == f"chmod o-rwx {patient.config}"
    patient.write()
    patient.config.chmod(0o644)
    assert patient.examine()["configuration"][0] == "ok"  # there is none in it


# --- the network


def test_name_servers_that_are_dead_and_names_that_are_not_there(
    start: Start, patient: Patient, kamailio: Kamailio
) -> None:
    names = start(
        Dnsmasq,
        [
            f"srv-host=_sip._udp.provider.test,one.provider.test,{kamailio.port},0,10",
            f"host-record=one.provider.test,{HOST}",
        ],
    )

    def ask(domain: str, port: int) -> dict[str, tuple[str, str, str]]:
        sip = self_sip + f'\nnameservers = ["{HOST}:{port}"]'
        patient.write(kamailio.trunk("2000", domain=domain), sip=sip)
        return patient.examine()

    self_sip = patient.parts["sip"]
    result, text, _ = (found := ask("provider.test", names.port))["trunk kamailio: DNS"]
    assert result == "ok" and f"{HOST}:{kamailio.port}" in text and "SRV" in text
    assert found["trunk kamailio: server"][0] == "ok"
    result, text, remedy = ask("nobody.test", names.port)["trunk kamailio: DNS"]
    assert result == "fail" and "nobody.test" in text and "trunk[0].domain" in remedy
    result, text, remedy = ask("provider.test", free_port())["trunk kamailio: DNS"]
    assert result == "fail" and "no answer" in text and "sip.nameservers" in remedy


def test_a_registrar_that_is_silent_and_one_that_is_gone(patient: Patient) -> None:
    trunk = '[[trunk]]\nname = "p"\ndomain = "{}:{}"\nusername = "u"\npassword = "x"\n'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HOST, 0))
        patient.write(trunk.format(HOST, silent.getsockname()[1]))
        found = patient.examine(code=1)
    result, text, remedy = found["trunk p: server"]
    assert result == "fail" and "no answer" in text and "trunk[0].transport" in remedy
    assert found["trunk p: account"][0] == "not checked"
    patient.write(trunk.format(HOST, free_port()))
    result, text, _ = patient.examine(code=1)["trunk p: server"]
    assert result == "fail" and "nobody is there" in text


@pytest.mark.parametrize(
    ("more", "seen"),
    [({"password": "wrong"}, "password is refused"), ({"password": ""}, "there is none")],
)
def test_a_wrong_password_and_none(
    patient: Patient, kamailio: Kamailio, more: dict[str, Any], seen: str
) -> None:
    patient.write(kamailio.trunk("2000", **more))
    found = patient.examine(code=1)
    result, text, remedy = found["trunk kamailio: account"]
    assert result == "fail" and seen in text and "trunk[0].password" in remedy
    assert found["trunk kamailio: server"][0] == "ok"


@pytest.mark.parametrize(("off", "seen"), [(-7200, "ahead"), (7200, "behind")])
def test_a_clock_that_is_not_as_the_registrars(
    start: Start, patient: Patient, off: int, seen: str
) -> None:
    other = datetime.now(UTC) + timedelta(seconds=off)
    skewed = start(Kamailio, date=format_datetime(other, usegmt=True))
    patient.write(skewed.trunk("2000"))
    result, text, remedy = patient.examine(code=1)["clock"]
    assert result == "fail" and seen in text and "set-ntp" in remedy


def test_the_clock_is_compared_with_a_time_server(patient: Patient) -> None:
    patient.write()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HOST, 0))
        server.settimeout(60)
        offsets = iter((0.0, 3600.0))

        def serve() -> None:
            for off in offsets:
                request, client = server.recvfrom(64)
                now = time.time() + off + 2_208_988_800
                moment = struct.pack("!II", int(now), int(now % 1 * 2**32))
                head = bytes([0x24, 2, 0, 0]) + bytes(20)
                server.sendto(head + request[40:48] + moment + moment, client)

        thread = threading.Thread(target=serve)
        thread.start()
        name = f"{HOST}:{server.getsockname()[1]}"
        right = patient.examine("--ntp", name)["clock"]
        wrong = patient.examine("--ntp", name, code=1)["clock"]
        thread.join()
    assert right[0] == "ok" and name in right[1]
    assert wrong[0] == "fail" and "3600 s behind" in wrong[1]
    nobody = patient.examine("--ntp", f"{HOST}:{free_port()}")["clock"]
    assert nobody[0] == "not checked"
    assert patient.examine()["clock"][0] in ("ok", "not checked")


class Nat(Program):
    """socat, which sends on from another address what comes in, as a NAT does."""

    address = "127.0.0.2"

    def __init__(self, folder: Path, inside: int) -> None:
        super().__init__(folder, "nat")
        self.port = free_port()
        self.launch(
            [
                "socat",
                f"UDP-LISTEN:{self.port},bind={HOST},fork,reuseaddr",
                f"UDP:{HOST}:{inside},bind={self.address}",
            ]
        )
        until(lambda: is_bound(self.port), 10, "socat")


def test_a_nat_is_seen_by_rport_and_by_stun(
    start: Start, patient: Patient, kamailio: Kamailio
) -> None:
    nat = start(Nat, kamailio.port)
    trunk = kamailio.trunk("2000", domain=f"{HOST}:{nat.port}")
    sip = patient.parts["sip"]
    stun = ("--stun", f"{HOST}:{nat.port}")
    patient.write(trunk)
    found = patient.examine(*stun)
    for check in ("trunk kamailio: NAT", "NAT by STUN"):
        result, text, remedy = found[check]
        assert result == "warn" and nat.address in text and "sip.public_address" in remedy
    none = patient.examine("--stun", f"{HOST}:{kamailio.port}")["NAT by STUN"]
    assert none[0] == "ok"
    patient.write(trunk, sip=sip + '\npublic_address = "192.0.2.7"')
    result, text, remedy = patient.examine(*stun, code=1)["NAT by STUN"]
    assert result == "fail" and "192.0.2.7" in text and nat.address in remedy
    patient.write(trunk, sip=sip + f'\npublic_address = "{nat.address}"')
    assert patient.examine(*stun)["NAT by STUN"][0] == "ok"
    dead = patient.examine("--stun", f"{HOST}:{free_port()}", code=1)["NAT by STUN"]
    assert dead[0] == "fail" and "does not answer" in dead[1]


@pytest.fixture(scope="module")
def issue(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Certificate]:
    """Makes certificates of one authority."""
    folder = tmp_path_factory.mktemp("authority")
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))

    def make(name: str, days: int = 300) -> Certificate:
        own = folder / f"{name}-{days}.pem"
        end = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=days)
        made = authority.issue_cert(name, not_after=end)
        made.private_key_and_cert_chain_pem.write_to_path(str(own))
        return Certificate(folder / "authority.pem", own)

    return make


@pytest.mark.parametrize(
    ("name", "days", "believed", "result", "seen", "remedy"),
    [
        (HOST, 300, True, "ok", "299 days more", ""),
        (HOST, 7, True, "warn", "6 days more", "renew"),
        (HOST, -1, True, "fail", "expired", "renew"),
        ("other.test", 300, True, "fail", f"is not for {HOST}", "tls_server_name"),
        (HOST, 300, False, "fail", "authority", "trunk[0].tls_ca"),
    ],
)
def test_a_trunks_certificate(
    start: Start,
    patient: Patient,
    issue: Callable[..., Certificate],
    name: str,
    days: int,
    believed: bool,
    result: str,
    seen: str,
    remedy: str,
) -> None:
    certificate = issue(name, days)
    secure = start(Kamailio, way=Way("tls"), certificate=certificate)
    more = {"tls_ca": str(certificate.authority)} if believed else {}
    patient.write(secure.trunk("2000", **more))
    found = patient.examine(code=1 if result == "fail" else 0)
    told, text, what = found["trunk kamailio: certificate"]
    assert (told, seen in text, remedy in what) == (result, True, True), (text, what)
    if result == "ok":
        assert found["trunk kamailio: account"][0] == "ok"


def test_a_port_that_does_not_speak_tls(patient: Patient, kamailio: Kamailio) -> None:
    with socket.socket() as mute:
        mute.bind((HOST, 0))
        mute.listen()
        mute.settimeout(60)

        def answer() -> None:
            with mute.accept()[0] as one:
                one.sendall(b"SIP/2.0 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        domain = f"{HOST}:{mute.getsockname()[1]}"
        patient.write(kamailio.trunk("2000", domain=domain, transport="tls"))
        found = patient.examine(code=1)
        thread.join()
    result, text, remedy = found["trunk kamailio: certificate"]
    assert result == "fail" and "no TLS" in text and "5061" in remedy


def test_a_clock_that_has_not_come_to_what_was_written_yet(patient: Patient) -> None:
    patient.write()
    database = patient.folder / "c2c.db"
    database.touch()
    assert patient.examine()["clock"][0] in ("ok", "not checked")
    later = time.time() + 86_400
    os.utime(database, (later, later))
    result, text, remedy = patient.examine(code=1)["clock"]
    assert result == "fail" and "behind" in text and str(database) in text and "set-ntp" in remedy


def test_definitions_that_would_be_refused(start: Start) -> None:
    guard = '[guard]\nper_address = 60\ncountries = ["US", "GB"]\n'
    recorded = '[recording]\ndirectory = "{}"\n'
    trunk = f'[[trunk]]\nname = "p"\ndomain = "{HOST}:{free_port()}"\nregister = false\n'
    service = start(Service, guard)
    whole = service.config.read_text()
    service.config.write_text(whole + recorded.format(service.folder / "tapes") + trunk)
    service.start()
    good = service.define(name="Good", extension=f"sip:desk@{HOST}:5999")
    named = {
        "Britain": service.define(name="Britain", extension="+442079460123"),
        "Inside": service.define(name="Inside", extension="101"),
        "Taped": service.define(name="Taped", extension=f"sip:desk@{HOST}:5999", record=True),
        "Music": service.define(
            name="Music",
            extension=f"sip:desk@{HOST}:5999",
            music_on_hold={"media_id": "no-such-media"},
        ),
    }
    assert service.stop() == 0
    patient = Patient(service.folder)
    (service.folder / "patient.toml").symlink_to(service.config)

    def told() -> list[tuple[str, str, str]]:
        done = CliRunner().invoke(main, ["doctor", "--config", str(patient.config), "--json"])
        checks = json.loads(done.stdout)["checks"]
        return [(c["result"], c["text"], c["remedy"]) for c in checks if c["check"] == "click-to-calls"]  # fmt: skip

    # With the settings of before only the music is missing, which was never there.
    ((result, text, remedy),) = told()
    assert (result, "no-such-media" in text, named["Music"] in remedy) == ("warn", True, True)
    # Then they are changed: no trunk, nowhere to record, one country less.
    service.config.write_text(whole.replace('["US", "GB"]', '["US"]'))
    found = told()
    assert len(found) == len(named) and not [text for _, text, _ in found if good in text]
    for name, said, mends in (
        ("Britain", "GB", "guard.countries"),
        ("Inside", "no trunk", "[[trunk]]"),
        ("Taped", "nowhere", "recording.directory"),
        ("Music", "no-such-media", "media"),
    ):
        ((result, text, remedy),) = [one for one in found if named[name] in one[1]]
        assert result == ("warn" if name in ("Music", "Inside") else "fail")
        assert said in text and mends in remedy and f"'{name}'" in text
