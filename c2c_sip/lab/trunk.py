"""The lab's trunk: a registrar, and a stateless proxy (:rfc:`3261` §16.11) between those registered with it."""

import hashlib
import logging
from collections.abc import Callable, Mapping

from sipstack.digest import DigestServer
from sipstack.message import (
    NameAddr,
    ParseError,
    Request,
    Response,
    Uri,
    Via,
    check_request,
    make_response,
    parse_datagram,
)
from sipstack.registrar import Registrar
from sipstack.symmetric import note_source, reply_address
from sipstack.transport import Address, Transport

log = logging.getLogger(__name__)


class LabTrunk:
    """A trunk on one UDP transport.

    ``accounts`` are passwords by user; ``aliases`` are numbers and the user that each rings; ``gateways`` are numbers
    and the URI of a phone that need not register. INVITEs have to come from an account, and are challenged, unless
    ``challenge`` is false. ``clock`` gives seconds, ``secret`` is what nonces and tags are made from, and ``tell`` gets
    what happens: the name of an event, and facts.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        clock: Callable[[], float],
        accounts: Mapping[str, str],
        aliases: Mapping[str, str] | None = None,
        gateways: Mapping[str, Uri] | None = None,
        realm: str,
        secret: bytes,
        challenge: bool = True,
        tell: Callable[..., None] = lambda event, **facts: None,
    ) -> None:
        self._clock = clock
        self._challenge = challenge
        self._tell = tell
        self._accounts = accounts
        self._aliases = dict(aliases or {})
        self._gateways = dict(gateways or {})
        self._secret = secret
        # pyVoIP has MD5 only, and takes the last of several challenges.
        self._digest = DigestServer(realm, self._secret, algorithms=("MD5",), counting=False)
        self._registrar = Registrar(
            self._digest,
            accounts.get,
            new_tag=self._new_tag,
            # pyVoIP digests another URI than it sends.
            strict_uri=False,
        )
        self._tags = 0
        self._transport = transport
        self._transport.receiver = self._receive
        self.address = self._transport.local_address
        self._own = Uri("sip", None, None, *self.address, (("lr", None),), ())

    def is_registered(self, user: str) -> bool:
        """Whether a user, or who has a number, can be reached now."""
        user = self._aliases.get(user, user)
        return bool(self._registrar.bindings(user, self._clock()))

    def close(self) -> None:
        """Close the socket."""
        self._transport.close()

    def _new_tag(self) -> str:
        self._tags += 1
        text = f"registrar|{self._tags}".encode()
        return hashlib.blake2b(text, key=self._secret, digest_size=6).hexdigest()

    def _receive(self, octets: bytes, source: Address, transport: Transport) -> None:
        try:
            if not octets.strip():
                return
            message = parse_datagram(octets)
            if isinstance(message, Response):
                self._pass_back(message)
                return
            wrong = check_request(message)
            if wrong is not None:
                if message.method != "ACK":
                    self._refuse(message, source, wrong.status, wrong.reason)
                return
            note_source(message, source)
            self._route(message, source)
        except ParseError as error:
            request = error.request
            if request is not None and request.method != "ACK":
                self._refuse(request, source, error.status, error.reason)
        except (ValueError, OSError) as error:
            log.debug("lab trunk, from %s: %s", source[0], error)

    def _pass_back(self, response: Response) -> None:
        """A response goes where the Via below ours says (§16.7)."""
        if (response.via.host, response.via.port) != self.address:
            return
        response.remove_first("Via")
        if response.get("Via") is None:
            return
        via = response.via
        host = via.received or via.host
        self._transport.send(response.serialize(), (host, via.rport or via.port or 5060))

    def _refuse(
        self,
        request: Request,
        source: Address,
        status: int,
        reason: str | None = None,
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        tag = self._token(request, "tag")
        response = make_response(request, status, reason, to_tag=tag, headers=headers or [])
        self._transport.send(response.serialize(), reply_address(request, source))

    def _route(self, request: Request, source: Address) -> None:
        now = self._clock()
        if request.method == "REGISTER":
            response = self._registrar.receive(request, source, now)
            self._tell_of_register(request, response, source)
            self._transport.send(response.serialize(), reply_address(request, source))
            return
        hops = request.max_forwards
        if hops == 0:
            if request.method != "ACK":
                self._refuse(request, source, 483)
            return
        wanted = list(request.values("Proxy-Require"))
        if wanted and request.method not in ("ACK", "CANCEL"):
            # A proxy that knows no extension (RFC 3261 §16.3).
            self._refuse(request, source, 420, None, [("Unsupported", ", ".join(wanted))])
            return
        if request.routes and self._is_own(request.routes[0].uri):
            request.remove_first("Route")
        if request.method == "ACK" and request.to.tag == self._token(request, "tag"):
            return  # of a refusal of our own
        if request.to.tag is not None and not self._is_here(request.uri):
            target = request.routes[0].uri if request.routes else request.uri
            self._forward(request, request.uri, target)
            return
        if request.method == "OPTIONS" and not request.uri.user:
            self._refuse(request, source, 200)
            return
        if request.method == "INVITE" and not self._admitted(request, source, now):
            return
        user = self._aliases.get(request.uri.user or "", request.uri.user or "")
        gateway = self._gateways.get(user)
        if gateway is not None:
            self._forward(request, gateway, gateway)
            return
        bindings = self._registrar.bindings(user, now)
        if not bindings:
            if request.method != "ACK":
                status = 480 if user in self._accounts else 404
                self._tell("refused", method=request.method, user=user, status=status)
                self._refuse(request, source, status)
            return
        if request.method == "INVITE" and request.to.tag is None:
            self._tell("invite", by=str(request.from_.uri), to=user, call_id=request.call_id)
        self._forward(request, bindings[0].contact, bindings[0].contact)

    def _tell_of_register(self, request: Request, response: Response, source: Address) -> None:
        if response.status == 401:
            return  # asked for a password: the usual way
        host = f"[{source[0]}]" if ":" in source[0] else source[0]
        contacts = [str(contact.uri) for contact in response.contacts]
        event = "registered" if response.status == 200 else "register-refused"
        if response.status == 200 and not contacts:
            event = "unregistered"
        self._tell(
            event,
            user=request.to.uri.unescaped_user,
            status=response.status,
            contact=", ".join(contacts),
            source=f"{host}:{source[1]}",
        )

    def _admitted(self, request: Request, source: Address, now: float) -> bool:
        if not self._challenge:
            return True
        header = request.get("Proxy-Authorization")
        verdict = self._digest.verify(header, "INVITE", None, self._accounts.get, now)
        if not verdict.ok:
            challenges = self._digest.challenges(now, verdict.stale)
            headers = [("Proxy-Authenticate", challenge) for challenge in challenges]
            self._refuse(request, source, 407, None, headers)
        return verdict.ok

    def _is_own(self, uri: Uri) -> bool:
        return self._is_here(uri) and not uri.user

    def _is_here(self, uri: Uri) -> bool:
        return (uri.host, uri.port or 5060) == self.address

    def _token(self, request: Request, purpose: str) -> str:
        """The same for each copy of a request, its CANCEL and its ACK, with nothing remembered (§16.11)."""
        via = request.via
        text = (
            f"{purpose}|{via.branch}|{via.host}|{via.port}|{request.call_id}|{request.cseq.number}"
        )
        return hashlib.blake2b(text.encode(), key=self._secret, digest_size=12).hexdigest()

    def _forward(self, request: Request, uri: Uri, hop: Uri) -> None:
        branch = f"z9hG4bK{self._token(request, 'branch')}"
        # A BYE of pyVoIP has the Vias of the INVITE: its branch would be that of the call's first request.
        if request.method not in ("INVITE", "CANCEL", "ACK"):
            branch += request.method
        onward = Request(request.method, uri, request.headers, request.body)
        onward.remove("Proxy-Authorization")
        onward.set("Max-Forwards", str((request.max_forwards or 70) - 1))
        if request.method == "INVITE" and request.to.tag is None:
            onward.insert_first("Record-Route", str(NameAddr("", self._own, ())))
        via = Via("UDP", *self.address, (("rport", None), ("branch", branch)))
        onward.insert_first("Via", str(via))
        self._transport.send(onward.serialize(), (hop.host, hop.port or 5060))
