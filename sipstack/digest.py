"""Digest access authentication for SIP, client and server (:rfc:`7616`, :rfc:`8760`, :rfc:`3261` §22). Pure."""

import hashlib
import hmac
import itertools
import re
import secrets
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from sipstack.message import ParseError, Response
from sipstack.message.headers import quote_string, unquote_string

__all__ = [
    "Challenge",
    "Credentials",
    "DigestClient",
    "DigestError",
    "DigestServer",
    "Verdict",
    "challenges",
]

_ALGORITHMS: dict[str, tuple[int, Callable[[bytes], str]]] = {
    "SHA-512-256": (3, lambda octets: hashlib.new("sha512_256", octets).hexdigest()),
    "SHA-256": (2, lambda octets: hashlib.sha256(octets).hexdigest()),
    "MD5": (1, lambda octets: hashlib.md5(octets, usedforsecurity=False).hexdigest()),
}
"""By name: strength for comparison, and the hash."""

#: Possessive: a long value is looked at once, and nothing of it is kept to go back to.
_PARAM = re.compile(r'[\s,]*+([A-Za-z0-9_-]++)\s*+=\s*+("(?:[^"\\]++|\\.)*+"|[^\s,"]++)\s*+')
_MOST_PARAMS = 32
_MOST_QOPS = 8


class DigestError(ParseError):
    """No challenge that we can answer, or an Authorization that cannot be read."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and its password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, ...)"


def _octets(text: str) -> bytes:
    """As it was on the wire, even where that was no UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _parse(text: str) -> dict[str, str]:
    """The parameters of a ``Digest`` challenge or answer, names in lower case, quotes undone."""
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "digest":
        raise DigestError(400, "Not Digest")
    found: dict[str, str] = {}
    position = 0
    # Nothing between two commas is no parameter (:rfc:`9110` §5.6.1).
    rest = rest.strip(" \t\r\n,")
    while position < len(rest):
        match = _PARAM.match(rest, position)
        if match is None or len(found) >= _MOST_PARAMS:
            raise DigestError(400, "Malformed Digest parameters")
        value = match.group(2)
        name = match.group(1).lower()
        if name in found:
            raise DigestError(400, "Repeated Digest parameter")
        found[name] = unquote_string(value) if value.startswith('"') else value
        position = match.end()
    return found


def _algorithm(params: Mapping[str, str]) -> tuple[int, Callable[[bytes], str], bool] | None:
    name = params.get("algorithm", "MD5").upper()
    session = name.endswith("-SESS")
    known = _ALGORITHMS.get(name.removesuffix("-SESS"))
    return (*known, session) if known is not None else None


def _offered(challenge: Mapping[str, str]) -> list[str]:
    """The protections that a challenge offers; behind the first few no honest one has any."""
    return [q.strip().lower() for q in challenge.get("qop", "").split(",", _MOST_QOPS) if q.strip()]


def _compute(
    digest: Callable[[bytes], str],
    params: dict[str, str],
    secret: str,
    method: str,
    body: bytes,
    session: bool,
) -> str:
    """The ``response`` value for the parameters of an Authorization; ``secret`` is H(username:realm:password)."""

    def h(text: str) -> str:
        return digest(_octets(text))

    a1 = secret
    if session:
        a1 = h(f"{secret}:{params['nonce']}:{params.get('cnonce', '')}")
    qop = params.get("qop")
    a2 = f"{method}:{params['uri']}"
    if qop == "auth-int":
        a2 += f":{digest(body)}"
    if qop is None:
        return h(f"{a1}:{params['nonce']}:{h(a2)}")
    return h(
        f"{a1}:{params['nonce']}:{params.get('nc', '')}:{params.get('cnonce', '')}:{qop}:{h(a2)}"
    )


#: Nonces whose counts are remembered.
_NONCES = 1000
#: Kinds of requests whose nonces are kept.
_KEPT = 100
_KINDS = (
    (401, "WWW-Authenticate", "Authorization", "Authentication-Info"),
    (407, "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info"),
)
"""The status of who asks, the headers of its question and of our answer, and where it names its next nonce."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What one realm asks for: of all that it offers, the strongest that we can do."""

    realm: str
    #: The header that answers it.
    header: str
    strength: int
    params: Mapping[str, str]

    @property
    def stale(self) -> bool:
        """Whether it only says that the nonce was too old, not that the password was wrong."""
        return self.params.get("stale", "").lower() == "true"


def challenges(response: Response) -> list[Challenge]:
    """What a 401 or 407 asks for that we can answer, one for each realm.

    A proxy that forked puts the questions of all into one response (:rfc:`3261` §22.3), of servers and proxies alike.
    A realm that asks as both is answered as what the status says.
    """
    found: dict[str, Challenge] = {}
    for _, asking, answering, _ in sorted(_KINDS, key=lambda kind: kind[0] != response.status):
        for line in response.get_all(asking):
            try:
                params = _parse(line)
            except DigestError:
                continue  # Basic, or a scheme to come: another line may have what we can do
            algorithm = _algorithm(params)
            if algorithm is None or "nonce" not in params or "realm" not in params:
                continue
            offered = _offered(params)
            if offered and not {"auth", "auth-int"} & set(offered):
                continue
            realm = params["realm"]
            before = found.get(realm)
            if before is None or (before.header == answering and algorithm[0] > before.strength):
                found[realm] = Challenge(realm, answering, algorithm[0], params)
    return list(found.values())


class DigestClient:
    """Answers challenges with one user's password; counts the uses of each nonce, and keeps good ones for the next
    request of the same kind (:rfc:`7616` §3.6): a method, or a method at one server."""

    def __init__(
        self,
        credentials: Credentials,
        make_cnonce: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._credentials = credentials
        self._make_cnonce = make_cnonce
        self._counts: dict[str, int] = {}
        self._kept: dict[Hashable, tuple[Challenge, ...]] = {}

    def authorize(
        self, response: Response, method: str, uri: str, body: bytes = b""
    ) -> tuple[str, str]:
        """The header (name, value) that answers the strongest challenge of a 401 or 407 that we support.

        Of who asked, as its status says; see :func:`challenges` for where several ask.

        :raises DigestError: there is none.
        """
        header = next(answering for status, _, answering, _ in _KINDS if status == response.status)
        asked = [challenge for challenge in challenges(response) if challenge.header == header]
        if not asked:
            raise DigestError(400, "No challenge that can be answered")
        best = max(asked, key=lambda challenge: challenge.strength)
        self.keep([best], method)
        return self.answer(best, method, uri, body)

    def answer(
        self, challenge: Challenge, method: str, uri: str, body: bytes = b""
    ) -> tuple[str, str]:
        """The header (name, value) that answers ``challenge`` for one request; for each further one, another."""
        return challenge.header, self._answer(challenge.params, method, uri, body)

    def keep(self, answered: Iterable[Challenge], kind: Hashable) -> None:
        """Begin the next request of this ``kind`` with the nonces of these."""
        self._kept.pop(kind, None)
        # Without a count the same nonce cannot be used twice and be told from a replay.
        self._kept[kind] = tuple(c for c in answered if c.params.get("qop"))
        if len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]

    def kept(self, kind: Hashable) -> tuple[Challenge, ...]:
        """Whose nonces the last request of this kind was let in with."""
        return self._kept.get(kind, ())

    def forget(self, kind: Hashable) -> None:
        """The kept nonces are not good any more."""
        self._kept.pop(kind, None)

    def accepted(self, response: Response, kind: Hashable) -> None:
        """Take the next nonce that a 2xx names (:rfc:`7616` §3.5), where it is clear whose it is."""
        for _, _, answering, naming in _KINDS:
            line = response.get(naming)
            kept = self.kept(kind)
            asked = [challenge for challenge in kept if challenge.header == answering]
            if line is None or len(asked) != 1:
                continue
            try:
                following = _parse(f"Digest {line}").get("nextnonce")
            except DigestError:
                continue  # what cannot be read changes nothing
            if following:
                new = replace(asked[0], params={**asked[0].params, "nonce": following})
                self._kept[kind] = tuple(new if c is asked[0] else c for c in kept)

    def _answer(self, challenge: Mapping[str, str], method: str, uri: str, body: bytes) -> str:
        algorithm = _algorithm(challenge)
        assert algorithm is not None
        _, digest, session = algorithm
        user, realm, nonce = self._credentials.username, challenge["realm"], challenge["nonce"]
        params = {"username": user, "realm": realm, "nonce": nonce, "uri": uri}
        offered = _offered(challenge)
        if "auth" in offered or "auth-int" in offered:
            # The newest last, so that it is the oldest nonces that are forgotten.
            self._counts[nonce] = self._counts.pop(nonce, 0) + 1
            if len(self._counts) > _NONCES:
                del self._counts[next(iter(self._counts))]
            params["qop"] = "auth" if "auth" in offered else "auth-int"
            params["nc"] = f"{self._counts[nonce]:08x}"
        if "qop" in params or session:
            params["cnonce"] = self._make_cnonce()
        secret = digest(_octets(f"{user}:{realm}:{self._credentials.password}"))
        params["response"] = _compute(digest, params, secret, method, body, session)
        if "opaque" in challenge:
            params["opaque"] = challenge["opaque"]
        if "algorithm" in challenge:
            params["algorithm"] = challenge["algorithm"]
        bare = ("qop", "nc", "algorithm")
        return "Digest " + ", ".join(
            f"{name}={value if name in bare else quote_string(value)}"
            for name, value in params.items()
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an Authorization was worth: ``stale`` asks for a new challenge with ``stale=true``."""

    ok: bool
    username: str = ""
    stale: bool = False


class DigestServer:
    """Challenges, and checks the answers. Nonces carry their own time and seal, so none has to be remembered
    until it was used.

    ``counting`` refuses a nonce count that was used before; not for a stateless proxy, to which a retransmission is
    the same as a replay. ``secret`` seals the nonces; ``lifetime`` in seconds is how long one serves. ``algorithms`` are challenged in
    this order.
    """

    def __init__(
        self,
        realm: str,
        secret: bytes,
        *,
        lifetime: float = 300.0,
        algorithms: tuple[str, ...] = ("SHA-256", "MD5"),
        counting: bool = True,
    ) -> None:
        self.realm = realm
        self._secret = secret
        self._lifetime = lifetime
        self._algorithms = algorithms
        self._counting = counting
        self._counts: dict[str, int] = {}
        #: Who are challenged in one moment have a nonce each, or the second would be taken for a replay of the first.
        self._numbers = itertools.count()

    def challenges(self, now: float, stale: bool = False) -> list[str]:
        """The values of the WWW-Authenticate or Proxy-Authenticate headers of a challenge, one an algorithm."""
        nonce = self._nonce(now)
        suffix = ", stale=true" if stale else ""
        return [
            f'Digest realm={quote_string(self.realm)}, nonce="{nonce}", algorithm={algorithm}, qop="auth"{suffix}'
            for algorithm in self._algorithms
        ]

    def verify(
        self,
        header: str | None,
        method: str,
        uri: str | None,
        password_of: Callable[[str], str | None],
        now: float,
        body: bytes = b"",
    ) -> Verdict:
        """Check an Authorization against the password of its user, the request's method and URI, and its nonce count.

        With ``uri`` ``None`` the URI that was digested is not compared: some phones digest another than they send.
        """
        if header is None:
            return Verdict(False)
        try:
            params = _parse(header)
        except DigestError:
            return Verdict(False)
        algorithm = _algorithm(params)
        needed = {"username", "realm", "nonce", "uri", "response"}
        if algorithm is None or not needed <= params.keys() or params["realm"] != self.realm:
            return Verdict(False)
        username = params["username"]
        if params.get("algorithm", "MD5").upper().removesuffix("-SESS") not in self._algorithms:
            return Verdict(False, username)
        password = password_of(username)
        _, digest, session = algorithm
        secret = digest(_octets(f"{username}:{self.realm}:{password or ''}"))
        expected = _compute(digest, params, secret, method, body, session)
        matches = hmac.compare_digest(_octets(expected), _octets(params["response"].lower()))
        if password is None or not matches or uri not in (None, params["uri"]):
            return Verdict(False, username)
        if not self._fresh(params["nonce"], now):
            return Verdict(False, username, stale=True)
        if (
            self._counting
            and "qop" in params
            and not self._counted(params["nonce"], params.get("nc", ""))
        ):
            return Verdict(False, username, stale=True)
        return Verdict(True, username)

    def _nonce(self, now: float) -> str:
        stamp = f"{int(now * 1000):x}-{next(self._numbers):x}"
        return f"{stamp}.{self._seal(stamp)}"

    def _seal(self, stamp: str) -> str:
        return hmac.new(self._secret, _octets(stamp), "sha256").hexdigest()[:32]

    def _fresh(self, nonce: str, now: float) -> bool:
        stamp, _, seal = nonce.partition(".")
        if not hmac.compare_digest(_octets(seal), _octets(self._seal(stamp))):
            return False
        return 0 <= now - int(stamp.partition("-")[0], 16) / 1000 <= self._lifetime

    def _counted(self, nonce: str, text: str) -> bool:
        """Whether this nonce count is higher than any before: a repeated one is a replay (:rfc:`7616` §5.5)."""
        if not re.fullmatch(r"[0-9a-fA-F]{8}", text):
            return False
        count = int(text, 16)
        if count <= self._counts.get(nonce, 0):
            return False
        while len(self._counts) >= 10_000:
            self._counts.pop(next(iter(self._counts)))
        self._counts[nonce] = count
        return True
