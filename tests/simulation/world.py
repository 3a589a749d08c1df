"""A whole service in a world of its own: flow, user agent, registration, trunk and phones, from one seed.

Nothing here is real but the code: the network loses, doubles, delays and swaps datagrams, a trunk goes away and comes
back without its memory, phones do what phones should not, a clock jumps. :func:`live` lets one world pass and says
which of the invariants it broke.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from c2c_sip.calling.engine import SipDesk, hang_up_what_was_left
from c2c_sip.calling.flow import Flow
from c2c_sip.calling.plan import LegPlan, Plan
from c2c_sip.calling.recorder import Recorder
from c2c_sip.lab.trunk import LabTrunk
from sipstack.account import Account
from sipstack.call import Outbound
from sipstack.digest import Credentials
from sipstack.media.tones import BUSY, CONGESTION, RINGBACK
from sipstack.message import NameAddr, ParseError, Request, Response, Uri, parse_datagram
from sipstack.registration import Registration
from sipstack.sdp import codec_list
from sipstack.useragent import UserAgent
from tests.simulation import scripts
from tests.simulation.clock import VirtualLoop, run
from tests.simulation.ledger import Ledger
from tests.simulation.media import SimulatedMediaPlane
from tests.simulation.network import Conditions, VirtualNetwork
from tests.simulation.phone import PhoneCall, ScriptedPhone
from tests.simulation.scripts import Script

US, TRUNK = "192.0.2.1", "192.0.2.7"
PHONES = {
    "extension": "192.0.2.2",
    "contact": "192.0.2.3",
    "transfer": "192.0.2.4",
    "mobile": "192.0.2.5",
    "tablet": "192.0.2.6",
}
"""By who has it; the desk phone, mobile and tablet are extensions."""
NUMBERS = {
    "extension": "101",
    "contact": "102",
    "transfer": "103",
    "mobile": "104",
    "tablet": "105",
}
SETTLED = 400.0
"""Seconds after which nothing of any call may be left."""
RECOVERED = 1600.0
"""Seconds in which a registration has to come back once everything works again."""
TIMER_B = 32.0
"""Seconds in which an INVITE has to have an answer (:rfc:`3261` §17.1.1.2)."""

TALKS = Script(answer_after=1.0)
SCRIPTS = (
    *scripts.COURSES,
    scripts.GARBAGE,
    scripts.ROGUE,
    scripts.ROGUE_LATER,
    scripts.redirects(f"sip:103@{TRUNK}"),
    scripts.redirects(f"sip:anyone@{PHONES['transfer']}"),
    Script(challenge="provider"),
    Script(reliable=True),
    Script(reliable=True, early_media=True),
    Script(reinvite_after=2.0, resume_after=5.0),
    Script(session_expires=90, refresher="uac"),
    Script(session_expires=90, refresher="uac", allow="INVITE, ACK, BYE, CANCEL"),
    Script(session_expires=90, refresher="uas"),
    Script(min_se=3600, session_expires=3600),
    Script(refer_after=1.5, refer_to=f"sip:103@{TRUNK}"),
    Script(refer_after=1.5, refer_to=f"sip:103@{TRUNK}", hang_up_after=2.5),
    Script(statuses=(("BYE", 481),)),
    Script(ignore=frozenset({"BYE"})),
    Script(ignore=frozenset({"CANCEL"}), answer_after=None),
)


@dataclass(frozen=True, slots=True)
class Activation:
    """One click: when it is made, who is at both ends, and when somebody hangs up through the API, if at all."""

    at: float
    direct: bool
    hang_up: float | None
    media_timeout: float
    max_duration: float
    extensions: tuple[str, ...] = ("extension",)
    dial_first: Literal["extension", "contact"] = "extension"
    bypass: bool = False
    music: bool = False
    confirm: bool = False
    timeout: float = 20.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that befalls the trunk or the clock at a time, for some seconds."""

    kind: str  # "crash", "deaf" (nothing reaches it), "mute" (nothing comes from it), "jump"
    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class World:
    """All that chance decides before anything happens."""

    seed: int
    conditions: Conditions
    phones: dict[str, Script]
    activations: tuple[Activation, ...]
    troubles: tuple[Trouble, ...]
    password: str
    #: When the service is killed and started again, if it is; only where nothing that it says is lost.
    killed: float | None = None

    @classmethod
    def from_seed(cls, seed: int) -> World:
        """The world of a seed."""
        chance = random.Random(seed)
        rough = Conditions(
            loss=chance.choice([0.0, 0.0, 0.05, 0.1, 0.3]),
            duplicate=chance.choice([0.0, 0.1, 0.5]),
            reorder=chance.choice([0.0, 0.1, 0.5]),
            delay=chance.choice([(0.001, 0.001), (0.01, 0.1), (0.1, 0.6)]),
            hold=chance.choice([0.01, 0.2, 1.0]),
        )
        phones = {
            role: TALKS if chance.random() < 0.4 else chance.choice(SCRIPTS) for role in PHONES
        }
        activations = tuple(
            Activation(
                at=chance.choice([0.0, 0.0, chance.uniform(0, 20)]),
                direct=chance.random() < 0.2,
                hang_up=chance.choice([None, chance.uniform(0, 12), 60.0]),
                media_timeout=chance.choice([10.0, 1000.0]),
                max_duration=chance.choice([20.0, 60.0, 200.0]),
                extensions=chance.choice(
                    [
                        ("extension",),
                        ("extension", "mobile"),
                        ("extension", "mobile", "tablet"),
                        ("tablet", "mobile"),
                    ]
                ),
                dial_first=chance.choice(["extension", "extension", "contact"]),
                # Also as long as a phone takes to answer, so that the two cross.
                timeout=chance.choice([20.0, 20.0, 1.0, 3.0]),
                bypass=chance.random() < 0.2,
                music=chance.random() < 0.3,
                confirm=chance.random() < 0.1,
            )
            for _ in range(chance.choice([1, 1, 1, 2, 3]))
        )
        troubles = tuple(
            Trouble(
                chance.choice(["crash", "deaf", "mute", "jump"]),
                chance.uniform(0, 30),
                chance.choice([0.5, 5.0, 100.0, 1000.0]),
            )
            for _ in range(chance.choice([0, 0, 0, 1, 2]))
        )
        password = "wrong" if chance.random() < 0.03 else "secret"
        killed = None
        if not troubles and rough.loss == 0.0 and password == "secret" and chance.random() < 0.3:
            killed = chance.uniform(0.0, 10.0)
        return cls(seed, rough, phones, activations, troubles, password, killed)


@dataclass(slots=True)
class Outcome:
    """What came of a world; :attr:`wrong` names each invariant that was broken."""

    network: VirtualNetwork
    phones: dict[str, ScriptedPhone]
    ledgers: list[Ledger] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def live(world: World) -> Outcome:
    """Let a world pass until all of it must be over."""
    return run(_live(world), world.seed)


class _Life:
    """The parts of a world at work."""

    def __init__(self, world: World, loop: VirtualLoop) -> None:
        self.world = world
        self.loop = loop
        self.rng = random.Random(world.seed)
        self.network = VirtualNetwork(world.seed, world.conditions)
        self.phones = {
            role: ScriptedPhone(self.network, host, world.phones[role])
            for role, host in PHONES.items()
        }
        self.trunk: LabTrunk | None = None
        self.killed_at: float | None = None
        self.start_trunk()
        self.start()

    def start(self) -> None:
        """The service comes up, knowing nothing of before but what it has written down."""
        loop = self.loop
        self.agent = UserAgent([self.network.transport(US)], loop=loop, rng=self.rng)
        self.account = Account(
            name="provider",
            domain=Uri.parse(f"sip:{TRUNK}"),
            username="c2c",
            credentials=Credentials("c2c", self.world.password),
            make_cnonce=self.agent.token,
        )
        self.account.learn(TRUNK)
        self.media = SimulatedMediaPlane()
        self.desk = SipDesk(self.agent, self.media, loop=loop, rng=self.rng)  # type: ignore[arg-type]
        self.registration = Registration(self.agent, self.account, expires=120, rng=self.rng)
        self.registering = loop.create_task(self.registration.run())

    def kill(self, flows: Sequence[asyncio.Task[None]], ledgers: Sequence[Ledger]) -> None:
        """The service dies without a word, and is started again at once."""
        self.killed_at = now = self.loop.time()
        left_up = [dialog for ledger in ledgers for dialog in ledger.abandon(now)]
        self.network.crash(US)
        self.agent.close()
        for task in (*flows, self.registering):
            task.cancel()
        self.start()
        hang_up_what_was_left(self.agent, {"provider": self.account}, left_up, lambda host: True)

    def start_trunk(self) -> None:
        """The trunk comes up, knowing nothing of before; no nonce of its last life is good any more."""
        if self.trunk is None:
            self.trunk = LabTrunk(
                self.network.transport(TRUNK),
                clock=self.loop.time,
                accounts={"c2c": "secret"},
                gateways={
                    number: Uri.parse(f"sip:phone@{PHONES[role]}")
                    for role, number in NUMBERS.items()
                },
                realm="provider",
                secret=self.rng.randbytes(16),
            )

    def stop_trunk(self) -> None:
        if self.trunk is not None:
            self.trunk.close()
            self.trunk = None

    def befall(self, trouble: Trouble) -> None:
        match trouble.kind:
            case "crash":
                self.stop_trunk()
                self.loop.call_later(trouble.seconds, self.start_trunk)
            case "deaf":
                self.network.cut(None, TRUNK)
                self.loop.call_later(
                    trouble.seconds, self.network.set, self.world.conditions, None, TRUNK
                )
            case "mute":
                self.network.cut(TRUNK, None)
                self.loop.call_later(
                    trouble.seconds, self.network.set, self.world.conditions, TRUNK, None
                )
            case "jump":
                self.loop.jump(trouble.seconds)

    async def activate(self, number: int, activation: Activation, ledger: Ledger) -> None:
        """One click-to-call from the click to its record's end."""
        await asyncio.sleep(activation.at)
        ids = iter(range(100))
        recorder = Recorder(
            ledger,
            activation_id=str(number),
            account_id="account",
            created=self.loop.time(),
            new_id=lambda: f"cdr-{number}-{next(ids)}",
            wall=self.loop.time,
            changed=lambda state: None,
        )
        plan = Plan(
            activation_id=str(number),
            account_id="account",
            clicktocall_id="definition",
            extensions=tuple(
                self._leg(who, number, activation.direct, activation.timeout)._replace(
                    role="extension",
                    accepts_referral=lambda uri: True,
                    transfer=lambda uri: self._leg("transfer", number, False),
                )
                for who in activation.extensions
            ),
            contact=self._leg("contact", number, False, activation.timeout),
            dial_first=activation.dial_first,
            bypass=activation.bypass,
            music=RINGBACK["uk"] if activation.music else None,
            confirm="1" if activation.confirm else "",
            codecs=codec_list(["PCMU", "PCMA"]),
            ringback=RINGBACK["us"],
            busy=BUSY["us"],
            congestion=CONGESTION["us"],
            busy_seconds=3.0,
            max_duration=activation.max_duration,
            media_timeout=activation.media_timeout,
        )
        flow = Flow(plan, self.desk, recorder)
        if activation.confirm:
            # Somebody is there, or a voicemail that says nothing; or keys come when nobody has asked.
            for moment in (2.0, 4.0, 9.0):
                self.loop.call_later(moment, self.press)
        if activation.hang_up is not None:
            self.loop.call_later(activation.hang_up, flow.hang_up, "NORMAL_CLEARING")
        await flow.run()

    def press(self) -> None:
        """Whoever is there presses the key."""
        for leg in self.media.legs:
            if not leg.closed:
                leg.on_key("1")

    def _leg(self, role: str, number: int, direct: bool, timeout: float = 20.0) -> LegPlan:
        trunk = Outbound(Uri.parse(f"sip:{NUMBERS[role]}@{TRUNK}"), self.account)
        straight = Outbound(Uri.parse(f"sip:phone@{PHONES[role]}"))
        outbound = straight if direct else trunk

        def redirect(uri: Uri) -> Outbound | None:
            return replace(trunk, uri=uri) if uri.host == TRUNK else Outbound(uri)

        return LegPlan(
            role=role,
            outbound=outbound,
            from_=NameAddr("", Uri.parse("sip:c2c@provider.example"), ()),
            headers=(),
            contact_user="c2c",
            call_id=f"{role}-{number}-{self.rng.getrandbits(32):08x}",
            timeout=timeout,
            redirect=redirect,
        )


async def _live(world: World) -> Outcome:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    life = _Life(world, loop)
    outcome = Outcome(life.network, life.phones)
    for trouble in world.troubles:
        loop.call_later(trouble.at, life.befall, trouble)
    flows: list[asyncio.Task[None]] = []
    for number, activation in enumerate(world.activations):
        outcome.ledgers.append(Ledger())
        flow = life.activate(number, activation, outcome.ledgers[-1])
        flows.append(loop.create_task(flow))
    if world.killed is not None:
        loop.call_later(world.killed, life.kill, flows, outcome.ledgers)
    for ended in await asyncio.gather(*flows, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
    if life.media.ports_in_use:
        outcome.wrong.append(f"{life.media.ports_in_use} ports in use after the last record")
    # A jump of the clock over the moment of a crash has the crash begin after it.
    jumped = sum(t.seconds for t in world.troubles if t.kind == "jump")
    await asyncio.sleep(max([SETTLED, *(t.at + t.seconds + jumped for t in world.troubles)]))
    life.network.set(Conditions())
    await asyncio.sleep(RECOVERED)
    if life.registration.registered != (world.password == "secret"):
        outcome.wrong.append(f"registration has not recovered: {life.registration.last_error}")
    life.registering.cancel()
    await life.registration.close()
    await asyncio.sleep(SETTLED)
    _check(life, outcome)
    life.agent.close()
    return outcome


def _check(life: _Life, outcome: Outcome) -> None:
    world, agent, loop = life.world, life.agent, life.loop
    wrong = outcome.wrong
    for ledger in outcome.ledgers:
        wrong += ledger.faults()
    if agent.transactions or agent.calls:
        wrong.append(f"left over: {agent.transactions} transactions, {agent.calls} calls")
    if loop.timers() or len(asyncio.all_tasks(loop)) > 1:
        wrong.append(f"timers or tasks left: {loop.picture()}")
    if not world.troubles and world.conditions.loss <= 0.1:
        for role, phone in outcome.phones.items():
            if phone.crashed or any(other.crashed for other in outcome.phones.values()):
                continue
            ignores = bool(phone.script.ignore or phone.script.statuses or phone.script.challenge)
            if ignores or phone.script.deaf or phone.script.hang_up_early is not None:
                continue
            wrong += [
                f"the {role}'s call is still {call.state}"
                for call in phone.calls
                if call.state != "over" and not _is_unheard(life, call)
            ]
    _check_wire(life, wrong)
    if life.killed_at is not None:
        wrong += [f"not taken back after the kill: {invite}" for invite in _not_taken_back(life)]


def _not_taken_back(life: _Life) -> set[tuple[str, int]]:
    """Of the INVITEs that rang when the service was killed, by Call-ID and number: those that it never cancelled, nor
    acknowledged an answer to."""
    rang: set[tuple[str, int]] = set()
    ended: set[tuple[str, int]] = set()
    assert life.killed_at is not None
    for passage in life.network.journal:
        try:
            message = parse_datagram(passage.data)
            invite = message.call_id, message.cseq.number
        except ParseError:
            continue
        if isinstance(message, Request):
            if passage.source[0] == US and message.method in ("CANCEL", "ACK"):
                ended.add(invite)
            continue
        came = passage.arrived if passage.destination[0] == US else None
        if message.cseq.method == "INVITE" and came is not None and came < life.killed_at:
            (rang if message.status < 200 else ended).add(invite)
    return rang - ended


def _is_unheard(life: _Life, call: PhoneCall) -> bool:
    """Whether no response to the phone's INVITE came to us within timer B: without one there can be no CANCEL (§9.1)."""
    sent, end = False, 0.0
    for passage in life.network.journal:
        try:
            message = parse_datagram(passage.data)
        except ParseError:
            continue
        if (message.call_id, message.cseq) != (call.invite.call_id, call.invite.cseq):
            continue
        if isinstance(message, Request) and passage.source[0] == US and not sent:
            sent, end = True, passage.sent + TIMER_B
            continue
        came = passage.arrived if passage.destination[0] == US else None
        if isinstance(message, Response) and came is not None and came <= end:
            return False
    return sent


def _check_wire(life: _Life, wrong: list[str]) -> None:
    """What we sent: only to those of the plan, no number or nonce twice, the password to nobody but the trunk."""
    plan = {TRUNK, *PHONES.values()}
    numbers: dict[tuple[str, int, str], str] = {}
    nonces: dict[tuple[str, str], str] = {}
    for passage in life.network.journal:
        if passage.source[0] != US:
            continue
        if passage.destination[0] not in plan:
            wrong.append(f"sent to a stranger: {passage}")
        try:
            message = parse_datagram(passage.data)
        except ParseError as error:
            wrong.append(f"we sent what nobody can read: {error.reason}: {passage}")
            continue
        secret = message.get("Authorization") or message.get("Proxy-Authorization")
        if secret is not None and passage.destination[0] != TRUNK:
            wrong.append(f"a credential left: {passage}")
        if not isinstance(message, Request) or message.method == "ACK":
            continue
        # A copy has the branch of its first; the same on another request is an error.
        branch = message.via.branch or ""
        key = (message.call_id, message.cseq.number, f"{message.method} {message.to.tag}")
        if numbers.setdefault(key, branch) != branch:
            wrong.append(f"CSeq used twice: {passage}")
        if secret is not None:
            nonce = _parameter(secret, "nonce"), _parameter(secret, "nc")
            if nonces.setdefault(nonce, branch) != branch:
                wrong.append(f"nonce used twice with one count: {passage}")


def _parameter(header: str, name: str) -> str:
    found = re.search(rf'\b{name}="?([^",]*)', header)
    return found.group(1) if found else ""
