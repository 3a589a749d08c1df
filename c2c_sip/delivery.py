"""Tells webhooks what the queue has for them: at least once each, in order for each call, until they take it or a day is over.

A receiver that hangs or fails keeps none of the others waiting: each has a few requests under way at most, one alone once
it has failed, and an account no more than its share of all.
"""

import base64
import hashlib
import hmac
import logging
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from c2c_sip import logs
from c2c_sip.outgoing import NotSent
from c2c_sip.store.errors import StoreError
from c2c_sip.store.webhooks import Notice

log = logging.getLogger(__name__)

#: Requests at once: to all, to those of one account, to one.
AT_ONCE, AN_ACCOUNTS, ONES = 16, 8, 4
#: Seconds after which a notice is given up.
PATIENCE = 86_400.0
#: Seconds before the second attempt, and the most between two: each is twice the one before it.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 3600.0
#: Seconds for which a receiver that has failed is left alone at most; then one notice tries whether it is back.
LONGEST_ALONE = 15.0
#: Seconds for which a notice that is being sent is nobody else's: more than a request takes.
LEASE = 30.0
#: Seconds from one look at the queue to the next where there is no news, twice as long each time that it was empty, up to
#: the second number: a small machine may sleep meanwhile. And until what is new is on disk.
INTERVAL, LONGEST_INTERVAL, SETTLING = 1.0, 16.0, 0.05
#: Seconds between two looks at what can be forgotten.
TIDYING = 600.0

#: Seconds for what is under way when the service stops.
FAREWELL = 1.0

#: Sends a body to a URL with headers; the status.
Post = Callable[[str, bytes, Mapping[str, str]], int]

_PREFIX = "whsec_"


class Queue(Protocol):
    """What of the store is needed, see :class:`c2c_sip.store.webhooks.WebhookRecords`."""

    def waiting(self, now: float) -> list[tuple[str, float]]: ...
    def due(self, webhook_id: str, now: float, limit: int, without: "set[str]") -> list[Notice]: ...
    def target(self, identifier: str) -> tuple[dict[str, Any], str, str] | None: ...
    def take(self, notice: Notice, until: float) -> bool: ...
    def told(self, identifier: str) -> None: ...
    def not_told(self, identifier: str, problem: str, due: float | None, now: float) -> None: ...
    def hurry(self, webhook_id: str, now: float) -> None: ...
    def tidy(self, now: float) -> None: ...


def new_secret() -> str:
    """A secret to sign with, as Standard Webhooks writes them."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, identifier: str, moment: int, body: str) -> str:
    """What ``webhook-signature`` is for a body that is sent at a Unix time (Standard Webhooks, version 1).

    A secret that has not the form of :func:`new_secret` is the key as it stands.
    """
    key = secret.encode()
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except ValueError:
            key = secret.encode()
    signed = hmac.new(key, f"{identifier}.{moment}.{body}".encode(), hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def pause(attempts: int, rng: random.Random) -> float:
    """Seconds until the next attempt after so many; none of two receivers that failed together comes at the same time."""
    longest = min(FIRST_PAUSE * 2.0 ** min(attempts, 30), LONGEST_PAUSE)
    return longest * rng.uniform(0.5, 1.0)


class Delivery:
    """Works on the queue in threads of its own, from :meth:`start` to :meth:`stop`."""

    def __init__(
        self,
        queue: Queue,
        post: Post,
        *,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._queue = queue
        self._post = post
        self._wall = wall
        self._rng = rng or random.SystemRandom()
        self._news = threading.Event()
        self._stopping = False
        self._lock = threading.Lock()
        #: The calls of which something is being told, by webhook, and how many requests each account has under way.
        self._calls: dict[str, set[str]] = {}
        self._accounts: Counter[str] = Counter()
        #: Those that have failed last, how often in a row, and until when they are left alone.
        self._failing: dict[str, tuple[int, float]] = {}
        self._tidied = wall()
        self._interval = INTERVAL
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def news(self) -> None:
        """There is something new in the queue, or about to be."""
        self._news.set()

    def stop(self) -> None:
        """End: what is under way may take a moment longer, what is queued stays."""
        self._stopping = True
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        end = time.monotonic() + FAREWELL
        while self._accounts and time.monotonic() < end:
            time.sleep(0.02)

    def _run(self) -> None:
        while not self._stopping:
            try:
                wait = self.turn()
            except Exception:
                # The database is away, say. The queue is there still when it is back.
                log.exception("the webhooks' queue cannot be worked on")
                wait = 5.0
            self._news.wait(wait)
            if self._news.is_set() and not self._stopping:
                self._news.clear()
                self._interval = INTERVAL
                time.sleep(SETTLING)

    def turn(self) -> float:
        """Begin what is due and may begin; seconds after which to look again."""
        now = self._wall()
        if now - self._tidied > TIDYING:
            self._tidied = now
            self._queue.tidy(now)
        waiting = self._queue.waiting(now)
        next_look = now + self._interval
        self._interval = INTERVAL if waiting else min(2 * self._interval, LONGEST_INTERVAL)
        for webhook_id, first in waiting:
            if first > now:
                next_look = min(next_look, first)
                continue
            self._begin(webhook_id, now)
        return max(0.02, next_look - now)

    def _begin(self, webhook_id: str, now: float) -> None:
        """Begin to tell one webhook what it has place for."""
        found = self._queue.target(webhook_id)
        if found is None:
            with self._lock:
                self._failing.pop(webhook_id, None)
            return
        document, account_id, secret = found
        with self._lock:
            failures, until = self._failing.get(webhook_id, (0, 0.0))
            under_way = self._calls.get(webhook_id, set())
            place = (1 if failures else ONES) - len(under_way)
            place = min(place, AN_ACCOUNTS - self._accounts[account_id])
            place = min(place, AT_ONCE - sum(self._accounts.values()))
            without = set(under_way)
        if place <= 0 or now < until:
            return
        for notice in self._queue.due(webhook_id, now, place, without):
            if not self._queue.take(notice, now + LEASE):
                continue
            with self._lock:
                self._calls.setdefault(webhook_id, set()).add(notice.activation_id)
                self._accounts[account_id] += 1
            # A thread of its own, which keeps nobody from ending who does not want to wait for a receiver.
            threading.Thread(
                target=self._tell,
                args=(notice, document, account_id, secret),
                name="webhook",
                daemon=True,
            ).start()

    # --- in a thread each

    def _tell(
        self, notice: Notice, document: Mapping[str, Any], account_id: str, secret: str
    ) -> None:
        logs.activation.set(notice.activation_id)  # this thread has nothing else to do
        try:
            problem = self._send(notice, document, secret)
            self._note(notice, problem)
        except StoreError as error:
            log.error("notice %s: %s", notice.id, error)
        except Exception:
            # It is nobody's when its lease is over, and will be sent again.
            log.exception("notice %s", notice.id)
        finally:
            with self._lock:
                calls = self._calls[notice.webhook_id]
                calls.discard(notice.activation_id)
                if not calls:
                    del self._calls[notice.webhook_id]
                self._accounts[account_id] -= 1
                if not self._accounts[account_id]:
                    del self._accounts[account_id]
            self._news.set()

    def _send(self, notice: Notice, document: Mapping[str, Any], secret: str) -> str:
        """Why it was not taken; empty: it was."""
        if not document.get("enabled", True):
            return "the webhook is disabled"
        moment = int(self._wall())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "c2c-sip-webhooks",
            "Webhook-Id": notice.id,
            "Webhook-Timestamp": str(moment),
            "Webhook-Signature": signature(secret, notice.id, moment, notice.body),
        }
        try:
            status = self._post(str(document["uri"]), notice.body.encode(), headers)
        except NotSent as error:
            return str(error)
        return "" if 200 <= status < 300 else f"HTTP status {status}"

    def _note(self, notice: Notice, problem: str) -> None:
        """Write down how it went."""
        now = self._wall()
        with self._lock:
            if problem:
                failures = self._failing.get(notice.webhook_id, (0, 0.0))[0] + 1
                alone = now + min(LONGEST_ALONE, pause(failures - 1, self._rng))
                self._failing[notice.webhook_id] = failures, alone
            else:
                had_failed = self._failing.pop(notice.webhook_id, None) is not None
        if not problem:
            self._queue.told(notice.id)
            if had_failed:
                self._queue.hurry(notice.webhook_id, now)
            return
        due: float | None = now + pause(notice.attempts, self._rng)
        if now - notice.created > PATIENCE:
            due = None
        log.warning(
            "webhook %s: notice %s, attempt %d: %s%s",
            notice.webhook_id,
            notice.id,
            notice.attempts + 1,
            problem,
            "" if due is not None else "; given up",
        )
        self._queue.not_told(notice.id, problem, due, now)
