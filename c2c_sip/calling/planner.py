"""What is decided about an activation that may be made: where its legs go, whom they show, what is played to them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import unquote

from c2c_sip.calling import headers, policy, routing
from c2c_sip.calling.address import Network, is_forbidden
from c2c_sip.calling.contact import Contact, Extension, Unreadable, read_extension
from c2c_sip.calling.guard import Guard
from c2c_sip.calling.numbering import canonical
from c2c_sip.calling.plan import LegPlan, Plan
from c2c_sip.calling.policy import Refusal, Rules
from c2c_sip.calling.recording import Tape, recordable
from c2c_sip.calling.sounds import Sounds
from c2c_sip.config import Config
from c2c_sip.store.identifiers import token
from sipstack.account import Account
from sipstack.call import Outbound
from sipstack.media import MediaLeg
from sipstack.message import Uri
from sipstack.sdes import Mode
from sipstack.sdp import codec_list
from sipstack.transport.own import is_own

log = logging.getLogger(__name__)

_mode = lru_cache(Mode)
#: Addresses of which it is kept in mind whether they may be called.
HOSTS = 4096


class LegRoute(NamedTuple):
    """Where one leg goes, and who it says is calling."""

    destination: routing.Destination
    caller: routing.Caller
    #: A contact at the account's own trunk, wherever that is.
    at_home: bool = False


def accepts(networks: Sequence[Network], own: Callable[[str], bool]) -> Callable[[str], bool]:
    """What tells whether something may be sent to an IP address: not to inner ones, nor to an ``own`` one, by which the
    programs of this very machine are reached past its firewall; but to any in ``networks``."""

    def accepted(host: str) -> bool:
        if is_forbidden(host, networks):
            return False
        return not own(host) or any(ip_address(host) in network for network in networks)

    return accepted


class Planner:
    """Plans calls by the settings, over the ``accounts`` at the trunks. All public methods may be called from any thread."""

    def __init__(
        self,
        config: Config,
        accounts: Mapping[str, Account],
        guard: Guard,
        sounds: Sounds,
        tape: Tape | None,
    ) -> None:
        self._config = config
        self._accounts = accounts
        self._guard = guard
        self._sounds = sounds
        self._tape = tape
        self._codecs = codec_list(config.media.codecs)
        #: Asked for each address that a call is sent to; most are the same few.
        self._accepted = lru_cache(HOSTS)(
            accepts(guard.networks, lambda host: is_own(host) or host == config.sip.public_address)
        )

    def reconfigure(self, config: Config) -> None:
        """Go by these settings from the next plan on; only those differ that may."""
        self._config = config

    def dialled(
        self,
        account: Mapping[str, Any],
        clicktocall: Mapping[str, Any],
        contact: Contact,
        rules: Rules,
    ) -> list[str]:
        """How a contact will be written in the Request-URI."""
        trunks = self._config.trunks
        if not trunks or isinstance(contact, Uri):
            return []
        realm = str(clicktocall.get("realm") or account.get("realm") or "")
        return [unquote(routing.destination(contact, realm, trunks, rules.region).uri.user or "")]

    def routes(
        self,
        account: Mapping[str, Any],
        clicktocall: Mapping[str, Any],
        checked: policy.Checked,
        rules: Rules,
    ) -> list[LegRoute]:
        """Where the legs go and whom they show: that to the contact, and after it those to the extensions.

        :raises Refusal: an extension must not be called.
        """
        config = self._config
        region, contact = rules.region, checked.contact
        own_realm = str(account.get("realm") or "")
        realm = str(clicktocall.get("realm") or own_realm)
        to_contact = routing.destination(contact, realm, config.trunks, region)
        allowed = account.get("caller_ids") or ()
        extensions: dict[str, LegRoute] = {}
        for text in routing.extensions(clicktocall):
            party = read_extension(text, region)
            policy.check_extension(party, rules)
            where = routing.destination(party, realm, config.trunks, region)
            shown = routing.shown_to_extension(clicktocall, contact, where, region, allowed)
            caller = routing.caller(shown, where, own_realm, region)
            extensions[str(where.uri)] = LegRoute(where, caller)
        main = next(iter(extensions.values())).destination.party
        shown = routing.shown_to_contact(clicktocall, main, to_contact, region, allowed)
        caller = routing.caller(shown, to_contact, own_realm, region)
        return [LegRoute(to_contact, caller, checked.at_home), *extensions.values()]

    def plan(
        self,
        row: Mapping[str, Any],
        account: Mapping[str, Any],
        clicktocall: Mapping[str, Any],
        routes: Sequence[LegRoute],
        kept: Mapping[str, str],
        watch: Callable[[MediaLeg], None],
        may_go_on: Callable[[], bool],
    ) -> Plan:
        """The plan of the activation ``row``, whose :meth:`routes` these are.

        :param kept: the variables that its headers may name
        :param watch: is given the media of each leg
        :param may_go_on: is asked in a call whether it may last any longer
        """
        config = self._config
        timeout = clicktocall.get("timeout")
        heard = self._sounds.of(row["account_id"], clicktocall)
        tape = self._tape if clicktocall.get("record") else None
        media = clicktocall.get("media") or {}

        def added(role: str, route: LegRoute) -> tuple[tuple[str, str], ...]:
            return headers.of_leg(clicktocall, role, route.caller.from_.uri.host, kept)

        def extension(index: int, route: LegRoute) -> LegPlan:
            def transfer(uri: Uri) -> LegPlan | None:
                return self._transfer(account, clicktocall, route, uri)

            call_id = token(12) if index else row["extension_call_id"]
            ringing = timeout or config.calling.extension_timeout
            headers = added("extension", route)
            return self._leg(
                account, clicktocall, "extension", route, call_id, ringing, headers, transfer
            )

        contact, *extensions = routes
        return Plan(
            activation_id=row["id"],
            account_id=row["account_id"],
            clicktocall_id=row["clicktocall_id"],
            extensions=tuple(extension(index, route) for index, route in enumerate(extensions)),
            contact=self._leg(
                account,
                clicktocall,
                "contact",
                contact,
                row["call_id"],
                timeout or config.calling.contact_timeout,
                added("contact", contact),
            ),
            dial_first=clicktocall.get("dial_first") or "extension",
            codecs=self._codecs if tape is None else recordable(self._codecs),
            ringback=heard.waiting,
            music=heard.hold,
            tape=tape,
            bypass=clicktocall.get("bypass_media") in (True, "true"),
            busy=heard.tones.busy,
            congestion=heard.tones.congestion,
            confirm=clicktocall.get("confirm") or "",
            confirm_seconds=config.calling.confirm_timeout,
            asking=heard.asking,
            busy_seconds=config.calling.busy_tone,
            max_duration=config.calling.max_duration,
            media_timeout=config.media.timeout,
            ignore_early_media=bool(media.get("ignore_early_media")),
            watch=watch,
            may_go_on=may_go_on,
        )

    def _leg(
        self,
        account: Mapping[str, Any],
        clicktocall: Mapping[str, Any],
        role: str,
        route: LegRoute,
        call_id: str,
        timeout: float,
        added: tuple[tuple[str, str], ...] = (),
        transfer: Callable[[Uri], LegPlan | None] = lambda uri: None,
    ) -> LegPlan:
        trunk = route.destination.trunk
        codecs = codec_list(trunk.codecs) if trunk is not None and trunk.codecs else ()

        def redirect(uri: Uri) -> Outbound | None:
            trunk_hosts = [host for each in self._accounts.values() for host in each.servers]
            where = routing.may_follow(route.destination, uri, self._config.trunks, trunk_hosts)
            if where is None or not self._may_be_sent_to(account, role, where):
                return None
            return self._outbound(where)

        return LegPlan(
            role=role,
            outbound=self._outbound(route.destination),
            from_=route.caller.from_,
            headers=route.caller.headers + added,
            contact_user=route.caller.contact_user,
            call_id=call_id,
            timeout=timeout,
            codecs=recordable(codecs) if codecs and clicktocall.get("record") else codecs,
            ptime=trunk.ptime if trunk is not None else 20,
            srtp=_mode(trunk.srtp if trunk is not None else self._config.media.srtp),
            redirect=redirect,
            accepts_referral=lambda uri: transfer(uri) is not None,
            transfer=transfer,
            accepted=self._accepted,
            at_home=role == "extension" or route.at_home,
        )

    def _may_be_sent_to(
        self, account: Mapping[str, Any], role: str, where: routing.Destination
    ) -> bool:
        """Whether a 3xx may lead this leg on through its trunk, under the rules for the number that was dialled."""
        rules = self._guard.rules(account)
        numbers = routing.dialled_numbers(where, rules.region)
        try:
            policy.check_redirection(numbers, rules, public=role == "contact")
            if role != "extension":
                for number in numbers:
                    called = canonical(number, rules.region)
                    self._guard.check_never_call(account["id"], called, str(where.uri))
        except Refusal as refusal:
            log.warning("redirection to %s refused: %s", where.uri, refusal)
            return False
        return True

    def _transfer(
        self,
        account: Mapping[str, Any],
        clicktocall: Mapping[str, Any],
        extension: LegRoute,
        uri: Uri,
    ) -> LegPlan | None:
        """How the target of a REFER from the extension's phone is dialled, under the rules for any contact.

        ``None`` where it must not be: the target is against the rules, or the extension is an outside number, whose
        far end is anybody's phone.
        """
        if extension.destination.is_outside:
            return None
        config = self._config
        rules = self._guard.rules(account)
        region = rules.region
        realm = str(clicktocall.get("realm") or account.get("realm") or "")
        try:
            party = routing.referred_to(uri, extension.destination, realm, region)
            if isinstance(party, Extension):
                policy.check_extension(party, rules)
            else:
                checked = policy.check(
                    clicktocall, str(party), account, authenticated=True, rules=rules
                )
                party = checked.contact
                self._guard.check_never_call(account["id"], checked.called, str(uri))
            where = routing.destination(party, realm, config.trunks, region)
            where = routing.as_secure_as(uri, where)
            shown = routing.shown_to_contact(
                clicktocall,
                extension.destination.party,
                where,
                region,
                account.get("caller_ids") or (),
            )
        except (Refusal, Unreadable) as refusal:
            log.warning("transfer to %s refused: %s", uri, refusal)
            return None
        caller = routing.caller(shown, where, str(account.get("realm") or ""), region)
        timeout = clicktocall.get("timeout") or config.calling.contact_timeout
        return self._leg(
            account,
            clicktocall,
            "transfer",
            LegRoute(where, caller),
            token(12),
            timeout,
        )

    def _outbound(self, destination: routing.Destination) -> Outbound:
        trunk = destination.trunk
        return Outbound(destination.uri, self._accounts[trunk.name] if trunk else None)
