"""What the text of a contact or an extension says: a number, a SIP URI, or a name at the switch."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import unquote

import phonenumbers
from phonenumbers import PhoneNumber

from sipstack.message import ParseError, Uri

MAX_LENGTH = 256
"""Characters that a contact or an extension may have."""

MAX_DIGITS = 32
"""Digits that are dialled at most; E.164 has 15, prefixes and internal numbers are longer."""

MIN_OUTSIDE_DIGITS = 7
"""National digits below which a number without a plus is taken for an internal extension."""

# What people write between digits: also the spaces and dashes that web pages have (RFC 3966 §5.1.1
# calls them visual separators).
_SEPARATORS = re.compile(
    "[ .()/\\[\\]~·\u00a0\u2000-\u200a\u202f\u205f\u2010-\u2015\u2212\u3000\ufe63\uff08\uff09\uff0d\uff0e-]+"
)
# The same signs as wide as a Chinese character, and smaller.
_SIGNS = str.maketrans("\uff0b\ufe62\uff0a\uff03", "++*#")
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"\+?[0-9*#]+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_NAME = re.compile(r"[^\s@<>\"\\]+")


class Unreadable(ValueError):
    """A text that is neither a number nor a SIP URI.

    :param rule: the validation rule that it breaks, by Kazoo's names
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message


@dataclass(frozen=True, slots=True)
class Number:
    """A telephone number.

    :param digits: as it was written, without separators; may begin with a plus and may contain
        ``*`` and ``#``
    :param e164: the number in full with its plus, ``None`` where it is none: short codes,
        feature codes, internal numbers
    """

    digits: str
    e164: str | None = None

    def __str__(self) -> str:
        return self.e164 or self.digits


@dataclass(frozen=True, slots=True)
class Extension:
    """A number or user inside a realm."""

    user: str

    def __str__(self) -> str:
        return self.user


Contact: TypeAlias = Number | Uri
Party: TypeAlias = Number | Uri | Extension


def read_contact(text: str, region: str) -> Contact:
    """Read what a visitor wrote into the contact field.

    :param text: a number, a ``tel:`` URI, a ``sip:`` or ``sips:`` URI
    :param region: the region in whose way national numbers are written, as ``US``
    :raises Unreadable: anything else
    """
    text = _checked(text)
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _read_number(text, region)
    match scheme[1].lower():
        case "sip" | "sips":
            return _read_uri(text)
        case "tel":
            return _read_number(tel_digits(text), region)
        case other:
            raise Unreadable("format", f"a contact is a number or a SIP URI, not {other}:")


@lru_cache(maxsize=1024)
def read_extension(text: str, region: str) -> Party:
    """Read a click-to-call's extension, the same for many calls: as a contact, or a user in the realm.

    A number that is not one in full is an :class:`Extension`.

    :raises Unreadable: it can't be dialled
    """
    text = _checked(text)
    if _SCHEME.match(text):
        contact = read_contact(text, region)
    else:
        try:
            contact = _read_number(text, region)
        except Unreadable:
            if _NAME.fullmatch(text) is None:
                raise Unreadable(
                    "format", "an extension is a SIP URI, a number, or a user of the realm"
                ) from None
            return Extension(text)
    if isinstance(contact, Number) and contact.e164 is None:
        return Extension(contact.digits)
    return contact


def tel_digits(text: str) -> str:
    """The number of a ``tel:`` URI; see :func:`_in_context`."""
    return _in_context(text.partition(":")[2])


def _in_context(subscriber: str) -> str:
    """A number with its parameters (:rfc:`3966`), which say nothing that could be dialled but ``phone-context``.

    What that says stands before a local number, where the two are one in full: ``5550123;phone-context=+1900`` is
    ``+19005550123``, and ``101;phone-context=+1`` is 101.
    """
    digits, *params = unquote(subscriber).split(";")
    for param in params:
        name, _, value = param.partition("=")
        if name.strip().lower() == "phone-context" and value.strip().startswith("+"):
            whole = _SEPARATORS.sub("", value + digits)
            if "+" not in digits and parse_e164(whole) is not None:
                return whole
    return digits


def number_in(uri: Uri, region: str) -> Number | None:
    """The number that a SIP URI's user part is, ``None`` where it is none (:rfc:`3261` §19.1.6)."""
    user = uri.user or ""
    if _DIGIT.search(user) is None:
        return None
    try:
        return _read_number(_in_context(user), region)
    except Unreadable:
        return None


def is_phone(uri: Uri) -> bool:
    """Whether a SIP URI says of itself that its user is a telephone number."""
    return (uri.param("user") or "").lower() == "phone" or unquote(uri.user or "").startswith("+")


def parse_e164(e164: str) -> PhoneNumber | None:
    """The parsed form of a number in full, ``None`` where no country has such numbers."""
    try:
        number = phonenumbers.parse(e164, None)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_possible_number(number) else None


def has_control(text: str) -> bool:
    """Whether there is a character in a text that must not get near a SIP header."""
    # None of these can be printed, and nearly no text has what cannot.
    return not text.isprintable() and any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text
    )


def _checked(text: str) -> str:
    if len(text) > MAX_LENGTH:
        raise Unreadable("maxLength", f"String must not be more than {MAX_LENGTH} characters")
    if has_control(text):
        raise Unreadable("format", "control characters are not allowed")
    text = text.strip()
    if not text:
        raise Unreadable("required", "Field is required but missing")
    return text


def _read_uri(text: str) -> Uri:
    try:
        uri = Uri.parse(text)
    except ParseError as error:
        raise Unreadable("format", f"not a SIP URI: {error.reason}") from error
    if not uri.host:
        raise Unreadable("format", "not a SIP URI: no host")
    # Headers would go into our INVITE (RFC 3261 §19.1.5), and maddr and method would send
    # something other than a call to somewhere other than the host that policy looks at.
    if uri.headers:
        raise Unreadable("format", "a SIP URI with headers is not dialled")
    user = unquote(uri.user or "")
    if has_control(user) or "%" in user:
        raise Unreadable("format", "a SIP URI with such an escape is not dialled")
    if uri.has_param("maddr") or uri.has_param("method"):
        raise Unreadable("format", "a SIP URI with maddr or method is not dialled")
    return uri


def _read_number(text: str, region: str) -> Number:
    # Digits of any script are digits.
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
        text = text.translate(_SIGNS)
    digits = _SEPARATORS.sub("", text)
    if _NUMBER.fullmatch(digits) is None or not any(c.isdigit() for c in digits):
        raise Unreadable("format", "neither a number nor a SIP URI")
    if len(digits) > MAX_DIGITS:
        raise Unreadable("maxLength", f"a number has at most {MAX_DIGITS} digits")
    if "*" in digits or "#" in digits:
        if digits.startswith("+"):
            raise Unreadable("format", "an international number has digits only")
        return Number(digits)
    return Number(digits, _e164(digits, region))


def _e164(digits: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(digits, region, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        number = None
    if number is not None and _is_outside(number):
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if digits.startswith("00"):
        # Most of the world's international prefix, also where the region has another one, as the US.
        abroad = parse_e164("+" + digits[2:])
        if abroad is not None and len(str(abroad.national_number)) >= MIN_OUTSIDE_DIGITS:
            return phonenumbers.format_number(abroad, phonenumbers.PhoneNumberFormat.E164)
    if digits.startswith("+"):
        # A country that this edition of the numbering plans does not know yet.
        if MIN_OUTSIDE_DIGITS <= len(digits) - 1 <= 15:
            return digits
        raise Unreadable("format", "not an international number")
    return None


def _is_outside(number: PhoneNumber) -> bool:
    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        return False
    national = phonenumbers.national_significant_number(number)
    # With a plus or an international prefix even a short number is one in full.
    written_in_full = number.country_code_source in (
        phonenumbers.CountryCodeSource.FROM_NUMBER_WITH_PLUS_SIGN,
        phonenumbers.CountryCodeSource.FROM_NUMBER_WITH_IDD,
    )
    return written_in_full or len(national) >= MIN_OUTSIDE_DIGITS
