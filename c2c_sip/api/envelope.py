"""The envelope around each request and response, and how records look in it."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import falcon

#: Seconds from the first of January of year 0, which Erlang's calendar counts from, to the Unix epoch.
GREGORIAN = 62_167_219_200


def version_of(req: falcon.Request) -> str:
    """``v1`` or ``v2``, from the path."""
    return "v2" if req.path.startswith("/v2/") else "v1"


def start(req: falcon.Request, node: str, version: str) -> None:
    """Give a request its id, and what each answer says of the program."""
    req.context.request_id = secrets.token_hex(16)
    req.context.node = node
    req.context.program = version


def success(
    req: falcon.Request,
    resp: falcon.Response,
    data: Any,
    *,
    status: int = 200,
    revision: Any = None,
    auth_token: str | None = None,
    **more: Any,
) -> None:
    """Answer with ``data``."""
    token = auth_token or req.context.get("token")
    body: dict[str, Any] = {"data": data, "status": "success"} | _common(req) | more
    if token:
        body["auth_token"] = token
    body["revision"] = str(revision) if revision is not None else _digest(data)
    _send(resp, status, body)


def _digest(data: Any) -> str:
    """The revision of what has no number of its own: the same for the same content."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:32]


def failure(
    req: falcon.Request, resp: falcon.Response, status: int, message: str, data: Any
) -> None:
    """Answer with an error."""
    body = {"data": data, "status": "error", "error": str(status), "message": message}
    _send(resp, status, body | _common(req))


def _common(req: falcon.Request) -> dict[str, Any]:
    context = req.context
    return {
        "request_id": context.get("request_id", ""),
        "timestamp": iso(datetime.now(UTC).timestamp()),
        "version": context.get("program", ""),
        "node": context.get("node", ""),
    }


def _send(resp: falcon.Response, status: int, body: Mapping[str, Any]) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.text = json.dumps(body)
    if "request_id" in body:
        resp.set_header("X-Request-ID", body["request_id"])
    resp.set_header("Cache-Control", "no-store")


def iso(moment: float) -> str:
    """Unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def activation(row: Mapping[str, Any]) -> dict[str, Any]:
    """A history object, from its row."""
    created = row["created"]
    return {
        "id": row["id"],
        "contact": row["contact"],
        "timestamp": int(created) + GREGORIAN,
        "unix_timestamp": int(created),
        "iso_8601": iso(created),
        "call_id": row.get("call_id"),
        "cdr_id": row.get("cdr_id"),
        "extension_call_id": row.get("extension_call_id"),
        "extension_cdr_id": row.get("extension_cdr_id"),
        "state": row["state"],
        "result": row.get("result"),
        "cause": row.get("cause"),
        "sip_status": row.get("sip_status"),
        "duration_seconds": row.get("duration_seconds", 0),
        "billing_seconds": row.get("billing_seconds", 0),
        "ringing_seconds": row.get("ringing_seconds", 0),
    }


def cdr(row: Mapping[str, Any]) -> dict[str, Any]:
    """A CDR, from its row."""
    return {
        "id": row["id"],
        "call_id": row["call_id"],
        "activation_id": row["activation_id"],
        "role": row["role"],
        "direction": "outbound",
        "from": row["from_uri"],
        "to": row["to_uri"],
        "timestamp": int(row["created"]) + GREGORIAN,
        "unix_timestamp": int(row["created"]),
        "iso_8601": iso(row["created"]),
        "answered": row["answered"] is not None,
        "duration_seconds": row["duration_seconds"],
        "billing_seconds": row["billing_seconds"],
        "ringing_seconds": row["ringing_seconds"],
        "hangup_cause": row["cause"],
        "cause": row["cause"],
        "sip_status": row["sip_status"],
        "hangup_by": row["hangup_by"],
        "media": row["media"],
    }
