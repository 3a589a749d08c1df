"""Whether a contact may be called at all. Pure: what there is to know comes in as arguments.

The order in which a contact is refused: it is missing or no text, it has control characters, is
too long, is neither a number nor a SIP URI, is not let through by the whitelist, is a SIP URI
from the public for somebody else's network.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import quote, unquote

from c2c_sip.calling.contact import Contact, Number, Unreadable, read_contact, tel_digits
from sipstack.message import Uri

MAX_PATTERN = 512
"""Characters that a whitelist pattern may have."""

MAX_WAYS = 140_000
"""Ways through a pattern that a match may have to try: enough for two unlimited repeats."""

SUBJECT = 256
"""Characters of the longest text that a pattern is matched against."""

# The characters of a SIP URI's user part that need no escape, RFC 3261 §25.1.
_PLAIN = "-_.!~*'()&=+$,;?/"

_parser: Any = importlib.import_module("re._parser")


RefusalKind = Literal["validation", "throttled", "unavailable", "full", "stopping"]


class Refusal(Exception):
    """An activation that does not take place.

    :param kind: which HTTP status it becomes, see ``c2c_sip/api/errors.py``
    :param field: the field that is wrong, for ``validation``
    :param rule: the validation rule it breaks, by Kazoo's names
    :param retry_after: seconds after which to try again
    :param activation: the activation's record, where one was written
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


@dataclass(frozen=True, slots=True)
class Checked:
    """A contact that may be called: its text without surrounding blanks, and what it says."""

    text: str
    contact: Contact


def check(
    clicktocall: Mapping[str, Any],
    contact: object,
    account: Mapping[str, Any],
    *,
    authenticated: bool,
    region: str,
    dialled: Sequence[str] = (),
) -> Checked:
    """Decide whether a click-to-call's contact may be called.

    :param clicktocall: its document; ``whitelist`` and ``auth_required`` count
    :param contact: what came in the request
    :param account: its document; ``realm`` counts
    :param authenticated: whether the request had a valid token
    :param region: the region in whose way national numbers are written
    :param dialled: further spellings in which the number may be dialled, for the whitelist
    :raises Refusal: of the kind ``validation``, field ``contact``
    """

    def refuse(rule: str, message: str) -> Refusal:
        return Refusal("validation", message, field="contact", rule=rule, value=contact)

    if contact is None:
        raise refuse("required", "Field is required but missing")
    if not isinstance(contact, str):
        raise refuse("type", "Value did not match type(s): string")
    try:
        read = read_contact(contact, region)
    except Unreadable as error:
        raise refuse(error.rule, error.message) from error
    text = contact.strip()
    whitelist = [pattern for pattern in clicktocall.get("whitelist") or [] if pattern]
    if whitelist and not _passes(whitelist, [*spellings(text, read), *dialled]):
        raise refuse("pattern", "The contact is not on the whitelist")
    public = not clicktocall.get("auth_required") and not authenticated
    if isinstance(read, Uri) and public and not whitelist:
        realm = str(clicktocall.get("realm") or account.get("realm") or "")
        own = str(account.get("realm") or realm)
        if _host(read.host) != _host(own):
            raise refuse("pattern", "A SIP URI of another realm must be on the whitelist")
    return Checked(text, read)


def spellings(text: str, contact: Contact) -> list[str]:
    """The forms of a contact in which a whitelist is searched.

    A URI's parameters are left out, since whoever writes the URI could put into them whatever a
    pattern looks for.
    """
    if isinstance(contact, Uri):
        # Written one way only: %31900 and 1900 are the same user.
        user = None if contact.user is None else quote(unquote(contact.user), safe=_PLAIN)
        bare = Uri(contact.scheme, user, None, contact.host, contact.port)
        plain = not contact.params and contact.password is None and "%" not in text
        return [str(bare), text] if plain else [str(bare)]
    given = tel_digits(text) if text[:4].lower() == "tel:" else text
    forms = [given, contact.digits]
    if contact.e164 is not None:
        forms += [contact.e164, contact.e164[1:]]
    return list(dict.fromkeys(forms))


def check_pattern(pattern: str) -> str | None:
    """What is wrong with a whitelist pattern, or ``None``: to be asked when one is saved.

    Besides what does not compile, patterns are refused that could hold the interpreter: Python's
    matcher tries one way through a pattern after another. The number of ways that there can be
    for a text of 256 characters is counted, from above, and bounded. ``(a+)+`` has no bound,
    ``.*a.*`` has some 66,000.
    """
    if len(pattern) > MAX_PATTERN:
        return f"a pattern has at most {MAX_PATTERN} characters"
    try:
        re.compile(pattern)
        ways, _ = _ways(_parser.parse(pattern))
    except (re.error, RecursionError, OverflowError) as error:
        return f"not a regular expression: {error}"
    if ways > MAX_WAYS:
        return "too many ways to match: a repeat inside a repeat, or too many in a row"
    return None


def _passes(whitelist: Sequence[str], forms: Sequence[str]) -> bool:
    return any(
        compiled.search(form)
        for compiled in map(_compiled, whitelist)
        if compiled is not None
        for form in forms
    )


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """The pattern, or ``None`` for one that can't be used, which then matches nothing."""
    return re.compile(pattern) if check_pattern(pattern) is None else None


def _host(host: str) -> str:
    return host.lower().rstrip(".").strip("[]")


# -- counting the ways through a pattern ---------------------------------------------------------

_TOO_MANY = MAX_WAYS + 1


def _ways(parsed: Any) -> tuple[int, bool]:
    """(most ways through a parsed pattern, whether all of them have the same width)."""
    ways = 1
    fixed = True
    for op, argument in parsed:
        more, same = _ways_of(str(op), argument)
        ways = min(ways * more, _TOO_MANY)
        fixed = fixed and same
    return ways, fixed


def _ways_of(op: str, argument: Any) -> tuple[int, bool]:
    match op:
        case "BRANCH":
            branches = [_ways(branch) for branch in argument[1]]
            widths = {branch.getwidth() for branch in argument[1]}
            fixed = len(widths) == 1 and all(same for _, same in branches)
            return min(sum(ways for ways, _ in branches), _TOO_MANY), fixed
        case "SUBPATTERN":
            return _ways(argument[3])
        case "ATOMIC_GROUP":
            return _ways(argument)
        case "ASSERT" | "ASSERT_NOT":
            return _ways(argument[1])[0], True
        case "GROUPREF":
            return 1, False
        case "GROUPREF_EXISTS":
            yes = _ways(argument[1])[0]
            no = _ways(argument[2])[0] if argument[2] else 1
            return min(yes + no, _TOO_MANY), False
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, body = argument
            ways, fixed = _ways(body)
            least, most = min(int(least), SUBJECT), min(int(most), SUBJECT)
            if ways == 1 and fixed:
                return most - least + 1, least == most
            total = 0
            for count in range(least, most + 1):
                # What is matched in one round may be of any width, so ways multiply by round.
                total += max(ways, 1 if fixed else 2) ** count
                if total > MAX_WAYS:
                    return _TOO_MANY, False
            return max(total, 1), False
        case _:
            return 1, True


__all__ = [
    "Checked",
    "Contact",
    "Number",
    "Refusal",
    "check",
    "check_pattern",
    "spellings",
]
