"""The envelope around each request and response, and how records look in it."""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import Any

import falcon

from c2c_sip.calling.diagnosis import for_visitor
from c2c_sip.moments import to_second
from c2c_sip.store.identifiers import token

#: Seconds from the first of January of year 0, which Erlang's calendar counts from, to the Unix epoch.
GREGORIAN = 62_167_219_200
_plain = json.JSONEncoder().encode
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def version_of(req: falcon.Request) -> str:
    """``v1`` or ``v2``, from the path."""
    return "v2" if req.path.startswith("/v2/") else "v1"


def start(req: falcon.Request, node: str, version: str) -> None:
    """Give a request its id, and what each answer says of the program."""
    req.context.request_id = token(16)
    req.context.node = node
    req.context.program = version


def success(
    req: falcon.Request,
    resp: falcon.Response,
    data: Any,
    *,
    status: int = 200,
    revision: int | None = None,
    auth_token: str | None = None,
    **more: Any,
) -> None:
    """Answer with ``data``; ``revision`` is that of a document, which then has an entity tag too."""
    used = auth_token or getattr(req.context, "token", None)
    about: dict[str, Any] = {"status": "success"} | _common(req) | more
    if used:
        about["auth_token"] = used
    written = _json(data)
    # The same for the same content. Not one of OpenSSL's, which it takes longer to find than to use.
    digest = hashlib.blake2b(written.encode(), digest_size=16).hexdigest()
    about["revision"] = digest if revision is None else str(revision)
    if revision is not None:
        tag = f"{revision}.{digest[:16]}"
        resp.set_header("ETag", f'"{tag}"')
        known = req.get_header("If-None-Match") or ""
        if req.method in ("GET", "HEAD") and (tag in tags(known) or known.strip() == "*"):
            headers(req, resp)
            resp.status = 304
            return
    _send(req, resp, status, data, written, about)


def tags(header: str) -> list[str]:
    """The entity tags of a header, without their quotes.

    Weak ones too: a proxy that compresses makes a tag weak on its way, and the client cannot know.
    """
    return _TAG.findall(header)


def _json(data: Any) -> str:
    """``data`` as JSON, a list entry by entry.

    The encoder is one step of the interpreter, whatever it has to do: 10,000 records at once take 0.1 s, and no RTP.
    """
    if not isinstance(data, list):
        return _plain(data)
    return f"[{', '.join([_plain(entry) for entry in data])}]"


def failure(
    req: falcon.Request, resp: falcon.Response, status: int, message: str, data: Any
) -> None:
    """Answer with an error."""
    about = {"status": "error", "error": str(status), "message": message} | _common(req)
    _send(req, resp, status, data, _json(data), about)


def _common(req: falcon.Request) -> dict[str, Any]:
    context = req.context
    return {
        "request_id": context.request_id,
        "timestamp": to_second(time.time()),
        "version": context.program,
        "node": context.node,
    }


def _send(
    req: falcon.Request,
    resp: falcon.Response,
    status: int,
    data: Any,
    written: str,
    about: Mapping[str, Any],
) -> None:
    """Answer with ``data``, which is ``written`` in JSON already, and with what there is to say ``about`` it."""
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    if _pretty(req):
        # With an indent the encoder is Python itself, which lets others have their turns.
        resp.text = json.dumps({"data": data, **about}, indent=2)
    else:
        resp.text = f'{{"data": {written}, {_plain(about)[1:]}'
    headers(req, resp)


def _pretty(req: falcon.Request) -> bool:
    asked = req.env.get("HTTP_X_PRETTY_PRINT") or req.get_param("pretty_print") or ""
    return asked.strip().lower() in ("true", "1")


def headers(req: falcon.Request, resp: falcon.Response) -> None:
    """What every answer of the API has in its head: nothing of it is for a cache."""
    resp.set_headers((("X-Request-ID", req.context.request_id), ("Cache-Control", "no-store")))


def times(created: float) -> dict[str, Any]:
    """When something was, in Kazoo's three ways."""
    return {
        "timestamp": int(created) + GREGORIAN,
        "unix_timestamp": int(created),
        "iso_8601": to_second(created),
    }


def activation(row: Mapping[str, Any]) -> dict[str, Any]:
    """A history object, from its row, as whoever asked for the call may see it."""
    created = row["created"]
    shown = {
        "id": row["id"],
        "contact": row["contact"],
        **times(created),
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
        "explanation": for_visitor(row["state"], row.get("result"), row.get("cause")),
    }
    if row.get("rule") is not None:
        # Refused: by which rule, and how often where this record stands for several.
        shown |= {"rule": row["rule"], "times": row.get("times", 1)}
    return shown


def history_item(row: Mapping[str, Any], recording: bool) -> dict[str, Any]:
    """A history object for the account itself: with what its click-to-call keeps, with the whole of why the call
    ended as it did, and with whether there is a ``recording`` of it, which are not for visitors."""
    kept = row.get("variables")
    return activation(row) | {
        "explanation": row.get("explanation") or "",
        "custom_application_vars": json.loads(kept) if kept else {},
        "recording": recording,
    }


def account_history_item(row: Mapping[str, Any], recording: bool) -> dict[str, Any]:
    """A history object beside those of other click-to-calls."""
    own = {name: row[name] for name in ("clicktocall_id", "clicktocall_name")}
    return history_item(row, recording) | own


def cdr(row: Mapping[str, Any]) -> dict[str, Any]:
    """A CDR, from its row."""
    return {
        "id": row["id"],
        "call_id": row["call_id"],
        "activation_id": row["activation_id"],
        "interaction_id": row["activation_id"],
        "role": row["role"],
        "direction": "outbound",
        "from": row["from_uri"],
        "to": row["to_uri"],
        **times(row["created"]),
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
