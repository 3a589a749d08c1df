"""What can be read of a message that goes on whether or not all of it can."""

import logging
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import ParamSpec, TypeVar

from sipstack.message import Message, NameAddr, ParseError

log = logging.getLogger(__name__)

#: The Contact and the Record-Route values of a message, to be read so.
CONTACTS: Callable[[Message], list[NameAddr]] = attrgetter("contacts")
RECORD_ROUTES: Callable[[Message], list[NameAddr]] = attrgetter("record_routes")

T = TypeVar("T")
P = ParamSpec("P")


def readable(read: Callable[P, Sequence[T]], *asked: P.args, **named: P.kwargs) -> Sequence[T]:
    """The values of a header as ``read`` gives them; none where they cannot be read.

    A final response is not dropped for one: whoever sent it waits for our ACK, or for nothing at all any more. Nor is a
    BYE, which ends a call whatever its reason.
    """
    try:
        return read(*asked, **named)
    except ParseError as error:
        log.info("a header counts as not there: %s", error.reason)
        return ()
