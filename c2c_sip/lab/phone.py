"""The lab's phones: pyVoIP, registered at the lab's trunk, answering each call with a tone of their own."""

import math
import socket
import threading
import time
from collections import deque
from io import BytesIO

from pyVoIP.RTP import RTPPacketManager
from pyVoIP.VoIP import CallState, PhoneStatus, VoIPCall, VoIPPhone

from c2c_sip.lab.listening import hears
from sipstack.transport import Address

#: Bytes of 20 ms of pyVoIP's audio: 8 bits unsigned, 8 kHz.
FRAME = 160
#: Bytes of audio after which what is older is forgotten, and how much of that is kept for packets that come late.
FORGETTING, LATE = 500 * FRAME, 50 * FRAME
#: Seconds of what was heard last that are kept.
MEMORY = 3


class PhoneError(Exception):
    """A phone that did not come up."""


class LabPhone:
    """One phone. ``tone`` in Hz is what it plays, ``ringing`` the seconds it rings beyond pyVoIP's own one."""

    def __init__(
        self,
        server: Address,
        username: str,
        password: str,
        *,
        tone: float,
        ringing: float = 0.0,
        address: str = "127.0.0.1",
    ) -> None:
        self.username = username
        self.tone = tone
        self._ringing = ringing
        self._stopping = threading.Event()
        self._heard: deque[bytes] = deque(maxlen=MEMORY * 50)
        self._calls: list[VoIPCall] = []
        self._talking: set[threading.Thread] = set()
        low = _free_ports(address)
        self._phone = VoIPPhone(
            server[0],
            server[1],
            username,
            password,
            myIP=address,
            sipPort=_free_port(address),
            rtpPortLow=low,
            rtpPortHigh=low + 40,
            callCallback=self._called,
        )

    def start(self) -> None:
        """Register.

        :raises PhoneError: the registrar does not have us.
        """
        self._phone.start()
        if self._phone.get_status() != PhoneStatus.REGISTERED:
            self.stop()
            raise PhoneError(f"the phone {self.username} could not register")

    def heard(self, frequency: float) -> bool:
        """Whether a tone of ``frequency`` Hz came in lately."""
        samples = [octet - 128.0 for octet in b"".join(self._heard)]
        return hears(samples, frequency)

    def hang_up(self) -> None:
        """End the calls that are up."""
        for call in list(self._calls):
            if call.state == CallState.ANSWERED:
                call.hangup()

    def stop(self) -> None:
        """Hang up, un-register, and leave neither thread nor socket behind."""
        self._stopping.set()
        self.hang_up()
        for thread in list(self._talking):
            thread.join(2.0)
        sip = self._phone.sip
        # The receiving thread first: pyVoIP closes the socket under it and it does not take that well.
        receiving = sip.NSD
        sip.NSD = False
        for thread in threading.enumerate():
            if receiving and getattr(thread, "function", None) == sip.recv_loop:
                thread.join(3.0)
        if sip.registerThread is not None:
            sip.registerThread.cancel()
            sip.register_timeout = 2
            sip.deregister()
        sip._close_sockets()

    def _called(self, call: VoIPCall) -> None:
        """In a thread that pyVoIP makes for each call."""
        thread = threading.current_thread()
        self._talking.add(thread)
        try:
            if self._stopping.wait(self._ringing) or call.state != CallState.RINGING:
                return
            self._calls.append(call)
            call.answer()
            self._talk(call)
        finally:
            if call in self._calls:
                self._calls.remove(call)
            self._talking.discard(thread)

    def _talk(self, call: VoIPCall) -> None:
        position = 0
        due = time.monotonic()
        while call.state == CallState.ANSWERED and not self._stopping.is_set():
            call.write_audio(
                bytes(
                    128 + round(60 * math.sin(2 * math.pi * self.tone * (position + i) / 8000))
                    for i in range(FRAME)
                )
            )
            position += FRAME
            if position % FORGETTING == 0:
                for client in call.RTPClients:
                    forget(client.pmin)
                    forget(client.pmout)
            frame = call.read_audio(FRAME, blocking=False)
            if frame != b"\x80" * FRAME:
                self._heard.append(frame)
            due += 0.02
            time.sleep(max(0.0, due - time.monotonic()))


def forget(manager: RTPPacketManager) -> None:
    """Drop audio that was read: pyVoIP keeps all of a call, 35 kB a second, until the call is over."""
    with manager.bufferLock:
        over = manager.buffer.tell() - LATE
        if over <= 0 or manager.rebuilding:
            return
        manager.buffer = BytesIO(manager.buffer.getvalue()[over:])
        manager.buffer.seek(LATE)
        manager.offset += over
        manager.log = {at: data for at, data in manager.log.items() if at >= manager.offset}


def _free_port(address: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def _free_ports(address: str) -> int:
    """The first of 41 ports that were free a moment ago."""
    for _ in range(50):
        low = min(_free_port(address), 65000) & ~1
        try:
            held = []
            try:
                for port in range(low, low + 41):
                    held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    held[-1].bind((address, port))
            finally:
                for one in held:
                    one.close()
        except OSError:
            continue
        return low
    raise PhoneError("no free RTP ports")
