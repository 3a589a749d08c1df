"""How each trunk is now: registered or not, what went wrong last, and how many calls go through it."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from c2c_sip.calling.diagnosis.trunks import of_failure
from c2c_sip.calling.engine import Engine
from c2c_sip.config import Trunk
from sipstack.keepalive import Keepalive
from sipstack.registration import Standing


class Trunks:
    """Looks at the trunks of a running engine, from any thread.

    :param calls: the live calls by the name of the trunk
    :param clock: that of the engine's loop
    """

    def __init__(
        self,
        trunks: Sequence[Trunk],
        engine: Engine,
        calls: Callable[[], Mapping[str, int]],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._trunks = trunks
        self._engine = engine
        self._calls = calls
        self._clock = clock
        self._wall = wall

    def shown(self) -> list[dict[str, Any]]:
        """All of them, in the order of the configuration."""
        calls = self._calls()
        return [self._shown(trunk, calls.get(trunk.name, 0)) for trunk in self._trunks]

    def _shown(self, trunk: Trunk, calls: int) -> dict[str, Any]:
        registration = self._engine.registrations.get(trunk.name)
        standing = registration.standing if registration is not None else None
        keepalive = self._engine.keepalives.get(trunk.name)
        return describe(trunk, standing, keepalive, calls, self._clock(), self._wall())


def describe(
    trunk: Trunk,
    standing: Standing | None,
    keepalive: Keepalive | None,
    calls: int,
    now: float,
    wall: float,
) -> dict[str, Any]:
    """One trunk.

    :param standing: how it stands with its registrar; ``None`` where it does not register
    :param keepalive: who asks whether it is there, if anybody does
    :param now: on the clock of the other times
    :param wall: the same moment in Unix seconds
    """

    def moment(at: float) -> str:
        return datetime.fromtimestamp(wall - now + at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    failures = [one.failure for one in (standing, keepalive) if one is not None and one.failure]
    last = max(failures, key=lambda failure: failure.at, default=None)
    state: str = standing.state if standing is not None else "static"
    since = standing.since if standing is not None else 0.0
    if state in ("registered", "static") and keepalive is not None and not keepalive.alive:
        # The registrar has us, but nobody is there: no call can be made.
        state, since = "failed", keepalive.away_since or now
    server = standing.server if standing is not None and state == "registered" else None
    expires = standing.expires if standing is not None and state == "registered" else None
    return {
        "name": trunk.name,
        "domain": trunk.domain,
        "transport": trunk.transport,
        "register": trunk.register,
        "state": state,
        "last_error": None
        if last is None
        else {"status": last.status, "reason": last.reason, "iso_8601": moment(last.at)},
        "explanation": of_failure(trunk.name, last).text
        if state == "failed" and last is not None
        else "",
        "server": host_port(*server.address) if server is not None else "",
        "expires_in": max(0, math.ceil(expires - now)) if expires is not None else None,
        "since": moment(since) if since else None,
        "calls": calls,
    }


def host_port(host: str, port: int) -> str:
    """An address as one writes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
