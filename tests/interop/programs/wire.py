"""What lies between two programs, and loses what it should: UDP, and no other than the kernel's own sockets."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable

from tests.interop.programs.base import HOST


class Wire:
    """Takes datagrams at ``port`` for a program at :attr:`to`, and hands back its answers.

    ``loses`` says of a datagram whether it gets lost on its way there; :meth:`cut` has all get lost, either way. What was
    handed back is told to ``answered``.
    """

    def __init__(
        self,
        loses: Callable[[bytes], bool] = lambda octets: False,
        answered: Callable[[bytes], None] = lambda octets: None,
    ) -> None:
        self.loses = loses
        self.answered = answered
        self.lost: list[bytes] = []
        self.to = 0
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for one in (self._front, self._back):
            one.bind((HOST, 0))
        self.port: int = self._front.getsockname()[1]
        #: Whom the answers are for: whoever has asked last.
        self._asking: tuple[str, int] | None = None
        self._is_cut = self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """As if the cable had been pulled: also nobody says that there is nobody."""
        self._is_cut = True

    def stop(self) -> None:
        self._is_over = True
        self._thread.join(10)
        for one in (self._front, self._back):
            one.close()

    def _run(self) -> None:
        while not self._is_over:
            for one in select.select([self._front, self._back], [], [], 0.1)[0]:
                # A port at which nobody listens any more is told of by the next call.
                with contextlib.suppress(ConnectionRefusedError):
                    self._pass(one, *one.recvfrom(65536))

    def _pass(self, one: socket.socket, octets: bytes, source: tuple[str, int]) -> None:
        is_to_phone = one is self._front
        if is_to_phone:
            self._asking = source
        if self._is_cut or (is_to_phone and self.loses(octets)):
            self.lost.append(octets)
        elif is_to_phone:
            self._back.sendto(octets, (HOST, self.to))
        elif self._asking is not None:
            self._front.sendto(octets, self._asking)
            self.answered(octets)
