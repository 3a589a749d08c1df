"""Asks a captcha's provider whether a visitor has solved it: the ``siteverify`` request that they all understand."""

import json
import logging
import threading
import urllib.error
import urllib.parse
import urllib.request

log = logging.getLogger(__name__)

#: Seconds that the provider may take; until then a thread of the HTTP server waits.
TIMEOUT = 4.0
#: Questions at once, so that a provider that hangs does not take all threads.
AT_ONCE = 2
#: Characters of a visitor's response, and octets of the provider's, that are read.
LONGEST = 8192


class Captcha:
    """A provider at ``url``, asked with our ``secret``. From any thread."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret
        self._slots = threading.BoundedSemaphore(AT_ONCE)

    def verify(self, response: str, client: str) -> bool:
        """Whether the response that a visitor at ``client`` brings is good; not, where the provider does not say so."""
        if not self._url or len(response) > LONGEST or not self._slots.acquire(blocking=False):
            return False
        try:
            return self._ask(response, client)
        except (OSError, ValueError) as error:
            log.error("the captcha's provider does not answer: %s", error)
            return False
        finally:
            self._slots.release()

    def _ask(self, response: str, client: str) -> bool:
        form = {"secret": self._secret, "response": response, "remoteip": client}
        body = urllib.parse.urlencode(form).encode()
        # The URL is the operator's own setting, and of HTTP as the settings' check has it.
        with urllib.request.urlopen(self._url, body, timeout=TIMEOUT) as answer:  # noqa: S310
            found = json.loads(answer.read(LONGEST))
        return isinstance(found, dict) and found.get("success") is True
