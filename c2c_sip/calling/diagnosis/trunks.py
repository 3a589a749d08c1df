"""How a trunk is, in a sentence, from what its registration and its keep-alive have seen. Pure."""

from __future__ import annotations

from typing import Protocol

from c2c_sip.calling.diagnosis.calls import unreachable
from c2c_sip.calling.diagnosis.facts import Diagnosis
from c2c_sip.calling.diagnosis.words import clean
from sipstack.message import REASONS
from sipstack.message.uri import hostport_text
from sipstack.registration import Failure, Standing


class Asked(Protocol):
    """What is looked at of a keep-alive."""

    @property
    def alive(self) -> bool:
        """Whether the trunk is there."""

    @property
    def failure(self) -> Failure | None:
        """Why it was last found not to be."""


def of_trunk(name: str, standing: Standing | None, keepalive: Asked | None) -> Diagnosis:
    """How the trunk of this name is; ``None`` for what it does not do."""
    state = standing.state if standing is not None else "static"
    if standing is not None and state == "failed" and standing.failure is not None:
        return of_failure(name, standing.failure)
    if state == "registering":
        return Diagnosis(
            "registering", f"The registrar of trunk {clean(name)} has not answered yet."
        )
    if state == "unregistered":
        return Diagnosis("unregistered", f"Trunk {clean(name)} was un-registered by us.")
    if keepalive is not None and not keepalive.alive and keepalive.failure is not None:
        return of_failure(name, keepalive.failure)
    if standing is None:
        return Diagnosis(
            "static", "No registration is wanted: the provider knows us by our address."
        )
    where = f" at {hostport_text(*standing.server.address)}" if standing.server is not None else ""
    return Diagnosis("registered", f"Registered{where}.")


def of_failure(name: str, failure: Failure) -> Diagnosis:
    """What is wrong with the trunk of this name, by what its registration or its keep-alive has seen."""
    setting = f"trunk.{clean(name)}"
    who = f"The registrar of trunk {clean(name)}"
    text = clean(failure.reason, 160)
    server = clean(failure.server)
    match failure.kind:
        case "name" if "name servers" in failure.reason or "timeout" in failure.reason:
            return Diagnosis(
                "dns_dead", f"{who} cannot be looked for: {text}; see sip.nameservers."
            )
        case "name" if "no address for" in failure.reason:
            return Diagnosis(
                "dns_no_such_name",
                f"{who} was not found: {text}; the name servers know no such name, or none of its servers. Check "
                f"{setting}.domain and {setting}.outbound_proxy.",
            )
        case "name":
            return Diagnosis("no_way", f"{who} cannot be sent to: {text}; see sip.listen.")
        case "unreachable":
            return unreachable(f"{who} could not be reached at {server}", failure.reason, name)
        case "silent":
            return Diagnosis(
                "registrar_silent",
                f"{who} does not answer at {server}; check {setting}.domain, its port and {setting}.transport, and "
                "the firewall.",
            )
        case "refused":
            return _refused(who, setting, failure)
    return Diagnosis("trunk_silent", f"The provider (trunk {clean(name)}) does not answer: {text}.")


def _refused(who: str, setting: str, failure: Failure) -> Diagnosis:
    status = failure.status or 0
    said = f"{status} {clean(failure.phrase) or REASONS.get(status, '')}".rstrip()
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
                "one of the trunk's own servers that asked, or not by a digest that we know.",
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


__all__ = ["Asked", "of_failure", "of_trunk"]
