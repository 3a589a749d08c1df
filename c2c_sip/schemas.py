"""What a field may be: the Cerberus schemas of all documents, and their errors in Kazoo's terms."""

import math
import re
from collections.abc import Mapping
from typing import Any

import cerberus

from c2c_sip.calling.contact import Unreadable, has_control, read_extension
from c2c_sip.calling.policy import check_pattern

#: Levels of nesting that a document may have; deeper is never meant.
DEEPEST = 16
Errors = dict[str, dict[str, dict[str, Any]]]

_REALM = r"^(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?$|^\[?[0-9A-Fa-f:.]+\]?$"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!%*_+`'~.-]{1,64}\Z")
#: Headers that make a message what it is; nobody outside of the SIP stack sets them.
_OWN_HEADERS = frozenset(
    [
        "via",
        "v",
        "from",
        "f",
        "to",
        "t",
        "call-id",
        "i",
        "cseq",
        "contact",
        "m",
        "route",
        "record-route",
        "max-forwards",
        "content-length",
        "l",
        "content-type",
        "c",
        "authorization",
        "proxy-authorization",
        "www-authenticate",
        "proxy-authenticate",
        "allow",
        "supported",
        "k",
        "require",
        "proxy-require",
        "content-encoding",
        "e",
        "content-disposition",
        "p-asserted-identity",
        "p-preferred-identity",
        "remote-party-id",
        "user-agent",
        "expires",
        "session-expires",
        "x",
        "min-se",
        "rack",
        "rseq",
        "reason",
    ]
)


def _line(least: int = 1, most: int = 128, **more: Any) -> dict[str, Any]:
    return {"type": "string", "minlength": least, "maxlength": most, "check_with": "line", **more}


CLICKTOCALL: dict[str, Any] = {
    "name": _line(required=True),
    "extension": _line(most=256, required=True) | {"check_with": "extension"},
    "realm": _line(most=253, regex=_REALM),
    "auth_required": {"type": "boolean"},
    "whitelist": {
        "type": "list",
        "maxlength": 100,
        "schema": {"type": "string", "check_with": "pattern"},
    },
    "throttle": {"type": "integer", "min": 0},
    "outbound_callee_id_name": _line(),
    "outbound_callee_id_number": _line(),
    "caller_id_number": _line(),
    "dial_first": {"type": "string", "allowed": ["extension", "contact"]},
    "timeout": {"type": "integer", "min": 1, "max": 600},
    "custom_sip_headers": {"type": "dict", "check_with": "sip_headers"},
    "custom_application_vars": {"type": "dict"},
    "media": {
        "type": "dict",
        "allow_unknown": True,
        "schema": {"ignore_early_media": {"type": "boolean"}},
    },
    "bypass_media": {"type": ["boolean", "string"]},
    "music_on_hold": {
        "type": "dict",
        "allow_unknown": True,
        "schema": {"media_id": _line(0, 256)},
    },
    "ringback": _line(0, 256),
    "presence_id": _line(0, 256),
}
ACCOUNT: dict[str, Any] = {
    "name": _line(required=True),
    "realm": _line(4, 253, regex=_REALM),
}
USER_AUTH: dict[str, Any] = {
    "credentials": {"type": "string", "required": True, "minlength": 1, "maxlength": 64},
    "method": {"type": "string", "allowed": ["md5", "sha"]},
    "account_name": {"type": "string", "minlength": 1, "maxlength": 128},
    "account_realm": {"type": "string", "minlength": 1, "maxlength": 253},
    "realm": {"type": "string", "minlength": 1, "maxlength": 253},
}
API_AUTH: dict[str, Any] = {
    "api_key": {"type": "string", "required": True, "minlength": 64, "maxlength": 64},
}
CHANNEL_ACTION: dict[str, Any] = {
    "action": {"type": "string", "required": True, "allowed": ["hangup"]},
}
DEFAULTS: dict[str, Any] = {"auth_required": False, "whitelist": [], "throttle": 0}
"""What a click-to-call has where its document says nothing."""


class _Validator(cerberus.Validator):  # type: ignore[misc]
    """Cerberus with our checks."""

    types_mapping = cerberus.Validator.types_mapping.copy()
    # To JSON true is no number.
    types_mapping["integer"] = cerberus.TypeDefinition("integer", (int,), (bool,))

    def _check_with_line(self, field: str, value: str) -> None:
        if has_control(value):
            self._error(field, "must not contain control characters")

    def _check_with_extension(self, field: str, value: str) -> None:
        try:
            # Which region numbers are written in makes no difference to what can be read.
            read_extension(value, "US")
        except Unreadable as error:
            self._error(field, error.message)

    def _check_with_pattern(self, field: str, value: str) -> None:
        problem = check_pattern(value)
        if problem is not None:
            self._error(field, problem)

    def _check_with_sip_headers(self, field: str, value: Mapping[str, Any]) -> None:
        flat = {name: content for name, content in value.items() if name not in ("in", "out")}
        for direction in ("in", "out"):
            nested = value.get(direction, {})
            if not isinstance(nested, Mapping):
                self._error(field, f"{direction} must be an object")
                return
            flat |= nested
        for name, content in flat.items():
            if not _HEADER_NAME.match(name) or name.lower() in _OWN_HEADERS:
                self._error(field, f"{name!r} is no header that may be set")
            elif not isinstance(content, str) or len(content) > 1024 or has_control(content):
                self._error(field, f"{name} must be one line of text")


_RULES = {
    "required": "required",
    "type": "type",
    "minlength": "minLength",
    "maxlength": "maxLength",
    "min": "minimum",
    "max": "maximum",
    "regex": "pattern",
    "allowed": "enum",
    "check_with": "pattern",
    "nullable": "type",
}


def validate(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Errors:
    """What is wrong with a document: ``{dotted.path: {rule: {"message", "cause", …}}}``, empty if nothing is.

    Fields that the schema does not name are nobody's to judge.
    """
    validator = _Validator(schema, allow_unknown=True, require_all=False)
    validator.validate(dict(document))
    found: Errors = {}
    _collect(validator._errors, found)
    return found


def _collect(errors: Any, found: Errors) -> None:
    for error in errors:
        if error.is_group_error:
            _collect(error.child_errors, found)
            continue
        path = ".".join(str(step) for step in error.document_path)
        rule = _RULES.get(error.rule, str(error.rule))
        detail: dict[str, Any] = {"message": _message(rule, error)}
        if rule == "required":
            detail["cause"] = None
        else:
            detail["cause"] = error.value
        if rule in ("minLength", "maxLength", "minimum", "maximum"):
            detail["target"] = error.constraint
        elif rule == "enum":
            detail["target"] = list(error.constraint)
        found.setdefault(path, {})[rule] = detail


def _message(rule: str, error: Any) -> str:
    match rule:
        case "required":
            return "Field is required but missing"
        case "type":
            kinds = error.constraint if isinstance(error.constraint, list) else [error.constraint]
            names = {"dict": "object", "list": "array"}
            return "Value did not match type(s): " + ", ".join(
                names.get(str(k), str(k)) for k in kinds
            )
        case "minLength":
            return f"String must be at least {error.constraint} characters"
        case "maxLength":
            return f"Value must not be longer than {error.constraint}"
        case "minimum":
            return f"Value must be at least {error.constraint}"
        case "maximum":
            return f"Value must be at most {error.constraint}"
        case "enum":
            return "Value must be one of " + ", ".join(map(str, error.constraint))
    if error.rule == "check_with" and error.info:
        return str(error.info[0])
    return "Value does not have the form that is accepted"


def fault(document: Any) -> str | None:
    """What makes a JSON value unfit for keeping whatever its fields mean: too deep, no number, broken text."""
    level = [document]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, float) and not math.isfinite(value):
                return "numbers must be finite"
            elif isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
                return "text must be Unicode without lone surrogates"
        if not below:
            return None
        level = below
    return f"must not be nested more than {DEEPEST} levels deep"
