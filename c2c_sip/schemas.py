"""What a field may be: the Cerberus schemas of all documents, and their errors in Kazoo's terms."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from ipaddress import ip_address
from typing import Any

import cerberus
import phonenumbers
from cerberus.errors import ErrorDefinition

from c2c_sip.calling import headers, hours, variables
from c2c_sip.calling.contact import (
    MAX_LENGTH,
    Unreadable,
    has_control,
    read_contact,
    read_extension,
)
from c2c_sip.calling.defaults import DEFAULTABLE
from c2c_sip.calling.links import GREATEST_LIFETIME, MOST_USES
from c2c_sip.calling.notices import STATES
from c2c_sip.calling.numbering import ANYWHERE
from c2c_sip.calling.pattern import LONGEST as LONGEST_PATTERN
from c2c_sip.calling.policy import check_pattern, check_whitelist
from c2c_sip.calling.proof import CHALLENGES

#: Levels of nesting that a document may have; deeper is never meant.
DEEPEST = 16
Errors = dict[str, dict[str, dict[str, Any]]]

#: Extensions that ring at once.
MOST_EXTENSIONS = 8
#: Headers of one's own that a click-to-call may have, each way, and characters of each.
MOST_HEADERS = 50
LONGEST_HEADER = 1024

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_VARIABLE = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!%*_+`'~.-]{1,64}\Z")
# Cerberus looks an error's rule up in the schema; ours all stand there under `check_with`.
_BROKEN = ErrorDefinition(0x1000, "check_with")


@dataclass(frozen=True, slots=True)
class _Broken:
    """What a check of ours found: a rule and what to tell; ``below`` leads to the value inside the field."""

    rule: str
    message: str
    target: Any = None
    below: tuple[str, ...] = ()
    value: Any = None


Report = Callable[..., None]


def _visible(field: str, value: Any, report: Report) -> None:
    """Text that may come into a SIP header: something to see, and nothing that ends a line."""
    if not isinstance(value, str):
        return
    if has_control(value):
        report(field, _BROKEN, _Broken("pattern", "Value must not contain control characters"))
    elif value and not value.strip():
        report(field, _BROKEN, _Broken("minLength", "Value must not be spaces only", 1))


def _realm(field: str, value: Any, report: Report) -> None:
    if isinstance(value, str) and value and not _is_host(value):
        message = "Value must be a domain name or an IP address"
        report(field, _BROKEN, _Broken("pattern", message))


def _is_host(text: str) -> bool:
    try:
        ip_address(text.removeprefix("[").removesuffix("]") if text.endswith("]") else text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        return all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()
    # A zone ("fe80::1%eth0") means something on this machine only.
    return "%" not in text


def _extension(field: str, value: Any, report: Report) -> None:
    """One extension, or a list of them."""
    if not isinstance(value, list):
        broken = _one_extension(value)
        if broken is not None:
            report(field, _BROKEN, _Broken(*broken))
        return
    if not 1 <= len(value) <= MOST_EXTENSIONS:
        rule, most = ("maxItems", MOST_EXTENSIONS) if value else ("minItems", 1)
        words = "must not be more than" if value else "must be at least"
        report(field, _BROKEN, _Broken(rule, f"Array {words} {most} items", most))
        return
    for index, each in enumerate(value):
        broken = _one_extension(each)
        if broken is not None:
            report(field, _BROKEN, _Broken(*broken, (str(index),), each))


def _one_extension(value: Any) -> tuple[str, str, Any] | None:
    """(rule, message, target) of what is wrong with an extension."""
    if not isinstance(value, str):
        return "type", "Value did not match type(s): string", "string"
    if not value.strip():
        return "minLength", "String must be at least 1 characters", 1
    if len(value) > MAX_LENGTH:
        return "maxLength", f"String must not be more than {MAX_LENGTH} characters", MAX_LENGTH
    if has_control(value):
        return "pattern", "Value must not contain control characters", None
    try:
        # Which region numbers are written in makes no difference to what can be read.
        read_extension(value, "US")
    except Unreadable as error:
        return "pattern" if error.rule == "format" else error.rule, error.message, None
    return None


def _number(field: str, value: Any, report: Report) -> None:
    try:
        if isinstance(value, str) and not has_control(value) and value.strip():
            read_contact(value, "US")
    except Unreadable as error:
        report(field, _BROKEN, _Broken("pattern", error.message))


def _span(field: str, value: Any, report: Report) -> None:
    if isinstance(value, str) and not re.fullmatch(hours.SPAN, value):
        report(field, _BROKEN, _Broken("pattern", "Value must be as 09:00-17:30"))


def _pattern(field: str, value: Any, report: Report) -> None:
    problem = check_pattern(value) if isinstance(value, str) else None
    if problem is not None:
        report(field, _BROKEN, _Broken("pattern", problem))


def _whitelist(field: str, value: Any, report: Report) -> None:
    patterns = [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
    problem = check_whitelist(patterns)
    if problem is not None:
        report(field, _BROKEN, _Broken("maxLength", problem))


def _sip_headers(field: str, value: Any, report: Report) -> None:
    """Headers by name, or such mappings under ``in`` and ``out``."""
    if not isinstance(value, Mapping):
        return
    if headers.octets(value) > headers.MOST_OCTETS:
        message = f"Headers must not have more than {headers.MOST_OCTETS} octets together"
        report(field, _BROKEN, _Broken("maxLength", message, headers.MOST_OCTETS))
        return
    nested = [name for name in headers.WAYS if isinstance(value.get(name), Mapping)]
    groups: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [((n,), value[n]) for n in nested]
    groups.append(((), {name: text for name, text in value.items() if name not in nested}))
    for path, group in groups:
        if len(group) > MOST_HEADERS:
            message = f"Object must not have more than {MOST_HEADERS} properties"
            report(field, _BROKEN, _Broken("maxProperties", message, MOST_HEADERS, path))
            continue
        for name, text in group.items():
            broken = _sip_header(name, text, (*path, name))
            if broken is not None:
                report(field, _BROKEN, broken)


def _sip_header(name: str, text: Any, where: tuple[str, ...]) -> _Broken | None:
    if not _HEADER_NAME.match(name):
        return _Broken("pattern", "Not the name of a SIP header", None, where, name)
    if headers.is_own(name):
        return _Broken("enum", "This header is not to be set", None, where, name)
    # Kazoo's are texts, numbers and truth values.
    if not isinstance(text, (str, int)):
        message = "Value did not match type(s): string, integer, boolean"
        return _Broken("type", message, "string, integer, boolean", where, text)
    written = headers.written(text)
    if has_control(written):
        message = "Value must not contain control characters"
        return _Broken("pattern", message, None, where, text)
    if len(written) > LONGEST_HEADER:
        message = f"String must not be more than {LONGEST_HEADER} characters"
        return _Broken("maxLength", message, LONGEST_HEADER, where, text)
    return None


def _variables(field: str, value: Any, report: Report) -> None:
    """Variables by name, each a text that may refer to parameters of the request."""
    for name, text in value.items() if isinstance(value, Mapping) else ():
        if not _VARIABLE.match(name):
            broken = _Broken("pattern", "Not the name of a variable", None, (name,), name)
            report(field, _BROKEN, broken)
        elif isinstance(text, str) and not variables.UNTOLD.isdisjoint(variables.references(text)):
            broken = _Broken("enum", "This parameter is not to be kept", None, (name,), text)
            report(field, _BROKEN, broken)


#: What has_control finds, as the inside of a class of characters: the characters themselves, since there is no way to
#: write them that all regular expressions share.
UNSEEN = (
    "\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
_VISIBLE = rf"^(?:[^{UNSEEN}]*[^\s{UNSEEN}][^{UNSEEN}]*)?$"
_MORE = "[A-Za-z0-9-]{0,30}[A-Za-z0-9]"
_LABELS = rf"(?:[A-Za-z0-9](?:{_MORE})?[.])*"
#: A last label of digits would be read as the end of an IP address.
_TOP_LABEL = rf"(?:[A-Za-z](?:{_MORE})?|[0-9]{{1,30}}(?:[A-Za-z](?:{_MORE})?|-{_MORE}))"
_HEADER_TEXT = {
    "type": ["string", "integer", "boolean"],
    "maxLength": LONGEST_HEADER,
    "pattern": f"^[^{UNSEEN}]*$",
}
_HEADERS = {
    "type": "object",
    "maxProperties": MOST_HEADERS,
    "propertyNames": {
        "pattern": "^(?!(?:"
        + "|".join(
            "".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in n)
            for n in sorted(headers.OWN)
        )
        + ")$|[pP]-)"
        + r"[A-Za-z0-9!%*_+`'~.-]{1,64}$"
    },
    "additionalProperties": _HEADER_TEXT,
}

_NUMBER = "[0-9]{1,4}(?: [0-9]{1,4}){0,6}"
_SIP_URI = "[sS][iI][pP][sS]?:[A-Za-z0-9_.+-]{1,64}@[a-z][a-z0-9-]{0,30}(?:[.][a-z]{1,12})*"
_EXTENSION = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_LENGTH,
    "anyOf": [
        {"pattern": rf"^ *(?![A-Za-z][A-Za-z0-9+.-]*:)[^\s@<>\"\\{UNSEEN}]+ *$"},
        {"pattern": f"^ *{_NUMBER} *$"},
        {"pattern": f"^{_SIP_URI}$"},
    ],
}
CONTACT = f"^(?:[+][1-9][0-9]{{6,14}}|{_NUMBER}|{_SIP_URI})$"
"""What a contact looks like mostly, as a regular expression for the description of the API."""

#: What the checks accept, as JSON Schemas; what no schema can say (that a whitelist pattern is quick, that a number
#: with separators is readable) they leave out.
MEANINGS: dict[Callable[[str, Any, Report], None], dict[str, Any]] = {
    _visible: {"pattern": _VISIBLE},
    _realm: {
        "anyOf": [
            {"pattern": f"^{_LABELS}{_TOP_LABEL}[.]?$"},
            {"format": "ipv4"},
            {"format": "ipv6"},
        ]
    },
    _extension: {
        "anyOf": [
            _EXTENSION,
            {"type": "array", "items": _EXTENSION, "minItems": 1, "maxItems": MOST_EXTENSIONS},
        ]
    },
    _variables: {
        "propertyNames": {"pattern": "^[A-Za-z0-9_.-]{1,64}$"},
    },
    _number: {"pattern": CONTACT},
    _span: {"pattern": hours.SPAN},
    _pattern: {"format": "regex"},
    _whitelist: {},
    _sip_headers: _HEADERS
    | {"properties": {way: {"anyOf": [_HEADERS, _HEADER_TEXT]} for way in ("in", "out")}},
}


TIME_ZONES = (files("tzdata") / "zones").read_text("ascii").split()


def _line(
    least: int = 1, most: int = 128, *checks: Callable[[str, Any, Report], None], **more: Any
) -> dict[str, Any]:
    lengths = {"type": "string", "minlength": least, "maxlength": most}
    return lengths | {"check_with": [_visible, *checks]} | more


def _told(description: str, **more: Any) -> dict[str, Any]:
    """What the description of the API says of a field."""
    return {"meta": {"description": description} | more}


def _limits(*names: str) -> dict[str, Any]:
    limit = {"type": "integer", "min": 0, "max": 10_000_000}
    # A misspelt limit would be none at all.
    return {"type": "dict", "allow_unknown": False, "schema": dict.fromkeys(names, limit)}


_SPAN: dict[str, Any] = {"type": "string", "check_with": _span} | _told(
    "As `09:00-17:30`; to `24:00`, or over midnight.", examples=["09:00-17:30"]
)
CLICKTOCALL: dict[str, Any] = {
    "name": _line(required=True) | _told("A name for people.", examples=["Sales"]),
    "extension": {"type": ["string", "list"], "check_with": _extension, "required": True}
    | _told(
        "Who is called: a number, a SIP URI, or a user of the realm; or a list of them, which ring at once.",
        examples=["101"],
    ),
    "realm": _line(1, 253, _realm)
    | _told("The SIP realm of the extension; the account's, unless given."),
    "auth_required": {"type": "boolean"}
    | _told("Whether an activation needs a token. Without, anybody may dial.", default=False),
    "whitelist": {
        "type": "list",
        "maxlength": 100,
        # An empty one is found in every contact: what looks like a restriction, as a script's variable that is not set
        # makes it, would be none.
        "schema": {
            "type": "string",
            "minlength": 1,
            "maxlength": LONGEST_PATTERN,
            "check_with": _pattern,
        },
        "check_with": _whitelist,
    }
    | _told("Regular expressions; a contact that none of them is found in is refused.", default=[]),
    "throttle": {"type": "integer", "min": 0} | _told("Calls at once; 0: any number.", default=0),
    "outbound_callee_id_name": _line() | _told("The name that the contact is shown."),
    "outbound_callee_id_number": _line() | _told("The number that the contact is shown."),
    "caller_id_number": _line()
    | _told("The number that the extension is shown; the contact's, unless given."),
    "caller_id_options": {
        "type": "dict",
        "allow_unknown": True,
        "schema": {
            "outbound_privacy": {"type": "string", "allowed": ["none", "name", "number", "full"]}
            | _told("What of the caller the contact is not to see.", default="none")
        },
    },
    "dial_first": {"type": "string", "allowed": ["extension", "contact"]}
    | _told("Which of the two rings first.", default="extension"),
    "timeout": {"type": "integer", "min": 1, "max": 600}
    | _told("Seconds that either party may ring; the service's settings, unless given."),
    "custom_sip_headers": {"type": "dict", "check_with": _sip_headers}
    | _told(
        "Headers for the INVITEs, by name; under `in` for the extension's, under `out` for the contact's."
    ),
    "custom_application_vars": {
        "type": "dict",
        "maxlength": MOST_HEADERS,
        "valuesrules": {"type": "string", "maxlength": LONGEST_HEADER, "check_with": _visible},
        "check_with": _variables,
    }
    | _told(
        "What is kept with each call: `{{order}}` stands for the request's parameter of that name. The extension is"
        " sent those whose names begin with `X-`, as headers."
    ),
    "auto_answer": {"type": "boolean"}
    | _told("Whether the extension's phone is asked to answer by itself.", default=False),
    "hours": {
        "type": "dict",
        # A misspelt day would be none, and without any day it is always open.
        "allow_unknown": False,
        "schema": {
            "timezone": {"type": "string", "allowed": TIME_ZONES} | _told("UTC, unless given."),
            "message": _line(1, 512) | _told("What a visitor is told at other times."),
            **{day: {"type": "list", "maxlength": 8, "schema": _SPAN} for day in hours.DAYS},
        },
    }
    | _told("When calls are made; always, unless a day is given."),
    "media": {
        "type": "dict",
        "allow_unknown": True,
        "schema": {
            "ignore_early_media": {"type": "boolean"}
            | _told("Whether what the contact sends before it answers is left out.")
        },
    },
    "bypass_media": {"type": ["boolean", "string"], "allowed": [True, False, "auto"]}
    | _told("Whether the two send their audio to each other, past us."),
    "music_on_hold": {
        "type": "dict",
        "allow_unknown": True,
        "schema": {"media_id": _line(0, 256)},
    },
    "ringback": _line(0, 256) | _told("What the extension hears while the contact rings."),
    "announcement": _line(0, 256)
    | _told("Audio of the account that asks an extension for its key."),
    "confirm": {"type": "string", "allowed": list("0123456789*#")}
    | _told("The key that the extension presses before it is connected to anybody."),
    "record": {"type": "boolean"} | _told("Whether its calls are recorded.", default=False),
    "presence_id": _line(0, 256),
    "connect_by_get": {"type": "boolean"},
    "challenge": {"type": "string", "allowed": list(CHALLENGES)},
    "limits": _limits("per_address", "per_contact", "per_clicktocall"),
}
ACCOUNT: dict[str, Any] = {
    "name": _line(required=True) | _told("A name for people."),
    "realm": _line(1, 253, _realm)
    | {"meta": {"prose": "the SIP realm, a domain name that no other account has"}},
    "caller_id": {
        "type": "dict",
        "schema": {
            "external": {"type": "dict", "schema": {"name": _line(), "number": _line()}}
            | _told("What contacts are shown."),
            "internal": {"type": "dict", "schema": {"number": _line()}}
            | _told("What extensions are shown."),
        },
    }
    | _told("For click-to-calls that have none of their own."),
    "caller_id_options": CLICKTOCALL["caller_id_options"],
    "music_on_hold": CLICKTOCALL["music_on_hold"],
    "ringback": CLICKTOCALL["ringback"],
    "defaults": {"type": "dict", "schema": {name: CLICKTOCALL[name] for name in DEFAULTABLE}}
    | _told("Fields for click-to-calls that do not have them."),
    "region": {"type": "string", "allowed": sorted(phonenumbers.SUPPORTED_REGIONS)},
    "countries": {
        "type": "list",
        "schema": {
            "type": "string",
            "allowed": [ANYWHERE, *sorted(phonenumbers.SUPPORTED_REGIONS)],
        },
    },
    "caller_ids": {"type": "list", "maxlength": 1000, "schema": _line(1, 64, _number)},
    "connect_by_get": {"type": "boolean"},
    "limits": _limits(
        "per_address", "per_contact", "per_clicktocall", "per_account", "daily_minutes"
    ),
}
FROM_ABOVE = ("region", "countries", "caller_ids", "limits")
"""Fields of an account that are for those above it to say, and for itself only where nobody is."""
LINK: dict[str, Any] = {
    # Whoever is called says what is wrong with it, as where it is activated.
    "contact": _line(1, MAX_LENGTH) | {"meta": {"pattern": CONTACT}},
    "pattern": _line(1, LONGEST_PATTERN, _pattern),
    "expires_in": {"type": "integer", "min": 1, "max": GREATEST_LIFETIME},
    "uses": {"type": "integer", "min": 1, "max": MOST_USES},
}
NEVER_CALL: dict[str, Any] = {"number": _line(1, MAX_LENGTH, _number, required=True)}
USER: dict[str, Any] = {
    "username": _line(1, 128, required=True) | _told("The name that he signs in with."),
    "password": _line(8, 256)
    | {
        "meta": {
            "description": "Never shown. It is hashed with the name: another name needs it again.",
            "writeOnly": True,
        }
    },
    "first_name": _line(),
    "last_name": _line(),
    "email": _line(1, 254),
    "priv_level": {"type": "string", "allowed": ["admin", "user"]}
    | _told("A `user` may look and call, but not change anything.", default="admin"),
    "enabled": {"type": "boolean"} | _told("Whether he can sign in.", default=True),
}
MEDIA: dict[str, Any] = {
    "name": _line(required=True) | _told("A name for people."),
    "description": _line(),
    "language": _line(1, 32),
    "streamable": {"type": "boolean"},
}
WEBHOOK: dict[str, Any] = {
    "name": _line(1, 128, required=True) | _told("A name for people."),
    "uri": {"type": "string", "required": True, "minlength": 1, "maxlength": 2048}
    | _told("Where notices are posted to: a URL of a public host."),
    "hook": {"type": "string", "allowed": ["all", *STATES]}
    | _told("The state of a call that is told of.", default="all"),
    "http_verb": {"type": "string", "allowed": ["post"]} | _told("How it is told.", default="post"),
    "enabled": {"type": "boolean"} | _told("Whether it is told.", default=True),
    "custom_data": {
        "type": "dict",
        "maxlength": 32,
        "valuesrules": {"type": "string", "maxlength": 512},
    }
    | _told("What each notice has besides."),
    "secret": {"type": "string", "minlength": 16, "maxlength": 128}
    | _told("The key of the signature; made where none is given, and shown only then."),
}
USER_AUTH: dict[str, Any] = {
    "credentials": {"type": "string", "required": True, "minlength": 1, "maxlength": 64}
    | _told("md5 or sha1 of `user:password`, in hexadecimal."),
    "method": {"type": "string", "allowed": ["md5", "sha", "sha1"]}
    | _told("How the credentials are hashed.", default="md5"),
    "account_id": {"type": "string", "minlength": 1, "maxlength": 64},
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
    """Cerberus, but as in JSON true is no number."""

    types_mapping = cerberus.Validator.types_mapping | {
        "integer": cerberus.TypeDefinition("integer", (int,), (bool,))
    }


_KINDS = {"dict": "object", "list": "array"}


def validate(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Errors:
    """What is wrong with a document: ``{dotted.path: {rule: {"message", "cause", …}}}``, empty if nothing is.

    Fields that the schema does not name are nobody's to judge.
    """
    validator = _Validator(schema, allow_unknown=True)
    validator.validate(document, normalize=False)
    found: Errors = {}
    for path, rule, detail in _findings(schema, validator._errors):
        found.setdefault(path, {}).setdefault(rule, detail)
    return found


def _findings(schema: Mapping[str, Any], errors: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Cerberus' errors as dotted path, rule, and what to tell."""
    for error in errors:
        if error.is_group_error:
            yield from _findings(schema, error.child_errors)
            continue
        steps = [str(step) for step in error.document_path]
        cause, target = error.value, error.constraint
        suffix, subject, counted = _counted(cause)
        rule: str
        match error.rule:
            case "check_with":
                broken: _Broken = error.info[0]
                rule, message, target = broken.rule, broken.message, broken.target
                steps += broken.below
                cause = broken.value if broken.below else cause
            case "required":
                rule, message = "required", "Field is required but missing"
                cause = target = None
            case "type" | "nullable":
                target = _kinds(schema, error)
                rule, message = "type", f"Value did not match type(s): {target}"
            case "minlength":
                rule = f"min{suffix}"
                message = f"{subject} must be at least {target} {counted}"
            case "maxlength":
                rule = f"max{suffix}"
                message = f"{subject} must not be more than {target} {counted}"
            case "min":
                rule, message = "minimum", f"Value must be at least {target}"
            case "max":
                rule, message = "maximum", f"Value must be at most {target}"
            case "allowed":
                rule, message = "enum", f"Value must be one of {_listed(target)}"
            case None:
                # A field where none but those of the schema are.
                known = _rules(schema, error)["schema"]
                rule, message = "additionalProperties", f"Field must be one of {_listed(known)}"
            case other:
                raise AssertionError(f"a schema has the rule {other}, which has no words here")
        detail: dict[str, Any] = {"message": message, "cause": cause}
        if target is not None:
            detail["target"] = target
        yield ".".join(steps), rule, detail


def _counted(value: Any) -> tuple[str, str, str]:
    """For a value with a length: the rule's ending, what it is, what is counted."""
    if isinstance(value, str):
        return "Length", "String", "characters"
    if isinstance(value, Mapping):
        return "Properties", "Object", "properties"
    return "Items", "Array", "items"


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names))


def _rules(schema: Mapping[str, Any], error: Any) -> Any:
    """The part of the schema that an error is about."""
    rules: Any = schema
    for step in error.schema_path[:-1]:
        if isinstance(rules, Mapping) and step in rules:
            rules = rules[step]
    return rules


def _kinds(schema: Mapping[str, Any], error: Any) -> str:
    """The types that a field may be of, in JSON's names."""
    kinds: str | list[str] = _rules(schema, error)["type"]
    return ", ".join(_KINDS.get(k, k) for k in ([kinds] if isinstance(kinds, str) else kinds))


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
            elif isinstance(value, str) and _SURROGATE.search(value):
                return "text must be Unicode without lone surrogates"
        if not below:
            return None
        level = below
    return f"must not be nested more than {DEEPEST} levels deep"
