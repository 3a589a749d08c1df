"""Symmetric response routing (:rfc:`3581`, :rfc:`3261` §18.2): where a request really came from, and answers go."""

from sipstack.message import Request
from sipstack.transport import Address


def note_source(request: Request, source: Address) -> None:
    """Write where a request came from into its top Via, where that is not what it says or was asked for."""
    via = request.via
    wants_port = via.has_param("rport")
    if not wants_port and via.host == source[0]:
        return
    params = tuple(pair for pair in via.params if pair[0].lower() not in ("rport", "received"))
    params += (("received", source[0]),)
    if wants_port:
        params += (("rport", str(source[1])),)
    request.remove_first("Via")
    request.insert_first("Via", str(via.with_params(params)))


def reply_address(request: Request, source: Address) -> Address:
    """Where responses go: the source address, and its port where ``rport`` was asked for.

    ``maddr`` is not followed: it would have us send to whomever a stranger names.
    """
    via = request.via
    if via.has_param("rport"):
        return source
    return source[0], via.port or 5060
