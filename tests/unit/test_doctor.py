"""What the doctor makes of what it has seen."""

import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from c2c_sip.cli import main
from c2c_sip.cli.doctor.clock import judge_clock
from c2c_sip.cli.doctor.findings import Verdict
from c2c_sip.cli.doctor.firewall import read_iptables, read_nft
from c2c_sip.cli.doctor.signalling import _judge_nat
from c2c_sip.cli.doctor.sockets import Holder, host_port, is_of
from c2c_sip.config import Config, Sip

PORTS = (20000, 29999)

_NFT = """table inet filter {{
\tchain input {{
\t\ttype filter hook input priority filter; policy {policy};
\t\tct state established,related accept
\t\tiif "lo" accept
\t\t{rule}
\t}}
\tchain forward {{
\t\ttype filter hook forward priority filter; policy drop;
\t}}
}}
"""


@pytest.mark.parametrize(
    ("policy", "rule", "wrong"),
    [
        ("accept", "", ""),
        ("drop", "", "none accepts them"),
        ("drop", "tcp dport 20000-29999 accept", "none accepts them"),
        ("drop", "udp dport 20000-29999 accept", ""),
        ("drop", "udp dport 20000-29999 counter packets 1 bytes 2 accept", ""),
        ("drop", "udp dport { 5060, 10000-40000 } accept", ""),
        ("drop", "udp dport { 5060, 20000-20100 } accept", "none accepts them"),
        ("drop", "udp dport sip accept", "none accepts them"),
        ("drop", "meta l4proto udp accept", ""),
        ("accept", "udp dport 25000 drop", "a rule drops them"),
        ("accept", "udp dport 5000 drop", ""),
        ("accept", "udp dport { 1-65535 } reject with icmpx port-unreachable", "a rule drops them"),
    ],
)
def test_rules_of_nft(policy: str, rule: str, wrong: str) -> None:
    found = read_nft(_NFT.format(policy=policy, rule=rule), PORTS)
    assert wrong in found and bool(wrong) == bool(found)


@pytest.mark.parametrize(
    ("rules", "wrong"),
    [
        ("-P INPUT ACCEPT", ""),
        ("-P INPUT DROP", "none accepts them"),
        ("-P INPUT DROP\n-A INPUT -p udp -m udp --dport 20000:29999 -j ACCEPT", ""),
        ("-P INPUT DROP\n-A INPUT -p udp -m multiport --dports 5060,20000:30000 -j ACCEPT", ""),
        ("-P INPUT DROP\n-A INPUT -p udp -m udp --dport 5060 -j ACCEPT", "none accepts them"),
        ("-P INPUT DROP\n-A INPUT -p udp -j ACCEPT", ""),
        ("-P INPUT ACCEPT\n-A INPUT -p udp -m udp --dport 1:65535 -j DROP", "a rule drops them"),
        ("-P INPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport 1:65535 -j DROP", ""),
    ],
)
def test_rules_of_iptables(rules: str, wrong: str) -> None:
    found = read_iptables(rules, PORTS)
    assert wrong in found and bool(wrong) == bool(found)


@pytest.mark.parametrize(
    ("off", "verdict", "words"),
    [
        (0.4, "ok", "right"),
        (-4.9, "ok", "right"),
        (6.0, "warn", "6 s behind"),
        (-61.0, "fail", "61 s ahead"),
    ],
)
def test_a_clock_may_be_a_little_wrong(off: float, verdict: str, words: str) -> None:
    found = judge_clock(off, "somebody")
    assert found.verdict == verdict and words in found.text


@pytest.mark.parametrize(
    ("public", "seen", "verdict"),
    [
        ("", "10.0.0.5", Verdict.OK),
        ("", "198.51.100.7", Verdict.WARN),
        ("198.51.100.7", "198.51.100.7", Verdict.OK),
        ("198.51.100.8", "198.51.100.7", Verdict.FAIL),
        # Within the same network nothing is in between, whatever we are called outside.
        ("198.51.100.8", "10.0.0.5", Verdict.OK),
    ],
)
def test_a_nat_is_judged_by_what_we_call_ourselves(
    public: str, seen: str, verdict: Verdict
) -> None:
    settings = Config(sip=Sip(public_address=public))
    found = _judge_nat("NAT", settings, ("10.0.0.5", 5060), (seen, 41000), "sip.test:5060")
    assert found.verdict is verdict
    assert (seen in found.remedy) == (verdict in (Verdict.WARN, Verdict.FAIL))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("stun.test", ("stun.test", 3478)),
        ("stun.test:19302", ("stun.test", 19302)),
        ("192.0.2.1:1", ("192.0.2.1", 1)),
        ("2001:db8::1", ("2001:db8::1", 3478)),
        ("[2001:db8::1]:99", ("2001:db8::1", 99)),
        ("[2001:db8::1]", ("2001:db8::1", 3478)),
    ],
)
def test_a_server_is_a_host_with_or_without_a_port(text: str, read: tuple[str, int]) -> None:
    assert host_port(text, 3478) == read


def test_a_process_is_known_by_those_it_comes_from() -> None:
    import os

    assert is_of(os.getpid(), os.getpid())
    assert is_of(os.getpid(), os.getppid())
    assert not is_of(os.getppid(), os.getpid())
    assert str(Holder(0, "")) == "a process that we may not see"


def test_the_log_is_as_it_was_when_the_examination_is_over(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[http]\nlisten = 7\n")
    before = [logging.getLogger(name).level for name in ("sipstack", "c2c_sip")]
    result = CliRunner().invoke(main, ["doctor", "--config", str(tmp_path / "c.toml")])
    assert result.exit_code == 1 and "http.listen" in result.stdout
    assert [logging.getLogger(name).level for name in ("sipstack", "c2c_sip")] == before
