"""A user agent for one call that must not be led everywhere: whom we call says where we send to, in many ways.

The host of the Request-URI is one, which a name server may give any address; the Contact of a redirection is another,
and so are the Contact and the Record-Route of an answer, by which ACK and BYE go.
"""

from collections.abc import Callable, Sequence
from functools import partial

from sipstack.account import Account
from sipstack.agent import Agent
from sipstack.message import Uri
from sipstack.resolver import Target


class Fence:
    """``agent``, but what does not go through an account's trunk is sent only to hosts that are ``accepted``.

    A host is an IP literal here. Where none of a URI's addresses is accepted, it counts as one without any. The
    addresses of ``home``, where there is one, are accepted in any case.
    """

    def __init__(
        self, agent: Agent, accepted: Callable[[str], bool], home: Uri | None = None
    ) -> None:
        self._agent = agent
        self._accepted = accepted
        self._home = home
        self._hosts_at_home: set[str] = set()
        self.timers = agent.timers
        self.token = agent.token
        self.uniform = agent.uniform
        self.call_later = agent.call_later
        self.server_failed = agent.server_failed
        self.trouble = agent.trouble
        self.contact = agent.contact
        self.seen_as = agent.seen_as
        self.send_request = agent.send_request
        self.send = agent.send
        self.send_cancel = agent.send_cancel
        self.take_up = agent.take_up
        self.abandon = agent.abandon
        self.attach = agent.attach
        self.detach = agent.detach

    def locate(
        self,
        uri: Uri,
        account: Account | None,
        then: Callable[[Sequence[Target]], None],
        failed: Callable[[str], None],
    ) -> None:
        """See :meth:`sipstack.agent.Agent.locate`."""

        if account is not None:
            self._agent.locate(uri, account, then, failed)
        else:
            self._agent.locate(uri, None, partial(self._found, uri, then, failed), failed)

    def _found(
        self,
        uri: Uri,
        then: Callable[[Sequence[Target]], None],
        failed: Callable[[str], None],
        targets: Sequence[Target],
    ) -> None:
        at_home = self._hosts_at_home
        if self._home is not None and uri == self._home:
            at_home.update(target.address[0] for target in targets)
        accepted = [
            target
            for target in targets
            if target.address[0] in at_home or self._accepted(target.address[0])
        ]
        if accepted:
            then(accepted)
        else:
            failed(f"{uri.host} is at an address that is not to be called")
