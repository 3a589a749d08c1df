"""sipp: phones by scenario, which fail on a message that is not in it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from tests.interop.programs.base import (
    HOST,
    Certificate,
    Program,
    free_port,
    free_row,
    is_bound,
    until,
)
from tests.interop.programs.room import Room

_RESPONSE = """
  <send{attributes}>
    <![CDATA[
SIP/2.0 {status}
[last_Via:]
[last_From:]
[last_To:];tag=[pid]SIPpTag01[call_number]
[last_Call-ID:]
[last_CSeq:]
[last_Record-Route:]
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
{more}
    ]]>
  </send>
"""
_SDP = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=user1 53655765 2353687637 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio {port} RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
_EMPTY = "Content-Length: 0\n"
_BYE = """
  <send retrans="500">
    <![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[last_To:]
[last_From:]
[last_Call-ID:]
CSeq: 1 BYE
Max-Forwards: 70
Content-Length: 0

    ]]>
  </send>
  <recv response="200"/>
"""


def _response(status: str, body: str = _EMPTY, attributes: str = "") -> str:
    return _RESPONSE.format(status=status, more=body, attributes=attributes)


def _answer(port: int) -> str:
    return (
        _response("180 Ringing")
        + _response("200 OK", _SDP.format(port=port), ' retrans="500"')
        + '<recv request="ACK" crlf="true"/>'
    )


#: Sends what is in a file, again and again, to where the other side's SDP says, and nowhere else.
_PLAY = '<nop><action><exec rtp_stream="sound.ulaw,-1,0"/></action></nop>'


_INVITE = """<recv request="INVITE" rrs="true" crlf="true">
  <action>
    <ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>
    <ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>
  </action>
</recv>
"""


_INVITE_KEPT = """<recv request="INVITE" rrs="true" crlf="true">
  <action>
    <ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>
    <ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>
    <ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via"/>
    <ereg regexp="[0-9]+ INVITE" search_in="hdr" header="CSeq:" assign_to="cseq"/>
  </action>
</recv>
"""
#: The called side holds the stream: an INVITE within its dialog, and the same again with credentials where it is asked.
_HOLD = """
  <pause milliseconds="800"/>
  <send retrans="500">
    <![CDATA[
INVITE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From:[$to];tag=[pid]SIPpTag01[call_number]
To:[$from]
Call-ID: [call_id]
CSeq: 1 INVITE
Max-Forwards: 70
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=user1 53655765 2353687638 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio {port} RTP/AVP 0
a=rtpmap:0 PCMU/8000
a=sendonly
    ]]>
  </send>
  <recv response="100" optional="true"/>
  <recv response="200"/>
  <send>
    <![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From:[$to];tag=[pid]SIPpTag01[call_number]
To:[$from]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

    ]]>
  </send>
"""
_UPDATE = """
  <send retrans="500">
    <![CDATA[
UPDATE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From:[$to];tag=[pid]SIPpTag01[call_number]
To:[$from]
Call-ID: [call_id]
CSeq: 1 UPDATE
Max-Forwards: 70
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
Supported: timer
Session-Expires: 90;refresher=uac
Content-Length: 0

    ]]>
  </send>
"""


#: As Asterisk sends a key with dtmf_mode = info.
_KEY = (
    _UPDATE.replace("UPDATE", "INFO")
    .replace("Supported: timer\nSession-Expires: 90;refresher=uac\n", "")
    .replace("Contact: <sip:[local_ip]:[local_port];transport=[transport]>\n", "")
    .replace(
        "Content-Length: 0\n",
        "Content-Type: application/dtmf-relay\nContent-Length: [len]\n\nSignal=5\nDuration=250\n",
    )
)
_REFER = """
  <pause milliseconds="1000"/>
  <send retrans="500">
    <![CDATA[
REFER [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From:[$to];tag=[pid]SIPpTag01[call_number]
To:[$from]
Call-ID: [call_id]
CSeq: 1 REFER
Max-Forwards: 70
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
Refer-To: <{target}>
Content-Length: 0

    ]]>
  </send>
  <recv response="202"/>
"""
#: Of who is asked within a dialog: it has a tag already.
_TAG = ";tag=[pid]SIPpTag01[call_number]"


def _said(status: str, more: str = _EMPTY, attributes: str = "") -> str:
    """A response to the INVITE, whatever came last."""
    return (
        _RESPONSE.format(status=status, more=more, attributes=attributes)
        .replace("[last_Via:]", "Via:[$via]")
        .replace("[last_From:]", "From:[$from]")
        .replace("[last_To:];tag", "To:[$to];tag")
        .replace("[last_Call-ID:]", "Call-ID: [call_id]")
        .replace("[last_CSeq:]", "CSeq: [$cseq]")
        .replace("[last_Record-Route:]\n", "")
    )


def scenario(kind: str, port: int = 6000, pause: int = 0) -> str:
    """A UAS: ``answer`` waits for BYE, ``answer_at_once`` does not ring before, ``answer_bye`` sends one after ``pause``
    ms, ``answer_bye HEADER`` with that in it, ``refuse STATUS`` or ``refuse STATUS|HEADER``, ``ring`` expects CANCEL,
    ``trying`` too but has not rung, ``silent`` never says a word, ``redirect URI``, ``redirects`` six
    times to itself, ``early`` sends a 183 with SDP first; ``unheard`` gives up when no ACK comes, ``unacknowledged``
    sends none itself, ``forgets TIMER`` neither refreshes nor knows the call when it is asked, ``gone`` does not know it
    when it is to be held, ``transfer URI``, ``presses`` sends a key by INFO and hangs up, ``pressed`` wants one by INFO; or a registrar that refuses, ``register STATUS|HEADER``."""
    verb, _, rest = kind.partition(" ")
    bye = '<recv request="BYE"/>' + _response("200 OK").replace(_TAG, "")
    wait = f'<pause milliseconds="{pause}"/>' if pause else ""
    match verb:
        case "answer":
            steps = _INVITE + wait + _answer(port) + bye
        case "answer_at_once":
            steps = _INVITE + _answer(port).replace(_response("180 Ringing"), "", 1) + bye
        case "early":
            steps = (
                _INVITE
                + _response("183 Session Progress", _SDP.format(port=port))
                + wait
                + _response("200 OK", _SDP.format(port=port), ' retrans="500"')
                + '<recv request="ACK" crlf="true"/>'
                + bye
            )
        case "answer_bye":
            tagged = _TAG
            leave = _BYE.replace("[last_To:]", f"From:[$to]{tagged}").replace(
                "[last_From:]", "To:[$from]"
            )
            if rest:
                leave = leave.replace("Max-Forwards", f"{rest}\nMax-Forwards")
            steps = _INVITE + _answer(port) + f'<pause milliseconds="{pause}"/>' + leave
        case "refuse":
            status, _, more = rest.partition("|")
            steps = (
                _INVITE
                + _response("180 Ringing")
                + wait
                + _response(status, f"{more}\n{_EMPTY}" if more else _EMPTY)
                + '<recv request="ACK"/>'
            )
        case "refuse_at_once":
            steps = _INVITE + _response(rest) + '<recv request="ACK"/>'
        case "redirect":
            moved = _response("302 Moved Temporarily").replace(
                "Contact: <sip:[local_ip]:[local_port];transport=[transport]>", f"Contact: <{rest}>"
            )
            steps = _INVITE + moved + '<recv request="ACK"/>'
        case "redirects":
            steps = ""
            for hop in range(6):
                moved = _response("302 Moved Temporarily").replace(
                    "Contact: <sip:", f"Contact: <sip:hop{hop}@"
                )
                steps += _INVITE + moved + '<recv request="ACK"/>'
        case "ring" | "trying":
            steps = (
                _INVITE
                + _response("180 Ringing" if verb == "ring" else "100 Trying")
                + '<recv request="CANCEL"/>'
                + _response("200 OK")
                + _response("487 Request Terminated").replace("[last_CSeq:]", "CSeq: [$cseq]")
                + '<recv request="ACK"/>'
            )
            steps = steps.replace(
                "  </action>",
                '    <ereg regexp="[0-9]+ INVITE" search_in="hdr" header="CSeq:" assign_to="cseq"/>\n  </action>',
                1,
            )
        case "prack":
            steps = (
                _INVITE_KEPT
                + _said("180 Ringing", "Require: 100rel\nRSeq: 7\n" + _EMPTY)
                + '<recv request="PRACK" crlf="true"><action>\n'
                '<ereg regexp="7 [0-9]+ INVITE" search_in="hdr" header="RAck:" check_it="true"'
                ' assign_to="rack"/>\n</action></recv>\n'
                + _response("200 OK").replace(_TAG, "")
                + '<pause milliseconds="300"/>'
                + _said("200 OK", _SDP.format(port=port), ' retrans="500"')
                + '<recv request="ACK" crlf="true"/>'
                + bye
            )
        case "timer":
            refresh = "Session-Expires: 90;refresher=uas\nRequire: timer\nSupported: timer\n"
            steps = (
                _INVITE_KEPT
                + _said("180 Ringing", _EMPTY)
                + _said("200 OK", refresh + _SDP.format(port=port), ' retrans="500"')
                + '<recv request="ACK" crlf="true"/>'
                + '<pause milliseconds="500"/>'
                + _UPDATE
                + '<recv response="200"><action>\n'
                '<ereg regexp="90;refresher=uac" search_in="hdr" header="Session-Expires:"'
                ' check_it="true" assign_to="agreed"/>\n</action></recv>\n' + bye
            )
        case "longer":
            steps = (
                _INVITE_KEPT
                + _said("422 Session Interval Too Small", "Min-SE: 3600\n" + _EMPTY)
                + '<recv request="ACK" crlf="true"/>'
                + _INVITE_KEPT.replace(
                    "  <action>",
                    '  <action>\n    <ereg regexp="3600" search_in="hdr" header="Session-Expires:"'
                    ' check_it="true" assign_to="asked"/>',
                )
                + _said(
                    "200 OK",
                    "Session-Expires: 3600;refresher=uac\nRequire: timer\n"
                    + _SDP.format(port=port),
                    ' retrans="500"',
                )
                + '<recv request="ACK" crlf="true"/>'
                + bye
            )
        case "rogue":
            asks = (
                'WWW-Authenticate: Digest realm="127.0.0.1", nonce="rogue", algorithm=MD5,'
                ' qop="auth"\n'
            )
            steps = (
                _INVITE_KEPT
                + _said("401 Unauthorized", asks + _EMPTY)
                + '<recv request="ACK" crlf="true"/>'
            )
        case "rogue_bye":
            asks = (
                'WWW-Authenticate: Digest realm="127.0.0.1", nonce="rogue", algorithm=MD5,'
                ' qop="auth"\n'
            )
            tagless = _response("401 Unauthorized", asks + _EMPTY).replace(_TAG, "")
            steps = _INVITE + _answer(port) + '<recv request="BYE"/>' + tagless
        case "rogue_reinvite":
            asks = (
                'WWW-Authenticate: Digest realm="127.0.0.1", nonce="rogue", algorithm=MD5,'
                ' qop="auth"\n'
            )
            again = _said("401 Unauthorized", asks + _EMPTY).replace(_TAG, "")
            steps = (
                _INVITE
                + _answer(port)
                + _INVITE_KEPT
                + again
                + '<recv request="ACK" crlf="true"/>'
                + bye
            )
        case "hold":
            steps = _INVITE + _answer(port) + _HOLD.replace("{port}", str(port)) + bye
        case "unheard":
            tagged = _BYE.replace("[last_To:]", f"From:[$to]{_TAG}").replace(
                "[last_From:]", "To:[$from]"
            )
            # By hand: with retrans, sipp 3.6 says nothing else until its retransmissions are over.
            steps = _INVITE + _response("180 Ringing")
            for number, gap in enumerate((500, 1000, 2000, *[4000] * 7, 500)):
                steps += _response("200 OK", _SDP.format(port=port))
                steps += f'<recv request="ACK" timeout="{gap}" ontimeout="late{number}" next="up"/>'
                steps += f'<label id="late{number}"/>'
            steps += tagged + '<label id="up"/>' + bye
        case "unacknowledged":
            steps = (
                _INVITE
                + _answer(port)
                + re.sub(r"  <send>.*", "", _HOLD, flags=re.S).replace("{port}", str(port))
                + bye
            )
        case "forgets":
            refresh = f"Session-Expires: 90;refresher={rest}\nRequire: timer\nAllow: INVITE, ACK, BYE, UPDATE\n"
            steps = (
                _INVITE_KEPT
                + _said("200 OK", refresh + _SDP.format(port=port), ' retrans="500"')
                + '<recv request="ACK" crlf="true"/>'
            )
            if rest == "uac":
                gone = _response("481 Call/Transaction Does Not Exist").replace(_TAG, "")
                steps += '<recv request="UPDATE"/>' + gone
            else:
                steps += bye
        case "gone":
            gone = _said("481 Call/Transaction Does Not Exist").replace(_TAG, "")
            steps = (
                _INVITE + _answer(port) + _INVITE_KEPT + gone + '<recv request="ACK" crlf="true"/>'
            )
        case "transfer":
            leave = _BYE.replace("[last_To:]", f"From:[$to]{_TAG}").replace(
                "[last_From:]", "To:[$from]"
            )
            steps = (
                _INVITE
                + _answer(port)
                + _REFER.replace("{target}", rest)
                # That it is tried, and that it rings.
                + ('<recv request="NOTIFY"/>' + _response("200 OK").replace(_TAG, "")) * 2
                + leave.replace("CSeq: 1", "CSeq: 2").replace(
                    "[last_Call-ID:]", "Call-ID: [call_id]"
                )
            )
        case "presses":
            leave = _BYE.replace("[last_To:]", f"From:[$to]{_TAG}").replace(
                "[last_From:]", "To:[$from]"
            )
            steps = (
                _INVITE
                + _answer(port)
                + '<pause milliseconds="1000"/>'
                + _KEY
                + '<recv response="200"/><pause milliseconds="1000"/>'
                + leave.replace("CSeq: 1", "CSeq: 2").replace(
                    "[last_Call-ID:]", "Call-ID: [call_id]"
                )
            ).replace("Max-Forwards", "[routes]\nMax-Forwards")
        case "pressed":
            able = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, INFO\n"
            steps = (
                _INVITE
                + _response("200 OK", able + _SDP.format(port=port), ' retrans="500"')
                + '<recv request="ACK" crlf="true"/>'
                + '<recv request="INFO" crlf="true"><action>\n'
                '<ereg regexp="Signal=5.*Duration=250" search_in="body" check_it="true" assign_to="key"/>\n'
                "</action></recv>\n" + _response("200 OK").replace(_TAG, "") + bye
            )
        case "register":
            status, _, more = rest.partition("|")
            said = _response(status, f"{more}\n{_EMPTY}" if more else _EMPTY)
            steps = f'<recv request="REGISTER"/>{said}' * 8
        case "silent":
            steps = _INVITE + '<pause milliseconds="60000"/>'
        case _:
            raise ValueError(kind)
    names = ("from", "to", "cseq", "via", "callid", "rack", "agreed", "asked", "rr", "key")
    used = ",".join(n for n in names if f'assign_to="{n}"' in steps)
    reference = f'<Reference variables="{used}"/>\n' if used else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{verb}">\n{steps}\n'
        f"{reference}</scenario>\n"
    )


class TlsFront(Program):
    """socat, which takes TLS connections for a program that takes TCP."""

    def __init__(self, folder: Path, certificate: Certificate, port: int) -> None:
        super().__init__(folder, "socat")
        self.port = free_port()
        self.launch(
            [
                "socat",
                f"OPENSSL-LISTEN:{self.port},bind={HOST},reuseaddr,fork,verify=0,cert={certificate.own}",
                f"TCP:{HOST}:{port}",
            ]
        )
        until(lambda: is_bound(self.port, "tcp"), 10, "socat")


class SippUas(Program):
    """One UAS that takes ``calls`` calls, each by its scenario, and fails on a message that is not in it."""

    def __init__(
        self,
        folder: Path,
        kind: str,
        *,
        name: str = "uas",
        calls: int = 1,
        pause: int = 0,
        transport: str = "u1",
        media_port: int | None = None,
        certificate: Certificate | None = None,
        lasts: float = 90,
        contact: str = "",
        audio: bool = False,
        room: Room | None = None,
        host: str = HOST,
    ) -> None:
        """It gives up after ``lasts`` seconds, whatever happens; ``contact`` is the host and port that it says are its own.

        With ``audio`` it sends some once it has answered. With a ``room`` it is at the ``host`` there.

        With a certificate it is called over TLS, of which Debian's sipp knows nothing: socat stands before it.
        """
        super().__init__(folder / name, "sipp")
        self.transport = transport
        self.host = host
        self.room = room
        self.front: TlsFront | None = None
        self._audio = audio
        if audio:
            (self.folder / "sound.ulaw").write_bytes(b"\x55" * 8000)
        # Its ports were free a moment ago, and may be somebody else's when it comes to take them.
        for _ in range(4):
            self._launch(kind, media_port, pause, calls, lasts, certificate, contact)
            until(
                lambda: self._is_bound() or self.process.poll() is not None,
                10,
                "sipp",
            )
            if self.process.poll() is None:
                return
        raise AssertionError(f"sipp does not start: {self.printed()}")

    def _is_bound(self) -> bool:
        if self.room is not None:
            return self.room.is_bound(self.port)
        return is_bound(self.port, self.transport)

    def _launch(
        self,
        kind: str,
        media_port: int | None,
        pause: int,
        calls: int,
        lasts: float,
        certificate: Certificate | None,
        contact: str,
    ) -> None:
        transport = self.transport
        self.port = free_port()
        # It binds four, for audio and for video.
        self.media_port = free_row(4)
        steps = scenario(kind, media_port or self.media_port, pause)
        if self._audio and "m=audio" in steps:
            steps = steps.replace(
                f"m=audio {media_port or self.media_port} ", "m=audio [rtpstream_audio_port] "
            )
            ack = re.search(r'<recv request="ACK"[^>]*>', steps)
            assert ack is not None
            # An ACK that comes while it is about to play would be one too many; where none comes it is not waited for.
            at = ack.start() if kind == "unheard" else ack.end()
            steps = steps[:at] + _PLAY + steps[at:]
        if contact:
            steps = steps.replace(
                "Contact: <sip:[local_ip]:[local_port]", f"Contact: <sip:{contact}"
            )
        if certificate is not None:
            if self.front is not None:
                self.front.stop()
            self.front = TlsFront(self.folder, certificate, self.port)
            where = f"<sip:{HOST}:{self.front.port};transport=tls>"
            steps = steps.replace("<sip:[local_ip]:[local_port];transport=[transport]>", where)
        (self.folder / "scenario.xml").write_text(steps)
        command = self.room.command if self.room is not None else lambda *words: list(words)
        self.launch(
            command(
                "sipp", "-sf", "scenario.xml", "-i", self.host, "-p", str(self.port), "-mp", str(self.media_port),
                "-m", str(calls), "-t", transport, "-nostdin", "-trace_msg", "-message_file", "messages.log",
                "-trace_err", "-error_file", "errors.log", "-timeout", f"{lasts:.0f}s",
                # As much as the kernel queues for us: its own 64 KiB are a few dozen messages.
                "-buff_size", "2000000",
            ),
            os.environ | {"TERM": "dumb"},
        )  # fmt: skip

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        if self.front is not None:
            self.front.stop()
        return super().stop(number, seconds)

    @property
    def uri(self) -> str:
        if self.front is not None:
            return f"sip:{self.folder.name}@{HOST}:{self.front.port};transport=tls"
        suffix = "" if self.transport == "u1" else ";transport=tcp"
        return f"sip:{self.folder.name}@{self.host}:{self.port}{suffix}"

    def finish(self, seconds: float = 20.0) -> int:
        """sipp's exit code: 0 when every call went as its scenario says."""
        return self.process.wait(seconds)

    def messages(self) -> list[tuple[float, str, str]]:
        """(time, "sent" or "received", text) of each message."""
        log = self.folder / "messages.log"
        if not log.exists():
            return []
        found = []
        parts = re.split(r"^-{20,} (.*)$", log.read_text(errors="replace"), flags=re.M)
        for stamp, text in zip(parts[1::2], parts[2::2], strict=True):
            clock = re.search(r"(\d+)-(\d+)-(\d+)[ T](\d+):(\d+):([\d.]+)", stamp)
            assert clock is not None
            hours, minutes, seconds = clock.group(4), clock.group(5), clock.group(6)
            moment = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            way = "sent" if "sent" in text.split("\n", 2)[1] else "received"
            found.append((moment, way, text.split(":\n\n", 1)[-1].lstrip()))
        return found

    def received(self, method: str) -> list[tuple[float, str]]:
        return [
            (t, m) for t, way, m in self.messages() if way == "received" and m.startswith(method)
        ]
