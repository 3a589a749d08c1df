"""dnsmasq: a name server with the records that a test wants."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.interop.programs.base import HOST, Program, free_port, is_bound, until


class Dnsmasq(Program):
    """Answers for the records in ``lines``, which are settings of dnsmasq, and knows nothing else."""

    def __init__(self, folder: Path, lines: Sequence[str]) -> None:
        super().__init__(folder / "dnsmasq", "dnsmasq")
        self.port = free_port()
        config = self.folder / "dnsmasq.conf"
        settings = [
            f"port={self.port}",
            f"listen-address={HOST}",
            "bind-interfaces",
            "no-resolv",
            "no-hosts",
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
