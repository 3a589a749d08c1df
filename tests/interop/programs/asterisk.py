"""Asterisk, as the PBX whose extension we are. Debian 12 has no package of it: it is run from a root folder elsewhere.

Such a folder is made by ``mmdebstrap --variant=minbase --include=asterisk,asterisk-core-sounds-en-gsm sid DIR``; that of a
machine which has Asterisk is ``/``. Nothing in it is changed: configuration, database and logs are in the test's own.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.interop.programs.baresip import write_tone
from tests.interop.programs.base import (
    HOST,
    Certificate,
    Program,
    Way,
    free_port,
    free_rtp_range,
    is_bound,
    until,
)

EXAMPLES = Path(__file__).parents[3] / "conf" / "examples"

#: Its music on hold, Hz.
MUSIC = 2100

_MODULES = """
app_bridgewait app_dial app_echo app_exec app_milliwatt app_mixmonitor app_originate app_playback app_playtones app_read
app_senddtmf app_stack app_transfer app_verbose app_waituntil bridge_builtin_features bridge_builtin_interval_features
bridge_holding bridge_native_rtp bridge_simple bridge_softmix chan_pjsip codec_a_mu codec_alaw codec_g722 codec_gsm
codec_opus_open_source codec_resample codec_ulaw format_gsm format_pcm format_sln format_wav func_callerid func_channel func_global
func_hangupcause func_logic func_pjsip_aor func_pjsip_contact func_pjsip_endpoint func_strings func_dialplan pbx_config res_crypto
res_format_attr_opus res_musiconhold res_pjproject res_pjsip res_pjsip_acl res_pjsip_authenticator_digest
res_pjsip_caller_id res_pjsip_diversion res_pjsip_dlg_options res_pjsip_dtmf_info res_pjsip_empty_info
res_clioriginate res_pjsip_endpoint_identifier_anonymous res_pjsip_endpoint_identifier_ip res_pjsip_endpoint_identifier_user res_pjsip_header_funcs res_pjsip_logger
res_pjsip_maintenance res_pjsip_nat res_pjsip_outbound_authenticator_digest res_pjsip_path res_pjsip_pubsub res_pjsip_refer
res_pjsip_registrar res_pjsip_rfc3326 res_pjsip_sdp_rtp res_pjsip_session res_pjsip_sips_contact res_rtp_asterisk
res_sorcery_astdb res_sorcery_config res_sorcery_memory res_srtp res_timing_timerfd
"""

_DIALPLAN = """
[globals]
DIAL =

[from-internal]
; Phones.
exten => _10XX,1,Dial(PJSIP/${EXTEN},60,${DIAL})
 same => n,Hangup(${HANGUPCAUSE})
exten => 600,1,Answer()
 same => n,Echo()
; Whoever calls 601 hears a tone.
exten => 601,1,Answer()
 same => n,PlayTones(1500)
 same => n,Wait(60)
exten => 602,1,Busy(5)
exten => 603,1,Congestion(5)
; Rings, and nobody answers.
exten => 604,1,Ringing()
 same => n,Wait(60)
; Is heard before it answers.
exten => 605,1,Progress()
 same => n,PlayTones(1500)
 same => n,Wait(3)
 same => n,StopPlayTones()
 same => n,Answer()
 same => n,PlayTones(1900)
 same => n,Wait(60)
; Is heard, and never answers.
exten => 606,1,Progress()
 same => n,PlayTones(1500)
 same => n,Wait(3)
 same => n,Hangup(3)
; Presses keys.
exten => 607,1,Answer()
 same => n,Wait(2)
 same => n,SendDTMF(159#)
 same => n,Wait(60)
; Waits for keys and says which in its log.
exten => 608,1,Answer()
 same => n,Read(KEYS,,3,,1,20)
 same => n,Verbose(1,keys were ${KEYS})
 same => n,Wait(60)
; Answers, and sends whoever calls to 601 by REFER.
exten => 609,1,Answer()
 same => n,Wait(1)
 same => n,Transfer(PJSIP/sip:601@@HERE@)
 same => n,Verbose(1,transfer was ${TRANSFERSTATUS} ${TRANSFERSTATUSPROTOCOL})
 same => n,Wait(60)
; 302 to 601.
exten => 610,1,Transfer(PJSIP/sip:601@@HERE@)
; Is forwarded while it rings, and says who has answered.
exten => 611,1,Ringing()
 same => n,Set(REDIRECTING(to-num,i)=555)
 same => n,Set(REDIRECTING(from-num,i)=611)
 same => n,Set(REDIRECTING(count)=1)
 same => n,Set(REDIRECTING(reason)=cfu)
 same => n,Set(CONNECTEDLINE(name,i)=Zoë)
 same => n,Set(CONNECTEDLINE(num)=777)
 same => n,Wait(0.3)
 same => n,Answer()
 same => n,Set(CONNECTEDLINE(num)=888)
 same => n,PlayTones(1500)
 same => n,Wait(60)
; Changes its codec, either way.
exten => 612,1,Answer()
 same => n,PlayTones(1500)
 same => n,Wait(1)
 same => n,Set(PJSIP_MEDIA_OFFER(audio)=alaw)
 same => n,Set(PJSIP_SEND_SESSION_REFRESH()=invite)
 same => n,Wait(1)
 same => n,Set(PJSIP_MEDIA_OFFER(audio)=ulaw)
 same => n,Set(PJSIP_SEND_SESSION_REFRESH()=update)
 same => n,Wait(60)
; 7XXX ends by cause XXX before it is answered, 8XXX after.
exten => _7XXX,1,Hangup($[${EXTEN:1}])
exten => _8XXX,1,Answer()
 same => n,Wait(2)
 same => n,Hangup($[${EXTEN:1}])
"""


def command_of(root: Path, etc: Path) -> list[str]:
    """Asterisk with the configuration in ``etc``, by the loader of its own root, with the libraries that are there: this
    machine's may be older."""
    (libraries,) = (root / "usr/lib").glob("*-linux-gnu/asterisk")
    (loader,) = (root / "usr" / "lib" / libraries.parent.name).glob("ld-linux*.so.*")
    return [
        str(loader), "--library-path", str(libraries.parent), str(root / "usr/sbin/asterisk"),
        "-C", str(etc / "asterisk.conf"),
    ]  # fmt: skip


def directories(root: Path, folder: Path) -> str:
    """The section of asterisk.conf by which all that it writes is in ``folder``, whose parts are made here."""
    (libraries,) = (root / "usr/lib").glob("*-linux-gnu/asterisk")
    own = {
        "astetcdir": "etc", "astvarlibdir": "lib", "astdbdir": "lib", "astkeydir": "lib", "astagidir": "lib",
        "astspooldir": "spool", "astrundir": "run", "astlogdir": "log", "astcachedir": "lib",
    }  # fmt: skip
    for made in (*own.values(), "lib/keys", "log/cdr-csv"):
        (folder / made).mkdir(parents=True, exist_ok=True)
    lines = {key: folder / value for key, value in own.items()} | {
        "astmoddir": libraries / "modules",
        "astdatadir": root / "usr/share/asterisk",
    }
    return "[directories]\n" + "".join(f"{key} => {value}\n" for key, value in lines.items())


class Asterisk(Program):
    """Asterisk with the endpoint ``c2c`` of ``conf/examples/asterisk-pjsip.conf`` and with phones; its log has its messages."""

    realm = "asterisk"

    def __init__(
        self,
        folder: Path,
        root: Path,
        *,
        way: Way = Way(),
        certificate: Certificate | None = None,
        phones: Mapping[str, str] | None = None,
        endpoint: Mapping[str, str] | None = None,
        phone: Mapping[str, str] | None = None,
        auth: Mapping[str, str] | None = None,
        aor: Mapping[str, str] | None = None,
        more: str = "",
        dialplan: str = "",
        dial: str = "",
        password: str = "s3cret",
        name: str = "asterisk",
    ) -> None:
        """``phones`` are users and where each is, empty where it registers. We come by ``way``, phones by UDP and IPv4.

        ``endpoint``, ``auth`` and ``aor`` are lines that the example's sections have besides, or instead; ``phone`` those
        of each phone's endpoint; ``dial`` the options of Dial.
        """
        super().__init__(folder / name, "asterisk")
        self.root = root
        self.password = password
        self.trunk_way = way
        #: Of the phones, as :class:`Baresip` asks for it.
        self.way = Way()
        self.port = free_port()
        self.trunk_port = self.port if way == self.way else free_port(way.host)
        self.etc = self.folder / "etc"
        (self.folder / "moh").mkdir(parents=True, exist_ok=True)
        write_tone(self.folder / "moh" / "tone.wav", MUSIC)
        low, high = free_rtp_range()
        written = {
            "asterisk": directories(self.root, self.folder) + "[options]\nverbose = 4\n",
            "modules": "[modules]\nautoload=no\n" + "".join(f"load={m}\n" for m in _MODULES.split()),
            # Where these are missing it says so in its log.
            **dict.fromkeys(("ccss", "cdr", "cel", "features", "acl", "udptl", "pjproject"), ""),
            "indications": "[general]\ncountry=us\n[us]\ndescription=us\nringcadence=2000,4000\nbusy=480+620/500,0/500\ncongestion=480+620/250,0/250\n",
            "musiconhold": f"[default]\nmode=files\ndirectory={self.folder}/moh\n",
            "logger": "[logfiles]\nconsole => notice,warning,error,verbose(4),dtmf\n",
            "rtp": f"[general]\nrtpstart={low}\nrtpend={high}\nstrictrtp=yes\n",
            "extensions": (_DIALPLAN + dialplan)
            .replace("DIAL =", f"DIAL = {dial}")
            .replace("@HERE@", f"{HOST}:{self.port}"),
            "pjsip": self._pjsip(
                certificate, phones or {}, endpoint or {}, phone or {}, auth or {}, aor or {}, more
            ),
        }  # fmt: skip
        for file, text in written.items():
            (self.etc / f"{file}.conf").write_text(text)
        self.start()

    def start(self) -> None:
        self.launch([*self._command, "-f", "-n"])
        until(
            lambda: (is_bound(self.port) and "Asterisk Ready" in self.printed())
            or self.process.poll() is not None,
            20,
            "asterisk",
        )  # fmt: skip
        assert self.process.poll() is None, self.printed()[-3000:]

    @property
    def _command(self) -> list[str]:
        return command_of(self.root, self.etc)

    def _pjsip(
        self,
        certificate: Certificate | None,
        phones: Mapping[str, str],
        endpoint: Mapping[str, str],
        phone: Mapping[str, str],
        auth: Mapping[str, str],
        aor: Mapping[str, str],
        more: str,
    ) -> str:
        """The example as it is but for its address and password, and what the test has besides."""
        text = (EXAMPLES / "asterisk-pjsip.conf").read_text()
        text = text.replace("bind = 0.0.0.0:5060", f"bind = {HOST}:{self.port}")
        text = text.replace("the password of that account", self.password)
        for kind, lines in (("endpoint", endpoint), ("auth", auth), ("aor", aor)):
            for key, value in lines.items():
                section = re.compile(rf"^type = {kind}\n[^\[]*", re.M)
                text = section.sub(lambda found: _with(found[0], key, value), text)  # noqa: B023
        text += "\n[global]\ntype = global\ndebug = yes\nkeep_alive_interval = 90\n"
        if self.trunk_way != self.way:
            way = self.trunk_way
            text += (
                f"\n[transport-trunk]\ntype = transport\nprotocol = {way.transport}\n"
                f"bind = {way.literal}:{self.trunk_port}\n"
            )
            if certificate is not None:
                own = certificate.own
                text += f"cert_file = {own}\npriv_key_file = {own}\nmethod = tlsv1_2\n"
        for user, where in phones.items():
            own_lines = {
                "context": "from-internal", "disallow": "all", "allow": "ulaw,alaw", "auth": user, "aors": user,
                "direct_media": "no", "callerid": f"Phone {user} <{user}>",
            } | phone  # fmt: skip
            text += f"\n[{user}]\ntype = endpoint\n"
            text += "".join(f"{key} = {value}\n" for key, value in own_lines.items())
            text += f"[{user}]\ntype = auth\nauth_type = digest\nusername = {user}\npassword = {self.password}\n"
            text += f"[{user}]\ntype = aor\nmax_contacts = 1\nremove_existing = yes\n"
            text += f"contact = {where}\n" if where else ""
        return text + more

    def trunk(self, folder: Path, **lines: str) -> str:
        """The settings of ``conf/examples/asterisk-trunk.toml`` but for its ``sip`` and ``guard``; ``lines`` of it are others."""
        secret = folder / "pbx.password"
        secret.write_text(self.password + "\n")
        text = (EXAMPLES / "asterisk-trunk.toml").read_text()
        text = text[text.index("[[trunk]]") :]
        other = {
            "domain": f'"{self.trunk_way.literal}:{self.trunk_port}"',
            "password_file": f'"{secret}"',
        }
        if self.trunk_way.transport != "udp":
            other["transport"] = f'"{self.trunk_way.transport}"'
        for key, value in (other | lines).items():
            text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.M)
            if not count:
                text = text.replace("[[trunk]]\n", f"[[trunk]]\n{key} = {value}\n")
        return text

    def cli(self, command: str) -> str:
        """What a command of its console prints."""
        done = subprocess.run(
            [*self._command, "-rx", command], cwd=self.folder, capture_output=True, text=True, timeout=30
        )  # fmt: skip
        return done.stdout

    def channels(self) -> list[str]:
        """Names of the channels that are up."""
        listed = self.cli("core show channels concise")
        return [line.split("!")[0] for line in listed.splitlines() if "!" in line]

    def messages(self) -> list[tuple[str, str]]:
        """("sent" or "received", text) of each SIP message, in its order."""
        found = []
        parts = re.split(
            r"^<--- (Transmitting|Received) SIP (?:request|response) .*--->$", self.printed(), flags=re.M
        )  # fmt: skip
        for way, text in zip(parts[1::2], parts[2::2], strict=True):
            found.append(("sent" if way == "Transmitting" else "received", text.strip()))
        return found


def _with(section: str, key: str, value: str) -> str:
    """A section with another value: where the key stood, or else at its end."""
    line = f"{key} = {value}\n"
    there, count = re.subn(rf"^{key} = .*\n", line, section, flags=re.M)
    return there if count else section.rstrip() + "\n" + line + "\n"
