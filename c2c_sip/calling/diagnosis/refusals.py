"""Calls that nobody has made or ended, and what those may know who have asked for one. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from c2c_sip.calling.causes import UNANSWERED
from c2c_sip.calling.diagnosis.facts import Diagnosis
from c2c_sip.calling.diagnosis.words import clean

#: What to look at, by the rule that refused an activation.
_SETTINGS: Mapping[str, str] = {
    "contact": "contact of the request",
    "variable": "the parameters of the request, and custom_application_vars of the click-to-call",
    "whitelist": "whitelist of the click-to-call",
    "host": "whitelist of the click-to-call, or guard.sip_hosts",
    "address": "guard.networks",
    "country": "guard.countries, or countries of the account",
    "never_call": "the list of those never to be called",
    "hours": "hours of the click-to-call",
    "proof": "challenge of the click-to-call, or guard.challenge",
    "captcha": "challenge of the click-to-call, or guard.challenge",
    "throttled": "throttle of the click-to-call",
    "full": "calling.max_calls and media.ports",
    "per_address": "guard.per_address",
    "per_contact": "guard.per_contact",
    "per_clicktocall": "guard.per_clicktocall",
    "per_account": "guard.per_account",
    "per_service": "guard.per_service",
    "daily_minutes": "guard.daily_minutes, or limits.daily_minutes of the account",
    "link_signature": "the link",
    "link_expired": "the link",
    "link_used": "uses of the link",
    "link_contact": "pattern of the link",
}
#: Kinds of numbers, see :func:`c2c_sip.calling.policy.refused_number`.
_KINDS = "guard.number_kinds"


def refused(rule: str, message: str) -> Diagnosis:
    """Why an activation was refused before anybody was called, from the rule that did it and what it has told."""
    text = f"Nobody was called: {clean(message, 200).rstrip('.')}."
    setting = _SETTINGS.get(rule)
    if setting is None and message.startswith("Numbers of this kind"):
        setting = _KINDS
    if setting is not None:
        text = f"{text[:-1]} (rule {rule}; see {setting})."
    return Diagnosis("refused_" + ("kind" if setting == _KINDS else rule), text)


def cut_off(state: str, connected: bool) -> Diagnosis:
    """A call that the service did not live to end: it crashed, or the machine did."""
    was = "the two were connected" if connected else f"the call was in the state {clean(state)}"
    return Diagnosis(
        "crash",
        f"The service ended unexpectedly while {was}; what became of the call is not known, what was left of it was "
        "hung up at the next start.",
    )


# --- for those who are not to know how the service is made


_PUBLIC: Mapping[str, str] = {
    "USER_BUSY": "The line is busy.",
    **dict.fromkeys(UNANSWERED, "Nobody answered."),
    "CALL_REJECTED": "The call was declined.",
    "ORIGINATOR_CANCEL": "The call was ended before it was answered.",
    "UNALLOCATED_NUMBER": "The number is not in service.",
    "INVALID_NUMBER_FORMAT": "The number is not in service.",
    "NUMBER_CHANGED": "The number is not in service.",
}


def for_visitor(state: str, result: str | None, cause: str | None) -> str:
    """What whoever has asked for a call may know of its end, empty as long as it goes on."""
    if result is None or (result == "success" and state != "ended"):
        return ""
    if result == "success":
        return "The call has ended."
    return _PUBLIC.get(cause or "", "The call could not be connected.")
