"""Whether a contact may be called at all. Pure: what there is to know comes in as arguments.

The order of the refusals here, each with the name that its record has (``docs/guard.md`` has all of them):

=============  ==================================================================================
``contact``    it is missing, no text, too long, or neither a number nor a SIP URI that we dial
``whitelist``  the click-to-call has a whitelist, and none of its patterns is in the contact
``host``       a SIP URI from the public, of a host that neither realm, whitelist nor settings name
``address``    a SIP URI of this machine, of an inner network, or of nobody
``emergency``  an emergency number, also with something before or behind it
``premium``    and ``shared-cost``, ``satellite``, ``personal``: numbers that cost more than others
``country``    a number of a country that is not listed
``short``      from the public, a short code of the region's, or a feature code
=============  ==================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, unquote

from c2c_sip.calling.address import Network, is_forbidden_host
from c2c_sip.calling.contact import (
    Contact,
    Extension,
    Number,
    Party,
    Unreadable,
    is_phone,
    number_in,
    read_contact,
    tel_digits,
)
from c2c_sip.calling.numbering import ANYWHERE, canonical, readings
from c2c_sip.calling.pattern import Pattern, PatternError
from sipstack.message import Uri
from sipstack.message.uri import hostport_text

MOST_STATES = 4000
"""States that the patterns of one whitelist may have together."""

MOST_STEPS = 4 * MOST_STATES * 257
"""Steps that are taken for one contact; a whitelist that may be saved needs fewer."""

# The characters of a SIP URI's user part that need no escape, RFC 3261 §25.1.
_PLAIN = "-_.!~*'()&=+$,;?/"
_IS_PLAIN = re.compile(f"[A-Za-z0-9{re.escape(_PLAIN)}]*")

RefusalKind = Literal["validation", "throttled", "unavailable", "full", "stopping"]


class Refusal(Exception):
    """An activation that does not take place.

    :param kind: which HTTP status it becomes, see ``c2c_sip/api/errors.py``
    :param field: the field that is wrong, for ``validation``
    :param rule: the validation rule it breaks, by Kazoo's names
    :param reason: which of our own rules it is, for the record
    :param retry_after: seconds after which to try again
    :param activation: the activation's record, where one was written
    :param explanation: for the account only: why, where more is known than the message tells
    """

    def __init__(
        self,
        kind: RefusalKind,
        message: str,
        *,
        field: str = "",
        rule: str = "",
        value: Any = None,
        reason: str = "",
        retry_after: int | None = None,
        activation: Mapping[str, Any] | None = None,
        explanation: str = "",
    ) -> None:
        super().__init__(message)
        self.kind: RefusalKind = kind
        self.message = message
        self.field = field
        self.rule = rule
        self.value = value
        self.reason = reason or rule or kind
        self.retry_after = retry_after
        self.explanation = explanation
        self.activation: dict[str, Any] | None = dict(activation) if activation else None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows to an account.

    :param region: the region in whose way national numbers are written
    :param countries: whose numbers may be called, ``any`` for all; empty: the region's own
    :param kinds: of the kinds of numbers that are refused, those that are not
    :param sip_hosts: hosts at which the public may call anybody
    :param switches: the trunks' hosts, in lower case, which take the user of a SIP URI for a number
    :param trunks: the trunks' domains as they are written, in lower case: ``host`` or ``host:port``
    :param networks: inner networks that SIP URIs may lead into
    """

    region: str = "US"
    countries: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    sip_hosts: frozenset[str] = frozenset()
    switches: frozenset[str] = frozenset()
    trunks: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()


class Checked(NamedTuple):
    """A contact that may be called: its text without surrounding blanks, and what it says.

    :param called: the same in whatever notation, by which it is counted and kept from being called
    :param at_home: it is a SIP URI of the account's realm which is a trunk, wherever that is
    """

    text: str
    contact: Contact
    called: str
    at_home: bool = False


def check(
    clicktocall: Mapping[str, Any],
    contact: object,
    account: Mapping[str, Any],
    *,
    authenticated: bool,
    rules: Rules,
    dialled: Callable[[Contact], Sequence[str]] = lambda contact: (),
) -> Checked:
    """Decide whether a click-to-call's contact may be called.

    :param clicktocall: its document; ``whitelist`` and ``auth_required`` count
    :param contact: what came in the request
    :param account: its document; ``realm`` counts
    :param authenticated: whether the request had a valid token, or a link that somebody with one has made
    :param dialled: further spellings in which the contact will be dialled, for the whitelist
    :raises Refusal: of the kind ``validation``, field ``contact``
    """

    def refuse(rule: str, message: str, reason: str) -> Refusal:
        return Refusal(
            "validation", message, field="contact", rule=rule, value=contact, reason=reason
        )

    if contact is None:
        raise refuse("required", "Field is required but missing", "contact")
    if not isinstance(contact, str):
        raise refuse("type", "Value did not match type(s): string", "contact")
    try:
        read = read_contact(contact, rules.region)
    except Unreadable as error:
        raise refuse(error.rule, error.message, "contact") from error
    text = contact.strip()
    public = not clicktocall.get("auth_required") and not authenticated
    whitelist = [pattern for pattern in clicktocall.get("whitelist") or [] if pattern]
    own = str(account.get("realm") or clicktocall.get("realm") or "")
    home, host = _host(own), _host(read.host) if isinstance(read, Uri) else ""
    switches = rules.switches | ({home} - {""})
    number = _number(read, switches, rules.region)
    if whitelist:
        forms = [*spellings(text, read), *dialled(read)]
        if number is not None and isinstance(read, Uri) and host in switches:
            forms += spellings("", number)
        if not _passes(whitelist, forms):
            raise refuse("pattern", "The contact is not on the whitelist", "whitelist")
    at_home = (
        isinstance(read, Uri) and host == home and hostport_text(host, read.port) in rules.trunks
    )
    if isinstance(read, Uri):
        known = host == home or host in map(_host, rules.sip_hosts)
        if public and not whitelist and not known:
            message = "A SIP URI of another realm must be on the whitelist"
            raise refuse("pattern", message, "host")
        if not at_home and is_forbidden_host(read.host, rules.networks):
            raise refuse("forbidden", "An address that is not to be called", "address")
    found = refused_number(number, rules, public=public) if number is not None else None
    if found is not None:
        raise refuse("forbidden", found[1], found[0])
    # In a SIP URI that goes to a switch, too, a number is a number, and a short one somebody there.
    outside = canonical(number, rules.region) if number is not None else ""
    called = outside if outside.startswith("+") else canonical(read, rules.region)
    return Checked(text, read, called, at_home)


def check_link(pattern: str, checked: Checked, dialled: Sequence[str]) -> None:
    """Decide whether a link's pattern is in the contact that it is used for.

    :raises Refusal: of the kind ``validation``, field ``contact``
    """
    if not _passes([pattern], [*spellings(checked.text, checked.contact), *dialled]):
        raise Refusal(
            "validation",
            "The link is not for this contact",
            field="contact",
            rule="pattern",
            value=checked.text,
            reason="link_contact",
        )


def check_extension(extension: Party, rules: Rules) -> None:
    """Decide whether an extension may be called, or where one's phone transfers a call to.

    Whoever has stolen a token could make one of a number that costs. Its SIP URIs are the account's own business, but
    for those that lead straight to a trunk, which may know us by our address.

    :raises Refusal: of the kind ``validation``, field ``extension``
    """
    found = None
    number: Number | None = None
    if isinstance(extension, Extension):
        number = Number(extension.user)
    elif isinstance(extension, Number) or _host(extension.host) in rules.switches:
        number = _number(extension, rules.switches, rules.region)
    if number is not None and number.digits.lstrip("+").isdecimal():
        found = refused_number(number, rules, public=False)
    if found is not None:
        raise Refusal(
            "validation",
            found[1],
            field="extension",
            rule="forbidden",
            value=str(extension),
            reason=found[0],
        )


def check_redirection(numbers: Sequence[Number], rules: Rules, *, public: bool) -> None:
    """Decide whether a trunk may send a call on to a number, by a 3xx of its own or of the phone that was called.

    :param numbers: what the trunk may take it for
    :param public: whether it is the contact who was called: whoever has that phone may be anybody
    :raises Refusal: of the kind ``validation``, field ``contact``
    """
    for number in numbers:
        if not public and not number.digits.lstrip("+").isdecimal():
            continue  # a code of the extension's own switch
        found = refused_number(number, rules, public=public)
        if found is not None:
            raise Refusal(
                "validation",
                found[1],
                field="contact",
                rule="forbidden",
                value=str(number),
                reason=found[0],
            )


def refused_number(number: Number, rules: Rules, *, public: bool) -> tuple[str, str] | None:
    """(reason, what to tell) where a number is not called, ``None`` where it is."""
    countries = rules.countries or {rules.region}
    for reading in readings(number, rules.region):
        kind = reading.kind
        if kind != "ordinary" and kind not in rules.kinds and (kind != "short" or public):
            return kind, f"Numbers of this kind are not called: {kind}"
        if reading.region and ANYWHERE not in countries and reading.region not in countries:
            return "country", f"Numbers of this country are not called: {reading.region}"
    return None


def _number(contact: Contact, switches: frozenset[str], region: str) -> Number | None:
    """The number that a contact is, or that a SIP URI will be to the switch that it goes to."""
    if isinstance(contact, Number):
        return contact
    if _host(contact.host) in switches or is_phone(contact):
        return number_in(contact, region)
    return None


def spellings(text: str, contact: Contact) -> list[str]:
    """The forms of a contact in which a whitelist is searched.

    A URI's parameters are left out, since whoever writes the URI could put into them whatever a
    pattern looks for.
    """
    if isinstance(contact, Uri):
        # Written one way only: %31900 and 1900 are the same user.
        user = contact.user
        if user is not None and _IS_PLAIN.fullmatch(user) is None:
            user = quote(unquote(user), safe=_PLAIN)
        bare = Uri(contact.scheme, user, None, contact.host, contact.port)
        plain = not contact.params and contact.password is None and "%" not in text
        return [str(bare), text] if plain else [str(bare)]
    given = tel_digits(text) if text[:4].lower() == "tel:" else text
    forms = [given, contact.digits]
    if contact.e164 is not None:
        forms += [contact.e164, contact.e164[1:]]
    return [form for form in dict.fromkeys(forms) if form]


def check_pattern(pattern: str) -> str | None:
    """What is wrong with a whitelist pattern, or ``None``: to be asked when one is saved."""
    try:
        Pattern(pattern)
    except PatternError as error:
        return f"not a pattern that can be used: {error}"
    return None


def check_whitelist(patterns: Sequence[str]) -> str | None:
    """What is wrong with a whitelist as a whole, each pattern of which may be saved, or ``None``."""
    states = sum(pattern.states for pattern in map(_compiled, patterns) if pattern is not None)
    if states > MOST_STATES:
        return f"the patterns have {states} states together, {MOST_STATES} at the most, for their repeats"
    return None


def _passes(whitelist: Sequence[str], forms: Sequence[str]) -> bool:
    left = MOST_STEPS
    for pattern in map(_compiled, whitelist):
        for form in forms if pattern is not None else ():
            assert pattern is not None
            run = pattern.run(form)
            left -= run.steps
            if run.found:
                return True
            if left < 0:
                return False
    return False


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Pattern | None:
    """The pattern, or ``None`` for one that can't be used, which then matches nothing."""
    try:
        return Pattern(pattern)
    except PatternError:
        return None


def _host(host: str) -> str:
    return host.lower().rstrip(".").strip("[]")


__all__ = [
    "Checked",
    "Contact",
    "Number",
    "Refusal",
    "Rules",
    "check",
    "check_extension",
    "check_pattern",
    "check_whitelist",
    "spellings",
]
