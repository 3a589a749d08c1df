"""sipp as the one who calls: the steps of a scenario, and a UAC that fails on a message that is not in it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.interop.programs.base import HOST, Program, free_port

_HEAD = """Via: SIP/2.0/UDP [local_ip]:[local_port];branch=z9hG4bK[pid]x[call_number]{branch}
From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPpTag00[call_number]
To: <sip:{user}@[remote_ip]:[remote_port]>{tag}
Call-ID: [call_id]
CSeq: {cseq}
Contact: <sip:sipp@[local_ip]:[local_port]>
Max-Forwards: 70
"""
_SDP = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=sipp 1 {version} IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
_EMPTY = "Content-Length: 0\n"


def _send(text: str, more: str = "") -> str:
    return f"<send{more}><![CDATA[\n{text}\n]]></send>\n"


def invite(user: str) -> str:
    head = _HEAD.format(user=user, tag="", cseq="1 INVITE", branch="invite")
    return (
        _send(
            f"INVITE sip:{user}@[remote_ip]:[remote_port] SIP/2.0\n{head}{_SDP.format(version=1)}",
            ' retrans="500"',
        )
        + '<recv response="100" optional="true"/>\n'
    )


def ack(user: str, refused: bool = False) -> str:
    """Of a refusal, or of a 2xx, which goes by the route to the Contact."""
    head = _HEAD.format(
        user=user, tag="[peer_tag_param]", cseq="1 ACK", branch="invite" if refused else "ack"
    )
    route = "" if refused else "[routes]\n"
    where = f"sip:{user}@[remote_ip]:[remote_port]" if refused else "[next_url]"
    return _send(f"ACK {where} SIP/2.0\n{head}{route}{_EMPTY}")


def bye(user: str) -> str:
    head = _HEAD.format(user=user, tag="[peer_tag_param]", cseq="2 BYE", branch="bye")
    text = f"BYE [next_url] SIP/2.0\n{head}[routes]\n{_EMPTY}"
    return _send(text, ' retrans="500"') + '<recv response="200"/>\n'


def cancel(user: str) -> str:
    head = _HEAD.format(user=user, tag="", cseq="1 CANCEL", branch="invite")
    return (
        _send(f"CANCEL sip:{user}@[remote_ip]:[remote_port] SIP/2.0\n{head}{_EMPTY}")
        + '<recv response="200"/>\n<recv response="487"/>\n'
        + ack(user, refused=True)
    )


def answer(version: int | None = None) -> str:
    """A 200 to what came last, with a description where there is a ``version``."""
    body = _SDP.format(version=version) if version is not None else _EMPTY
    return _send(
        "SIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n"
        f"[last_Record-Route:]\nContact: <sip:sipp@[local_ip]:[local_port]>\n{body}"
    )


def receive(what: int | str, check: str = "", header: str = "", optional: bool = False) -> str:
    """A response by its number, or a request; with ``check``, a pattern that its text or header has to have."""
    kind = f'response="{what}" rrs="true"' if isinstance(what, int) else f'request="{what}"'
    maybe = ' optional="true"' if optional else ""
    if not check:
        return f"<recv {kind}{maybe}/>\n"
    where = f'search_in="hdr" header="{header}"' if header else 'search_in="msg"'
    return (
        f'<recv {kind}{maybe}><action><ereg regexp="{check}" {where} check_it="true" assign_to="seen"/>'
        "</action></recv>\n"
    )


def pause(milliseconds: int) -> str:
    return f'<pause milliseconds="{milliseconds}"/>\n'


class SippUac(Program):
    """One call to ``port`` of loopback, by ``steps``."""

    def __init__(self, folder: Path, steps: str, port: int, *, name: str = "uac") -> None:
        super().__init__(folder / name, "sipp")
        used = '<Reference variables="seen"/>' if 'assign_to="seen"' in steps else ""
        (self.folder / "scenario.xml").write_text(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{name}">\n{steps}\n{used}</scenario>\n'
        )
        self.launch(
            [
                "sipp", f"{HOST}:{port}", "-sf", "scenario.xml", "-i", HOST, "-p", str(free_port()),
                "-mp", str(free_port() & ~1), "-m", "1", "-nostdin", "-trace_msg",
                "-message_file", "messages.log", "-trace_err", "-error_file", "errors.log",
                "-timeout", "60s",
            ],
            os.environ | {"TERM": "dumb"},
        )  # fmt: skip

    def finish(self, seconds: float = 70.0) -> int:
        """sipp's exit code: 0 when the call went as its scenario says."""
        return self.process.wait(seconds)

    def why(self) -> str:
        """What went over the wire, and what sipp said of it."""
        files = [self.folder / name for name in ("errors.log", "messages.log")]
        return "\n".join(path.read_text(errors="replace") for path in files if path.exists())

    def received(self, first_line: str) -> list[str]:
        """The messages that came whose first line matches."""
        log = (self.folder / "messages.log").read_text(errors="replace")
        parts = re.split(r"^-{20,} .*$", log, flags=re.M)[1:]
        came = [part.split(":\n\n", 1)[-1].lstrip() for part in parts if " received " in part]
        return [text for text in came if re.match(first_line, text)]
