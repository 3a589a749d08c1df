"""``…/history/{activation_id}/…``: what went over the wire for an activation, in four forms."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import falcon

from c2c_sip.api.access import Access
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import not_found
from c2c_sip.calling.door import Calling
from c2c_sip.store import Store
from sipstack import ladder
from sipstack.pcap import pcap
from sipstack.trace import TracedMessage

Roles = Mapping[str, str]

_CALL_ID = re.compile(
    rb"^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(ladder.STYLE.encode()).digest()).decode()


class _Trace:
    """Finds what is kept."""

    def __init__(self, store: Store, access: Access, calling: Calling) -> None:
        self._store = store
        self._access = access
        self._calling = calling

    def read(
        self, req: falcon.Request, account_id: str, id: str, activation_id: str
    ) -> tuple[Roles, list[TracedMessage]]:
        """The roles of an activation's legs by Call-ID, and its messages.

        :raises ApiError: 404 where nothing is kept of it
        """
        self._access.clicktocall(req, account_id, id)
        row = self._store.activation(id, activation_id)
        messages = self._calling.trace(activation_id) if row is not None else None
        if row is None or messages is None:
            raise not_found()
        roles = {row["call_id"]: "contact", row["extension_call_id"]: "extension"}
        return roles | self._store.roles(activation_id), messages


class LadderText(_Trace):
    """``ladder.txt``."""

    @operation(Operation(envelope=False, answer_types=("text/plain",)))
    def on_get(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        id: str,
        activation_id: str,
    ) -> None:
        """The call's SIP messages as arrows, in text."""
        _, messages = self.read(req, account_id, id, activation_id)
        resp.content_type = "text/plain; charset=utf-8"
        resp.text = ladder.ladder(messages) + "\n"
        resp.set_header("Cache-Control", "private, no-cache")


class LadderPicture(_Trace):
    """``ladder.svg``."""

    @operation(Operation(envelope=False, answer_types=("image/svg+xml",)))
    def on_get(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        id: str,
        activation_id: str,
    ) -> None:
        """The call's SIP messages as a picture."""
        roles, messages = self.read(req, account_id, id, activation_id)
        resp.content_type = "image/svg+xml"
        resp.text = ladder.svg(messages, names_of(roles, messages))
        resp.set_header("Cache-Control", "private, no-cache")
        resp.set_header(
            "Content-Security-Policy",
            f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'self'",
        )


class TraceJson(_Trace):
    """``trace.json``."""

    @operation(
        Operation(
            envelope=False,
            answer_types=("application/json",),
        )
    )
    def on_get(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        id: str,
        activation_id: str,
    ) -> None:
        """The call's SIP messages, each with its time, addresses and text."""
        roles, messages = self.read(req, account_id, id, activation_id)
        resp.media = {
            "activation_id": activation_id,
            "messages": [_shown(entry, roles) for entry in messages],
        }
        resp.set_header("Cache-Control", "private, no-cache")


class TraceCapture(_Trace):
    """``trace.pcap``."""

    @operation(Operation(envelope=False, answer_types=("application/vnd.tcpdump.pcap",)))
    def on_get(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        id: str,
        activation_id: str,
    ) -> None:
        """The call's SIP messages as a packet capture; with `trace.rtp_headers` also the headers of its RTP packets."""
        _, messages = self.read(req, account_id, id, activation_id)
        resp.content_type = "application/vnd.tcpdump.pcap"
        resp.data = pcap(messages, self._calling.heads(activation_id))
        resp.set_header("Content-Disposition", f'attachment; filename="{activation_id}.pcap"')
        resp.set_header("Cache-Control", "private, no-cache")


def _shown(entry: TracedMessage, roles: Roles) -> dict[str, Any]:
    call_id = _call_id(entry)
    return {
        "time": entry.time,
        "iso_8601": datetime.fromtimestamp(entry.time, UTC).isoformat(timespec="microseconds"),
        "direction": "sent" if entry.sent else "received",
        "transport": entry.transport,
        "source": ladder.text_of(entry.source),
        "destination": ladder.text_of(entry.destination),
        "call_id": call_id,
        "role": _role(call_id, roles),
        "summary": entry.summary,
        "message": entry.data.decode("utf-8", "replace"),
    }


def _call_id(entry: TracedMessage) -> str:
    found = _CALL_ID.search(entry.data)
    return found[1].decode("utf-8", "replace") if found else ""


def _role(call_id: str, roles: Roles) -> str:
    """Which leg a Call-ID is; one that is not written down yet is of a transfer, most likely."""
    return roles.get(call_id, "transfer")


def names_of(roles: Roles, messages: list[TracedMessage]) -> dict[str, str]:
    """Who is at an address: the legs that went there."""

    def pairs() -> Iterator[tuple[str, str]]:
        for entry in messages:
            yield ladder.text_of(entry.remote), _role(_call_id(entry), roles)

    found: dict[str, list[str]] = {}
    for where, role in dict.fromkeys(pairs()):
        found.setdefault(where, []).append(role)
    return {where: ", ".join(those) for where, those in found.items()}
