"""Dialogs: what two user agents know of each other once a request has made one (:rfc:`3261` §12). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sipstack.lenient import CONTACTS, RECORD_ROUTES, readable
from sipstack.message import NameAddr, ParseError, Request, Response, Uri, make_request
from sipstack.resolver import Target

#: Forks of one INVITE that are followed; no call rings more phones, and a hostile peer may invent tags.
FORKS = 16
#: How far above what is known of it the sequence of a dialog goes on that we know from our last life.
LEAP = 10_000


@dataclass(slots=True)
class Dialog:
    """The state of one dialog, seen from our side.

    ``local`` and ``remote`` are the From and To of the requests we send, with their tags; sequence numbers are those
    last used.
    """

    call_id: str
    local: NameAddr
    remote: NameAddr
    local_sequence: int
    remote_sequence: int | None
    remote_target: Uri
    route_set: tuple[NameAddr, ...]
    #: The Request-URI that made it, where it was ours: the way that is known to lead to the peer.
    origin: Uri | None = None
    #: Where that request was sent, where it was ours.
    reached: Target | None = None

    @classmethod
    def from_response(
        cls,
        request: Request,
        response: Response,
        way: tuple[NameAddr, ...] = (),
        reached: Target | None = None,
    ) -> "Dialog":
        """The dialog that a 1xx or 2xx to our ``request`` makes, which was sent to ``reached`` (:rfc:`3261` §12.1.2).

        A 2xx must have a Contact; one without still has to be acknowledged and hung up, so where it is missing, or
        cannot be read, the Request-URI stands in, reached by ``way``.

        :raises ParseError: To cannot be read.
        """
        contacts = readable(CONTACTS, response)
        routes = readable(RECORD_ROUTES, response)
        target = contacts[0].uri if contacts else request.uri
        return cls(
            call_id=request.call_id,
            local=request.from_,
            remote=response.to,
            local_sequence=request.cseq.number,
            remote_sequence=None,
            remote_target=target,
            route_set=tuple(reversed(routes)) or (() if contacts else way),
            origin=request.uri,
            reached=reached,
        )

    @classmethod
    def from_request(cls, request: Request, local_tag: str) -> "Dialog":
        """The dialog that our 1xx or 2xx to the peer's ``request`` makes (:rfc:`3261` §12.1.1).

        A caller of :rfc:`2543` need not give a Contact: its From stands in.

        :raises ParseError: the request has no usable Contact or Record-Route.
        """
        contacts = request.contacts
        return cls(
            call_id=request.call_id,
            local=request.to.with_tag(local_tag),
            remote=request.from_,
            local_sequence=0,
            remote_sequence=request.cseq.number,
            remote_target=contacts[0].uri if contacts else request.from_.uri,
            route_set=tuple(request.record_routes),
        )

    def dump(self) -> dict[str, Any]:
        """All of it in JSON's terms, so that whoever comes after us can still hang up."""
        return {
            "call_id": self.call_id,
            "local": str(self.local),
            "remote": str(self.remote),
            "local_sequence": self.local_sequence,
            "remote_target": str(self.remote_target),
            "route_set": [str(route) for route in self.route_set],
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> "Dialog":
        """The inverse of :meth:`dump`.

        Requests may have been sent since it was dumped, so the sequence goes on far above (:rfc:`3261` §12.2.1.1
        wants it to grow, not to be without gaps).

        :raises ParseError: it cannot be read.
        """
        return cls(
            call_id=dumped["call_id"],
            local=NameAddr.parse(dumped["local"]),
            remote=NameAddr.parse(dumped["remote"]),
            local_sequence=int(dumped["local_sequence"]) + LEAP,
            remote_sequence=None,
            remote_target=Uri.parse(dumped["remote_target"]),
            route_set=tuple(NameAddr.parse(route) for route in dumped["route_set"]),
        )

    @property
    def remote_tag(self) -> str | None:
        """The peer's tag."""
        return self.remote.tag

    def request(self, method: str, sequence: int | None = None) -> Request:
        """A request within the dialog, without Via and Contact (:rfc:`3261` §12.2.1.1).

        ``sequence`` is given for an ACK, which has the number of its INVITE; anything else takes the next one.
        """
        if sequence is None:
            self.local_sequence += 1
            sequence = self.local_sequence
        target, routes = as_request_uri(self.remote_target), list(self.route_set)
        if routes and not routes[0].uri.has_param("lr"):
            # A strict router expects itself in the Request-URI and the target at the end of the Route.
            routes.append(NameAddr("", target, ()))
            target = as_request_uri(routes.pop(0).uri)
        return make_request(
            method,
            target,
            routes=routes,
            from_=self.local,
            to=self.remote,
            call_id=self.call_id,
            sequence=sequence,
        )

    def next_hop(self) -> Uri:
        """Where a request of this dialog is sent: the first route, or the peer's Contact."""
        return self.route_set[0].uri if self.route_set else self.remote_target

    def check_sequence(self, request: Request) -> ParseError | None:
        """Take the request's CSeq, or say what to answer when it is out of order (:rfc:`3261` §12.2.2)."""
        number = request.cseq.number
        if self.remote_sequence is not None and number < self.remote_sequence:
            return ParseError(500, "CSeq Out Of Order")
        if request.method not in ("ACK", "CANCEL"):
            self.remote_sequence = number
        return None

    def refresh_target(self, message: Request | Response) -> None:
        """Take the Contact of a target refresh request, or of the 2xx to one (re-INVITE, UPDATE)."""
        contacts = readable(CONTACTS, message)
        if contacts:
            self.remote_target = contacts[0].uri


def secured(contact: NameAddr, *way: Uri) -> NameAddr:
    """Our ``contact`` in the dialog of a request with these URIs: by ``sips:`` where one of them is, for then the way goes by
    TLS all along.

    Those that say so are the Request-URI, and of what we send the first Route (:rfc:`3261` §8.1.1.8), of what comes the
    first Record-Route or where there is none the Contact (§12.1.1).
    """
    if "sips" not in [uri.scheme for uri in way]:
        return contact
    # Which says already what the transport is.
    params = tuple(param for param in contact.uri.params if param[0] != "transport")
    uri = replace(contact.uri, scheme="sips", params=params)
    return NameAddr(contact.display_name, uri, contact.params)


def as_request_uri(uri: Uri) -> Uri:
    """``uri`` without what a Request-URI must not have (:rfc:`3261` §19.1.1)."""
    kept = tuple([param for param in uri.params if param[0].lower() != "method"])
    if not uri.headers and len(kept) == len(uri.params):
        return uri
    return replace(uri, params=kept, headers=())
