"""What kind of number it is and whose, however it is written and whatever is left out or put on. Pure.

Switches do not read numbers as we do: they ignore digits after a complete number, take leading zeros off, and get a
line for a zero. So a number is judged by everything that it could be taken for, the most costly of which counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

import phonenumbers
from phonenumbers import (
    PhoneMetadata,
    PhoneNumber,
    PhoneNumberType,
    ShortNumberCost,
    shortnumberinfo,
)

from c2c_sip.calling.contact import MIN_OUTSIDE_DIGITS, Contact, Number, is_phone, number_in

Kind = Literal["ordinary", "premium", "shared-cost", "satellite", "personal", "emergency", "short"]

REFUSED_KINDS: tuple[Kind, ...] = (
    "premium",
    "shared-cost",
    "satellite",
    "personal",
    "emergency",
    "short",
)
"""Kinds that are not called by default."""

ANYWHERE = "any"
"""Instead of countries: all of them."""

_COSTLY: dict[int, Kind] = {
    PhoneNumberType.PREMIUM_RATE: "premium",
    PhoneNumberType.SHARED_COST: "shared-cost",
    PhoneNumberType.PERSONAL_NUMBER: "personal",
}
# Country codes of no country: satellites and networks above all countries, and services that cost more.
_WORLDWIDE: dict[int, Kind] = {
    870: "satellite",
    881: "satellite",
    882: "satellite",
    883: "satellite",
    979: "premium",
    808: "shared-cost",
    878: "personal",
}
# Answered by mobile networks all over the world, whatever the country's own number is.
_EMERGENCIES = ("112", "911")
# In America 112 is no number of the land's own, and behind the country's code it is somebody's extension.
_INTERNAL = ("1112",)
# Digits of an internal number at the least: fewer get an operator, or an outside line.
_SHORTEST = 3
# What gets a line at a switch, and the codes that some countries' networks take before a number, mostly to hide or show
# one's own, without a star that would give them away. At most so many of all of these stand before a number.
_LINES = ("0", "9")
_CODES: dict[str, tuple[str, ...]] = {
    "AU": ("1831", "1832"),
    "CA": ("1167", "1182"),
    "ES": ("067",),
    "GB": ("141", "1470"),
    "HK": ("133", "1357"),
    "IE": ("141", "142"),
    "JP": ("184", "186"),
    "NZ": ("0196", "0197"),
    "US": ("1167", "1182"),
}
_MOST_BEFORE = 3
# The service codes of North America's plan, whether or not its tables have them for a country of it.
_NORTH_AMERICA = 1
_N11 = re.compile("[2-8]11")
# Digits of an internal number at the most.
_LONG = 10
# Digits of what may stand before a number: a 9 that gets a line, or the code of a carrier, such as 1010288 and 01013.
_BEFORE = range(1, 8)
# Digits that a dialled number may have too many at its end, or too few, and still be taken for another.
_FEWEST, _ADDED = 6, 4
# Digits of a short code for calls, and of one with all that may stand before it: more are none.
_LONGEST, _MOST_WITH_PREFIXES = 8, 16


@dataclass(frozen=True, slots=True)
class Reading:
    """What a number may be taken for: its kind, and the region whose it is.

    :param region: ``ZZ`` where that is not known, empty where there is none, as of internal numbers
    """

    kind: Kind
    region: str


def prepare(region: str) -> None:
    """Load what is known of a region's numbers, which takes a moment that a call may not have."""
    phonenumbers.parse("2025550100", region)
    phonenumbers.is_emergency_number("2025550100", region)


def canonical(contact: Contact, region: str) -> str:
    """The one text for a contact, in whatever notation: by this it is counted, and kept from being called.

    A number is its E.164 form, also in a SIP URI that says that its user is one, or begins it with a plus; what is none as
    it stands is the one that a switch would take it for, which reads no further than to the end of a number.
    """
    if isinstance(contact, Number):
        return _taken_for(contact.digits, contact.e164, region)
    number = number_in(contact, region)
    if number is not None and number.e164 is not None and is_phone(contact):
        return canonical(number, region)
    user = unquote(contact.user or "").partition(";")[0]
    return f"sip:{user}@{contact.host.lower().rstrip('.')}"


@lru_cache(maxsize=4096)
def _taken_for(digits: str, e164: str | None, region: str) -> str:
    bare = digits.lstrip("+")
    if "*" in bare or "#" in bare:
        beside = (_in_full(part, region) for part in _parts(bare) if len(part) > _FEWEST)
        return next((whole for whole in beside if whole is not None and _is_valid(whole)), digits)
    wholes = [] if e164 is None else [e164]
    if bare.startswith("0") or (e164 is None and len(bare) >= _LONG):
        # International first where it begins as such.
        wholes += sorted(_guesses(bare, region), key=len, reverse=not bare.startswith("00"))
    for whole in wholes:
        for length in range(len(whole), _FEWEST, -1):
            if _is_valid(whole[:length]):
                return whole[:length]
    behind = _numbers_behind(bare, False, region) if e164 is None else ()
    return next(iter(behind), e164 or digits)


def readings(number: Number, region: str) -> tuple[Reading, ...]:
    """All that a number may be taken for where numbers are written in this region's way; at least one."""
    return _readings(number.digits, number.e164, region)


@lru_cache(maxsize=4096)
def _readings(digits: str, e164: str | None, region: str) -> tuple[Reading, ...]:
    bare = digits.lstrip("+")
    if _is_emergency(bare, region):
        return (Reading("emergency", ""),)
    if "*" in bare or "#" in bare:
        return tuple(dict.fromkeys([*_beside_codes(bare, region), Reading("short", "")]))
    found = _whole(e164) if e164 is not None else []
    if e164 is not None and _is_valid(e164):
        if not digits.startswith(("+", "0")):
            # Without what a number of afar begins with, the first digits may be for the switch.
            found += _behind_prefix(bare, True, region)
        return tuple(dict.fromkeys(found))
    # What is no number for sure may be one with an emergency number, or zeros, in front of it.
    if _connects_to_emergency(bare, e164, region):
        return (Reading("emergency", ""),)
    if (
        len(bare) < _SHORTEST
        or not bare.strip("0")
        or any(
            _is_service(each, region) or phonenumbers.is_emergency_number(each, region)
            for each in _behind_prefixes(bare, region, trunk=True)
        )
    ):
        found.append(Reading("short", ""))
    elif e164 is None:
        found = [Reading("ordinary", "")]
    if bare.startswith("0") or (e164 is None and len(bare) >= _LONG):
        for guess in _guesses(bare, region):
            others = _whole(guess)
            if _is_valid(guess) or any(reading.kind != "ordinary" for reading in others):
                found += others
    found += _behind_prefix(bare, e164 is not None, region)
    return tuple(dict.fromkeys(found))


def _behind_prefix(bare: str, may_be_one: bool, region: str) -> Iterator[Reading]:
    """What a number is behind what gets a line or chooses a carrier, which a switch takes from before it."""
    for e164 in _numbers_behind(bare, may_be_one, region):
        number = _parse(e164)
        if number is not None:
            yield _reading(number)


def _numbers_behind(bare: str, may_be_one: bool, region: str) -> Iterator[str]:
    """In full, the numbers that the last digits of another are.

    Where all of it together may be a number that nobody has yet, only what begins as dialled from far counts.
    """
    for before in _BEFORE:
        behind = bare[before:]
        whole = _in_full(behind, region) if len(behind) > _FEWEST else None
        if whole is None or not _is_valid(whole):
            continue
        if not (may_be_one and whole.endswith(behind)):
            yield whole


def _beside_codes(bare: str, region: str) -> Iterator[Reading]:
    """What the numbers are that stand beside a switch's codes, as in ``*67`` and ``#31#`` of those who hide their own."""
    for digits in _parts(bare):
        if _is_emergency(digits, region):
            yield Reading("emergency", "")
        elif len(digits) > _FEWEST:
            e164 = _in_full(digits, region)
            is_one = e164 is not None and _is_valid(e164)
            # Where it is none as it stands, the code may have been another one.
            found = _readings(digits, e164, region)
            yield from (one for one in found if is_one or one.kind != "ordinary")


def _parts(bare: str) -> list[str]:
    """The digits between the signs of codes; also without those that may belong to the code before them."""
    first, *others = re.split(r"[*#]+", bare)
    return [first, *(part[code:] for part in others for code in (2, 3, 0))]


def _in_full(digits: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _guesses(bare: str, region: str) -> Iterator[str]:
    """In full, what a number that is not may be to a switch: with its leading zeros off."""
    stripped = bare.lstrip("0")
    if len(stripped) <= _FEWEST:
        return
    yield f"+{stripped}"
    code = phonenumbers.country_code_for_region(region)
    yield f"+{code}{stripped}"


def _whole(e164: str) -> list[Reading]:
    """What a number in full may be: itself, or what is left of it, or what it would be with more digits."""
    number = _parse(e164)
    if number is None:
        return [Reading("ordinary", "ZZ")]
    found = [_reading(number)]
    if _has_type(number):
        return found
    for length in range(len(e164) - 1, _FEWEST, -1):
        shorter = _parse(e164[:length])
        if shorter is not None and _has_type(shorter):
            found.append(_reading(shorter))
            break
    for added in range(1, _ADDED + 1):
        longer = _parse(e164 + "0" * added)
        if longer is not None and _reading(longer).kind != "ordinary":
            found.append(_reading(longer))
            break
    return found


def _reading(number: PhoneNumber) -> Reading:
    code = number.country_code or 0
    kind = _WORLDWIDE.get(code) or _COSTLY.get(phonenumbers.number_type(number), "ordinary")
    region = phonenumbers.region_code_for_number(number)
    if region is None:
        # No area that is assigned: then it is of the country that has the most of them.
        region = phonenumbers.region_code_for_country_code(code)
    return Reading(kind, str(region))


def _parse(e164: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(e164, None)
    except phonenumbers.NumberParseException:
        return None


def _has_type(number: PhoneNumber) -> bool:
    return bool(phonenumbers.number_type(number) != PhoneNumberType.UNKNOWN)


# Asked of each number twice: of what kind it is, and by what it is counted.
@lru_cache(maxsize=4096)
def _is_valid(e164: str) -> bool:
    number = _parse(e164)
    return number is not None and _has_type(number)


def _is_emergency(bare: str, region: str) -> bool:
    """Whether these digits, or what is left of them behind prefixes and the country's code, are an emergency number."""
    country = str(phonenumbers.country_code_for_region(region))
    own = {bare.lstrip("0"), *_behind_prefixes(bare, region)}
    own |= {each.removeprefix(country) for each in own if each not in _INTERNAL}
    return any(d in _EMERGENCIES or phonenumbers.is_emergency_number(d, region) for d in own if d)


def _behind_prefixes(bare: str, region: str, trunk: bool = False) -> list[str]:
    """The digits, and what a switch or a network may see of them once it has taken off what gets a line, the
    international prefix with the region's own code, and the codes of its network, in any order.

    :param trunk: the region's trunk prefix too, which has no business before a short code, but may be taken off all the
        same. Behind it internal numbers look like them: 1112 in the US.
    """
    found = [bare]
    if len(bare) > _MOST_WITH_PREFIXES:
        return found
    prefixes = _prefixes(region, trunk)
    latest = {bare}
    for _ in range(_MOST_BEFORE):
        latest = {
            each.removeprefix(prefix)
            for each in latest
            for prefix in prefixes
            if each.startswith(prefix) and each != prefix
        }
        found += sorted(each for each in latest if len(each) <= _LONGEST)
    return found


@lru_cache(maxsize=256)
def _prefixes(region: str, trunk: bool) -> tuple[str, ...]:
    own = phonenumbers.country_code_for_region(region)
    national = phonenumbers.ndd_prefix_for_region(region, True) if trunk else None
    plan = PhoneMetadata.metadata_for_region(region)
    written = plan.international_prefix if plan is not None else None
    abroad = {"00", *([written] if written and written.isdecimal() else [])}
    whole = [f"{prefix}{own}" for prefix in abroad]
    return tuple(
        dict.fromkeys(p for p in (*_LINES, national, *abroad, *whole, *_CODES.get(region, ())) if p)
    )


def _connects_to_emergency(bare: str, e164: str | None, region: str) -> bool:
    number = _parse(e164) if e164 is not None else None
    national = str(number.national_number) if number is not None else ""
    return any(
        bool(digits) and phonenumbers.connects_to_emergency_number(digits, region)
        for digits in (bare, national)
    )


def _is_service(bare: str, region: str) -> bool:
    """Whether this is one of the region's short codes for calls, such as directory enquiries."""
    if len(bare) < _SHORTEST:
        return False
    code = phonenumbers.country_code_for_region(region)
    if code == _NORTH_AMERICA and _N11.fullmatch(bare):
        return True
    whole = _parse(_in_full(bare, region) or "")
    if len(bare) < MIN_OUTSIDE_DIGITS and whole is not None and _reading(whole).kind != "ordinary":
        return True  # as 13 11 26 in Australia, which is so short in full
    zeros = len(bare) - len(bare.lstrip("0"))
    number = PhoneNumber(
        code, int(bare), italian_leading_zero=zeros > 0, number_of_leading_zeros=zeros or None
    )
    cost = shortnumberinfo.expected_cost_for_region(number, region)
    known = cost != ShortNumberCost.UNKNOWN_COST
    if not known and not phonenumbers.is_valid_short_number_for_region(number, region):
        return False
    # Codes for text messages, and longer ones of one network only, are nothing elsewhere: internal numbers look like them.
    if len(bare) == _SHORTEST and (known or bare.startswith("1")):
        return True
    if shortnumberinfo.is_sms_service_for_region(number, region):
        return False
    is_one_networks = shortnumberinfo.is_carrier_specific_for_region(number, region)
    return known or not is_one_networks or len(bare) == _SHORTEST


__all__ = ["ANYWHERE", "REFUSED_KINDS", "Kind", "Reading", "canonical", "prepare", "readings"]
