"""The lab: a trunk and two phones in the same process, for the demo and for whoever tries things out."""

import asyncio
import logging
import secrets
import threading
from collections.abc import Mapping

from c2c_sip.config import Trunk
from c2c_sip.lab.alone import ScriptedPhones
from c2c_sip.lab.journal import Journal
from c2c_sip.lab.phone import LabPhone
from c2c_sip.lab.script import LabScript
from c2c_sip.lab.trunk import LabTrunk
from sipstack.transport.udp import UdpTransport

#: The number by which the second phone is called from outside, from a range kept for examples.
CONTACT_NUMBER = "+12025550102"
EXTENSION = "101"
#: What the phones play, in Hz: far from each other, and from any ringback or busy tone.
EXTENSION_TONE, CONTACT_TONE = 1000.0, 1400.0
#: Whom a script cannot have: they are the lab's own.
OWN = (EXTENSION, "102", CONTACT_NUMBER)
#: Seconds that the scripted phones may take to register, and to go.
PATIENCE = 40.0

log = logging.getLogger(__name__)


class Lab:
    """The lab at work. ``host`` is an address of this machine; ``script`` adds phones that do as it says."""

    def __init__(self, host: str = "127.0.0.1", script: LabScript | None = None) -> None:
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab", daemon=True)
        self._accounts: Mapping[str, str] = {
            user: secrets.token_urlsafe(12) for user in ("c2c", EXTENSION, "102")
        }
        self._trunk: LabTrunk | None = None
        self._script = script or LabScript()
        self._journal = Journal(log.info)
        self._scripted = ScriptedPhones(self._script.phones, self._journal)
        self.extension: LabPhone
        self.contact: LabPhone

    def start(self) -> Trunk:
        """Start the trunk and register the phones; the settings with which a service uses the trunk."""
        self._thread.start()
        trunk = asyncio.run_coroutine_threadsafe(self._make_trunk(), self._loop).result(5.0)
        self._trunk = trunk
        asyncio.run_coroutine_threadsafe(self._scripted.start(trunk), self._loop).result(PATIENCE)
        self.extension = self._phone(EXTENSION, EXTENSION_TONE)
        self.contact = self._phone("102", CONTACT_TONE)
        host, port = trunk.address
        return Trunk(
            name="lab",
            domain=f"{host}:{port}",
            username="c2c",
            password=self._accounts["c2c"],
            expires=300,
        )

    async def _make_trunk(self) -> LabTrunk:
        return LabTrunk(
            UdpTransport(self._host, 0, self._loop),
            clock=self._loop.time,
            secret=secrets.token_bytes(16),
            accounts={**self._accounts, **self._scripted.accounts},
            aliases={CONTACT_NUMBER: "102", **self._scripted.aliases},
            realm="lab",
        )

    def _phone(self, user: str, tone: float) -> LabPhone:
        assert self._trunk is not None
        phone = LabPhone(self._trunk.address, user, self._accounts[user], tone=tone)
        phone.start()
        return phone

    def welcome(self) -> list[str]:
        """How to use it."""
        return [
            f"lab: the extension is {EXTENSION}, the contact {CONTACT_NUMBER}; both answer after a second",
            *(f"lab: {phone.user} {phone.describe()}" for phone in self._script.phones),
        ]

    def stop(self) -> None:
        """Stop the phones and the trunk."""
        for phone in (getattr(self, "extension", None), getattr(self, "contact", None)):
            if phone is not None:
                phone.stop()
        if self._thread.is_alive():
            stopping = asyncio.run_coroutine_threadsafe(self._scripted.stop(), self._loop)
            stopping.result(PATIENCE)
        if self._trunk is not None:
            self._loop.call_soon_threadsafe(self._trunk.close)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(3.0)
        if not self._thread.is_alive():
            self._loop.close()
