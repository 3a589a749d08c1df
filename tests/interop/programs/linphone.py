"""linphone: the console phone of Debian's linphone-cli, with files for a sound card."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from tests.interop.programs.baresip import heard_in, write_tone
from tests.interop.programs.base import Certificate, Program, free_port, free_rtp_range, until
from tests.interop.programs.kamailio import Kamailio


class Linphone(Program):
    """A phone that registers at ``registrar``, answers by itself, plays a tone and records what it hears."""

    def __init__(
        self,
        folder: Path,
        user: str,
        registrar: Kamailio,
        tone: int,
        certificate: Certificate | None = None,
        session_expires: int = 0,
    ) -> None:
        super().__init__(folder / f"linphone-{user}", "linphone")
        self.user = user
        self.wire = self.folder / "wire.log"
        way = registrar.way
        # Without the folder of its database it starts, and opens no socket.
        (self.folder / ".local/share/linphone").mkdir(parents=True)
        ports = {name: -1 for name in ("udp", "tcp", "tls")}
        ports[way.transport] = free_port(way.host)
        low, high = free_rtp_range()
        timer = (
            f"session_expires_enabled=1\nsession_expires_value={session_expires}\n"
            f"session_expires_min_value=90\nsession_expires_refresher=uas\n"
            if session_expires
            else ""
        )
        # Its TLS library does not compare addresses; the authority is checked all the same.
        authority = certificate.authority if certificate else "/dev/null"
        where = f"{way.literal}:{registrar.port}"
        config = self.folder / "linphonerc"
        config.write_text(
            f"[sip]\nsip_port={ports['udp']}\nsip_tcp_port={ports['tcp']}\nsip_tls_port={ports['tls']}\n"
            f"bind_address={way.host}\nuse_ipv6={int(':' in way.host)}\nipv6_migration_done=1\n"
            f"guess_hostname=0\nregister_only_when_network_is_up=0\nverify_server_cn=0\nroot_ca={authority}\n{timer}"
            "supported=replaces, outbound, 100rel, timer\ndefault_proxy=0\n"
            f"[auth_info_0]\nusername={user}\npasswd={registrar.password}\n"
            f"[proxy_0]\nreg_proxy=<sip:{where};transport={way.transport}>\n"
            f"reg_identity=sip:{user}@{where}\nreg_expires=120\nreg_sendregister=1\n"
            f"[rtp]\nbind_address={way.host}\naudio_rtp_port={low}-{high}\n"
            "[video]\nenabled=0\ncapture=0\ndisplay=0\nautomatically_initiate=0\nautomatically_accept=0\n"
            "[net]\nmtu=1300\n"
        )
        home = {name: str(self.folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["linphonec", "-c", str(config), "-l", str(self.wire), "-d", "6", "-a", "-S"],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "TERM": "dumb", **home},
                start_new_session=True,
            )
        try:
            until(lambda: "SIP/2.0 200" in self.messages(), 15, "linphone's registration")
            write_tone(self.folder / "tone.wav", tone)
            for setting in ("soundcard use files", "play tone.wav", "record heard.wav"):
                self.command(setting)
        except AssertionError:
            # Nobody else knows of it yet, and it does not end by itself.
            self.stop()
            raise

    def command(self, text: str) -> None:
        """Type a command."""
        assert self.process.stdin is not None
        begun = self.log.stat().st_size
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()
        until(lambda: text.encode() in self.log.read_bytes()[begun:], 10, text)
        time.sleep(0.2)

    def messages(self) -> str:
        """What went over the wire, with everything else that it has logged."""
        return self.wire.read_text(errors="replace") if self.wire.exists() else ""

    def received(self, start: str) -> list[str]:
        """The messages that came in and begin so."""
        found = re.findall(
            r"received \[\d+\] new bytes from [^\n]*\n([\s\S]*?)\n\d{4}-", self.messages()
        )
        return [text for text in found if text.startswith(start)]

    def hang_up(self) -> None:
        self.command("terminate")

    def heard(self, frequency: float, span: tuple[float, float] = (-1.5, -0.3)) -> float:
        """The share of a tone in what came in during a span of seconds of the newest recording."""
        return heard_in(self.folder / "heard.wav", frequency, span)
