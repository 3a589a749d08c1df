"""Where a leg is dialled to and who it says is calling. Pure.

A number goes to ``sip:NUMBER@trunk.domain`` through a trunk, an extension to
``sip:EXTENSION@realm`` through the same trunk, a SIP URI as it is written past any trunk and
without any credentials.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import quote, unquote

import phonenumbers

from c2c_sip.calling.contact import (
    MIN_OUTSIDE_DIGITS,
    Contact,
    Extension,
    Number,
    Party,
    Unreadable,
    number_in,
    parse_e164,
    read_contact,
    read_extension,
)
from c2c_sip.calling.policy import Refusal
from sipstack.message import NameAddr, Uri

MAX_DISPLAY_NAME = 128

ANONYMOUS = "anonymous"
NOWHERE = "anonymous.invalid"
"""The domain of a caller that has none, as in :rfc:`3261` §8.1.1.3."""

# The headers in which a trunk is told who calls, whatever From says.
_ASSERTING = ("pai", "ppi", "rpid")

# What a user part may have as it is (RFC 3261 §25.1), without the characters that mean something
# to those who take a URI apart carelessly.
_PLAIN_IN_USER = "-_.!~*'()&=+$,"
_IS_PLAIN = re.compile(f"[A-Za-z0-9{re.escape(_PLAIN_IN_USER)}]*")


class Trunk(Protocol):
    """The settings of a trunk that say how to dial through it and who to be."""

    @property
    def name(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def transport(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def outbound_proxy(self) -> str: ...
    @property
    def number_format(self) -> str: ...
    @property
    def number_prefix(self) -> str: ...
    @property
    def identity(self) -> Sequence[str]: ...
    @property
    def identity_format(self) -> str: ...
    @property
    def caller_id(self) -> str: ...
    @property
    def from_user(self) -> str: ...
    @property
    def from_domain(self) -> str: ...
    @property
    def contact_user(self) -> str: ...
    @property
    def user_phone(self) -> bool: ...
    @property
    def diversion(self) -> str: ...
    @property
    def withhold_caller(self) -> bool: ...
    @property
    def privacy(self) -> Sequence[str]: ...
    @property
    def region(self) -> str: ...
    @property
    def codecs(self) -> Sequence[str]: ...
    @property
    def ptime(self) -> int: ...
    @property
    def srtp(self) -> str: ...


class Destination(NamedTuple):
    """Where a leg goes.

    :param kind: ``trunk``: through :attr:`trunk`; ``direct``: to the URI's own host
    :param uri: the Request-URI, and To
    :param party: what was dialled
    """

    kind: Literal["trunk", "direct"]
    uri: Uri
    party: Party
    trunk: Trunk | None = None

    @property
    def is_outside(self) -> bool:
        """Whether this is a telephone number in full, dialled through a trunk."""
        return self.trunk is not None and isinstance(self.party, Number) and bool(self.party.e164)


class Shown(NamedTuple):
    """Who a leg is to show as the caller: a number (or user), and a name or nothing.

    :param withheld: the number is for the trunk only, not for whom it calls
    """

    party: Party
    name: str = ""
    withheld: bool = False


class Caller(NamedTuple):
    """Who calls, in SIP's terms.

    :param from_: the From, without its tag
    :param headers: further headers that say who calls
    :param contact_user: the user part for our Contact, escaped
    """

    from_: NameAddr
    headers: tuple[tuple[str, str], ...]
    contact_user: str


# -- where to ------------------------------------------------------------------------------------


def extensions(clicktocall: Mapping[str, Any]) -> list[str]:
    """The texts of a click-to-call's extensions: it has one, or a list."""
    given = clicktocall["extension"]
    return [str(each) for each in given] if isinstance(given, list) else [str(given)]


def choose_trunk(trunks: Sequence[Trunk], realm: str) -> Trunk:
    """The trunk whose domain is the realm, else the first.

    :raises Refusal: of the kind ``unavailable``: there is none
    """
    for trunk in trunks:
        if same_host(_host_and_port(trunk.domain)[0], realm):
            return trunk
    if not trunks:
        raise Refusal("unavailable", "no trunk is configured that could dial this")
    return trunks[0]


def destination(party: Party, realm: str, trunks: Sequence[Trunk], region: str) -> Destination:
    """Where a contact, or an extension of this realm, is dialled to.

    :param realm: the click-to-call's realm, else the account's
    :param region: the region in which national numbers are at home
    :raises Refusal: of the kind ``unavailable``: it takes a trunk and there is none
    """
    if isinstance(party, Uri):
        uri = replace(party, headers=()) if party.headers else party
        return Destination("direct", uri, party)
    trunk = choose_trunk(trunks, realm)
    if isinstance(party, Extension):
        host, port = _host_and_port(realm or trunk.domain)
        user = party.user
    else:
        host, port = _host_and_port(trunk.domain)
        user = trunk.number_prefix + _number(party, trunk, trunk.number_format, region)
    uri = replace(sip_uri(user, host, port), params=_user_params(party, trunk))
    return Destination("trunk", uri, party, trunk)


def format_number(number: Number, form: str, region: str) -> str:
    """A number in the form that a trunk wants.

    :param form: ``+e164``; ``e164``, without the plus; ``00e164``; ``national``, as it is dialled within the
        region: with the national prefix (``1`` in the US, ``0`` in the UK, none in Italy), and
        with the region's international prefix (``011`` in the US, ``00`` where there is no one
        answer) for other countries; ``as-is``, as it was written, without separators

    A number that is not one in full stays as it was written in any form.
    """
    if number.e164 is None or form == "as-is":
        return number.digits
    if form in ("e164", "00e164"):
        return form.removesuffix("e164") + number.e164[1:]
    if form != "national":
        return number.e164
    parsed = parse_e164(number.e164)
    if parsed is None:
        return "00" + number.e164[1:]
    if parsed.country_code == phonenumbers.country_code_for_region(region):
        prefix = phonenumbers.ndd_prefix_for_region(region, True) or ""
        return prefix + phonenumbers.national_significant_number(parsed)
    dialled = phonenumbers.format_out_of_country_calling_number(parsed, region)
    if dialled.startswith("+"):
        return "00" + number.e164[1:]
    return re.sub(r"\D", "", dialled)


def may_follow(
    original: Destination,
    uri: Uri,
    trunks: Sequence[Trunk],
    trunk_hosts: Collection[str] = (),
) -> Destination | None:
    """Where a 3xx may lead a leg, or ``None``: nowhere.

    Whoever is called directly must not send us to a trunk, which may let us in by our address and
    bill us; a trunk may send us back to itself, with our password, or away, without it.

    :param original: where the leg was dialled to
    :param uri: the Contact of the redirection
    :param trunk_hosts: further hosts that are trunks', such as the addresses their names have
    """
    if uri.scheme not in ("sip", "sips") or not uri.host or uri.has_param("maddr"):
        return None
    if original.uri.scheme == "sips" and uri.scheme != "sips":
        return None  # RFC 3261 §8.1.3.4
    target = replace(
        uri,
        headers=(),
        params=tuple(param for param in uri.params if param[0].lower() != "method"),
    )
    trunk = original.trunk
    if trunk is not None and same_host(target.host, _host_and_port(trunk.domain)[0]):
        if target.scheme == "sips" and trunk.transport != "tls":
            return None  # it would go there by something else than TLS
        return original._replace(uri=target)
    others = [host for trunk in trunks for host in _hosts_of(trunk)]
    if any(same_host(target.host, host) for host in (*others, *trunk_hosts)):
        return None
    return Destination("direct", target, target)


def dialled_numbers(where: Destination, region: str) -> list[Number]:
    """What the number in a Request-URI may be to the trunk that it goes to; nothing, where it is none or no trunk's.

    The way back from :func:`destination`: without the trunk's prefix, and in E.164 where that is how it is dialled.
    """
    trunk = where.trunk
    user = unquote(where.uri.user or "").partition(";")[0]
    if trunk is None:
        return []
    user = user.removeprefix(trunk.number_prefix) or user
    texts = [user]
    if trunk.number_format == "e164" and user.isdecimal() and len(user) > MIN_OUTSIDE_DIGITS:
        texts.append(f"+{user}")
    found = (number_in(sip_uri(text, where.uri.host), region) for text in texts)
    return [number for number in found if number is not None]


def referred_to(uri: Uri, referrer: Destination, realm: str, region: str) -> Party:
    """Whom a REFER's target means: a phone knows us only as a server, so at our side of it the user part is dialled.

    :param referrer: where the leg goes whose phone sent the REFER
    :raises Unreadable: it cannot be dialled
    """
    if uri.scheme == "tel":
        return read_extension(uri.opaque, region)
    trunk = referrer.trunk
    own = [realm, referrer.uri.host]
    if trunk is not None:
        own += [*_hosts_of(trunk), _host_and_port(trunk.from_domain)[0]]
    if uri.user and any(host and same_host(uri.host, _host_and_port(host)[0]) for host in own):
        return read_extension(unquote(uri.user), region)
    return read_extension(str(replace(uri, params=(), headers=())), region)


def as_secure_as(uri: Uri, where: Destination) -> Destination:
    """``where``, as it has to be dialled for a target that was named by ``uri``: what was ``sips:`` there is so here too, and
    goes by TLS all the way (:rfc:`3261` §26.2.2, :rfc:`5630` §5), or not at all.

    :raises Refusal: of the kind ``unavailable``: its trunk's transport is not TLS
    """
    if uri.scheme != "sips" or where.uri.scheme == "sips":
        return where
    trunk = where.trunk
    if trunk is None or trunk.transport != "tls":
        name, transport = (trunk.name, trunk.transport) if trunk is not None else ("", "")
        raise Refusal(
            "unavailable", f"sips: wants TLS all the way; trunk.{name}.transport is {transport}"
        )
    return where._replace(uri=replace(where.uri, scheme="sips"))


# -- who calls -----------------------------------------------------------------------------------


def shown_to_extension(
    clicktocall: Mapping[str, Any],
    contact: Contact,
    extension: Destination,
    region: str,
    allowed: Sequence[str] = (),
) -> Shown:
    """Who the extension sees calling: ``caller_id_number``, else the contact.

    Where the extension is itself an outside number, the trunk's ``caller_id`` with the contact as
    the name, since providers refuse a number that is not the account's.

    :param allowed: the numbers that the account may show outside; none: any
    """
    wanted = _wanted(clicktocall, "caller_id_number", region)
    trunk = extension.trunk
    if wanted is not None:
        shown = Shown(wanted)
    elif trunk is not None and trunk.caller_id and extension.is_outside:
        shown = Shown(_read_shown(trunk.caller_id, region), _words(contact))
    else:
        shown = Shown(contact)
    return _may_show(shown, extension, region, allowed)


def shown_to_contact(
    clicktocall: Mapping[str, Any],
    extension: Party,
    contact: Destination,
    region: str,
    allowed: Sequence[str] = (),
) -> Shown:
    """Who the contact sees calling: ``outbound_callee_id_number``, else the extension.

    An extension means nothing outside, so there the trunk's ``caller_id``, where it has one,
    stands for it. The name is ``outbound_callee_id_name``, or none. ``caller_id_options.outbound_privacy``, Kazoo's,
    withholds what it names.

    :param allowed: the numbers that the account may show outside; none: any
    """
    name = str(clicktocall.get("outbound_callee_id_name") or "")
    wanted = _wanted(clicktocall, "outbound_callee_id_number", region)
    trunk = contact.trunk
    inside = not (isinstance(extension, Number) and extension.e164)
    if wanted is not None:
        shown = Shown(wanted, name)
    elif trunk is not None and trunk.caller_id and contact.is_outside and inside:
        shown = Shown(_read_shown(trunk.caller_id, region), name)
    else:
        shown = Shown(extension, name)
    shown = _may_show(shown, contact, region, allowed)
    hidden = str((clicktocall.get("caller_id_options") or {}).get("outbound_privacy") or "none")
    return shown._replace(
        name="" if hidden in ("full", "name") else shown.name,
        withheld=hidden in ("full", "number"),
    )


def _may_show(shown: Shown, to: Destination, region: str, allowed: Sequence[str]) -> Shown:
    """The same, or where that may not be shown outside, what may: the trunk's ``caller_id``, else the first allowed."""
    if not allowed or to.trunk is None or not to.is_outside:
        return shown
    numbers = [str(_read_shown(text, region)) for text in (*allowed, to.trunk.caller_id) if text]
    if str(shown.party) in numbers:
        return shown
    return Shown(_read_shown(to.trunk.caller_id or allowed[0], region), shown.name)


def caller(shown: Shown, to: Destination, local_realm: str, region: str) -> Caller:
    """The From and the headers in which a leg shows its caller.

    :param local_realm: the domain of a direct leg's From: the account's realm, or our own address
    """
    trunk = to.trunk
    if trunk is None:
        if shown.withheld:
            return Caller(_anonymous(shown), (("Privacy", "id"),), ANONYMOUS)
        user = _user(shown.party, "+e164", region)
        uri = sip_uri(user, *_host_and_port(local_realm or NOWHERE))
        return Caller(NameAddr(_display(shown), uri, ()), (), uri.user or "")
    withheld = shown.withheld or (trunk.withhold_caller and to.is_outside)
    party, name = shown.party, _display(shown)
    if isinstance(party, Uri) and trunk.caller_id:
        # An address on the net can't be shown as a telephone number.
        party = _read_shown(trunk.caller_id, region)
    host, port = _host_and_port(trunk.from_domain or trunk.domain)
    uri = _identity(party, trunk, region)
    user = unquote(uri.user or "")
    shows = set(trunk.identity)
    names_account = "from" not in shows or trunk.from_user == "account"
    if names_account and (trunk.username or trunk.caller_id):
        from_ = NameAddr(name, sip_uri(trunk.username or trunk.caller_id, host, port), ())
    else:
        from_ = NameAddr(name, uri, ())
    if "from-display" in shows:
        from_ = from_.with_name(_safe(user))
    contact = trunk.contact_user or trunk.username
    if withheld and names_account:
        # The provider knows the account by its From.
        from_ = from_.with_name("Anonymous")
    elif withheld:
        from_ = _anonymous(shown)
        contact = contact or ANONYMOUS
        if shows.isdisjoint(_ASSERTING):
            shows.add("ppi")
    headers: list[tuple[str, str]] = []
    identity = NameAddr("" if withheld else name, uri, ())
    if "pai" in shows:
        headers.append(("P-Asserted-Identity", str(identity)))
    if "ppi" in shows:
        headers.append(("P-Preferred-Identity", str(identity)))
    if "rpid" in shows:
        privacy = "full" if withheld else "off"
        params = (("party", "calling"), ("privacy", privacy), ("screen", "no"))
        headers.append(("Remote-Party-ID", str(identity.with_params(params))))
    if withheld:
        headers.append(("Privacy", ";".join(trunk.privacy)))
    diverting = _read_shown(trunk.diversion, region) if trunk.diversion else party
    if to.is_outside and str(diverting) != str(party):
        # RFC 5806: the account's own number lets a provider show one that is not the account's.
        diversion = NameAddr("", _identity(diverting, trunk, region), ())
        reason = (("reason", "unconditional"), *((("privacy", "full"),) if withheld else ()))
        headers.append(("Diversion", str(diversion.with_params(reason))))
    return Caller(from_, tuple(headers), sip_uri(contact, host).user or from_.uri.user or "")


def _anonymous(shown: Shown) -> NameAddr:
    """The From of a caller that does not say who it is (:rfc:`3323` §4.1.1.3), though it may have a name."""
    return NameAddr(_safe(shown.name) or "Anonymous", sip_uri(ANONYMOUS, NOWHERE), ())


def _identity(party: Party, trunk: Trunk, region: str) -> Uri:
    """A caller as a URI of the trunk's domain."""
    host, port = _host_and_port(trunk.from_domain or trunk.domain)
    user = (
        _number(party, trunk, trunk.identity_format, region)
        if isinstance(party, Number)
        else _user(party, "", region)
    )
    return replace(sip_uri(user, host, port), params=_user_params(party, trunk))


def _number(number: Number, trunk: Trunk, form: str, region: str) -> str:
    """A number as the trunk wants it: what is national is so where the trunk is."""
    return format_number(number, form, trunk.region or region)


def _user_params(party: Party, trunk: Trunk) -> tuple[tuple[str, str], ...]:
    """What says that the user part is a telephone number (:rfc:`3261` §19.1.1), where the trunk wants that said."""
    is_telephone = isinstance(party, Number) and bool(party.e164)
    return (("user", "phone"),) if trunk.user_phone and is_telephone else ()


# -- helpers -------------------------------------------------------------------------------------


def sip_uri(user: str, host: str, port: int | None = None) -> Uri:
    """``sip:user@host``, from a user that is not escaped yet."""
    return Uri("sip", escape_user(user), None, host, port, (), ())


def escape_user(user: str) -> str:
    """A user as it stands in a URI."""
    if _IS_PLAIN.fullmatch(user) is not None:
        return user
    return quote(user, safe=_PLAIN_IN_USER, errors="surrogateescape")


def same_host(one: str, other: str) -> bool:
    """Whether two hosts are the same name or the same address."""
    return _canonical(one) == _canonical(other)


def _canonical(host: str) -> str:
    host = host.strip("[]").rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def trunk_hosts(trunks: Sequence[Trunk]) -> frozenset[str]:
    """The hosts of trunks, in lower case."""
    return frozenset(_canonical(host) for trunk in trunks for host in _hosts_of(trunk))


def _hosts_of(trunk: Trunk) -> list[str]:
    hosts = [_host_and_port(trunk.domain)[0]]
    if trunk.outbound_proxy:
        hosts.append(_host_and_port(trunk.outbound_proxy)[0])
    return hosts


@lru_cache(1024)
def _host_and_port(text: str) -> tuple[str, int | None]:
    """The host and port of a trunk's domain, a realm, or an outbound proxy's URI."""
    text = text.strip()
    if text.lower().startswith(("sip:", "sips:")):
        text = text.partition(":")[2]
    text = text.partition(";")[0].rpartition("@")[2]
    if text.count(":") > 1 and not text.startswith("["):
        return text, None
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and not host.endswith(":"):
        return host.strip("[]"), int(port)
    return text.strip("[]"), None


def _wanted(clicktocall: Mapping[str, Any], field: str, region: str) -> Party | None:
    text = str(clicktocall.get(field) or "")
    return _read_shown(text, region) if text.strip() else None


def _read_shown(text: str, region: str) -> Party:
    try:
        return read_extension(text, region)
    except Unreadable:
        # A caller id is only shown: what is no number is shown as it is, made safe.
        return Extension(_safe(text) or "anonymous")


def _user(party: Party, form: str, region: str) -> str:
    match party:
        case Number():
            return format_number(party, form, region)
        case Extension(user):
            return user
        case Uri():
            return unquote(party.user) if party.user else party.host


def _words(party: Party) -> str:
    if isinstance(party, Uri):
        return f"{unquote(party.user)}@{party.host}" if party.user else party.host
    return str(party)


def _display(shown: Shown) -> str:
    if shown.name:
        return _safe(shown.name)
    return _safe(_words(shown.party)) if isinstance(shown.party, Uri) else ""


def _safe(text: str) -> str:
    """A text without what must not stand in a header, and not too long."""
    shown = text if text.isprintable() else "".join(c for c in text if c.isprintable())
    return shown.strip()[:MAX_DISPLAY_NAME]


__all__ = [
    "Caller",
    "Destination",
    "Shown",
    "Trunk",
    "caller",
    "choose_trunk",
    "destination",
    "extensions",
    "format_number",
    "may_follow",
    "read_contact",
    "read_extension",
    "referred_to",
    "same_host",
    "shown_to_contact",
    "shown_to_extension",
    "sip_uri",
    "trunk_hosts",
]
