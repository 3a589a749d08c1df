"""SIP messages: URIs, headers, requests and responses, and their way from and to the wire (:rfc:`3261` §7, §25)."""

from sipstack.message.errors import ParseError
from sipstack.message.headers import CSeq, NameAddr, Via, delta_seconds
from sipstack.message.message import (
    METHODS,
    REASONS,
    Message,
    Request,
    Response,
    make_request,
    make_response,
)
from sipstack.message.parser import check_request, check_response, parse_datagram
from sipstack.message.uri import Params, Uri

__all__ = [
    "METHODS",
    "REASONS",
    "CSeq",
    "Message",
    "NameAddr",
    "Params",
    "ParseError",
    "Request",
    "Response",
    "Uri",
    "Via",
    "check_request",
    "check_response",
    "delta_seconds",
    "make_request",
    "make_response",
    "parse_datagram",
]
