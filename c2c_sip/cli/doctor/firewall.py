"""Whether RTP may come in: by the rules of the local firewall where they can be read, and by a datagram to ourselves."""

import re
import shutil
import socket
import subprocess

from c2c_sip.cli.doctor.findings import Finding, fail, not_checked, ok, warn

Ports = tuple[int, int]

#: Seconds that a program or a datagram may take.
PATIENCE = 3.0

_INPUT = re.compile(r"\btype filter hook input\b[^\n]*?\bpolicy (\w+)")
_NFT_PORTS = re.compile(r"\b(?:udp|th) dport (\{[^}]*\}|\S+)([^\n]*)")
_NFT_SET = re.compile(r"\bset (\S+) \{[^{}]*?\belements = (\{[^}]*\})")
_IPTABLES_PORTS = re.compile(r"--dports? (\S+)")


def read_nft(rules: str, ports: Ports) -> str:
    """What is in the way of UDP to ``ports`` in the output of ``nft list ruleset``; empty: nothing that can be seen.

    Rules are read roughly: where one accepts the ports, on whatever condition, that is taken for meant.
    """
    closed = "drop" in _INPUT.findall(rules)
    accepted = False
    sets = dict(_NFT_SET.findall(rules))
    for named, rest in _NFT_PORTS.findall(rules):
        named = sets.get(named.removeprefix("@"), named)
        spans = [_span(part.strip(), "-") for part in named.strip("{}").split(",")]
        if re.search(r"\b(drop|reject)\b", rest) and any(_meet(s, ports) for s in spans if s):
            return f"a rule drops them: udp dport {named}{rest}".rstrip()
        accepted |= bool(re.search(r"\baccept\b", rest)) and _covered(spans, ports)
    accepted |= bool(re.search(r"^\s*(?:meta l4proto|ip protocol) udp accept\b", rules, re.M))
    return (
        "" if accepted or not closed else "what no rule accepts is dropped, and none accepts them"
    )


def read_iptables(rules: str, ports: Ports) -> str:
    """The same for the output of ``iptables -S``."""
    closed = bool(re.search(r"^-P INPUT DROP$", rules, re.M))
    accepted = False
    for line in rules.splitlines():
        if not line.startswith("-A ") or "-p udp" not in line:
            continue
        found = _IPTABLES_PORTS.search(line)
        named = found[1] if found else "1:65535"
        spans = [_span(part, ":") for part in named.split(",")]
        if re.search(r"-j (DROP|REJECT)\b", line) and any(_meet(s, ports) for s in spans if s):
            return f"a rule drops them: {line}"
        accepted |= "-j ACCEPT" in line and _covered(spans, ports)
    return (
        "" if accepted or not closed else "what no rule accepts is dropped, and none accepts them"
    )


def _span(text: str, dash: str) -> Ports | None:
    first, _, last = text.partition(dash)
    if not first.isdecimal() or not (last or first).isdecimal():
        return None
    return int(first), int(last or first)


def _meet(one: Ports, other: Ports) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _covered(spans: list[Ports | None], ports: Ports) -> bool:
    return any(s is not None and s[0] <= ports[0] and ports[1] <= s[1] for s in spans)


def rules(ports: Ports) -> Finding:
    """What the firewall's rules say."""
    check = "firewall rules"
    first, last = ports
    unread = []
    for program, arguments, read in (
        ("nft", ["list", "ruleset"], read_nft),
        ("iptables", ["-S"], read_iptables),
    ):
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
        if path is None:
            continue
        try:
            done = subprocess.run(  # noqa: S603 - what is installed, with arguments of ours
                [path, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            unread.append(program)
            continue
        if done.returncode:
            unread.append(program)
            continue
        wrong = read(done.stdout, ports)
        if wrong:
            remedy = (
                f"accept it, as: nft add rule inet filter input udp dport {first}-{last} accept"
            )
            return warn(check, f"of {program}, for udp {first}-{last}: {wrong}", remedy)
        return ok(
            check, f"of {program}: none keeps udp {first}-{last} out, as far as they can be read"
        )
    if unread:
        return not_checked(check, f"the rules of {unread[0]} cannot be read", "look again as root")
    return not_checked(check, "neither nft nor iptables is here to read rules with")


def to_ourselves(host: str, ports: Ports) -> Finding:
    """Whether datagrams to the first, a middle and the last free port of ours arrive, which is on this machine only."""
    check = "RTP to ourselves"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    first, last = ports
    sent: list[int] = []
    lost: list[int] = []
    for near in dict.fromkeys((first, (first + last) // 2, last - 1)):
        with (
            socket.socket(family, socket.SOCK_DGRAM) as one,
            socket.socket(family, socket.SOCK_DGRAM) as other,
        ):
            port = _bound(one, host, range(near, last + 1))
            if port == 0:
                continue
            one.settimeout(PATIENCE)
            try:
                other.bind((host, 0))
                other.sendto(b"c2c-sip doctor", (host, port))
                one.recv(64)
                sent.append(port)
            except OSError:
                lost.append(port)
    if lost:
        remedy = "let the firewall accept UDP to media.ports, also on the way from this machine to itself"
        return fail(check, f"datagrams to {host} port {', '.join(map(str, lost))} are lost", remedy)
    if not sent:
        return not_checked(check, f"no port of {first}-{last} is free at {host}")
    return ok(
        check,
        f"datagrams to {host} port {', '.join(map(str, sent))} arrive; what stands before this machine is not seen",
    )


def _bound(one: socket.socket, host: str, ports: range) -> int:
    """The first of ``ports`` that could be bound, 0 where none could."""
    for port in ports:
        try:
            one.bind((host, port))
        except OSError:
            continue
        return port
    return 0
