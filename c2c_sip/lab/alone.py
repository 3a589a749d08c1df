"""The lab without a service: the trunk, and phones that do as a script says. ``c2c-sip lab``."""

import asyncio
import random
import secrets
from collections.abc import Sequence

from c2c_sip.lab.journal import Journal
from c2c_sip.lab.script import LabScript, PhoneScript
from c2c_sip.lab.scripted import ScriptedPhone
from c2c_sip.lab.trunk import LabTrunk
from sipstack.ladder import text_of
from sipstack.media import MediaPlane
from sipstack.phone import RegistrationFailed, open_transport, some_ports


class ScriptedPhones:
    """Scripted phones at one trunk, all on the loop that they are started on, with one media plane for all."""

    def __init__(self, scripts: Sequence[PhoneScript], journal: Journal) -> None:
        self._scripts = scripts
        self._journal = journal
        #: Known to the lab's trunk only.
        self.accounts = {script.user: secrets.token_urlsafe(12) for script in scripts}
        self.aliases = {number: script.user for script in scripts for number in script.numbers}
        self._media = MediaPlane(some_ports(random.SystemRandom()))
        self._phones: list[ScriptedPhone] = []

    async def start(self, trunk: LabTrunk) -> None:
        """Register them all.

        :raises RegistrationFailed: one of them could not.
        :raises OSError: there is no port for one of them.
        """
        self._media.start()
        domain = text_of(trunk.address)
        for script in self._scripts:
            password = self.accounts[script.user]
            phone = ScriptedPhone(
                script,
                domain,
                trunk.address[0],
                password,
                self._media,
                self._journal,
                trunk.is_registered,
            )
            await phone.start()
            self._phones.append(phone)

    async def stop(self) -> None:
        """Hang up, un-register, and give all ports back."""
        await asyncio.gather(*(phone.stop() for phone in self._phones))
        self._media.close()


class LabAlone:
    """The lab at ``host``, an IP literal of this machine, and ``port`` (0: a free one)."""

    def __init__(self, script: LabScript, host: str, port: int, journal: Journal) -> None:
        self.script = script
        self.password = script.password or secrets.token_urlsafe(9)
        self._host, self._port = host, port
        self._journal = journal
        self._phones = ScriptedPhones(script.phones, journal)
        self._trunk: LabTrunk | None = None

    async def start(self) -> None:
        """Open the trunk and register the phones.

        :raises RegistrationFailed: a phone could not register.
        :raises ListenError: the address is taken.
        :raises OSError: a phone has no place.
        """
        loop = asyncio.get_running_loop()
        own = dict.fromkeys(self.script.users, self.password)
        host = f"[{self._host}]" if ":" in self._host else self._host
        transport = await open_transport(f"udp:{host}:{self._port}")
        self._trunk = LabTrunk(
            transport,
            clock=loop.time,
            secret=secrets.token_bytes(16),
            accounts=own | self._phones.accounts,
            aliases=self._phones.aliases,
            realm=self.script.realm,
            challenge=self.script.challenge,
            tell=self._tell,
        )
        try:
            await self._phones.start(self._trunk)
        except (RegistrationFailed, OSError):
            await self.stop()
            raise

    @property
    def address(self) -> str:
        """``HOST:PORT`` of the trunk, which is registrar, domain and proxy."""
        assert self._trunk is not None
        return text_of(self._trunk.address)

    def _tell(self, event: str, **facts: object) -> None:
        # That the lab's own phones come and go is no news.
        if not event.endswith("registered") or facts.get("user") not in self._phones.accounts:
            self._journal.tell(event, **facts)

    async def stop(self) -> None:
        """Hang up, un-register, close."""
        await self._phones.stop()
        if self._trunk is not None:
            self._trunk.close()
