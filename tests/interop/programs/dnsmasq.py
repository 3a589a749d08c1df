"""dnsmasq: a name server with the records that a test wants."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.interop.programs.base import HOST, Program, free_port, is_bound, until


class Dnsmasq(Program):
    """Answers for the records in ``lines``, which are settings of dnsmasq, and knows nothing else."""

    def __init__(self, folder: Path, lines: Sequence[str], name: str = "dnsmasq") -> None:
        super().__init__(folder / name, "dnsmasq")
        self.port = free_port()
        #: As /etc/hosts; read again by :meth:`reread`.
        self.hosts = self.folder / "hosts"
        self.hosts.touch()
        config = self.folder / "dnsmasq.conf"
        settings = [
            f"port={self.port}",
            f"listen-address={HOST}",
            "bind-interfaces",
            "no-resolv",
            "no-hosts",
            f"addn-hosts={self.hosts}",
            "no-daemon",
            "local=/test/",
            "user=root" if Path("/root").owner() == "root" else "",
            "local-ttl=60",
            "pid-file=",
            *lines,
        ]
        config.write_text("".join(f"{line}\n" for line in settings if line))
        program = shutil.which("dnsmasq") or "/usr/sbin/dnsmasq"
        self.launch([program, "-C", str(config)])
        until(lambda: is_bound(self.port), 10, "dnsmasq")

    def reread(self) -> None:
        """Have it answer by what is in :attr:`hosts` now."""
        before = self.printed().count(f"read {self.hosts}")
        self.process.send_signal(signal.SIGHUP)
        until(lambda: self.printed().count(f"read {self.hosts}") > before, 10, "dnsmasq")
