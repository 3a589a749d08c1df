"""The figures of a running service, as Prometheus wants them.

Nothing is counted here: what happens is counted where it happens, in plain numbers, and read when somebody asks. The
library is imported then too, for who never asks need not pay for it.

What can become a label is bounded everywhere: routes are templates, methods, statuses and causes those that are known.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from c2c_sip import __version__
from c2c_sip.api.traffic import Traffic
from c2c_sip.calling.tally import STATES, ByRole, Histogram, Tally
from sipstack import tally as sip

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

log = logging.getLogger(__name__)

#: What a trunk may be, see :mod:`c2c_sip.calling.trunks`.
TRUNK_STATES = ("registered", "registering", "failed", "unregistered", "static")
PREFIX = "c2c_sip_"


@dataclass(frozen=True, slots=True)
class Reading:
    """What there is to tell at one moment.

    ``states`` are the live calls by state, ``trunks`` are as :mod:`c2c_sip.calling.trunks` has them, ``media`` and
    ``ports`` as the media plane counts them, ``queues`` how many wait in each.
    """

    calls: Tally = field(default_factory=Tally)
    states: Mapping[str, int] = field(default_factory=dict)
    trunks: Sequence[Mapping[str, Any]] = ()
    sip: sip.Tally = field(default_factory=sip.Tally)
    transactions: Mapping[str, int] = field(default_factory=dict)
    media: Mapping[str, int] = field(default_factory=dict)
    ports_used: int = 0
    ports_free: int = 0
    queues: Mapping[str, int] = field(default_factory=dict)
    connections: int = 0
    traffic: Traffic = field(default_factory=Traffic)


class Metrics:
    """Makes the text of ``/metrics`` out of what ``read`` reads; from any thread."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._registry: CollectorRegistry | None = None

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The text in the form that an ``Accept`` header asks for, and its media type."""
        from prometheus_client.exposition import choose_encoder

        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type

    @property
    def registry(self) -> CollectorRegistry:
        """A registry of our own, with all there is."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.process_collector import ProcessCollector

        with self._lock:
            if self._registry is None:
                self._registry = CollectorRegistry(auto_describe=False)
                self._registry.register(self)
                ProcessCollector(registry=self._registry)
            return self._registry

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        return families(self._read())


def families(reading: Reading) -> Iterator[Metric]:
    """All metrics of our own, also those that have no value yet."""
    from prometheus_client.core import InfoMetricFamily

    build = InfoMetricFamily(PREFIX + "build", "Which version runs")
    build.add_metric([], {"version": __version__})
    yield build
    yield from _of_calls(reading)
    yield from _of_trunks(reading.trunks)
    yield from _of_sip(reading)
    yield from _of_media(reading)
    yield from _of_the_service(reading)


def _of_calls(reading: Reading) -> Iterator[Metric]:
    calls = reading.calls
    live = [((state,), reading.states.get(state, 0)) for state in STATES]
    yield _gauge("calls_active", "Calls that have not ended, by their state", ("state",), live)
    yield _counter(
        "calls",
        "Calls that have ended, by result and hangup cause",
        ("result", "cause"),
        dict(calls.ended).items(),
    )
    yield _counter(
        "activations_refused",
        "Activations that became no call, by the rule that refused them",
        ("rule",),
        [((rule,), count) for rule, count in dict(calls.refused).items()],
    )
    yield _histogram(
        "call_setup_seconds",
        "From the activation until the two were connected",
        (),
        [((), calls.setup)],
    )
    yield _histogram(
        "call_duration_seconds", "For which the two were connected", (), [((), calls.duration)]
    )
    for name, text, values in (
        ("leg_ringing_seconds", "For which a leg rang", calls.ringing),
        ("leg_mos", "How a leg's audio probably sounded, from 1 to 4.5", calls.mos),
        ("leg_loss_ratio", "Part of a leg's RTP packets that never came", calls.loss),
        ("leg_jitter_seconds", "Mean jitter of a leg's RTP", calls.jitter),
    ):
        yield _by_role(name, text, values)


def _of_trunks(trunks: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    yield _gauge(
        "trunk_state",
        "1 for the state that a trunk is in, 0 for the others",
        ("trunk", "state"),
        [
            ((trunk["name"], state), int(trunk["state"] == state))
            for trunk in trunks
            for state in TRUNK_STATES
        ],
    )
    yield _gauge(
        "trunk_registration_expires_seconds",
        "Until a trunk's registration ends, unless it is refreshed",
        ("trunk",),
        [((t["name"],), t["expires_in"]) for t in trunks if t["expires_in"] is not None],
    )
    yield _gauge(
        "trunk_calls_active",
        "Calls that go through a trunk",
        ("trunk",),
        [((trunk["name"],), trunk["calls"]) for trunk in trunks],
    )


def _of_sip(reading: Reading) -> Iterator[Metric]:
    tally = reading.sip
    yield _counter(
        "transactions",
        "SIP transactions with an outcome: those that we began (client) and others did (server)",
        ("side", "method", "status"),
        dict(tally.transactions).items(),
    )
    yield _gauge(
        "transactions_active",
        "SIP transactions that have not ended",
        ("side",),
        [((side,), count) for side, count in reading.transactions.items()],
    )
    yield _counter(
        "retransmissions",
        "SIP messages that we sent again, and requests that came again",
        ("direction",),
        [(("sent",), tally.sent_again), (("received",), tally.came_again)],
    )


def _of_media(reading: Reading) -> Iterator[Metric]:
    media = reading.media
    for what in ("packets", "bytes"):
        yield _counter(
            f"rtp_{what}",
            f"RTP {what} that came and that were sent",
            ("direction",),
            [((way,), media.get(f"{what}_{way}", 0)) for way in ("received", "sent")],
        )
    for name, text in (
        ("lost", "RTP packets that never came"),
        ("late", "RTP packets that came too late"),
        ("duplicate", "RTP packets that came twice"),
        (
            "rejected",
            "Packets at RTP ports from strangers, of other formats, or that failed authentication",
        ),
        ("unauthenticated", "Those of the rejected that SRTP or SRTCP refused"),
    ):
        yield _counter(f"rtp_packets_{name}", text, (), [((), media.get(name, 0))])
    yield _gauge(
        "rtp_ports",
        "Pairs of RTP ports that legs have, and that are free",
        ("state",),
        [(("used",), reading.ports_used), (("free",), reading.ports_free)],
    )


def _of_the_service(reading: Reading) -> Iterator[Metric]:
    yield _gauge(
        "queue_length",
        "What waits: calls to begin, writes to the database, notices for webhooks, requests",
        ("queue",),
        [((queue,), length) for queue, length in reading.queues.items()],
    )
    yield _gauge("http_connections", "Open connections of clients", (), [((), reading.connections)])
    yield _counter(
        "http_requests",
        "Requests by method, template of the route, and status",
        ("method", "route", "status"),
        reading.traffic.requests().items(),
    )
    yield _histogram(
        "http_request_seconds",
        "From a request's turn until its answer was made",
        ("route",),
        [((route,), taken) for route, taken in reading.traffic.seconds().items()],
    )


# --- the library's families

_Samples = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, text: str, labels: Sequence[str], samples: _Samples) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, labels: Sequence[str], samples: _Samples) -> Metric:
    """The library adds ``_total`` to the name."""
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _by_role(name: str, text: str, values: ByRole) -> Metric:
    return _histogram(
        name, text, ("role",), [((role,), found) for role, found in values.of.items()]
    )


def _histogram(
    name: str,
    text: str,
    labels: Sequence[str],
    samples: Iterable[tuple[tuple[str, ...], Histogram]],
) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(PREFIX + name, text, labels=labels)
    for values, found in samples:
        below, buckets = 0, []
        for bound, count in zip((*map(str, found.bounds), "+Inf"), list(found.counts), strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric(values, buckets, found.total)
    return family
