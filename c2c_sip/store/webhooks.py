"""Whom accounts want to be told of their calls, and the queue of what is to be told still."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import peewee as pw

from c2c_sip.store.audit import NOBODY, Actor, Audit
from c2c_sip.store.documents import Documents, Row
from c2c_sip.store.pages import Span, page
from c2c_sip.store.writer import Change, Writer, new_row

#: Seconds for which an account's webhooks are taken to be what they were; other nodes may have changed them.
FRESH = 5.0
#: Seconds after which what was given up is forgotten.
REMEMBERED = 7 * 86400.0
#: Notices that may wait for one receiver; of more the oldest are given up.
MOST_WAITING = 100_000


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be told: its ``body`` is JSON, ``created`` and ``due`` are Unix times."""

    id: str
    webhook_id: str
    activation_id: str
    created: float
    body: str
    attempts: int
    due: float


def new_notice(
    identifier: str, webhook_id: str, activation_id: str, sequence: int, created: float, body: str
) -> Change:
    """The change that puts a notice into the queue; of one call and receiver they go in the order of ``sequence``."""
    return new_row(
        "notice",
        {
            "id": identifier,
            "webhook_id": webhook_id,
            "activation_id": activation_id,
            "sequence": sequence,
            "created": created,
            "body": body,
            "attempts": 0,
            "due": created,
        },
    )


class WebhookRecords(Documents):
    """The part of a store for webhooks, as its attribute ``webhooks``; from any thread."""

    def __init__(self, models: Any, writer: Writer, audit: Audit) -> None:
        super().__init__(models.Webhook, "webhook", writer, audit)
        self._notices = models.Notice
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, list[Row]]] = {}

    # --- the documents

    def enabled(self, account_id: str) -> list[Row]:
        """An account's webhooks that are to be told, as documents."""
        now = time.monotonic()
        with self._lock:
            asked, found = self._known.get(account_id, (-FRESH, []))
            if now - asked < FRESH:
                return found
        rows = self._model.select().where(self._model.account == account_id).dicts()
        found = [one for one in map(self.shown, rows) if one.get("enabled", True)]
        with self._lock:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[account_id] = now, found
        return found

    def count(self, account_id: str) -> int:
        """How many webhooks an account has."""
        return int(self._model.select().where(self._model.account == account_id).count())

    def create(
        self, account_id: str, document: Mapping[str, Any], by: Actor = NOBODY, **columns: Any
    ) -> Row:
        """A new one, with its ``secret``."""
        made = super().create(account_id, document, by, **columns)
        self._forget(account_id)
        return made

    def _change(
        self,
        account_id: str,
        identifier: str,
        changes: Row,
        revision: int,
        action: str,
        by: Actor,
        also: Callable[[], None] = lambda: None,
    ) -> Row | None:
        changed = super()._change(account_id, identifier, changes, revision, action, by, also)
        self._forget(account_id)
        return changed

    def delete(
        self,
        account_id: str,
        identifier: str,
        revision: int,
        by: Actor = NOBODY,
        also: Callable[[], None] = lambda: None,
    ) -> bool:
        """Take what is still of ``revision`` away, with what it was to be told."""

        def notices_too() -> None:
            self._notices.delete().where(self._notices.webhook_id == identifier).execute()
            also()

        gone = super().delete(account_id, identifier, revision, by, notices_too)
        self._forget(account_id)
        return gone

    def _forget(self, account_id: str) -> None:
        with self._lock:
            self._known.pop(account_id, None)

    def target(self, identifier: str) -> tuple[Row, str, str] | None:
        """A webhook's document, its account, and the secret to sign with; ``None`` where it is gone."""
        row = self._model.select().where(self._model.id == identifier).dicts().first()
        return (self.shown(row), row["account"], row["secret"]) if row else None

    # --- the queue

    def waiting(self, now: float) -> list[tuple[str, float]]:
        """Each webhook that there is something to tell, and when the first of it is due."""
        model = self._notices
        query = (
            model.select(model.webhook_id, pw.fn.MIN(model.due).alias("first"))
            .where(model.failed.is_null())
            .group_by(model.webhook_id)
        )
        return [(row["webhook_id"], row["first"]) for row in query.dicts()]

    def length(self) -> int:
        """Notices that have not arrived, and are not given up."""
        return int(self._notices.select().where(self._notices.failed.is_null()).count())

    def due(
        self, webhook_id: str, now: float, limit: int, without: Collection[str]
    ) -> list[Notice]:
        """What a webhook is to be told now: of each call the first, apart from the activations ``without``."""
        model = self._notices
        earlier = model.alias()
        before = earlier.select(pw.SQL("1")).where(
            earlier.webhook_id == model.webhook_id,
            earlier.activation_id == model.activation_id,
            earlier.failed.is_null(),
            earlier.sequence < model.sequence,
        )
        query = (
            model.select()
            .where(
                model.webhook_id == webhook_id,
                model.failed.is_null(),
                model.due <= now,
                model.activation_id.not_in(list(without)),
                ~pw.fn.EXISTS(before),
            )
            .order_by(model.due)
            .limit(limit)
        )
        names = Notice.__dataclass_fields__
        return [Notice(**{n: row[n] for n in names}) for row in query.dicts()]

    def take(self, notice: Notice, until: float) -> bool:
        """Have a notice for oneself until then; not, where another node was faster."""
        model = self._notices

        def work() -> bool:
            mine = (model.id == notice.id) & (model.due == notice.due) & model.failed.is_null()
            return bool(model.update(due=until).where(mine).execute())

        return self._writer.submit(work).result()

    def told(self, identifier: str) -> None:
        """A notice has arrived. It is on disk on return that it has."""
        model = self._notices
        self._writer.submit(lambda: model.delete().where(model.id == identifier).execute()).result()

    def not_told(self, identifier: str, problem: str, due: float | None, now: float) -> None:
        """A notice has not arrived: it is due again at ``due``; ``None``: it is given up."""
        model = self._notices
        changes: dict[str, Any] = {"attempts": model.attempts + 1, "problem": problem[:200]}
        changes |= {"due": due} if due is not None else {"failed": now}
        self._writer.submit(
            lambda: model.update(**changes).where(model.id == identifier).execute()
        ).result()

    def hurry(self, webhook_id: str, now: float) -> None:
        """A webhook that had failed takes what it is told again: what failed there is due at once."""
        model = self._notices
        again = (model.webhook_id == webhook_id) & model.failed.is_null()
        again &= model.problem.is_null(False)
        self._writer.submit(lambda: model.update(due=now).where(again).execute()).result()

    def undelivered(self, webhook_id: str, span: Span) -> list[Row]:
        """What a receiver has not taken, in the order of time: what was given up, and what failed and will be tried again."""
        model = self._notices
        mine = [model.webhook_id == webhook_id, model.problem.is_null(False)]
        return page(model, mine, span, pw.fn.COALESCE(model.failed, model.created))

    def tidy(self, now: float) -> None:
        """Forget what was given up long ago, or is for nobody any more; give up what is too much."""
        model, hook = self._notices, self._model

        def work() -> None:
            model.delete().where(model.failed < now - REMEMBERED).execute()
            model.delete().where(model.webhook_id.not_in(hook.select(hook.id))).execute()
            counts = (
                model.select(model.webhook_id, pw.fn.COUNT(model.id).alias("n"))
                .where(model.failed.is_null())
                .group_by(model.webhook_id)
                .having(pw.fn.COUNT(model.id) > MOST_WAITING)
            )
            for row in list(counts.dicts()):
                mine = (model.webhook_id == row["webhook_id"]) & model.failed.is_null()
                oldest = (
                    model.select(model.id)
                    .where(mine)
                    .order_by(model.created)
                    .limit(row["n"] - MOST_WAITING)
                )
                model.update(failed=now, problem="too many are waiting").where(
                    model.id.in_(oldest)
                ).execute()

        self._writer.submit(work).result()
