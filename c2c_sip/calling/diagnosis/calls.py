"""Why a call went as it did. Pure."""

from __future__ import annotations

import ipaddress

from c2c_sip.calling.causes import hangup_cause
from c2c_sip.calling.diagnosis.facts import CallFacts, Diagnosis, LegFacts, Why
from c2c_sip.calling.diagnosis.words import after, clean, join, role_of, start
from sipstack.call import REDIRECTIONS
from sipstack.media import LegCounters
from sipstack.media.latch import is_private
from sipstack.message import REASONS

#: Seconds of a call below which nothing is said of audio that did not come.
SOON = 3.0
#: The seconds after an answer in which a peer whose 2xx is not acknowledged gives up (64*T1), with some to spare.
UNACKNOWLEDGED = (30.0, 40.0)
#: The same where nothing else speaks for it.
ON_TIME = (31.5, 33.0)
#: Seconds to an answer that is a machine's: no hand is as quick, and that is when voicemails take over.
AT_ONCE, VOICEMAIL = 2.0, (18.0, 32.0)
#: Why a leg was not even dialled.
_NOT_DIALLED = ("no way", "no ports")
#: Causes of Q.850: the subscriber is absent, the call was rejected, and that there is nothing else to say.
AWAY, DECLINED, NOTHING_SAID = 20, 21, 31
#: Of what was sent, the part that may get lost before it is heard.
LOSS = 0.05


def explain(call: CallFacts) -> Diagnosis:
    """Why the call went as it did."""
    if call.connected is not None:
        return _of_talk(call, call.ended - call.connected)
    return _from_outside(call) or _of_leg(call, call.guilty)


# --- what ended it from outside


def _from_outside(call: CallFacts) -> Diagnosis | None:
    until, seconds = _phase(call), call.ended - call.created
    match call.why:
        case "api":
            return Diagnosis(
                "cancelled", f"The call was ended over the API {after(seconds)}, {until}."
            )
        case "stopped":
            return Diagnosis("stopped", f"The service was stopped {after(seconds)}, {until}.")
        case "relay":
            return Diagnosis(
                "relay_died",
                f"The relay of the audio ended unexpectedly {after(seconds)}, {until}; the log says more.",
            )
        case "no ports":
            return Diagnosis(
                "no_ports",
                f"No RTP port was free for the {role_of(call.role)}: widen media.ports, or set calling.max_calls.",
            )
        case "no way":
            return _no_way(call)
        case "fault":
            return Diagnosis(
                "fault", f"The call failed by a fault of ours, {until}; the log says more."
            )
    return None


def _no_way(call: CallFacts) -> Diagnosis:
    detail = clean(call.detail, 160)
    who = start(role_of(call.role))
    if "not to be called" in detail:
        return Diagnosis("address_refused", f"{who} was not dialled: {detail}; see guard.networks.")
    if "name servers" in detail or "timeout" in detail.lower():
        return Diagnosis("dns_dead", f"{who} could not be dialled: {detail}; see sip.nameservers.")
    if "no address for" in detail:
        return Diagnosis(
            "dns_no_such_name",
            f"{who} could not be dialled: {detail}; the name servers know no such name, or none of its servers.",
        )
    return Diagnosis("no_way", f"{who} could not be dialled: {detail}.")


def _phase(call: CallFacts) -> str:
    """How far it was."""
    second = "contact" if call.first_role == "extension" else "extension"
    first_up = any(leg.role == call.first_role and leg.answered is not None for leg in call.legs)
    role = second if first_up else call.first_role
    legs = [leg for leg in call.legs if leg.role == role]
    if any(leg.answered is not None for leg in legs):
        return f"when the {role} had answered"
    if any(leg.ringing is not None for leg in legs):
        return f"while the {role} was ringing"
    if legs:
        return f"before the {role} rang"
    return f"before the {role} was dialled"


# --- a leg that was not answered


def _of_leg(call: CallFacts, leg: LegFacts | None) -> Diagnosis:
    if leg is None:
        return Diagnosis("fault", "The call failed for a reason that was not seen.")
    if call.why == "no key":
        return _no_key(call, leg)
    if call.why == "unanswered":
        # Of several it is one that has not refused.
        rang = [each for each in call.legs if each.role == leg.role]
        leg = next((each for each in rang if each.evidence.refused_by != "peer"), leg)
        return _among(call, leg, _unanswered(call, leg))
    if leg.answered is not None:
        return _hung_up_early(call, leg)
    return _among(call, leg, _refused(leg))


def _among(call: CallFacts, leg: LegFacts, found: Diagnosis) -> Diagnosis:
    """Where several rang, what became of the others."""
    others = [each for each in call.legs if each.role == leg.role and each is not leg]
    if not others:
        return found
    told = sorted({_briefly(each) for each in others})
    text = f"{found.text} The other {len(others)} that rang: {join(told)}."
    return Diagnosis(found.name, text)


def _briefly(leg: LegFacts) -> str:
    if leg.evidence.refused_by == "peer":
        return _status(leg)
    return "no answer"


def _no_key(call: CallFacts, leg: LegFacts) -> Diagnosis:
    took = (leg.answered or 0.0) - leg.created
    text = (
        f"{_phone(leg)} answered {after(took)}, but nobody pressed {clean(call.confirm)} within "
        f"{call.confirm_seconds:.1f} s"
    )
    if took < AT_ONCE or VOICEMAIL[0] <= took <= VOICEMAIL[1]:
        return Diagnosis("voicemail", f"{text}: perhaps a voicemail.")
    return Diagnosis("no_key", f"{text}.")


def _unanswered(call: CallFacts, leg: LegFacts) -> Diagnosis:
    waited = (leg.ended if leg.ended is not None else call.ended) - leg.created
    setting = f"calling.{leg.role if leg.role == 'extension' else 'contact'}_timeout"
    if leg.ringing is not None:
        return Diagnosis(
            "no_answer",
            f"{_phone(leg)} rang for {waited - (leg.ringing - leg.created):.1f} s and nobody answered; it may ring "
            f"for {call.timeout:.1f} s ({setting}, or timeout of the click-to-call).",
        )
    if leg.evidence.was_heard:
        return Diagnosis(
            "never_rang",
            f"{_server(leg)} took the call{_for(leg)}, but nothing rang within {waited:.1f} s.",
        )
    return _silent(leg, waited)


def _silent(leg: LegFacts, waited: float) -> Diagnosis:
    return Diagnosis(
        "silent",
        f"{_server(leg)} did not answer{_the_call(leg)} at all within {waited:.1f} s, "
        f"at {clean(leg.evidence.target) or 'its address'}: it is away, or a firewall is between.",
    )


def _hung_up_early(call: CallFacts, leg: LegFacts) -> Diagnosis:
    """It had answered, but the other one had not."""
    ended = leg.ended if leg.ended is not None else call.ended
    talked = ended - (leg.answered or ended)
    if call.why == "unusable":
        return _audio_changed(leg, talked)
    other = "contact" if leg.role == "extension" else "extension"
    dialled = any(each.role == other for each in call.legs)
    lost = _lost(call, leg, talked)
    if lost is not None:
        return lost
    before = f"before the {other} {'had answered' if dialled else 'was dialled'}"
    return Diagnosis("hung_up_early", f"{_subject(leg)} hung up {after(talked)}, {before}.")


def _refused(leg: LegFacts) -> Diagnosis:
    """By a final response, or for want of one."""
    seen = leg.evidence
    took = (leg.ended if leg.ended is not None else leg.created) - leg.created
    if seen.refused_by != "peer":
        return _not_had(leg, took)
    found = _by_status(leg, f"answered {_status(leg)} {after(took)}")
    given = _given(leg)
    if not given or given in found.text or found.name == "not_registered":
        return found
    return Diagnosis(found.name, f"{found.text} The cause given is {given}.")


def _by_status(leg: LegFacts, said: str) -> Diagnosis:
    status = leg.status or 0
    phone, server = f"{_phone(leg)} {said}", f"{_server(leg)} {said}"
    dialled = f"We dialled {clean(leg.dialled)}"
    match status:
        case 401 | 407:
            return _password(leg, server)
        case 403 if leg.trunk:
            # Asterisk makes a 403 of a phone's refusal too.
            declined = "who was called declined it, or " if leg.q850 == DECLINED else ""
            return Diagnosis(
                "forbidden",
                f"{server}{_to(leg)}: {declined}it does not take this caller, this number or "
                f"calls of this account. {dialled}, calling as {clean(leg.caller)}; "
                f"check {_setting(leg, 'caller_id')} and {_setting(leg, 'number_format')}.",
            )
        case 480 if leg.q850 == AWAY:
            return _not_registered(leg, server)
        case 404 | 480 | 604 | 410 if leg.role == "extension" and leg.ringing is None:
            return _not_registered(leg, server)
        case 404 | 484 | 604 | 410 | 485:
            hint = f" {dialled}; check {_setting(leg, 'number_format')}." if leg.trunk else ""
            return Diagnosis(
                "unknown_number",
                f"{server}: it does not know the {role_of(leg.role)}'s number.{hint or f' {dialled}.'}",
            )
        case 486 | 600:
            return Diagnosis("busy", f"{phone}.")
        case 603 if given := _given(leg):
            # Asterisk's answer for whatever it has no status for.
            return Diagnosis("refused", f"{server}{_to(leg)} and gave the cause {given}.")
        case 603 | 607 | 608:
            return Diagnosis("declined", f"{phone}: the call was declined.")
        case 408 | 480:
            return Diagnosis("no_answer", f"{phone}: nobody answered.")
        case 487:
            return Diagnosis("cancelled_there", f"{phone}: the call was ended on the way.")
        case 488 | 606 | 415:
            return _not_acceptable(leg, phone)
        case 422:
            return Diagnosis(
                "session_timer_refused",
                f"{phone}: it wants longer session intervals than we offer; see sip.session_expires.",
            )
        case 402 | 500 | 502 | 503 | 504:
            return Diagnosis(
                "provider_trouble",
                f"{server}{_to(leg)}: the trouble is on its side"
                f"{', or the credit is used up' if status in (402, 503) and leg.trunk else ''}.",
            )
    if 300 <= status < 400:
        return _redirected(leg, phone)
    return Diagnosis("refused", f"{phone}{_warning(leg)}.")


def _not_registered(leg: LegFacts, server: str) -> Diagnosis:
    # With the realm: it may be another one than the switch's.
    name = f"{leg.dialled}@{leg.host}" if leg.host else leg.dialled
    return Diagnosis(
        "not_registered", f"{server}{_to(leg)}: no phone is registered there as {clean(name)}."
    )


def _given(leg: LegFacts) -> str:
    """The cause that its side gave, where the final status, or the BYE, does not say it."""
    status = leg.status or 200
    cause = hangup_cause(status, leg.q850)
    if leg.q850 in (None, NOTHING_SAID) or cause == hangup_cause(status):
        return ""
    return f"{cause} (Q.850 {leg.q850})"


def _password(leg: LegFacts, server: str) -> Diagnosis:
    if not leg.trunk:
        return Diagnosis(
            "password_asked",
            f"{server}: it wants a password, which is given to nobody but a trunk's own servers; have the call go "
            "through a trunk.",
        )
    if leg.evidence.unknown_realm:
        realm = clean(leg.evidence.unknown_realm)
        return Diagnosis(
            "realm_unknown",
            f"{server}: realm {realm} wants a password, and is not known as the trunk's; if it is, list all of the "
            f"trunk's realms in {_setting(leg, 'realms')}.",
        )
    if leg.evidence.authenticated:
        return Diagnosis(
            "password_refused",
            f"{server} to our password; check {_setting(leg, 'password')} and {_setting(leg, 'auth_username')}, and "
            f"{_setting(leg, 'from_user')} where it looks for the account in From.",
        )
    return Diagnosis(
        "password_asked",
        f"{server} and wants a password, which was not given: {_setting(leg, 'password')} is not set, or it was "
        "not one of the trunk's own servers that asked, or not by a digest that we know.",
    )


def _not_acceptable(leg: LegFacts, phone: str) -> Diagnosis:
    offered = f"We offered {join(leg.codecs) or 'no codec'}"
    if leg.srtp == "required":
        return Diagnosis(
            "srtp_refused",
            f"{phone}: it takes no SRTP, which {_srtp(leg)} requires, or none of the codecs. {offered}{_warning(leg)}.",
        )
    wants, settings = "", _codecs(leg)
    if leg.srtp == "off":
        wants, settings = ", or wants SRTP", f"{settings} and {_srtp(leg)}"
    return Diagnosis(
        "codec_mismatch",
        f"{phone}: it takes none of the codecs{wants}. {offered}{_warning(leg)}; check {settings}.",
    )


def _redirected(leg: LegFacts, phone: str) -> Diagnosis:
    if leg.evidence.redirections >= REDIRECTIONS:
        return Diagnosis(
            "redirect_loop",
            f"{phone}: the call was sent on {leg.evidence.redirections} times, and is not sent on any more.",
        )
    return Diagnosis("redirected", f"{phone}, to nowhere that may be called.")


def _not_had(leg: LegFacts, took: float) -> Diagnosis:
    """No final response came, or none that will do."""
    seen = leg.evidence
    reason = clean(seen.reason, 120)
    if leg.status == 488:
        if "SRTP" in seen.reason or "key" in seen.reason:
            return Diagnosis(
                "srtp_refused",
                f"{_phone(leg)} answered {after(took)}, but not with the SRTP that {_srtp(leg)} wants: {reason}.",
            )
        answered = (
            f"{_phone(leg)} answered {after(took)}, but with audio that we cannot take: {reason}."
        )
        if "codec" in seen.reason or "refused" in seen.reason:
            return Diagnosis(
                "codec_mismatch",
                f"{answered} We offered {join(leg.codecs)}; check {_codecs(leg)}.",
            )
        return Diagnosis("bad_description", f"{answered} Its session description is at fault.")
    if leg.status == 408:
        return _silent(leg, took)
    if leg.status == 487:
        return Diagnosis("cancelled_there", f"{_phone(leg)} ended the call {after(took)}.")
    where = clean(seen.target)
    return unreachable(
        f"{_server(leg)} could not be reached{f' at {where}' if where else ''}",
        seen.reason,
        leg.trunk,
    )


def unreachable(begin: str, why: str, trunk: str) -> Diagnosis:
    """A server that could not be reached, of a trunk or not."""
    text, lower = clean(why, 160), why.lower()
    name = f"trunk.{clean(trunk)}" if trunk else "sip"
    if "certificate" in lower:
        if "expired" in lower:
            return Diagnosis("tls_expired", f"{begin}: {text}; whoever runs it has to renew it.")
        if "mismatch" in lower:
            hint = f"{name}.tls_server_name" if trunk else "the name that is called"
            return Diagnosis("tls_wrong_name", f"{begin}: {text}; check {hint}.")
        return Diagnosis("tls_untrusted", f"{begin}: {text}; check {name}.tls_ca.")
    if "tls" in lower:
        return Diagnosis(
            "tls_failed", f"{begin}: {text}; perhaps it is not TLS that is spoken there."
        )
    if "refused" in lower or "nobody listens" in lower:
        return Diagnosis(
            "connection_refused",
            f"{begin}: {text}; check its port and transport, and whether it runs.",
        )
    return Diagnosis("unreachable", f"{begin}: {text}.")


# --- a call that was up


#: What a call is called that was ended from outside, and how that is said.
ENDS: dict[Why, tuple[str, str]] = {
    "api": ("ended_over_api", "the call was ended over the API"),
    "stopped": ("stopped", "the service was stopped"),
    "relay": ("relay_died", "the relay of the audio ended unexpectedly, the log says more"),
    "too long": ("max_duration", "that is as long as calling.max_duration lets a call be"),
    "minutes": ("minutes_used", "the account's minutes of today are used up (daily_minutes)"),
    "fault": ("fault", "the call was ended by a fault of ours, the log says more"),
}


def _of_talk(call: CallFacts, seconds: float) -> Diagnosis:
    leg = call.guilty
    mute = _mute(call, seconds)
    if leg is not None and call.why == "unusable":
        return _audio_changed(leg, seconds)
    if leg is not None:
        lost = _lost(call, leg, seconds)
        if lost is not None:
            return Diagnosis(lost.name, lost.text if mute is None else f"{lost.text} {mute.text}")
    spoke = f"The two spoke for {seconds:.1f} s"
    name, end = ENDS.get(call.why, ("spoke", ""))
    if call.why == "too long":
        end += f", {call.max_duration:.0f} s"
    outside = _from_outside(call) if call.role == "transfer" and call.why in _NOT_DIALLED else None
    if outside is not None:
        return Diagnosis(
            "transfer_failed", f"{spoke}; then it was transferred in vain. {outside.text}"
        )
    if leg is not None and leg.role == "transfer" and leg.answered is None:
        refused = _unanswered(call, leg) if call.why == "unanswered" else _refused(leg)
        return Diagnosis(
            "transfer_failed", f"{spoke}; then it was transferred in vain. {refused.text}"
        )
    if not end:
        end = f"the {role_of(leg.role)} hung up" if leg is not None else "then it ended"
        if leg is not None and (given := _given(leg)):
            end += f", and gave the cause {given}"
    if mute is not None:
        spoke = f"The two were connected for {seconds:.1f} s"
        return Diagnosis(mute.name, f"{spoke}; {end}. {mute.text}")
    return Diagnosis(name, f"{spoke}; {end}.{_losses(call)}")


def _audio_changed(leg: LegFacts, seconds: float) -> Diagnosis:
    """An offer within the call had an answer that we cannot take, which leaves nothing but to end it."""
    return Diagnosis(
        "audio_changed",
        f"The {role_of(leg.role)} had to be hung up {after(seconds)}: its phone answered another offer of audio, as for a hold, "
        f"with what we cannot take: {clean(leg.evidence.unusable, 120)}. We offered {join(leg.codecs)}; check {_codecs(leg)}.",
    )


def _lost(call: CallFacts, leg: LegFacts, seconds: float) -> Diagnosis | None:
    """How an answered leg got lost, if it did and was not just hung up."""
    seen, who = leg.evidence, role_of(leg.role)
    match seen.lost_by if leg.ended_by == "network" else "":
        case "silence":
            return Diagnosis(
                "dead_call",
                f"The {who} was gone {after(seconds)}: no audio came for {call.media_timeout:.1f} s "
                "(media.timeout), and its phone did not answer when asked.",
            )
        case "timer":
            whose = "our refreshes were not answered" if seen.refreshes else "it was not refreshed"
            return Diagnosis(
                "session_timer_expired",
                f"The {who} was lost {after(seconds)}: the session timer of {seen.session_interval} s ran out, "
                f"{whose}.",
            )
        case "refresh":
            return Diagnosis(
                "session_refresh_unanswered",
                f"The {who} was lost {after(seconds)}: its phone did not answer, or did not know the call any "
                f"more, when the session timer of {seen.session_interval} s was refreshed.",
            )
        case "re-INVITE":
            return Diagnosis(
                "reinvite_unanswered",
                f"The {who} was lost {after(seconds)}: its phone did not answer, or did not know the call any "
                "more, when other audio was offered (re-INVITE).",
            )
        case "ACK":
            return Diagnosis(
                "ack_missing",
                f"The {who} was lost {after(seconds)}: its phone never acknowledged our answer to its re-INVITE "
                "(no ACK within 32 s).",
            )
    if leg.answered is None or leg.ended is None or leg.ended_by != "peer":
        return None
    up = leg.ended - leg.answered
    if not UNACKNOWLEDGED[0] <= up <= UNACKNOWLEDGED[1]:
        return None
    gave_up = f"{_phone(leg)} gave the call up {after(up)} from its answer"
    if seen.not_acknowledged:
        return Diagnosis(
            "ack_lost",
            f"{gave_up}: our ACK could not be sent, since the Contact of its answer leads nowhere "
            f"({clean(seen.not_acknowledged, 120)}).",
        )
    if seen.repeated_answers >= 3:
        return Diagnosis(
            "ack_lost",
            f"{gave_up}, which it sent {seen.repeated_answers + 1} times: our ACK never got there. It went to "
            f"{clean(seen.acknowledged_at)}, as the Contact and the Record-Route of that answer want it; a NAT there, "
            "or a proxy that names an inner address, swallows it.",
        )
    if ON_TIME[0] <= up <= ON_TIME[1]:
        # Which may be chance: it is the cause only where it comes again and again.
        return Diagnosis(
            "dropped_at_32_s",
            f"{_subject(leg)} hung up {after(up)} from its answer. If calls end so again and again: 32 s is when a server "
            "ends one whose ACK got lost, perhaps further on at its side.",
        )
    return None


def _mute(call: CallFacts, seconds: float) -> Diagnosis | None:
    """Whose audio never came."""
    if seconds < SOON:
        return None
    silent = [
        leg
        for leg in call.legs
        if leg.is_to_be_heard
        and leg.media is not None
        and not leg.media.packets_received
        # Who sends the call on may be gone before having said anything.
        and not (
            leg.answered is not None and leg.ended is not None and leg.ended - leg.answered < SOON
        )
    ]
    if not silent:
        return None
    name = "no_audio" if len(silent) > 1 else "one_way_audio"
    return Diagnosis(name, " ".join(_never_came(leg) for leg in silent))


def _never_came(leg: LegFacts) -> str:
    text = f"The {role_of(leg.role)}'s audio never arrived: "
    theirs, ours = leg.described.rpartition(":")[0], leg.announced.rpartition(":")[0]
    host = leg.evidence.target.rpartition(":")[0]
    media = leg.media or LegCounters()
    if _is_inner(ours) and not _is_inner(host) and host:
        text += f"we told it to send to {leg.announced}, which from outside leads nowhere; set sip.public_address"
    elif _is_inner(theirs) and theirs != host and not _is_inner(host):
        text += (
            f"its SDP names {leg.described}, so its packets would have to cross a NAT; see sip.public_address, and "
            "the NAT settings of its phone"
        )
    else:
        text += (
            f"its SDP names {leg.described or 'no address'}, and nothing came from there to {leg.announced}; see "
            "media.ports in the firewall, and sip.public_address"
        )
    if media.stranger is not None:
        text += f". {media.rejected} packets came from {media.stranger} instead, and were not taken"
    elif media.unauthenticated:
        text += f". {media.unauthenticated} packets were not authentic: the SRTP keys of the two sides differ"
    elif media.rejected:
        text += f". {media.rejected} packets were not what was agreed on, and were not taken"
    return text + "."


def _is_inner(host: str) -> bool:
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return ip.is_loopback or is_private(ip)


def _losses(call: CallFacts) -> str:
    found = []
    for leg in call.legs:
        media = leg.media
        expected = media.packets_received + media.lost if media is not None else 0
        if media is not None and expected > 100 and media.lost > LOSS * expected:
            part = 100 * media.lost / expected
            found.append(
                f" {part:.0f} % of the {role_of(leg.role)}'s audio was lost on its way to us."
            )
    return "".join(found)


# --- words


def _phone(leg: LegFacts) -> str:
    return f"The {role_of(leg.role)}'s phone"


def _subject(leg: LegFacts) -> str:
    return f"The {role_of(leg.role)}"


def _server(leg: LegFacts) -> str:
    return f"The provider (trunk {clean(leg.trunk)})" if leg.trunk else _phone(leg)


def _for(leg: LegFacts) -> str:
    return f" to the {role_of(leg.role)}" if leg.trunk else ""


def _the_call(leg: LegFacts) -> str:
    return f" the call{_for(leg)}" if leg.trunk else ""


def _to(leg: LegFacts) -> str:
    return f" to the call{_for(leg)}" if leg.trunk else ""


def _status(leg: LegFacts) -> str:
    status = leg.status or 0
    return f"{status} {clean(leg.evidence.reason) or REASONS.get(status, '')}".rstrip()


def _warning(leg: LegFacts) -> str:
    warning = clean(leg.evidence.warning, 80)
    return f"; it says: {warning}" if warning else ""


def _setting(leg: LegFacts, name: str) -> str:
    return f"trunk.{clean(leg.trunk)}.{name}"


def _codecs(leg: LegFacts) -> str:
    return _setting(leg, "codecs") if leg.trunk else "media.codecs"


def _srtp(leg: LegFacts) -> str:
    return _setting(leg, "srtp") if leg.trunk else "media.srtp"
