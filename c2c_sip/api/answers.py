"""What answers look like, as Cerberus schemas: for the description of the API, which the tests hold against them."""

from typing import Any

from c2c_sip.schemas import ACCOUNT, CLICKTOCALL, MEDIA, USER, WEBHOOK

Fields = dict[str, Any]


def _text(description: str = "", nullable: bool = False) -> Fields:
    found: Fields = {"type": "string", "required": True, "nullable": nullable}
    return found | ({"meta": {"description": description}} if description else {})


def _whole(description: str = "", nullable: bool = False) -> Fields:
    return _text(description, nullable) | {"type": "integer"}


def _number(description: str, nullable: bool = False) -> Fields:
    return _text(description, nullable) | {"type": "float"}


def _flag(description: str = "") -> Fields:
    return _text(description) | {"type": "boolean"}


_ID = _text("32 hexadecimal digits.")
#: When something was, in Kazoo's three ways.
_TIMES: Fields = {
    "timestamp": _whole("Gregorian seconds, Kazoo's own: Unix time plus 62167219200."),
    "unix_timestamp": _whole(),
    "iso_8601": _text(),
}
_SECONDS: Fields = {
    "duration_seconds": _whole(),
    "billing_seconds": _whole("From the answer on."),
    "ringing_seconds": _whole(),
}

CLICKTOCALL_SHOWN: Fields = CLICKTOCALL | {
    "id": _ID,
    "history_items": _whole("How many activations there were."),
}
CLICKTOCALL_SUMMARY: Fields = {
    "id": _ID,
    "name": _text(),
    "extension": CLICKTOCALL["extension"],
    "realm": _text(),
}
ACCOUNT_SHOWN: Fields = ACCOUNT | {
    "id": _ID,
    "realm": _text(),
    "parent_id": _text(nullable=True),
}
ACCOUNT_MADE: Fields = ACCOUNT_SHOWN | {
    "api_key": _text("Told this once only."),
    "username": _text("Of its first user."),
    "password": _text("Told this once only."),
}
ACCOUNT_NAMED: Fields = {"id": _ID, "name": _text()}
ACCOUNT_SUMMARY: Fields = ACCOUNT_NAMED | {
    "realm": _text(),
    "tree": {
        "type": "list",
        "required": True,
        "schema": {"type": "string"},
        "meta": {"description": "The accounts above it, the topmost first."},
    },
}
USER_SHOWN: Fields = {k: v for k, v in USER.items() if k != "password"} | {"id": _ID}
MEDIA_SHOWN: Fields = MEDIA | {
    "id": _ID,
    "content_type": {"type": "string", "meta": {"description": "Once there is audio."}},
    "content_length": {"type": "integer", "meta": {"description": "Octets of it."}},
}
WEBHOOK_SHOWN: Fields = {k: v for k, v in WEBHOOK.items() if k != "secret"} | {"id": _ID}
WEBHOOK_MADE: Fields = WEBHOOK_SHOWN | {"secret": _text("Told this once only.")}
WEBHOOK_ATTEMPT: Fields = {
    "id": _text("Of the notice, as in its header `webhook-id`."),
    "hook_id": _ID,
    "activation_id": _ID,
    "result": _text("`retrying`, or `failed` where it was given up."),
    "reason": _text("What was wrong the last time."),
    "attempts": _whole(),
    "next_attempt": _whole("Unix seconds.", nullable=True),
    **_TIMES,
}
RECORDING: Fields = {"id": _text("Of the activation.")}
AUDIT_ENTRY: Fields = {
    "id": _ID,
    **_TIMES,
    "actor_account_id": _text("The account of whoever did it.", nullable=True),
    "actor_id": _text("The user.", nullable=True),
    "method": _text("How he had signed in."),
    "client": _text("The address that he asked from."),
    "action": _text("`create`, `update`, `upload` or `delete`."),
    "kind": _text("Of what."),
    "target_id": _text("Its id."),
    "changes": {
        "type": "dict",
        "required": True,
        "meta": {"description": "The fields that have changed, each `from` and `to`."},
    },
}
API_KEY: Fields = {"api_key_id": _text("The first 16 digits of the key.", nullable=True)}
API_KEY_MADE: Fields = {"api_key": _text("Told this once only."), "api_key_id": _text()}
SIGNED_IN: Fields = {
    "account_id": _ID,
    "account_name": _text(),
    "owner_id": _text("The user's id.", nullable=True),
    "method": _text(),
    "is_reseller": _flag(),
    "reseller_id": _text(nullable=True),
    "language": _text(),
    "apps": {"type": "list", "required": True},
}
TOKEN: Fields = {
    "account_id": _ID,
    "owner_id": _text(nullable=True),
    "method": _text(),
    "created": _text(),
    "expires": _text(),
}
ACTIVATION: Fields = {
    "id": _ID,
    "contact": _text(),
    **_TIMES,
    "call_id": _text("Call-ID of the leg to the contact.", nullable=True),
    "cdr_id": _text("Its CDR.", nullable=True),
    "extension_call_id": _text(nullable=True),
    "extension_cdr_id": _text(nullable=True),
    "state": _text()
    | {
        "allowed": [
            "initiated",
            "extension_ringing",
            "extension_answered",
            "contact_ringing",
            "contact_answered",
            "connected",
            "ended",
        ]
    },
    "result": _text("`success` once the two were connected.", nullable=True)
    | {"allowed": ["success", "error"]},
    "cause": _text("Kazoo's hangup cause.", nullable=True),
    "sip_status": _whole(nullable=True),
    **_SECONDS,
    "explanation": _text(
        "Why it ended as it did, in a sentence, as far as that is a visitor's business; empty while it goes on."
    ),
    "rule": {"type": "string", "meta": {"description": "Why it was refused, if it was."}},
    "times": {"type": "integer", "meta": {"description": "How often, where one stands for all."}},
}
HISTORY_ITEM: Fields = ACTIVATION | {
    "explanation": _text("Why it ended as it did, in a sentence; empty while it goes on."),
    "custom_application_vars": {
        "type": "dict",
        "required": True,
        "valuesrules": {"type": "string"},
        "meta": {"description": "What the click-to-call keeps with its calls."},
    },
    "recording": _flag("Whether there is a recording to fetch, as `recording.wav`."),
}

#: How a leg's audio was: what came from its peer, then what was sent to it. See docs/media.md.
HEARD: Fields = {
    "packets_received": _whole("From the peer, late ones and copies too."),
    "bytes_received": _whole("RTP with its headers."),
    "packets_sent": _whole(),
    "bytes_sent": _whole(),
    "lost": _whole("That the peer sent and that never came."),
    "late": _whole("That came out of order."),
    "duplicate": _whole("That came again."),
    "jitter_ms": _number("As RFC 3550 has it, now."),
    "mean_jitter_ms": _number("On average."),
    "max_jitter_ms": _number("At its worst."),
    "longest_gap_ms": _number("Between two packets."),
    "rejected": _whole("From strangers, in a format not agreed on, unauthenticated, or no RTP."),
    "unauthenticated": _whole("Those that SRTP refused."),
    "stranger": _text("HOST:PORT of the last who was not taken for the peer.", nullable=True),
    "source_changes": _whole("How often the peer was found at another address."),
    "codec": _text("That the peer sent last.", nullable=True),
    "mos": _number("How that probably sounded, 1 to 4.5 (E-model, ITU-T G.107).", nullable=True),
    "peer_lost": _whole("What the peer says of our stream, by RTCP.", nullable=True),
    "peer_jitter_ms": _number("The same.", nullable=True),
    "round_trip_ms": _number("The same.", nullable=True),
    "peer_mos": _number("How our stream probably sounded there.", nullable=True),
    "silent_seconds": _number("Since the last packet; null where none came.", nullable=True),
}
ACCOUNT_HISTORY_ITEM: Fields = HISTORY_ITEM | {
    "clicktocall_id": _ID,
    "clicktocall_name": _text("As it is called now."),
}
CDR: Fields = {
    "id": _ID,
    "call_id": _text(),
    "activation_id": _ID,
    "interaction_id": _text("The same, by Kazoo's name."),
    "role": _text("`extension`, `contact` or `transfer`."),
    "direction": _text(),
    "from": _text(),
    "to": _text(),
    **_TIMES,
    "answered": _flag(),
    **_SECONDS,
    "hangup_cause": _text(nullable=True),
    "cause": _text(nullable=True),
    "sip_status": _whole(nullable=True),
    "hangup_by": _text(nullable=True),
    "media": {
        "type": "dict",
        "required": True,
        "nullable": True,
        # An older record has fewer of them.
        "schema": {name: field | {"required": False} for name, field in HEARD.items()},
        "meta": {"description": "How the audio was; null while the call goes on."},
    },
}
CHANNEL: Fields = {
    "id": _text(),
    "call_id": _text(),
    "uuid": _text(),
    "other_leg": _text(),
    "other_leg_call_id": _text(),
    "activation_id": _ID,
    "clicktocall_id": _ID,
    "role": _text(),
    "direction": _text(),
    "answered": _flag(),
    "state": _text(),
    "from": _text(),
    "to": _text(),
    "destination": _text("The user part of `to`."),
    "timestamp": _whole("When the call began, in Gregorian seconds."),
    "elapsed_s": _whole(),
    "media": {
        "type": "dict",
        "required": True,
        "schema": HEARD,
        "meta": {"description": "How the audio is so far."},
    },
}
HOURS: Fields = {
    "open": _flag("Whether calls are made now."),
    "timezone": _text(),
    "message": _text("What to tell a visitor, where it is not open.", nullable=True),
    "changes": _text("When that will change; null where it never does.", nullable=True),
}
LINK_MADE: Fields = {
    "id": _ID,
    "url": _text("Activates without a token."),
    "link": _text("Its signed part."),
    "expires": _text(),
    "uses": _whole("Calls that it is good for."),
    "contact": {"type": "string"},
    "pattern": {"type": "string"},
}
NEVER_CALLED: Fields = {"number": _text(), "source": _text(), "created": _text()}
STATUS: Fields = {"status": _text()}
TRUNK: Fields = {
    "name": _text(),
    "domain": _text(),
    "transport": _text() | {"allowed": ["udp", "tcp", "tls"]},
    "register": _flag("Whether we register there."),
    "state": _text("`static` where we do not register.")
    | {"allowed": ["registered", "registering", "failed", "unregistered", "static"]},
    "last_error": {
        "type": "dict",
        "required": True,
        "nullable": True,
        "schema": {
            "status": _whole("Of the final response, if there was one.", nullable=True),
            "reason": _text(),
            "iso_8601": _text(),
        },
        "meta": {"description": "The last one there was, also where all is well again."},
    },
    "explanation": _text("What is wrong, and what to look at; empty where nothing is."),
    "server": _text("`HOST:PORT` of the server that has us; empty where none has."),
    "expires_in": _whole("Seconds until the registration ends unless refreshed.", nullable=True),
    "since": _text("Since when it is in this state.", nullable=True),
    "calls": _whole("Live calls that go through it."),
}
SETTING: Fields = {
    "name": _text("As `http.listen`, and of a trunk `trunk.NAME.domain`."),
    "value": {
        "required": True,
        "meta": {"description": "`***` for a secret that is set."},
    },
    "default": {"required": True},
    "origin": _text() | {"allowed": ["default", "file", "environment"]},
    "source": _text("The path of the file, or the name of the variable."),
    "secret": _flag(),
    "reload": _flag("Whether a change is heeded on SIGHUP, without a restart."),
}
