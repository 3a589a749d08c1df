"""How a trunk is, in a sentence, from what its registration and its keep-alive have seen. Pure."""

from __future__ import annotations

from typing import Protocol

from c2c_sip.calling.diagnosis.calls import unreachable
from c2c_sip.calling.diagnosis.facts import Diagnosis
from c2c_sip.calling.diagnosis.words import clean
from sipstack.message import REASONS
from sipstack.message.uri import hostport_text
from sipstack.registration import Failure
from sipstack.resolver import Target


class Registered(Protocol):
    """What is looked at of a registration."""

    registered: bool
    failure: Failure | None
    server: Target | None


class Asked(Protocol):
    """What is looked at of a keep-alive."""

    last_error: str

    @property
    def alive(self) -> bool:
        """Whether the trunk is there."""


def of_trunk(name: str, registration: Registered | None, keepalive: Asked | None) -> Diagnosis:
    """How the trunk of this name is; ``None`` for what it does not do."""
    if registration is not None:
        failure = registration.failure
        if not registration.registered and failure is not None:
            return of_failure(name, failure)
    if keepalive is not None and not keepalive.alive:
        text = f"The provider (trunk {clean(name)}) does not answer: {clean(keepalive.last_error, 120)}."
        return Diagnosis("trunk_silent", text)
    if registration is None:
        return Diagnosis(
            "static", "No registration is wanted: the provider knows us by our address."
        )
    server = registration.server
    where = f" at {hostport_text(*server.address)}" if server is not None else ""
    return Diagnosis("registered", f"Registered{where}.")


def of_failure(name: str, failure: Failure) -> Diagnosis:
    """Why the account of the trunk of this name is not registered."""
    setting = f"trunk.{clean(name)}"
    who = f"The registrar of trunk {clean(name)}"
    text = clean(failure.text, 160)
    server = clean(failure.server)
    match failure.kind:
        case "none":
            return Diagnosis("not_registered_yet", f"{who}: {text}.")
        case "name" if "name servers" in failure.text or "timeout" in failure.text:
            return Diagnosis(
                "dns_dead", f"{who} cannot be looked for: {text}; see sip.nameservers."
            )
        case "name" if "no address for" in failure.text:
            return Diagnosis(
                "dns_no_such_name",
                f"{who} was not found: {text}; the name servers know no such name, or none of its servers. Check "
                f"{setting}.domain and {setting}.outbound_proxy.",
            )
        case "name":
            return Diagnosis("no_way", f"{who} cannot be sent to: {text}; see sip.listen.")
        case "unreachable":
            begin = f"{who} could not be reached at {server}"
            return unreachable(begin, failure.text, name)
        case "silent":
            return Diagnosis(
                "registrar_silent",
                f"{who} does not answer at {server}; check {setting}.domain, its port and {setting}.transport, and "
                "the firewall.",
            )
    return _refused(who, setting, failure)


def _refused(who: str, setting: str, failure: Failure) -> Diagnosis:
    status = failure.status or 0
    said = f"{status} {clean(failure.reason) or REASONS.get(status, '')}".rstrip()
    match status:
        case 401 | 403 | 407 if failure.authenticated:
            first = 407 if status == 407 else 401
            return Diagnosis(
                "registration_password",
                f"{who} refused our password ({said} after {first}); check {setting}.password, {setting}.username and "
                f"{setting}.auth_username.",
            )
        case 401 | 407:
            return Diagnosis(
                "registration_password_asked",
                f"{who} wants a password ({said}), which was not given: {setting}.password is not set, or it was not "
                "one of the trunk's own servers that asked.",
            )
        case 403:
            return Diagnosis(
                "registration_forbidden",
                f"{who} does not let us register ({said}); check {setting}.username, and whether the account is open.",
            )
        case 404 | 604 | 410:
            return Diagnosis(
                "registration_unknown_user",
                f"{who} does not know the user ({said}); check {setting}.username and {setting}.domain.",
            )
        case 423:
            least = failure.least_expires
            wanted = f" of at least {least} s" if least else ", and does not say how long"
            return Diagnosis(
                "registration_too_brief",
                f"{who} wants longer registrations ({said}){wanted}; check {setting}.expires.",
            )
    if status >= 500:
        return Diagnosis(
            "registrar_trouble", f"{who} has trouble of its own ({said}); it is asked again."
        )
    return Diagnosis("registration_refused", f"{who} refused to register us: {said}.")


__all__ = ["Asked", "Registered", "of_failure", "of_trunk"]
