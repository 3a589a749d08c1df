"""What an account says for all of its click-to-calls, unless one says otherwise. Pure."""

from collections.abc import Mapping
from typing import Any

DEFAULTABLE = (
    "auth_required",
    "whitelist",
    "throttle",
    "timeout",
    "dial_first",
    "custom_sip_headers",
    "media",
    "bypass_media",
    "confirm",
    "announcement",
    "record",
    "auto_answer",
    "hours",
)
"""Fields of a click-to-call that an account may have under ``defaults``."""
CALLER_IDS = (
    "outbound_callee_id_name",
    "outbound_callee_id_number",
    "caller_id_number",
    "caller_id_options",
    "music_on_hold",
    "ringback",
)
"""Those that it has elsewhere, where Kazoo has them."""


def effective(account: Mapping[str, Any], clicktocall: Mapping[str, Any]) -> dict[str, Any]:
    """A click-to-call with what its account says where it says nothing.

    ``caller_id``, ``caller_id_options``, ``music_on_hold`` and ``ringback`` of an account are Kazoo's.
    """
    caller_id = account.get("caller_id") or {}
    external = caller_id.get("external") or {}
    internal = caller_id.get("internal") or {}
    given = (
        external.get("name"),
        external.get("number"),
        internal.get("number"),
        account.get("caller_id_options"),
        account.get("music_on_hold"),
        account.get("ringback"),
    )
    said = {name: value for name, value in zip(CALLER_IDS, given, strict=True) if value}
    return said | dict(account.get("defaults") or {}) | dict(clicktocall)
