"""The guard at work: the rules that hold for an account, and what has to be counted and remembered for them.

What is decided of one contact is in :mod:`c2c_sip.calling.policy`, how counting works in
:mod:`c2c_sip.calling.limits`; here is what they are asked with, and where it is kept.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import phonenumbers

from c2c_sip.calling import links, proof
from c2c_sip.calling.address import Network
from c2c_sip.calling.limits import DAY, HOUR, Meter, Windows, client_key, stricter, until_tomorrow
from c2c_sip.calling.links import Link, LinkError
from c2c_sip.calling.numbering import ANYWHERE
from c2c_sip.calling.policy import Refusal, Rules
from c2c_sip.calling.routing import trunk_hosts
from c2c_sip.config import AUTO, Config

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

SCOPES = ("address", "contact", "clicktocall", "account", "service")
"""What activations by the public are counted by, in the order in which the limits are looked at."""

BUILT_IN = {"address": 60, "contact": 10, "clicktocall": 300, "account": 1000, "service": 5000}
"""What a limit is that the settings leave alone: far above what a small office's website needs, far below what a bill
or a person would notice."""

#: Seconds between two looks at what other nodes of one database have let in, and how far such a look reaches behind the
#: one before: a record is on disk a moment after it was admitted, and no two clocks are quite alike.
LOOK = 5.0
OVERLAP = 10.0

RULES = 1024
"""Sets of rules that are kept ready: accounts that say the same have the same."""

METERED = 1024
"""Accounts whose minutes are kept in mind, besides those that called today."""


class Records(Protocol):
    """What of the store the guard needs, see :class:`c2c_sip.store.guarding.GuardRecords`."""

    def rung_since(self, moment: float, *, elsewhere: bool = False) -> list[dict[str, Any]]: ...
    def billed_since(self, account_id: str, moment: float, *, elsewhere: bool = False) -> int: ...
    def is_never_called(self, account_id: str, number: str) -> bool: ...
    def spend(self, id: str, uses: int, expires: float, now: float) -> bool: ...
    def key(self, name: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Proof:
    """What a visitor brings to show that it is one: a solved challenge, or a captcha's response."""

    solution: str = ""
    captcha: str = ""


class Guard:
    """Decides what takes memory: how often, how long, and never again. From any thread.

    :param verify_captcha: whether a captcha's response from this client is good; asks its provider, and may take seconds
    """

    def __init__(
        self,
        config: Config,
        records: Records,
        now: float,
        verify_captcha: Callable[[str, str], bool] = lambda response, client: False,
    ) -> None:
        self._config = config
        self._records = records
        self._verify_captcha = verify_captcha
        self._switches = trunk_hosts(config.trunks)
        self._trunks = frozenset(trunk.domain.lower() for trunk in config.trunks)
        self.networks = networks_of(config)
        self._rules = self._made(config)
        self._limits_of = _limits_of(config)
        self._lock = threading.Lock()
        self._meters: dict[str, Meter] = {}
        self._link_key = records.key("link")
        self._proof_key = records.key("proof")
        self._windows = self._counted(now)
        #: When other nodes were last looked at, and what of theirs within the overlap is counted already.
        self._looked = now
        self._known = self._recent(now)

    def _recent(self, now: float) -> set[str]:
        rows = self._records.rung_since(now - OVERLAP, elsewhere=True)
        return {row["id"] for row in rows}

    def _counted(self, now: float) -> Windows:
        """What the last hour has of each that may be limited."""
        windows = Windows(HOUR)
        for row in self._records.rung_since(now - HOUR):
            windows.count(_keys_of(row), row["created"])
        return windows

    def _look_elsewhere(self, now: float) -> None:
        """Count what other nodes have let in since the last look, if that was a while ago."""
        with self._lock:
            if now - self._looked < LOOK:
                return
            since, self._looked = self._looked, now
        try:
            rows = self._records.rung_since(since - OVERLAP, elsewhere=True)
        except BaseException:
            # What this look would have seen is the next one's to see, however long ago it was.
            with self._lock:
                self._looked = since
            raise
        with self._lock:
            for row in rows:
                if row["id"] not in self._known:
                    self._windows.count(_keys_of(row), row["created"])
            self._known = {row["id"] for row in rows}

    def reconfigure(self, config: Config, now: float) -> None:
        """Go by other limits, and by what the history has for those that were none before."""
        with self._lock:
            # Within the lock: what is admitted meanwhile would be counted in neither.
            self._windows = self._counted(now)
            self._looked, self._known = now, self._recent(now)
            self._config = config
            self._rules = self._made(config)
            self._limits_of = _limits_of(config)

    # --- what holds

    def rules(self, account: Mapping[str, Any]) -> Rules:
        """The rules for an account's calls."""
        return self._rules(account.get("region"), tuple(account.get("countries") or ()))

    def _made(self, config: Config) -> Callable[[str | None, tuple[str, ...]], Rules]:
        """What gives the rules by these settings: the same for all accounts that say the same."""

        def made(region: str | None, countries: tuple[str, ...]) -> Rules:
            return replace(
                _rules(config, {"region": region, "countries": countries}),
                switches=self._switches,
                trunks=self._trunks,
                networks=self.networks,
            )

        return lru_cache(RULES)(made)

    def get_dials(self, account: Mapping[str, Any], clicktocall: Mapping[str, Any]) -> bool:
        """Whether a GET of the activation URL dials: all that have a say have to allow it."""
        said = (account.get("connect_by_get"), clicktocall.get("connect_by_get"))
        return self._config.guard.connect_by_get and False not in said

    # --- never again

    def check_never_call(self, account_id: str, called: str, value: object) -> None:
        """Refuse a contact, by its canonical form, that is on the list of those never to be called."""
        if self._records.is_never_called(account_id, called):
            raise Refusal(
                "validation",
                "This number does not want to be called",
                field="contact",
                rule="forbidden",
                value=value,
                reason="never_call",
            )

    # --- who asks

    def sign_link(self, link: Link) -> str:
        """The token of a link."""
        return links.sign(link, self._link_key)

    def read_link(self, token: str, clicktocall_id: str, now: float) -> Link:
        """What a token allows.

        :raises Refusal: it is none of ours, too old, or of another click-to-call
        """
        try:
            link = links.read(token, self._link_key, now)
        except LinkError as error:
            raise _bad_link(error.rule, str(error)) from error
        if link.clicktocall_id != clicktocall_id:
            raise _bad_link("signature", "The link is not one of ours")
        return link

    def use_link(self, link: Link, now: float) -> None:
        """Use a link once more.

        :raises Refusal: it was used as often as it may be
        """
        if not self._records.spend(f"link {link.id}", link.uses, link.expires, now):
            raise _bad_link("used", "The link was used already")

    def wanted_proof(self, clicktocall: Mapping[str, Any]) -> str:
        """What a visitor has to show: ``none``, or see ``guard.challenge``."""
        least = self._config.guard.challenge
        wanted = str(clicktocall.get("challenge") or least)
        return least if wanted == "none" else wanted  # not to be made laxer

    def check_proof(
        self, clicktocall: Mapping[str, Any], text: str, brought: Proof, client: str, now: float
    ) -> None:
        """Have a visitor show that it is one, where this is wanted; ``text`` is the contact as it came.

        :raises Refusal: it did not; for a proof of work with a challenge to solve
        """
        guard, wanted = self._config.guard, self.wanted_proof(clicktocall)
        subject = str(clicktocall["id"])
        if wanted == "proof_of_work":
            bits, solution = guard.proof_of_work_bits, brought.solution
            good = proof.is_solved(solution, text, bits, subject, self._proof_key, now)
            # Used at once: what is refused by a limit after this would be refused again.
            if good and self._records.spend(
                f"proof {_digest(solution)}", 1, now + proof.LIFETIME + 1, now
            ):
                return
            made = proof.challenge(bits, subject, secrets.token_hex(8), self._proof_key, now)
            raise Refusal(
                "validation",
                "A proof of work is needed",
                field="proof",
                rule="required",
                value={"challenge": made, "bits": bits, "contact": text},
                reason="proof",
            )
        if wanted == "captcha" and not (
            brought.captcha and self._verify_captcha(brought.captcha, client)
        ):
            raise Refusal(
                "validation",
                "A captcha is to be solved",
                field="captcha",
                rule="required",
                reason="captcha",
            )

    # --- how often

    def admit(
        self,
        account: Mapping[str, Any],
        clicktocall: Mapping[str, Any],
        called: str,
        client: str,
        now: float,
        *,
        local: bool = False,
    ) -> Callable[[], None]:
        """Count one activation by the public; what it returns takes it back, if nothing comes of it.

        :param local: whether it is a program of this very machine that asks, see :meth:`counts`
        :raises Refusal: a limit is reached
        """
        keys = _keys(client_key(client), called, clicktocall["id"], account["id"])
        limits = self._limits(account, clicktocall, local)
        self._look_elsewhere(now)
        with self._lock:
            full = self._windows.admit(keys, limits, now)
        if full is not None:
            raise Refusal(
                "throttled",
                "there were too many calls in the last hour",
                reason=f"per_{full.scope}",
                retry_after=max(1, math.ceil(full.seconds)),
            )

        def take_back() -> None:
            with self._lock:
                self._windows.take_back(keys, now)

        return take_back

    def counts(
        self, account: Mapping[str, Any], clicktocall: Mapping[str, Any], local: bool
    ) -> bool:
        """Whether an activation without a token counts at all.

        A program of this machine that asks with no proxy in between is one that the operator runs: what is built in is
        not for it, but whatever somebody has set is.
        """
        return any(self._limits(account, clicktocall, local).values())

    def _limits(
        self, account: Mapping[str, Any], clicktocall: Mapping[str, Any], local: bool
    ) -> dict[str, int]:
        limits = self._limits_of[local]
        for document in (account, clicktocall):
            if document.get("limits"):
                limits = {
                    scope: stricter(limit, _said(document, f"per_{scope}"))
                    for scope, limit in limits.items()
                }
        return limits

    # --- how long

    def minutes(self, account: Mapping[str, Any], now: float) -> Minutes | None:
        """What an account may talk today; ``None`` where there is no ceiling."""
        ceiling = stricter(self._config.guard.daily_minutes, _said(account, "daily_minutes"))
        if not ceiling:
            return None
        account_id, today = str(account["id"]), now // DAY * DAY
        with self._lock:
            meter = self._meters.get(account_id)
        if meter is None:
            elsewhere = self._records.billed_since(account_id, today, elsewhere=True)
            used = self._records.billed_since(account_id, today)
            with self._lock:
                meter = self._meters.setdefault(account_id, Meter.begun(used, now, elsewhere))
                self._forget_meters(now)
        elif now - meter.asked >= LOOK:
            elsewhere = self._records.billed_since(account_id, today, elsewhere=True)
            with self._lock:
                meter.read(now)
                meter.elsewhere, meter.asked = elsewhere, now
        return Minutes(meter, self._lock, ceiling * 60.0)

    def _forget_meters(self, now: float) -> None:
        if len(self._meters) > METERED:
            today = int(now // DAY)
            self._meters = {
                name: meter
                for name, meter in self._meters.items()
                if meter.up or meter.day == today
            }


class Minutes:
    """An account's minutes, as one call uses them. From any thread."""

    def __init__(self, meter: Meter, lock: threading.Lock, ceiling: float) -> None:
        self._meter = meter
        self._lock = lock
        self._ceiling = ceiling

    def check(self, now: float) -> None:
        """Whether there are any left.

        :raises Refusal: there are none
        """
        if not self.are_left(now):
            raise Refusal(
                "throttled",
                "the minutes of today are used",
                reason="daily_minutes",
                retry_after=until_tomorrow(now),
            )

    def are_left(self, now: float) -> bool:
        """Whether there are any left."""
        with self._lock:
            return self._meter.read(now) < self._ceiling

    def start(self, now: float) -> None:
        """The two are connected."""
        with self._lock:
            self._meter.start(now)

    def stop(self, now: float) -> None:
        """They are no more."""
        with self._lock:
            self._meter.stop(now)


def rules_of(config: Config, account: Mapping[str, Any]) -> Rules:
    """The rules for an account's calls by these settings."""
    return replace(
        _rules(config, account),
        switches=trunk_hosts(config.trunks),
        trunks=frozenset(trunk.domain.lower() for trunk in config.trunks),
        networks=networks_of(config),
    )


def _rules(config: Config, account: Mapping[str, Any]) -> Rules:
    """Without what all accounts have in common. What its document says makes the settings' stricter, never laxer; where
    they name no countries, its region is its own country, which is for those above it to say."""
    guard = config.guard
    region = account.get("region")
    if region not in phonenumbers.SUPPORTED_REGIONS:
        region = config.calling.default_region
    countries = frozenset(guard.countries or (region,))
    narrower = frozenset(account.get("countries") or [ANYWHERE])
    if ANYWHERE not in narrower:
        countries = narrower if ANYWHERE in countries else countries & narrower
    return Rules(
        region=region,
        # No country that both allow is no country at all, and not the default.
        countries=countries or frozenset({""}),
        kinds=frozenset(guard.number_kinds),
        sip_hosts=frozenset(guard.sip_hosts),
    )


def networks_of(config: Config) -> tuple[Network, ...]:
    """The inner networks that SIP URIs may lead into.

    A service whose SIP sockets are all on loopback reaches nothing else: there, it is where its phones are.
    """
    given = tuple(ipaddress.ip_network(text) for text in config.guard.networks)
    hosts = [text.split(":", 1)[1].rpartition(":")[0].strip("[]") for text in config.sip.listen]
    if all(any(ipaddress.ip_address(host) in network for network in LOOPBACK) for host in hosts):
        return given + LOOPBACK
    return given


def _keys(client: str | None, called: str | None, clicktocall: str, account: str) -> dict[str, str]:
    return {
        "address": client or "",
        "contact": called or "",
        "clicktocall": clicktocall,
        "account": account,
        "service": "",
    }


def _keys_of(row: Mapping[str, Any]) -> dict[str, str]:
    return _keys(row["client"], row["called"], row["clicktocall_id"], row["account_id"])


def _limits_of(config: Config) -> dict[bool, dict[str, int]]:
    """The limits by these settings, for programs of this machine and for all others."""

    def limit(scope: str, local: bool) -> int:
        given = getattr(config.guard, f"per_{scope}")
        if given != AUTO:
            return int(given)
        return 0 if local else BUILT_IN[scope]

    return {local: {scope: limit(scope, local) for scope in SCOPES} for local in (True, False)}


def _said(document: Mapping[str, Any], name: str) -> int:
    """A limit of a document, which may be from before there were any; 0: none."""
    limits = document.get("limits")
    limit = limits.get(name) if isinstance(limits, dict) else None
    return limit if isinstance(limit, int) and limit > 0 else 0


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:48]


def _bad_link(rule: str, message: str) -> Refusal:
    return Refusal("validation", message, field="link", rule="forbidden", reason=f"link_{rule}")


__all__ = ["BUILT_IN", "LOOPBACK", "SCOPES", "Guard", "Minutes", "Proof", "networks_of"]
