"""A phone of the lab that does what its script says, built on :mod:`sipstack`."""

import asyncio
from collections.abc import Callable
from functools import partial

from c2c_sip.lab.journal import Journal
from c2c_sip.lab.script import PhoneScript, source_of
from sipstack.events import (
    Answered,
    EarlyMedia,
    Ended,
    Event,
    Failed,
    OfferAnswered,
    OfferRefused,
    Renegotiated,
    Ringing,
)
from sipstack.media import MediaPlane, Source
from sipstack.message import ParseError, Request, Uri, parse_datagram
from sipstack.phone import CallFailed, Phone, PhoneCall, RegistrationFailed
from sipstack.transport import Address, Transport

#: Seconds between two looks at whether somebody has registered, and that somebody has to answer.
LOOK, PATIENCE = 0.1, 60.0


class ScriptedPhone:
    """One phone, registered at the lab's trunk at ``domain``; ``host`` is the address that it has itself."""

    def __init__(
        self,
        script: PhoneScript,
        domain: str,
        host: str,
        password: str,
        media: MediaPlane,
        journal: Journal,
        is_registered: Callable[[str], bool],
    ) -> None:
        self.script = script
        self._is_registered = is_registered
        self._domain = domain
        self._journal = journal
        self._plays: Source | None = source_of(script.plays)
        self._early: Source | None = source_of(script.early_media)
        #: ACKs that each call has still to drop, by Call-ID.
        self._to_drop: dict[str, int] = {}
        self._caller: asyncio.Task[None] | None = None
        literal = f"[{host}]" if ":" in host else host
        self._phone = Phone(
            f"udp:{literal}:0",
            user=script.user,
            domain=domain,
            password=password,
            media=media,
            on_call=self._take,
            name="c2c-sip lab",
        )

    async def start(self) -> None:
        """Register.

        :raises RegistrationFailed: the registrar does not have us.
        :raises OSError: there is no port.
        """
        await self._phone.start()
        for source in (self._plays, self._early):
            self._phone.prepare(source)
        if self.script.drop_acks:
            receive = self._phone.transport.receiver
            assert receive is not None
            self._phone.transport.receiver = partial(self._without_acks, receive)
        try:
            await self._phone.register()
        except RegistrationFailed:
            await self._phone.close()
            raise
        if self.script.calls:
            self._caller = asyncio.get_running_loop().create_task(self._call())

    async def stop(self) -> None:
        """Hang up and un-register."""
        if self._caller is not None:
            self._caller.cancel()
            await asyncio.gather(self._caller, return_exceptions=True)
        await self._phone.close()

    # --- inside

    def _tell(self, event: str, call: PhoneCall, **facts: object) -> None:
        self._journal.tell(event, phone=self.script.user, **facts, call_id=call.call_id)

    def _without_acks(
        self,
        receive: Callable[[bytes, Address, Transport], None],
        octets: bytes,
        source: Address,
        transport: Transport,
    ) -> None:
        call_id = _call_of_ack(octets)
        left = self._to_drop.get(call_id, 0)
        if not left:
            receive(octets, source, transport)
            return
        self._to_drop[call_id] = left - 1
        self._journal.tell("ack-dropped", phone=self.script.user, left=left - 1, call_id=call_id)

    async def _take(self, call: PhoneCall) -> None:
        script = self.script
        self._watch(call)
        caller = call.caller
        self._tell("called", call, by=str(caller) if caller is not None else "?")
        try:
            if script.delay and await call.ends_within(script.delay):
                return
            self._ring(call)
            if script.ringing and await call.ends_within(script.ringing):
                return
            if script.redirect:
                contact = self._place(script.redirect)
                call.reject(302, headers=[("Contact", f"<{contact}>")])
            elif script.status:
                after = script.retry_after
                headers = [("Retry-After", str(after))] if after else []
                call.reject(script.status, script.reason or None, headers)
            elif not script.never_answers:
                self._to_drop[call.call_id] = script.drop_acks
                call.answer()
                await self._talk(call)
            await call.ended()
        finally:
            self._to_drop.pop(call.call_id, None)

    def _ring(self, call: PhoneCall) -> None:
        script = self.script
        if script.early_media:
            call.ring(183, early_media=True)
            call.play(self._early)
        elif script.ringing or script.never_answers:
            call.ring()

    async def _talk(self, call: PhoneCall) -> None:
        """What happens after the answer, each thing at its time."""
        script = self.script
        if script.loses:
            call.lose(script.loses / 100)
        if script.plays == "echo":
            call.echo()
        call.play(self._plays)
        steps: list[tuple[float, Callable[[], None]]] = []
        if script.keys:
            steps.append((script.keys_after, lambda: call.press(script.keys)))
        if script.hold_after:
            steps.append((script.hold_after, call.hold))
            if script.hold_for:
                steps.append((script.hold_after + script.hold_for, call.resume))
        if script.hang_up_after:
            steps.append((script.hang_up_after, call.hang_up))
        passed = 0.0
        for at, step in sorted(steps, key=lambda one: one[0]):
            if await call.ends_within(at - passed):
                return
            passed = at
            step()

    async def _call(self) -> None:
        whom = self.script.calls
        while ":" not in whom and not self._is_registered(whom):
            await asyncio.sleep(LOOK)
        await asyncio.sleep(self.script.calls_after)
        call = self._phone.call(self._place(self.script.calls))
        self._watch(call)
        self._tell("calls", call, whom=str(call.uri))
        call.play(self._plays)
        try:
            await call.answered(PATIENCE)
        except CallFailed:
            return  # which is written down already
        except TimeoutError:
            call.hang_up()
        else:
            await self._talk(call)
        await call.ended()

    def _place(self, text: str) -> Uri:
        whole = text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}@{self._domain}"
        return Uri.parse(whole)

    def _watch(self, call: PhoneCall) -> None:
        call.watch = partial(self._happened, call)
        call.watch_keys = lambda key: self._tell("key", call, key=key)

    def _happened(self, call: PhoneCall, event: Event) -> None:
        match event:
            case Ringing(status):
                self._tell("rings", call, status=status)
            case EarlyMedia():
                self._tell("early-media", call)
            case Answered(remote):
                self._tell("answered", call, codec=remote.codecs[0].name if remote.codecs else "")
            case Renegotiated(remote):
                self._tell("renegotiated", call, direction=remote.direction)
            case OfferAnswered(remote):
                self._tell("offer-answered", call, direction=remote.direction)
            case OfferRefused(status):
                self._tell("offer-refused", call, status=status)
            case Failed(status, reason):
                self._tell("failed", call, status=status, reason=reason)
            case Ended(by):
                heard = call.counters()
                self._tell(
                    "ended",
                    call,
                    by=by,
                    packets_sent=heard.packets_sent,
                    packets_received=heard.packets_received,
                    lost=heard.lost,
                )
            case _:
                pass


def _call_of_ack(octets: bytes) -> str:
    """The Call-ID of an ACK; empty for all else."""
    if not octets.startswith(b"ACK "):
        return ""
    try:
        message = parse_datagram(octets)
    except ParseError:
        return ""
    return message.call_id if isinstance(message, Request) else ""


__all__ = ["ScriptedPhone"]
