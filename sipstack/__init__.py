"""A SIP and RTP user-agent library in pure Python. It knows nothing of click-to-call, HTTP or databases.

What a program of one's own needs first can be had from here, ``docs/sipstack.md`` shows how; a module is loaded when the
first of its names is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sipstack.call import Outbound, OutgoingCall
    from sipstack.digest import Credentials, DigestClient, DigestServer
    from sipstack.events import Answered, EarlyMedia, Ended, Event, Failed, Info, Ringing
    from sipstack.incoming import IncomingCall
    from sipstack.media import MediaPlane
    from sipstack.media.tones import Playback, Tone
    from sipstack.media.wav import Clip, WavError
    from sipstack.message import (
        CSeq,
        NameAddr,
        ParseError,
        Request,
        Response,
        Uri,
        Via,
        make_response,
        parse_datagram,
    )
    from sipstack.phone import (
        CallFailed,
        ListenError,
        Phone,
        PhoneCall,
        RegistrationFailed,
        Tls,
        open_transport,
    )
    from sipstack.registrar import Registrar
    from sipstack.registration import Registration
    from sipstack.resolver import DnsLookup, ResolveError, Resolver, Target
    from sipstack.sdp import LocalMedia, SessionDescription
    from sipstack.trace import Trace
    from sipstack.transport.stream import StreamTransport
    from sipstack.transport.udp import UdpTransport
    from sipstack.useragent import UserAgent

#: The names that are to be had from here, by the module that each is in.
_PLACES = {
    "call": ("Outbound", "OutgoingCall"),
    "digest": ("Credentials", "DigestClient", "DigestServer"),
    "events": ("Answered", "EarlyMedia", "Ended", "Event", "Failed", "Info", "Ringing"),
    "incoming": ("IncomingCall",),
    "media": ("MediaPlane",),
    "media.tones": ("Playback", "Tone"),
    "media.wav": ("Clip", "WavError"),
    "message": (
        "CSeq",
        "NameAddr",
        "ParseError",
        "Request",
        "Response",
        "Uri",
        "Via",
        "make_response",
        "parse_datagram",
    ),
    "phone": (
        "CallFailed",
        "ListenError",
        "Phone",
        "PhoneCall",
        "RegistrationFailed",
        "Tls",
        "open_transport",
    ),
    "registrar": ("Registrar",),
    "registration": ("Registration",),
    "resolver": ("DnsLookup", "ResolveError", "Resolver", "Target"),
    "sdp": ("LocalMedia", "SessionDescription"),
    "trace": ("Trace",),
    "transport.stream": ("StreamTransport",),
    "transport.udp": ("UdpTransport",),
    "useragent": ("UserAgent",),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Answered",
    "CSeq",
    "CallFailed",
    "Clip",
    "Credentials",
    "DigestClient",
    "DigestServer",
    "DnsLookup",
    "EarlyMedia",
    "Ended",
    "Event",
    "Failed",
    "IncomingCall",
    "Info",
    "ListenError",
    "LocalMedia",
    "MediaPlane",
    "NameAddr",
    "Outbound",
    "OutgoingCall",
    "ParseError",
    "Phone",
    "PhoneCall",
    "Playback",
    "Registrar",
    "Registration",
    "RegistrationFailed",
    "Request",
    "ResolveError",
    "Resolver",
    "Response",
    "Ringing",
    "SessionDescription",
    "StreamTransport",
    "Target",
    "Tls",
    "Tone",
    "Trace",
    "UdpTransport",
    "Uri",
    "UserAgent",
    "Via",
    "WavError",
    "make_response",
    "open_transport",
    "parse_datagram",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
