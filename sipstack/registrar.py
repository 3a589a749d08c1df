"""A registrar: the server of REGISTER (:rfc:`3261` §10.3). Pure."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sipstack.agent import preference, supports
from sipstack.digest import DigestServer
from sipstack.message import (
    NameAddr,
    ParseError,
    Request,
    Response,
    Uri,
    delta_seconds,
    make_response,
)
from sipstack.transport import Address

#: Bindings that one user may have, and proxies on the way to one of them.
MOST_BINDINGS, MOST_HOPS = 10, 10


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a user can be reached; ``expires`` is a moment on the registrar's clock, ``source`` where it came from.

    ``q`` is how much it is preferred, from 0 to 1, and ``path`` the Route of a request to it (:rfc:`3327`).
    """

    contact: Uri
    source: Address
    expires: float
    call_id: str
    sequence: int
    q: float = 1.0
    path: tuple[NameAddr, ...] = ()


class Registrar:
    """The users of one realm and their bindings. Expiries are in seconds."""

    def __init__(
        self,
        digest: DigestServer,
        password_of: Callable[[str], str | None],
        *,
        min_expires: int = 30,
        max_expires: int = 3600,
        new_tag: Callable[[], str] = lambda: secrets.token_hex(8),
        strict_uri: bool = True,
    ) -> None:
        """``strict_uri`` refuses a digest over another URI than the Request-URI."""
        self._digest = digest
        self._password_of = password_of
        self._min_expires = min_expires
        self._max_expires = max_expires
        self._new_tag = new_tag
        self._strict_uri = strict_uri
        self._bindings: dict[str, list[Binding]] = {}

    def bindings(self, user: str, now: float) -> list[Binding]:
        """Where a user can be reached now, the preferred first, and of them the newest."""
        held = [binding for binding in self._bindings.get(user, []) if binding.expires > now]
        if held:
            self._bindings[user] = held
        else:
            self._bindings.pop(user, None)
        return sorted(reversed(held), key=lambda binding: -binding.q)

    def receive(self, request: Request, source: Address, now: float) -> Response:
        """Answer a REGISTER."""
        try:
            return self._register(request, source, now)
        except ParseError as error:
            return self._refuse(request, error.status, error.reason)

    def _refuse(
        self,
        request: Request,
        status: int,
        reason: str | None = None,
        headers: list[tuple[str, str]] | None = None,
    ) -> Response:
        return make_response(request, status, reason, to_tag=self._new_tag(), headers=headers or [])

    def _register(self, request: Request, source: Address, now: float) -> Response:
        unknown = [tag for tag in request.values("Require") if tag.strip().lower() != "path"]
        if unknown:
            return self._refuse(request, 420, None, [("Unsupported", ", ".join(unknown))])
        if request.to.uri.scheme not in ("sip", "sips"):
            return self._refuse(request, 400, "An Address-of-Record Is a SIP URI")
        uri = request.request_uri if self._strict_uri else None
        verdict = self._digest.verify(
            request.get("Authorization"), "REGISTER", uri, self._password_of, now
        )
        if not verdict.ok:
            challenges = self._digest.challenges(now, verdict.stale)
            headers = [("WWW-Authenticate", challenge) for challenge in challenges]
            return self._refuse(request, 401, None, headers)
        user = request.to.uri.unescaped_user
        if user != verdict.username:
            return self._refuse(request, 403)
        if request.to.uri.host.lower() != request.uri.host.lower():
            return self._refuse(request, 404)  # an address-of-record of somebody else's domain
        held = self.bindings(user, now)
        if request.contact_star:
            if request.expires != 0:
                return self._refuse(request, 400, "Contact * needs Expires 0")
            if not all(self._in_order(request, binding) for binding in held):
                return self._refuse(request, 500, "CSeq Out Of Order")
            self._bindings.pop(user, None)
            held = []
        elif request.contacts:
            changed = self._change(request, list(self._bindings.get(user, ())), source, now)
            if isinstance(changed, Response):
                return changed
            self._bindings[user] = changed
            held = self.bindings(user, now)
        headers = [("Contact", str(_described(binding, now))) for binding in held]
        if supports(request, "path"):
            headers += [("Path", value) for value in request.values("Path")]
        return make_response(request, 200, to_tag=self._new_tag(), headers=headers)

    def _change(
        self, request: Request, held: list[Binding], source: Address, now: float
    ) -> list[Binding] | Response:
        path = tuple(NameAddr.parse(value) for value in request.values("Path"))
        if len(path) > MOST_HOPS:
            return self._refuse(request, 400, "Too Many Hops in Path")
        for contact in request.contacts:
            expires = self._expires(request, contact)
            if 0 < expires < self._min_expires:
                minimum = [("Min-Expires", str(self._min_expires))]
                return self._refuse(request, 423, None, minimum)
            known = next((b for b in held if b.contact.equivalent(contact.uri)), None)
            if known is not None:
                if not self._in_order(request, known):
                    return self._refuse(request, 500, "CSeq Out Of Order")
                held.remove(known)
            if expires:
                until = now + min(expires, self._max_expires)
                q = preference(contact)
                held.append(
                    Binding(
                        contact.uri, source, until, request.call_id, request.cseq.number, q, path
                    )
                )
        if len(held) > MOST_BINDINGS:
            return self._refuse(request, 403, "Too Many Contacts")
        return held

    def _expires(self, request: Request, contact: NameAddr) -> int:
        text = contact.param("expires")
        if text is not None:
            return delta_seconds(text)
        return request.expires if request.expires is not None else self._max_expires

    @staticmethod
    def _in_order(request: Request, binding: Binding) -> bool:
        # An equal number is a copy of the request that made the binding: it says the same once more.
        return request.call_id != binding.call_id or request.cseq.number >= binding.sequence


def _described(binding: Binding, now: float) -> NameAddr:
    params: tuple[tuple[str, str | None], ...] = (("expires", str(round(binding.expires - now))),)
    if binding.q != 1.0:
        params += (("q", f"{binding.q:g}"),)
    return NameAddr("", binding.contact, params)
