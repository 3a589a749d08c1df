"""baresip: a phone with an ear."""

from __future__ import annotations

import contextlib
import json
import math
import random
import re
import socket
import struct
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

from c2c_sip.lab.listening import strength
from tests.interop.programs.base import (
    HOST,
    Certificate,
    Program,
    free_port,
    free_rtp_range,
    until,
)
from tests.interop.programs.kamailio import Kamailio


def _two_free_ports(host: str) -> int:
    """A port that is free for UDP and TCP, and so is the next, which baresip takes for TLS."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(200):
        # Below those that the system gives out by itself, which programs starting beside us get.
        first = random.randrange(11000, 31000, 2)
        with contextlib.ExitStack() as held:
            try:
                for port in (first, first + 1):
                    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                        held.enter_context(socket.socket(family, kind)).bind((host, port))
            except OSError:
                continue
            return first
    raise RuntimeError("no two free ports")


class Baresip(Program):
    """A phone that registers at ``registrar``, answers by itself, plays a tone and records what it hears."""

    def __init__(
        self,
        folder: Path,
        user: str,
        registrar: Kamailio,
        tone: int,
        certificate: Certificate | None = None,
        encryption: str = "",
    ) -> None:
        """``encryption`` is of its audio: ``srtp`` or ``srtp-mand``."""
        super().__init__(folder / f"baresip-{user}", "baresip")
        self.user = user
        way = registrar.way
        self._control = free_port()
        modules = next(Path("/usr/lib").glob("**/baresip/modules"))
        low, high = free_rtp_range()
        source = self.folder / "tone.wav"
        write_tone(source, tone)
        (self.folder / "config").write_text(
            f"sip_listen {way.literal}:{_two_free_ports(way.host)}\n"
            + (
                f"sip_certificate {certificate.own}\nsip_cafile {certificate.authority}\n"
                if certificate
                else ""
            )
            + f"prefer_ipv6 {'yes' if ':' in way.host else 'no'}\n"
            f"module_path {modules}\n"
            "audio_player aufile,/dev/null\n"
            f"audio_source aufile,{source}\n"
            "audio_alert aufile,/dev/null\n"
            "audio_srate 8000\naudio_channels 1\n"
            # No jitter buffer: that of libre 1.1 goes on from the number it played last when the SSRC changes, and drops a
            # stream whose numbers are behind it.
            "jitter_buffer_delay 0-0\n"
            f"rtp_ports {low}-{high}\nrtp_stats no\n"
            "module g711.so\nmodule aufile.so\nmodule sndfile.so\n"
            + ("module srtp.so\n" if encryption else "")
            + "module_tmp uuid.so\nmodule_tmp account.so\n"
            "module_app menu.so\nmodule ctrl_tcp.so\n"
            f"ctrl_tcp_listen {HOST}:{self._control}\n"
            f"snd_path {self.folder}\n"
        )
        (self.folder / "accounts").write_text(
            f"<sip:{user}@{way.literal}:{registrar.port};transport={way.transport}>;auth_user={user};"
            f"auth_pass={registrar.password};answermode=auto;regint=120;audio_codecs=pcmu,pcma"
            + (f";mediaenc={encryption}\n" if encryption else "\n")
        )
        (self.folder / "contacts").write_text("")
        self.launch(["baresip", "-s", "-f", str(self.folder)])
        until(lambda: "200 OK" in self.printed() or "registered" in self.printed(), 15, "baresip")

    def command(self, name: str, parameters: str = "") -> None:
        """Give a command through ctrl_tcp, as a netstring of JSON."""
        text = json.dumps({"command": name, "params": parameters, "token": "t"})
        with socket.create_connection((HOST, self._control), 5) as control:
            control.sendall(f"{len(text)}:{text},".encode())
            control.settimeout(3)
            control.recv(4096)

    def hang_up(self) -> None:
        self.command("hangup")

    @contextlib.contextmanager
    def watched(self) -> Iterator[Callable[[], str]]:
        """Gives the keys that its peer is seen to press meanwhile. It takes no command as long as this lasts."""
        with socket.create_connection((HOST, self._control), 5) as control:
            control.setblocking(False)
            told = bytearray()

            def keys() -> str:
                with contextlib.suppress(BlockingIOError):
                    while octets := control.recv(4096):
                        told.extend(octets)
                return "".join(re.findall(r'CALL_DTMF_START"[^}]*"param":"(.)"', told.decode()))

            yield keys

    def heard(self, frequency: float, span: tuple[float, float] = (-1.5, -0.3)) -> float:
        """The share of a tone in what came in during a span of seconds of the newest recording."""
        recordings = sorted(self.folder.glob("dump-*-dec.wav"), key=lambda p: p.stat().st_mtime)
        assert recordings, f"{self.user} recorded nothing: {self.printed()[-2000:]}"
        return heard_in(recordings[-1], frequency, span)


def heard_in(recording: Path, frequency: float, span: tuple[float, float]) -> float:
    """The share of a tone in a span of seconds of a recording; from its end where they are negative."""
    samples = read_samples(recording)
    low, high = (round(edge * 8000) for edge in span)
    return strength(samples[low:high], frequency)


def write_tone(path: Path, frequency: int, seconds: int = 60) -> None:
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
