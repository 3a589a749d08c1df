"""rtpengine in userspace, driven over its ng protocol: what the relay is measured beside."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from base64 import b64encode
from types import TracebackType
from typing import Any

HOST = "127.0.0.1"


def _bencode(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"d" + b"".join(_bencode(k) + _bencode(v) for k, v in sorted(value.items())) + b"e"
    if isinstance(value, list):
        return b"l" + b"".join(map(_bencode, value)) + b"e"
    octets = str(value).encode()
    return str(len(octets)).encode() + b":" + octets


def _sdp(port: int, codec: str = "0 PCMU", key: bytes | None = None) -> str:
    number, name = codec.split()
    protocol = "RTP/SAVP" if key else "RTP/AVP"
    crypto = (
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{b64encode(key).decode()}\r\n" if key else ""
    )
    return (
        f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
        f"m=audio {port} {protocol} {number}\r\na=rtpmap:{number} {name}/8000\r\n{crypto}"
    )


class Rtpengine:
    """A running rtpengine with ``threads`` threads for packets."""

    def __init__(self, threads: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((HOST, 0))
            control = probe.getsockname()[1]
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [
                shutil.which("rtpengine") or "/usr/bin/rtpengine", "--foreground", "--log-stderr", "--log-level=3",
                "--table=-1", f"--interface={HOST}", f"--listen-ng={HOST}:{control}", "--port-min=40000",
                "--port-max=60000", f"--num-threads={threads}", f"--pidfile={self._folder.name}/pid",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.pid = self._process.pid
        self._ng = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._ng.settimeout(2)
        self._address = (HOST, control)

    def __enter__(self) -> Rtpengine:
        self._ask("p", command="ping")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ng.close()
        self._process.terminate()
        self._process.wait(10)
        self._folder.cleanup()

    def call(
        self, number: int, one: int, two: int, transcode: bool, key: bytes | None
    ) -> tuple[int, int]:
        """Set up a call between two ports; the ports that each end sends to.

        With ``transcode`` the second end has A-law; with ``key`` the first one encrypts with it.
        """
        common: dict[str, Any] = {"call-id": f"c{number}", "from-tag": "a"}
        asked: dict[str, Any] = dict(common)
        if transcode:
            asked["codec"] = {"mask": ["PCMU"], "transcode": ["PCMA"]}
        if key:
            asked["transport-protocol"] = "RTP/AVP"
        offer = self._ask(f"o{number}", command="offer", sdp=_sdp(one, key=key), **asked)
        answer = self._ask(
            f"a{number}", command="answer", sdp=_sdp(two, "8 PCMA" if transcode else "0 PCMU"),
            **common | {"to-tag": "b"},
        )  # fmt: skip
        return _port(answer), _port(offer)

    def _ask(self, cookie: str, **command: Any) -> bytes:
        for _ in range(10):
            self._ng.sendto(f"{cookie} ".encode() + _bencode(command), self._address)
            try:
                return self._ng.recv(65535)
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.2)
        raise RuntimeError("rtpengine does not answer")


def _port(answer: bytes) -> int:
    return int(answer.partition(b"m=audio ")[2].split()[0])
