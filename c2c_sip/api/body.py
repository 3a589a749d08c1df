"""Reading what a request brings: bounded, JSON or a form, with or without the envelope."""

import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import falcon

from c2c_sip.api.errors import ApiError, invalid
from c2c_sip.schemas import fault

#: Bytes of a body.
LARGEST = 64 * 1024
_JSON = ("application/json", "text/json", "application/x-json")
_FORM = "application/x-www-form-urlencoded"


def read_envelope(req: falcon.Request) -> dict[str, Any]:
    """The JSON object of the request; read once, empty where there is no body.

    :raises ApiError: 400, 413 or 415.
    """
    if "envelope" not in req.context:
        req.context.envelope = _read_json(req)
    found: dict[str, Any] = req.context.envelope
    return found


def read_data(req: falcon.Request) -> dict[str, Any]:
    """``data`` of the envelope.

    :raises ApiError: 400 where it is missing or no object.
    """
    data = read_envelope(req).get("data")
    if data is None:
        raise invalid(
            {"data": {"required": {"message": "Field is required but missing", "cause": None}}}
        )
    return _object("data", data)


def read_contact(req: falcon.Request) -> Any:
    """``contact`` from the query, a form, ``data``, or the bare object of a connect; ``None`` where it is in none."""
    if req.method == "GET":
        return _dialable(req.get_param("contact"))
    kind = (req.content_type or "").partition(";")[0].strip().lower()
    if kind in (_FORM, "multipart/form-data"):
        return _dialable(_form(req, kind).get("contact"))
    envelope = read_envelope(req)
    document = _object("data", envelope["data"]) if "data" in envelope else envelope
    if "contact" in document:
        return document["contact"]
    return _dialable(req.get_param("contact"))


def _dialable(text: str | None) -> str | None:
    # In a query or form a plus stands for a space; no number begins with one.
    if text is not None and text[:1] == " " and text[1:2].isdigit():
        return "+" + text[1:]
    return text


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        detail = {"message": "Value did not match type(s): object", "cause": value}
        raise invalid({name: {"type": detail}})
    return value


def _octets(req: falcon.Request) -> bytes:
    if (req.content_length or 0) > LARGEST:
        raise _too_large()
    octets: bytes = req.bounded_stream.read(LARGEST + 1)
    if len(octets) > LARGEST:
        raise _too_large()
    return octets


def _too_large() -> ApiError:
    message = f"the body must not be larger than {LARGEST} bytes"
    return ApiError(413, "request_entity_too_large", {"body": {"maxLength": {"message": message}}})


def _malformed(why: str) -> ApiError:
    return ApiError(400, "validation error", {"json": {"invalid": {"message": why}}})


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are told apart: which of two equal ones counts, readers disagree about."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _read_json(req: falcon.Request) -> dict[str, Any]:
    octets = _octets(req)
    kind = (req.content_type or "").partition(";")[0].strip().lower()
    if not octets.strip():
        return {}
    if kind not in _JSON:
        raise ApiError(
            415, "unsupported_media_type", {"message": "the body must be application/json"}
        )
    try:
        text = octets.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"the body is not JSON: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise _malformed("the body must be a JSON object")
    problem = fault(value)
    if problem is not None:
        raise _malformed(problem)
    return value


def _form(req: falcon.Request, kind: str) -> dict[str, str]:
    octets = _octets(req)
    if kind == _FORM:
        try:
            text = octets.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _malformed("the form is not UTF-8") from error
        fields = falcon.uri.parse_query_string(text, keep_blank=True)
        return {k: v[-1] if isinstance(v, list) else v for k, v in fields.items()}
    return _multipart(req, octets)


def _multipart(req: falcon.Request, octets: bytes) -> dict[str, str]:
    head = f"Content-Type: {req.content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + octets)
    if not message.is_multipart():
        raise _malformed("the form is not multipart/form-data")
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload.decode("utf-8", "replace")
    return fields
