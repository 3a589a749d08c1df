"""Reading what a request brings: bounded, JSON or a form, with or without the envelope."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import falcon

from c2c_sip.api.errors import ApiError, invalid
from c2c_sip.schemas import fault

#: Bytes of a body.
LARGEST = 64 * 1024
_JSON = ("application/json", "text/json", "application/x-json")
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
#: How JSON comes from those who do not say what they send: curl says "form" unless told otherwise, and Kazoo's
#: documentation does not tell it.
_UNLABELLED = ("", _FORM)
#: What says yes or no in a query.
_CHOICES = dict.fromkeys(("true", "t", "1", "yes", "on"), True) | dict.fromkeys(
    ("false", "f", "0", "no", "off"), False
)
CHOICES = tuple(_CHOICES)


def read_envelope(req: falcon.Request) -> dict[str, Any]:
    """The JSON object of the request; read once, empty where there is no body.

    :raises ApiError: 400, 413 or 415.
    """
    found: dict[str, Any] | ApiError | None = getattr(req.context, "envelope", None)
    if found is None:
        try:
            found = _read_json(req)
        except ApiError as error:
            found = error
        req.context.envelope = found
    if isinstance(found, ApiError):
        raise found
    return found


def peek(req: falcon.Request, name: str) -> Any:
    """What the envelope says of the request itself, as ``verb``; that it is unreadable is for others to tell."""
    found = getattr(req.context, "envelope", None)
    if found is None:
        try:
            found = read_envelope(req) if _is_json(req) else None
        except ApiError:
            return None
    return found.get(name) if isinstance(found, dict) else None


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
    found = _brought(req)
    if "contact" not in found:
        return _dialable(req.get_param("contact"))
    # In JSON a blank is one.
    return _dialable(found["contact"]) if req.context.is_form else found["contact"]


def read_text(req: falcon.Request, *names: str) -> str:
    """The first text by one of these names, from where the contact may be; empty where there is none.

    What JSON calls true, false or a number is the text that a query would have for it.
    """
    found = _brought(req)
    for name in names:
        value = found.get(name)
        if isinstance(value, (bool, int, float)):
            return json.dumps(value)
        value = value or req.get_param(name)
        if isinstance(value, str) and value:
            return value
    return ""


def read_flag(req: falcon.Request, name: str) -> bool:
    """Whether a request says ``true``, as JSON or as text, from where the contact may be.

    :raises ApiError: 400 where the query says what is neither true nor false. Beside the contact there may be anything.
    """
    if req.get_param(name):
        return read_choice(req, name, False)
    said = _brought(req).get(name)
    return said is True or (isinstance(said, str) and _CHOICES.get(said.lower(), False))


def read_choice(req: falcon.Request, name: str, default: bool) -> bool:
    """Whether the query says true or false; ``default`` where it has no such parameter, or an empty one.

    :raises ApiError: 400 where it says neither.
    """
    said = req.get_param(name)
    if not said:
        return default
    found = _CHOICES.get(said.lower())
    if found is None:
        raise invalid({name: {"enum": {"message": "must be true or false", "cause": said}}})
    return found


def _brought(req: falcon.Request) -> Mapping[str, Any]:
    """What is beside the contact; looked for once."""
    if req.method == "GET":
        return {}
    found: Mapping[str, Any] | None = getattr(req.context, "brought", None)
    if found is None:
        kind = kind_of(req)
        req.context.is_form = kind in (_FORM, _MULTIPART) and not _is_json(req)
        found = _form(req, kind) if req.context.is_form else _document(req)
        req.context.brought = found
    return found


def _document(req: falcon.Request) -> dict[str, Any]:
    envelope = read_envelope(req)
    return _object("data", envelope["data"]) if "data" in envelope else envelope


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


def kind_of(req: falcon.Request) -> str:
    """The media type of the body, without parameters."""
    # No type of ours is as long as that.
    return _kind((req.content_type or "")[:200])


@lru_cache(256)
def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(req: falcon.Request) -> bool:
    kind = kind_of(req)
    return kind in _JSON or (kind in _UNLABELLED and octets(req).lstrip()[:1] == b"{")


def octets(req: falcon.Request, most: int = LARGEST) -> bytes:
    """The body; read once.

    :raises ApiError: 413.
    """
    found: bytes | None = getattr(req.context, "octets", None)
    if found is None:
        length = req.content_length or 0
        if length > most:
            raise _too_large(most)
        found = req.context.octets = req.stream.read(length)
    if len(found) > most:
        raise _too_large(most)
    return found


def _too_large(most: int) -> ApiError:
    message = f"the body must not be larger than {most} bytes"
    return ApiError(413, "request_entity_too_large", {"body": {"maxLength": {"message": message}}})


def _malformed(why: str) -> ApiError:
    return ApiError(400, "validation error", {"json": {"invalid": {"message": why}}})


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> float | int:
    """A whole number that is written as a float is one: JSON does not tell the two apart."""
    value = float(text)
    return int(value) if value.is_integer() and 0 < abs(value) < 1 << 53 else value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are told apart: which of two equal ones counts, readers disagree about."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


#: Made once: json.loads makes a decoder each time that it is told how to read.
_decode = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_number, object_pairs_hook=_once
).decode


def _read_json(req: falcon.Request) -> dict[str, Any]:
    found = octets(req)
    if not found.strip():
        return {}
    if not _is_json(req):
        raise ApiError(
            415, "unsupported_media_type", {"message": "the body must be application/json"}
        )
    try:
        text = found.decode("utf-8")
        value = _decode(text)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"the body is not JSON: {_why_not_json(error)}") from error
    if not isinstance(value, dict):
        raise _malformed("the body must be a JSON object")
    problem = fault(value)
    if problem is not None:
        raise _malformed(problem)
    return value


def _why_not_json(error: Exception) -> str:
    match error:
        case json.JSONDecodeError(msg=message, lineno=line, colno=column):
            return f"{message}, in line {line}, column {column}"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return str(error)


def _form(req: falcon.Request, kind: str) -> dict[str, str]:
    found = octets(req)
    if kind == _FORM:
        try:
            text = found.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _malformed("the form is not UTF-8") from error
        fields = falcon.uri.parse_query_string(text, keep_blank=True)
        return {k: v[-1] if isinstance(v, list) else v for k, v in fields.items()}
    return _multipart(req, found)


def _multipart(req: falcon.Request, found: bytes) -> dict[str, str]:
    head = f"Content-Type: {req.content_type}\r\n\r\n".encode("latin-1", "replace")
    # Only here: half a megabyte, and few send these.
    from email.parser import BytesParser
    from email.policy import HTTP

    message = BytesParser(policy=HTTP).parsebytes(head + found)
    if not message.is_multipart():
        raise _malformed("the form is not multipart/form-data")
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload.decode("utf-8", "replace")
    return fields
