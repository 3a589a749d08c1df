"""A 2xx of ours that waits for its ACK."""

from collections.abc import Callable

from sipstack.agent import Agent, Responder
from sipstack.message import Response


class PendingAnswer:
    """Our 2xx to an INVITE, retransmitted until its ACK comes (:rfc:`3261` §13.3.1.4)."""

    def __init__(
        self,
        agent: Agent,
        responder: Responder,
        response: Response,
        sequence: int,
        never: Callable[[], None],
    ) -> None:
        self.sequence = sequence
        self._agent = agent
        self._responder = responder
        self._response = response
        self._interval = agent.timers.t1
        self._resend = agent.call_later(self._interval, self._again)
        self._limit = agent.call_later(64 * agent.timers.t1, self._expired)
        self._never = never
        responder.respond(response)

    def _again(self) -> None:
        self._responder.respond(self._response)
        self._interval = min(2 * self._interval, self._agent.timers.t2)
        self._resend = self._agent.call_later(self._interval, self._again)

    def _expired(self) -> None:
        self.stop()
        self._never()

    def stop(self) -> None:
        """Retransmit it no more."""
        self._resend.cancel()
        self._limit.cancel()
