"""All checks, in the order in which one leads to the next."""

from collections.abc import Mapping

from c2c_sip import config
from c2c_sip.cli.doctor import firewall, machine, signalling
from c2c_sip.cli.doctor.findings import Finding, fail, not_checked, ok, warn
from c2c_sip.config import ConfigError
from c2c_sip.doubts import doubts_of


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
    doubts = doubts_of(settings)
    found = [warn("configuration", doubt.text, doubt.remedy) for doubt in doubts]
    if not doubts:
        found.append(ok("configuration", "is valid"))
    running = machine.running_service(settings)
    found.append(machine.service(settings, running))
    found.append(machine.http_port(settings, running))
    found += machine.sip_ports(settings, running)
    found.append(machine.rtp_ports(settings, running))
    seen = await signalling.examine(settings, stun, ntp)
    found += seen.findings
    host = settings.media.address or seen.local or "127.0.0.1"
    found.append(firewall.to_ourselves(host, settings.media.ports))
    found.append(firewall.rules(settings.media.ports))
    found += machine.database(settings)
    found += machine.directories(settings)
    found.append(machine.descriptors(settings, running))
    return found
