"""What can be read of a message that goes on whether or not all of it can."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from sipstack.message import ParseError

log = logging.getLogger(__name__)

T = TypeVar("T")


def readable(read: Callable[[], Sequence[T]]) -> Sequence[T]:
    """The values of a header as ``read`` gives them; none where they cannot be read.

    A final response is not dropped for one: whoever sent it waits for our ACK, or for nothing at all any more. Nor is a
    BYE, which ends a call whatever its reason.
    """
    try:
        return read()
    except ParseError as error:
        log.info("a header counts as not there: %s", error.reason)
        return ()
