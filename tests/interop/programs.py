"""The programs of others, each as a class: started on free ports of 127.0.0.1 in a folder of its own, stopped by pid."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

from c2c_sip.lab.listening import strength

HOST = "127.0.0.1"


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def free_rtp_range(count: int = 120) -> tuple[int, int]:
    """Ports that were free a moment ago; the first is even."""
    for start in range(21000, 60000, count):
        held: list[socket.socket] = []
        try:
            for port in range(start, start + count):
                one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                held.append(one)
                one.bind((HOST, port))
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
        return start, start + count - 1
    raise RuntimeError("no free ports")


def until(condition: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """The first true value of ``condition``."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what or condition}")
        time.sleep(0.02)


class Program:
    """A child process and what it printed."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes]

    def launch(self, command: list[str], environ: dict[str, str] | None = None) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environ,
            )

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def printed(self) -> str:
        return self.log.read_text(errors="replace")


class Service(Program):
    """``c2c-sip serve`` as a process, with an account, spoken to over HTTP only."""

    def __init__(
        self,
        folder: Path,
        settings: str = "",
        realm: str = "example.test",
        env: dict[str, str] | None = None,
    ) -> None:
        super().__init__(folder, "service")
        self.rtp = free_rtp_range()
        self.sip_port = free_port()
        self.config = folder / "c2c.toml"
        self.config.write_text(
            f'[http]\nlisten = "{HOST}:0"\n[database]\nurl = "sqlite:///{folder}/c2c.db"\n'
            f'[sip]\nlisten = ["udp:{HOST}:{self.sip_port}"]\n'
            f"[media]\nports = [{self.rtp[0]}, {self.rtp[1]}]\n{settings}"
        )
        root = str(Path(__file__).parents[2])
        self._env = os.environ | {"PYTHONPATH": root} | (env or {})
        made = self.run("account", "create", "Test", "--realm", realm, "--json")
        self.account = json.loads(made)
        self.url = ""
        self.token = ""

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "c2c_sip", *arguments, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=self._env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> Service:
        self.log.unlink(missing_ok=True)
        command = [sys.executable, "-m", "c2c_sip", "serve", "--config", str(self.config)]
        self.launch(command, self._env)
        self.url = until(
            lambda: (m := re.search(r"^ready (\S+)", self.printed(), re.M)) and m.group(1),
            20,
            "the service",
        )
        _, answer = self.http("PUT", "/v1/api_auth", {"data": {"api_key": self.account["api_key"]}})
        self.token = answer["auth_token"]
        return self

    def http(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(self.url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("X-Auth-Token", self.token)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=100) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    @property
    def base(self) -> str:
        return f"/v1/accounts/{self.account['id']}"

    def define(self, **fields: Any) -> str:
        """A click-to-call; its id."""
        status, answer = self.http(
            "PUT", f"{self.base}/clicktocall", {"data": {"name": "test"} | fields}
        )
        assert status == 200, answer
        return str(answer["data"]["id"])

    def connect(self, definition: str, contact: str) -> dict[str, Any]:
        status, answer = self.http(
            "POST", f"{self.base}/clicktocall/{definition}/connect", {"contact": contact}
        )
        assert status == 200, answer
        found: dict[str, Any] = answer["data"]
        return found

    def record(self, definition: str, activation: str) -> dict[str, Any]:
        _, answer = self.http("GET", f"{self.base}/clicktocall/{definition}/history/{activation}")
        found: dict[str, Any] = answer["data"]
        return found

    def ended(self, definition: str, activation: str, seconds: float = 20.0) -> dict[str, Any]:
        def final() -> dict[str, Any] | None:
            record = self.record(definition, activation)
            return record if record["state"] == "ended" else None

        found: dict[str, Any] = until(final, seconds, "the record's end")
        return found

    def cdrs(self, activation: str) -> list[dict[str, Any]]:
        _, answer = self.http("GET", f"{self.base}/cdrs?filter_activation_id={activation}")
        found: list[dict[str, Any]] = answer["data"]
        return found

    def open_rtp_ports(self) -> list[int]:
        """The UDP ports of the RTP range that are bound now."""
        bound = [int(line.split()[1].rpartition(":")[2], 16) for line in _udp_table()]
        return sorted(port for port in bound if self.rtp[0] <= port <= self.rtp[1])


def _udp_table() -> list[str]:
    return Path("/proc/net/udp").read_text().splitlines()[1:]


# --- sipp

_RESPONSE = """
  <send{attributes}>
    <![CDATA[
SIP/2.0 {status}
[last_Via:]
[last_From:]
[last_To:];tag=[pid]SIPpTag01[call_number]
[last_Call-ID:]
[last_CSeq:]
[last_Record-Route:]
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
{more}
    ]]>
  </send>
"""
_SDP = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=user1 53655765 2353687637 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio {port} RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
_EMPTY = "Content-Length: 0\n"
_BYE = """
  <send retrans="500">
    <![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[last_To:]
[last_From:]
[last_Call-ID:]
CSeq: 1 BYE
Max-Forwards: 70
Content-Length: 0

    ]]>
  </send>
  <recv response="200"/>
"""


def _response(status: str, body: str = _EMPTY, attributes: str = "") -> str:
    return _RESPONSE.format(status=status, more=body, attributes=attributes)


def _answer(port: int) -> str:
    return (
        _response("180 Ringing")
        + _response("200 OK", _SDP.format(port=port), ' retrans="500"')
        + '<recv request="ACK" crlf="true"/>'
    )


_INVITE = """<recv request="INVITE" rrs="true" crlf="true">
  <action>
    <ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>
    <ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>
  </action>
</recv>
"""


def scenario(kind: str, port: int = 6000, pause: int = 0) -> str:
    """A UAS: ``answer`` waits for BYE, ``answer_bye`` sends one after ``pause`` ms, ``refuse STATUS``, ``ring``
    expects CANCEL, ``silent`` never says a word, ``redirect URI``, ``early`` sends a 183 with SDP first."""
    verb, _, rest = kind.partition(" ")
    bye = '<recv request="BYE"/>' + _response("200 OK").replace(
        ";tag=[pid]SIPpTag01[call_number]", ""
    )
    wait = f'<pause milliseconds="{pause}"/>' if pause else ""
    match verb:
        case "answer":
            steps = _INVITE + wait + _answer(port) + bye
        case "early":
            steps = (
                _INVITE
                + _response("183 Session Progress", _SDP.format(port=port))
                + wait
                + _response("200 OK", _SDP.format(port=port), ' retrans="500"')
                + '<recv request="ACK" crlf="true"/>'
                + bye
            )
        case "answer_bye":
            tagged = ";tag=[pid]SIPpTag01[call_number]"
            leave = _BYE.replace("[last_To:]", f"From:[$to]{tagged}").replace(
                "[last_From:]", "To:[$from]"
            )
            steps = _INVITE + _answer(port) + f'<pause milliseconds="{pause}"/>' + leave
        case "refuse":
            steps = (
                _INVITE
                + _response("180 Ringing")
                + wait
                + _response(rest)
                + '<recv request="ACK"/>'
            )
        case "redirect":
            moved = _response("302 Moved Temporarily").replace(
                "Contact: <sip:[local_ip]:[local_port];transport=[transport]>", f"Contact: <{rest}>"
            )
            steps = _INVITE + moved + '<recv request="ACK"/>'
        case "ring":
            steps = (
                _INVITE
                + _response("180 Ringing")
                + '<recv request="CANCEL"/>'
                + _response("200 OK")
                + _response("487 Request Terminated").replace("[last_CSeq:]", "CSeq: [$cseq]")
                + '<recv request="ACK"/>'
            )
            steps = steps.replace(
                "  </action>",
                '    <ereg regexp="[0-9]+ INVITE" search_in="hdr" header="CSeq:" assign_to="cseq"/>\n  </action>',
                1,
            )
        case "silent":
            steps = _INVITE + '<pause milliseconds="60000"/>'
        case _:
            raise ValueError(kind)
    used = "from,to,cseq" if "[$cseq]" in steps else "from,to"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{verb}">\n{steps}\n'
        f'<Reference variables="{used}"/>\n</scenario>\n'
    )


class SippUas(Program):
    """One UAS that takes ``calls`` calls, each by its scenario, and fails on a message that is not in it."""

    def __init__(
        self,
        folder: Path,
        kind: str,
        *,
        name: str = "uas",
        calls: int = 1,
        pause: int = 0,
        transport: str = "u1",
        media_port: int | None = None,
    ) -> None:
        super().__init__(folder / name, "sipp")
        self.transport = transport
        self.port = free_port(socket.SOCK_DGRAM if transport == "u1" else socket.SOCK_STREAM)
        self.media_port = free_port() & ~1
        (self.folder / "scenario.xml").write_text(
            scenario(kind, media_port or self.media_port, pause)
        )
        self.launch(
            [
                "sipp", "-sf", "scenario.xml", "-i", HOST, "-p", str(self.port), "-mp", str(self.media_port),
                "-m", str(calls), "-t", transport, "-nostdin", "-trace_msg", "-message_file", "messages.log",
                "-trace_err", "-error_file", "errors.log", "-timeout", "90s",
            ],
            os.environ | {"TERM": "dumb"},
        )  # fmt: skip
        until(lambda: _is_bound(self.port, self.transport), 10, "sipp")

    @property
    def uri(self) -> str:
        suffix = "" if self.transport == "u1" else ";transport=tcp"
        return f"sip:{self.folder.name}@{HOST}:{self.port}{suffix}"

    def finish(self, seconds: float = 20.0) -> int:
        """sipp's exit code: 0 when every call went as its scenario says."""
        return self.process.wait(seconds)

    def messages(self) -> list[tuple[float, str, str]]:
        """(time, "sent" or "received", text) of each message."""
        log = self.folder / "messages.log"
        if not log.exists():
            return []
        found = []
        parts = re.split(r"^-{20,} (.*)$", log.read_text(errors="replace"), flags=re.M)
        for stamp, text in zip(parts[1::2], parts[2::2], strict=True):
            clock = re.search(r"(\d+)-(\d+)-(\d+)[ T](\d+):(\d+):([\d.]+)", stamp)
            assert clock is not None
            hours, minutes, seconds = clock.group(4), clock.group(5), clock.group(6)
            moment = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            way = "sent" if "sent" in text.split("\n", 2)[1] else "received"
            found.append((moment, way, text.split(":\n\n", 1)[-1].lstrip()))
        return found

    def received(self, method: str) -> list[tuple[float, str]]:
        return [
            (t, m) for t, way, m in self.messages() if way == "received" and m.startswith(method)
        ]


def _is_bound(port: int, transport: str = "u1") -> bool:
    table = (
        _udp_table() if transport == "u1" else Path("/proc/net/tcp").read_text().splitlines()[1:]
    )
    return any(int(line.split()[1].rpartition(":")[2], 16) == port for line in table)


# --- kamailio

_KAMAILIO = """
debug=1
log_stderror=yes
fork=yes
children=2
disable_tcp=yes
auto_aliases=no
listen=udp:{host}:{port}
mpath="{modules}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("registrar", "min_expires", {min_expires})
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")

request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not here"); exit;
    }}
    t_check_trans();
    if (is_method("REGISTER")) {{
        $var(password) = "{password}";
        if (!pv_www_authenticate("{realm}", "$var(password)", "0")) {{
            www_challenge("{realm}", "1"); exit;
        }}
        consume_credentials();
        save("location");
        exit;
    }}
    if (is_method("INVITE")) {{
        $var(password) = "{password}";
        if (!pv_proxy_authenticate("{realm}", "$var(password)", "0")) {{
            proxy_challenge("{realm}", "1"); exit;
        }}
        consume_credentials();
        record_route();
    }}
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_relay();
}}
"""


class Kamailio(Program):
    """A registrar and proxy with digest on REGISTER and INVITE; every user has the same password."""

    realm = HOST

    def __init__(self, folder: Path, password: str = "s3cret", min_expires: int = 60) -> None:
        super().__init__(folder / "kamailio", "kamailio")
        self.port = free_port()
        self.password = password
        modules = next(Path("/usr/lib").glob("*/kamailio/modules"))
        config = self.folder / "kamailio.cfg"
        config.write_text(
            _KAMAILIO.format(
                realm=self.realm,
                host=HOST,
                port=self.port,
                modules=modules,
                password=password,
                min_expires=min_expires,
            )
        )
        self.launch(
            [shutil.which("kamailio") or "/usr/sbin/kamailio", "-DD", "-E", "-f", str(config), "-Y", str(self.folder),
             "-m", "32", "-M", "4"]
        )  # fmt: skip
        until(lambda: _is_bound(self.port), 15, "kamailio")

    def trunk(self, username: str, **more: Any) -> str:
        """The settings of a trunk that registers here."""
        lines = {
            "name": "kamailio",
            "domain": f"{HOST}:{self.port}",
            "username": username,
            "password": self.password,
        } | more
        return "[[trunk]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in lines.items())


# --- baresip


class Baresip(Program):
    """A phone that registers at ``registrar``, answers by itself, plays a tone and records what it hears."""

    def __init__(self, folder: Path, user: str, registrar: Kamailio, tone: int) -> None:
        super().__init__(folder / f"baresip-{user}", "baresip")
        self.user = user
        self._control = free_port(socket.SOCK_STREAM)
        modules = next(Path("/usr/lib").glob("**/baresip/modules"))
        low, high = free_rtp_range()
        source = self.folder / "tone.wav"
        _write_tone(source, tone)
        (self.folder / "config").write_text(
            f"sip_listen {HOST}:{free_port()}\n"
            f"module_path {modules}\n"
            "audio_player aufile,/dev/null\n"
            f"audio_source aufile,{source}\n"
            "audio_alert aufile,/dev/null\n"
            "audio_srate 8000\naudio_channels 1\n"
            f"rtp_ports {low}-{high}\nrtp_stats no\n"
            "module g711.so\nmodule aufile.so\nmodule sndfile.so\n"
            "module_tmp uuid.so\nmodule_tmp account.so\n"
            "module_app menu.so\nmodule ctrl_tcp.so\n"
            f"ctrl_tcp_listen {HOST}:{self._control}\n"
            f"snd_path {self.folder}\n"
        )
        (self.folder / "accounts").write_text(
            f"<sip:{user}@{HOST}:{registrar.port};transport=udp>;auth_user={user};"
            f"auth_pass={registrar.password};answermode=auto;regint=120;audio_codecs=pcmu,pcma\n"
        )
        (self.folder / "contacts").write_text("")
        self.launch(["baresip", "-f", str(self.folder)])
        until(lambda: "200 OK" in self.printed() or "registered" in self.printed(), 15, "baresip")

    def command(self, name: str) -> None:
        """Give a command through ctrl_tcp, as a netstring of JSON."""
        text = json.dumps({"command": name, "params": "", "token": "t"})
        with socket.create_connection((HOST, self._control), 5) as control:
            control.sendall(f"{len(text)}:{text},".encode())
            control.settimeout(3)
            control.recv(4096)

    def hang_up(self) -> None:
        self.command("hangup")

    def heard(self, frequency: float, span: tuple[float, float] = (-1.5, -0.3)) -> float:
        """The share of a tone in what came in during a span of seconds of the newest recording."""
        recordings = sorted(self.folder.glob("dump-*-dec.wav"), key=lambda p: p.stat().st_mtime)
        assert recordings, f"{self.user} recorded nothing: {self.printed()[-2000:]}"
        samples = read_samples(recordings[-1])
        low, high = (round(edge * 8000) for edge in span)
        return strength(samples[low:high], frequency)


def _write_tone(path: Path, frequency: int, seconds: int = 60) -> None:
    period = [round(9000 * math.sin(2 * math.pi * frequency * i / 8000)) for i in range(8000)]
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(struct.pack("<8000h", *period) * seconds)


def read_samples(path: Path) -> list[float]:
    """The samples of a 16-bit mono WAV, also of one whose header was not finished."""
    octets = path.read_bytes()
    start = octets.find(b"data") + 8
    body = octets[start:]
    body = body[: len(body) & ~1]
    return [float(sample) for (sample,) in struct.iter_unpack("<h", body)]


def stop_all(programs: list[Program]) -> None:
    for program in programs:
        with contextlib.suppress(ProcessLookupError):
            program.stop(signal.SIGTERM, 5)
