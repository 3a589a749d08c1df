"""kamailio: a registrar and proxy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.interop.programs.base import (
    HOST,
    Certificate,
    Program,
    Way,
    free_port,
    is_bound,
    until,
)

_KAMAILIO = """
debug=1
log_stderror=yes
fork=yes
children=2
tcp_children=2
disable_tcp={no_tcp}
auto_aliases=no
{enable_tls}
listen={transport}:{literal}:{port}
mpath="{modules}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
{tls_module}
{stun_module}
modparam("registrar", "min_expires", {min_expires})
modparam("auth", "nonce_count", 1)
modparam("auth", "qop", "auth")

request_route {{
{date}
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("404", "Not here"); exit;
    }}
    t_check_trans();
    if (is_method("REGISTER")) {{
        $var(password) = "{password}";
        if (!pv_www_authenticate("{realm}", "$var(password)", "0")) {{
            www_challenge("{realm}", "1"); exit;
        }}
        consume_credentials();
        save("location");
        exit;
    }}
    if (is_method("INVITE")) {{
        $var(password) = "{password}";
        if (!pv_proxy_authenticate("{realm}", "$var(password)", "0")) {{
            proxy_challenge("{realm}", "1"); exit;
        }}
        consume_credentials();
        record_route();
    }}
{routes}
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_relay();
}}
"""


_TLS = """
loadmodule "tls.so"
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{certificate}")
# baresip 1.0 has no TLS above 1.0, which OpenSSL lets through on its lowest level only.
modparam("tls", "tls_method", "TLSv1+")
modparam("tls", "cipher_list", "DEFAULT@SECLEVEL=0")
"""


class Kamailio(Program):
    """A registrar and proxy with digest on REGISTER and INVITE; every user has the same password."""

    realm = HOST

    def __init__(
        self,
        folder: Path,
        password: str = "s3cret",
        min_expires: int = 60,
        name: str = "kamailio",
        way: Way = Way(),
        certificate: Certificate | None = None,
        routes: dict[str, str] | None = None,
        stun: bool = False,
        date: str = "",
    ) -> None:
        """``routes`` are users that need not register, and the URI of each; ``date`` is what its answers say."""
        super().__init__(folder / name, "kamailio")
        self.way = way
        self.port = free_port(way.host)
        self.password = password
        modules = next(Path("/usr/lib").glob("*/kamailio/modules"))
        config = self.folder / "kamailio.cfg"
        config.write_text(
            _KAMAILIO.format(
                realm=self.realm,
                literal=way.literal,
                transport=way.transport,
                no_tcp="yes" if way.transport == "udp" else "no",
                enable_tls="enable_tls=yes\ntcp_accept_no_cl=yes" if certificate else "",
                tls_module=_TLS.format(certificate=certificate.own) if certificate else "",
                stun_module='loadmodule "stun.so"' if stun else "",
                port=self.port,
                modules=modules,
                password=password,
                min_expires=min_expires,
                date=f'    append_to_reply("Date: {date}\\r\\n");' if date else "",
                routes="".join(
                    f'    if ($rU == "{user}") {{ $ru = "{uri}"; t_relay(); exit; }}\n'
                    for user, uri in (routes or {}).items()
                ),
            )
        )
        self.launch(
            [shutil.which("kamailio") or "/usr/sbin/kamailio", "-DD", "-E", "-f", str(config), "-Y", str(self.folder),
             "-m", "32", "-M", "4"]
        )  # fmt: skip
        until(lambda: is_bound(self.port, way.transport), 15, "kamailio")

    def trunk(self, username: str, **more: Any) -> str:
        """The settings of a trunk that registers here."""
        lines = {
            "name": "kamailio",
            "domain": f"{self.way.literal}:{self.port}",
            "transport": self.way.transport,
            "username": username,
            "password": self.password,
        } | more
        return "[[trunk]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in lines.items())
