"""Who is listened to: whoever we have something to do with always, and a stranger as long as it does not send too much."""

import logging

from sipstack.transport.quota import Quota

log = logging.getLogger(__name__)

#: Messages a second, and at once, that a host may send which we have nothing to do with.
STRANGERS = (50.0, 500.0)
#: Hosts that we have something to do with, to which that does not apply.
KNOWN = 4096
#: Seconds between two lines in the log about a host that sends too much.
DEAF = 60.0


class Acquaintance:
    """The hosts that a user agent knows, by their IP literals, and what those may send that it does not."""

    def __init__(self) -> None:
        #: Hosts that we sent requests to, or that take part in a call, the last one at the end.
        self.known: dict[str, None] = {}
        self._strangers = Quota(*STRANGERS)
        self._deaf_since = float("-inf")

    def know(self, host: str) -> None:
        """Listen to ``host`` whatever it sends.

        It must be so: anybody may send datagrams in its name, and nobody must be able to make us deaf to a trunk.
        """
        self.known.pop(host, None)
        self.known[host] = None
        if len(self.known) > KNOWN:
            del self.known[next(iter(self.known))]

    def listens_to(self, stranger: str, octets: int, now: float) -> bool:
        """Whether to look at so many octets from a host that is not known."""
        if self._strangers.takes(stranger, octets, now):
            return True
        if now - self._deaf_since > DEAF:
            self._deaf_since = now
            log.warning("%s sends too much, and is not listened to for now", stranger)
        return False
