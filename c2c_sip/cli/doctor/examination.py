"""All checks, in the order in which one leads to the next."""

import re
import stat
from collections.abc import Mapping
from pathlib import Path

from c2c_sip import config
from c2c_sip.cli.doctor import clock, definitions, firewall, machine, signalling
from c2c_sip.cli.doctor.findings import Finding, fail, not_checked, ok, warn
from c2c_sip.config import Config, ConfigError
from c2c_sip.doubts import doubts_of
from sipstack.message.uri import hostport_text


async def examine(
    path: str | None, environ: Mapping[str, str], stun: str = "", ntp: str = ""
) -> list[Finding]:
    """Look at everything that the configuration of ``path`` leads to."""
    try:
        settings = config.load(path, environ)
    except ConfigError as error:
        remedy = (
            "correct it; conf/c2c_sip.toml has each setting, c2c-sip check-config looks at it alone"
        )
        found = [fail("configuration", problem, "") for problem in error.problems[:-1]]
        found.append(fail("configuration", error.problems[-1], remedy))
        return [*found, not_checked("all else", "the settings have to be right first")]
    found = [warn("configuration", doubt.text, doubt.remedy) for doubt in doubts_of(settings)]
    found += _readable_secrets(settings)
    if not found:
        file = path or environ.get("C2C_SIP_CONFIG") or config.DEFAULT_PATH
        there = f"{file} is valid" if Path(file).exists() else "there is none: the defaults hold"
        found.append(ok("configuration", there))
    running = machine.running_service(settings)
    found.append(machine.service(settings, running))
    found.append(machine.http_port(settings, running))
    found += machine.sip_ports(settings, running)
    found.append(machine.rtp_ports(settings, running))
    seen = await signalling.examine(settings, stun)
    found += seen.findings
    told = [
        clock.Told(date, one.moment, hostport_text(*one.source[:2]))
        for one in seen.heard
        if (date := one.response.get("Date"))
    ]
    found.append(await clock.examine(settings, told, ntp))
    host = settings.media.address or seen.local or "127.0.0.1"
    found.append(firewall.to_ourselves(host, settings.media.ports))
    found.append(firewall.rules(settings.media.ports))
    found += machine.database(settings)
    found += definitions.definitions(settings)
    found += machine.directories(settings)
    found.append(machine.descriptors(settings, running))
    return found


def _readable_secrets(settings: Config) -> list[Finding]:
    """The files of the settings that everybody may read although there are secrets in them."""
    secret = re.compile(r"trunk\[[0-9]+\]\.password|guard\.captcha_secret|database\.url")
    files = {
        origin.source
        for name, origin in settings.origins.items()
        if origin.kind == "file"
        and secret.fullmatch(name)
        # A path to SQLite's file is none.
        and not (name == "database.url" and settings.database.url.startswith("sqlite:"))
    }
    return [
        warn(
            "configuration",
            f"{file} has a secret in it, and everybody may read it",
            f"chmod o-rwx {file}",
        )
        for file in sorted(files)
        if Path(file).stat().st_mode & stat.S_IROTH
    ]
