"""The agent that sends only where it may."""

from collections.abc import Callable, Sequence
from unittest.mock import Mock

import pytest

from sipstack.account import Account
from sipstack.agent import Agent
from sipstack.fence import Fence
from sipstack.message import Uri
from sipstack.resolver import Target
from sipstack.useragent import UserAgent

GOOD, BAD, WORSE = (Target("UDP", (host, 5060)) for host in ("8.8.8.8", "127.0.0.1", "10.0.0.1"))
BOB = Uri.parse("sip:bob@example.net")


def fenced(targets: Sequence[Target], home: Uri | None = None) -> tuple[Fence, Mock]:
    agent = Mock(spec=UserAgent, timers=None)

    def locate(
        uri: Uri,
        account: Account | None,
        then: Callable[[Sequence[Target]], None],
        failed: Callable[[str], None],
    ) -> None:
        then(targets)

    agent.locate = locate
    return Fence(agent, lambda host: host == "8.8.8.8", home), agent


def located(fence: Fence, uri: Uri = BOB, account: Account | None = None) -> Sequence[Target] | str:
    found: list[Sequence[Target] | str] = []
    fence.locate(uri, account, found.append, found.append)
    (one,) = found
    return one


@pytest.mark.parametrize(
    ("targets", "left"), [([GOOD], [GOOD]), ([BAD, GOOD, WORSE], [GOOD]), ([GOOD, BAD], [GOOD])]
)
def test_only_addresses_that_are_accepted_are_tried(
    targets: list[Target], left: list[Target]
) -> None:
    assert located(fenced(targets)[0]) == left


def test_a_name_without_any_fails_as_one_without_an_address_does() -> None:
    assert "example.net" in str(located(fenced([BAD, WORSE])[0]))


def test_an_account_s_servers_are_its_own_business() -> None:
    account = Account(name="t", domain=Uri.parse("sip:10.0.0.1"), make_cnonce=str)
    assert located(fenced([WORSE])[0], account=account) == [WORSE]


def test_at_home_the_first_address_is_accepted_and_stays_so_and_no_other() -> None:
    home = Uri.parse("sip:desk@desk.lan")
    fence, agent = fenced([WORSE], home)
    assert isinstance(located(fence), str)
    assert located(fence, home) == [WORSE]
    assert located(fence, Uri.parse("sip:desk@10.0.0.1:5062")) == [WORSE]
    agent.locate = lambda uri, account, then, failed: then([BAD])
    assert isinstance(located(fence, Uri.parse("sip:desk@127.0.0.1")), str)


def test_everything_else_is_the_agent_s() -> None:
    fence, agent = fenced([])
    for name in vars(Agent):
        if not name.startswith("_") and name != "locate":
            assert getattr(fence, name) is getattr(agent, name), name
