"""``custom_application_vars``: what is kept with a call, in part from the request that starts it. Pure."""

import re
from collections.abc import Callable, Mapping

from c2c_sip.calling import headers
from c2c_sip.calling.contact import has_control
from c2c_sip.calling.policy import Refusal

LONGEST = 1024
"""Characters of one value, filled in."""

LONGEST_PARAMETER = 256
"""Characters of what a request fills in."""

UNTOLD = frozenset({"auth_token", "link", "proof"})
"""Parameters that are secrets, or spent: no variable may have them."""

_REFERENCE = re.compile(r"\{\{ *([A-Za-z0-9_.-]{1,64}) *\}\}")


def references(value: str) -> list[str]:
    """The parameters that a value refers to: ``{{order}}`` to that of the query called ``order``."""
    return _REFERENCE.findall(value)


def fill(variables: Mapping[str, str], parameter: Callable[[str], str]) -> dict[str, str]:
    """The variables of one call.

    :param parameter: a parameter of the request by its name; empty where it has none such
    :raises Refusal: of the kind ``validation``: what the request has is no line of text, or too long
    """
    if not variables:
        return {}
    given: dict[str, str] = {}
    for name in dict.fromkeys(name for value in variables.values() for name in references(value)):
        given[name] = parameter(name)
        if has_control(given[name]):
            raise _refusal(name, "pattern", "Value must not contain control characters", given)
        if len(given[name]) > LONGEST_PARAMETER:
            message = f"String must not be more than {LONGEST_PARAMETER} characters"
            raise _refusal(name, "maxLength", message, given)
    filled: dict[str, str] = {}
    for name, value in variables.items():
        filled[name] = _REFERENCE.sub(lambda found: given[found[1]], value)
        if len(filled[name]) > LONGEST:
            longest = max(references(value), key=lambda each: len(given[each]))
            message = f"String is too long for a variable of {LONGEST} characters"
            raise _refusal(longest, "maxLength", message, given)
    sent = {name: value for name, value in filled.items() if headers.is_header(name)}
    if headers.octets(sent) > headers.MOST_OCTETS:
        longest = max(given, key=lambda each: len(given[each]), default="custom_application_vars")
        message = f"Headers must not have more than {headers.MOST_OCTETS} octets together"
        raise _refusal(longest, "maxLength", message, {longest: ""} | given)
    return filled


def _refusal(name: str, rule: str, message: str, given: Mapping[str, str]) -> Refusal:
    return Refusal(
        "validation",
        message,
        field=name,
        rule=rule,
        value=given[name][:LONGEST_PARAMETER],
        reason="variable",
    )
