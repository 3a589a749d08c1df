"""The headers that a click-to-call adds to the INVITEs of its legs, and those that it must not. Pure."""

from collections.abc import Mapping
from typing import Any

WAYS = {"in": "extension", "out": "contact"}
"""Keys of ``custom_sip_headers`` that hold the headers of one leg only: the specification's inbound and outbound leg."""

_OWN = """
    accept accept-contact accept-encoding accept-language accept-resource-priority additional-identity allow
    allow-events authentication-info authorization call-id cellular-network-info contact content-disposition
    content-encoding content-id content-language content-length content-type cseq date diversion encryption event
    expires feature-caps flow-timer from geolocation geolocation-error geolocation-routing hide history-info identity
    identity-info in-reply-to info-package join max-breadth max-forwards mime-version min-expires min-se path
    permission-missing policy-contact policy-id privacy proxy-authenticate proxy-authorization proxy-require rack
    reason reason-phrase record-route recv-info refer-events-at refer-sub refer-to referred-by reject-contact
    relayed-charge remote-party-id replaces request-disposition require resource-priority resource-share response-key
    restoration-info retry-after route rseq security-client security-server security-verify server service-route
    session-expires session-id sip-etag sip-if-match subscription-state supported suppress-if-match target-dialog
    timestamp to trigger-consent unsupported user-agent via warning www-authenticate
    a b c d e f i j k l m n o r t u v x y
"""
OWN = frozenset(_OWN.split())
"""Headers that make a message what it is, or say who calls, also in their compact forms, in lower case."""

PRIVATE = "p-"
"""How those begin that the servers of one operator tell each other (:rfc:`5727` §4), such as who is to pay."""

MOST_OCTETS = 8192
"""Of all headers that a click-to-call adds in one way: an INVITE has to fit into a datagram, also beside the other way."""

_AUTO_ANSWER = (
    # Polycom, Yealink, Mitel and Aastra, Cisco's multiplatform phones, Grandstream.
    ("Alert-Info", "<sip:{host}>;info=alert-autoanswer;delay=0"),
    # Snom, Grandstream, Yealink, Cisco's SPA and multiplatform phones, Gigaset.
    ("Call-Info", "<sip:{host}>;answer-after=0"),
    # RFC 5373.
    ("Answer-Mode", "Auto"),
    ("P-Auto-Answer", "normal"),
)


def is_own(name: str) -> bool:
    """Whether a header is not for a click-to-call to set."""
    return name.lower() in OWN or name.lower().startswith(PRIVATE)


def octets(given: Mapping[str, Any]) -> int:
    """What headers take, by name, also those within ``in`` and ``out``."""
    return sum(
        octets(value)
        if isinstance(value, Mapping)
        else len(f"{name}: {written(value)}\r\n".encode("utf-8", "replace"))
        for name, value in given.items()
    )


def written(value: object) -> str:
    """How a value stands in a header: truth in JSON's words."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def auto_answer(host: str) -> list[tuple[str, str]]:
    """What has a phone answer by itself. ``host`` stands where the grammar wants a URI, which no phone looks at."""
    return [(name, value.format(host=host)) for name, value in _AUTO_ANSWER]


def of_leg(
    clicktocall: Mapping[str, Any], role: str, host: str, variables: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """The further headers of the INVITE to the ``role`` ``extension`` or ``contact``.

    What the click-to-call itself says counts before what auto-answer and variables would.

    :param host: our side's domain, as in From
    :param variables: those of the call; the extension is sent those whose names begin with ``X-``
    """
    wanted, automatic = clicktocall.get("custom_sip_headers"), clicktocall.get("auto_answer")
    if not (wanted or automatic or variables):
        return ()
    found: list[tuple[str, str]] = []
    if role == "extension":
        if automatic:
            found += auto_answer(f"[{host}]" if ":" in host else host)
        found += [(n, v) for n, v in variables.items() if is_header(n)]
    custom: dict[str, str] = {}
    for name, value in (wanted or {}).items():
        if not isinstance(value, Mapping):
            custom[name] = written(value)
        elif WAYS.get(name) == role:
            custom |= {own: written(of_leg) for own, of_leg in value.items()}
    said = {name.lower() for name in custom}
    found = [item for item in found if item[0].lower() not in said]
    # A document may be older than what is refused today.
    return (*found, *(item for item in custom.items() if not is_own(item[0])))


def is_header(variable: str) -> bool:
    """Whether a variable is sent as a header: its name says so."""
    return variable[:2].lower() == "x-"
