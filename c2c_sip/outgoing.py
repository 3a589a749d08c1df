"""Requests to URLs that an account has given: to no address of ours, followed nowhere else, over after a while."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from c2c_sip.calling.address import Network, is_forbidden, is_forbidden_host, read_address
from sipstack.transport.own import is_own

#: Seconds that all of a request may take; and those that a connection may.
TIMEOUT = 10.0
CONNECTING = 5.0
#: Octets of an answer that are read.
MOST = 65_536

#: Host and port → addresses, as IP literals.
Resolve = Callable[[str, int], Sequence[str]]


class NotSent(Exception):
    """The request has had no answer; the text says why."""


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system has them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def fault(url: object, allowed: Sequence[Network] = ()) -> str | None:
    """What is wrong with a URL to be told at; ``None``: nothing that can be seen without asking for its name."""
    if not isinstance(url, str) or len(url) > 2048 or not url.isascii() or not url.isprintable():
        return "an http or https URL of printable ASCII characters"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "an http or https URL"
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in url:
        return "an http or https URL"
    if parts.username is not None or parts.password is not None:
        return "a URL without a user or a password in it"
    if port == 0:
        return "a URL with a port that there is"
    if is_forbidden_host(parts.hostname, allowed):
        return "a URL of a public host, unless the operator allows its network"
    return None


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    allowed: Sequence[Network] = (),
    *,
    find: Resolve = resolve,
    own: Callable[[str], bool] = is_own,
    tls: ssl.SSLContext | None = None,
    timeout: float = TIMEOUT,
) -> int:
    """Send a POST; the status of its answer, whatever that is.

    The address that is checked is the one that is connected to, so that a name that means something else the next moment
    leads nowhere. The certificate has to be that of the name.

    :param allowed: networks that may be sent to although they are not public, or this machine's own
    :param own: whether an address is this machine's, by which its other programs are reached past the firewall
    :raises NotSent: there was no answer, or must not be any
    """
    wrong = fault(url, allowed)
    if wrong is not None:
        raise NotSent(f"the URL is not {wrong}")
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    sock: socket.socket | None = None
    # A peer that sends an octet now and then is never too slow for a socket's own time-out.
    late = threading.Event()

    def cut() -> None:
        late.set()
        _cut(sock)

    watchdog = threading.Timer(timeout, cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        sock = _connected(
            _acceptable(host, port, find, allowed, own), port, min(timeout, CONNECTING)
        )
        sock.settimeout(timeout)
        if parts.scheme == "https":
            sock = (tls or ssl.create_default_context()).wrap_socket(sock, server_hostname=host)
        connection = http.client.HTTPConnection(host, port)
        connection.sock = sock
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, {"Host": parts.netloc} | dict(headers))
        answer = connection.getresponse()
        if late.is_set():
            # What was cut off in its headers looks like an answer whose headers end there.
            raise NotSent(f"no whole answer within {timeout:g} s")
        # The status is all that counts: how long the rest takes, and how it ends, is of no interest.
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer.read(MOST)
        return answer.status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotSent(str(error) or type(error).__name__) from error
    finally:
        watchdog.cancel()
        if sock is not None:
            sock.close()


def _acceptable(
    host: str, port: int, find: Resolve, allowed: Sequence[Network], own: Callable[[str], bool]
) -> list[str]:
    """The addresses of a host that may be sent to; at least one."""
    found = list(dict.fromkeys(find(host, port)))
    if not found:
        raise NotSent(f"{host} has no address")
    public = [address for address in found if not is_forbidden(address, allowed)]
    if not public:
        raise NotSent(f"{host} is at {found[0]}, which is no public address")
    others = [
        address
        for address in public
        if any(read_address(address) in network for network in allowed) or not own(address)
    ]
    if not others:
        raise NotSent(
            f"{host} is at {public[0]}, which is this machine's own address: its operator may allow it, webhooks.networks"
        )
    return others


def _connected(addresses: Sequence[str], port: int, timeout: float) -> socket.socket:
    error: OSError | None = None
    for address in addresses[:3]:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as problem:
            error = problem
    raise error or OSError("there is no address")


def _cut(sock: socket.socket | None) -> None:
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was over already
