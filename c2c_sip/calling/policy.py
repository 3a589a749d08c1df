"""What may be dialled, and why not: the reasons an activation is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

RefusalKind = Literal["validation", "throttled", "unavailable", "full", "stopping"]


class Refusal(Exception):
    """An activation that is not going to be dialled.

    `kind` says which HTTP status it becomes (`c2c_sip/api/errors.py`); a "validation" refusal
    names the `field`, the `rule` it broke and the `value` given. `retry_after` is in seconds.
    `activation` is the history row that records the refusal, where one was written.
    """

    def __init__(
        self,
        kind: RefusalKind,
        message: str,
        *,
        field: str = "",
        rule: str = "",
        value: Any = None,
        retry_after: int | None = None,
        activation: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: RefusalKind = kind
        self.message = message
        self.field = field
        self.rule = rule
        self.value = value
        self.retry_after = retry_after
        self.activation: dict[str, Any] | None = dict(activation) if activation else None
