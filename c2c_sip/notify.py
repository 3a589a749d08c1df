"""Telling systemd how the service is: ``sd_notify`` without a library. Nothing happens where no systemd asks for it."""

import os
import socket
from collections.abc import Mapping


def notify(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Say ``READY=1``, ``RELOADING=1``, ``STOPPING=1`` or ``STATUS=…``, one a line; whether anybody was told.

    :raises OSError: the socket that systemd named is not there.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # of the abstract namespace
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.connect(address)
        out.sendall(state.encode())
    return True
