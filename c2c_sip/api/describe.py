"""What a responder takes and gives, written beside it; :mod:`c2c_sip.api.openapi` makes the description of it all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Schema = Mapping[str, Any]
Responder = TypeVar("Responder", bound=Callable[..., None])

#: Who may ask: a token's account, anybody, or anybody where the click-to-call lets them.
Who = Literal["token", "anybody", "depends"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One verb of one route. Schemas are Cerberus', or JSON Schemas where a key begins with ``$`` or is ``type``.

    :param body: of ``data`` in the request
    :param body_also: keywords of its JSON Schema that no field has
    :param partial: the body is merged into what there is: nothing is required, null takes away
    :param answer: of ``data`` in the answer
    :param many: the answer is a list of such, in pages
    :param status: of success: on v1, and on v2
    :param problems: statuses that come beside those that can come anywhere
    :param query: parameters, by name, as JSON Schemas
    :param request_types: bodies of other media types than JSON's envelope, as JSON Schemas
    :param answer_types: answers of other media types
    :param envelope: whether there is an answer in JSON's envelope
    :param ranges: whether a part of the answer may be asked for
    """

    body: Schema | None = None
    body_also: Schema = field(default_factory=dict)
    partial: bool = False
    answer: Schema | None = None
    many: bool = False
    status: tuple[int, int] = (200, 200)
    problems: tuple[int, ...] = ()
    who: Who = "token"
    query: Mapping[str, Schema] = field(default_factory=dict)
    request_types: Mapping[str, Schema] = field(default_factory=dict)
    answer_types: tuple[str, ...] = ()
    envelope: bool = True
    ranges: bool = False


def operation(described: Operation) -> Callable[[Responder], Responder]:
    """Attach a description to a responder."""

    def attach(responder: Responder) -> Responder:
        responder.operation = described  # type: ignore[attr-defined]
        return responder

    return attach


def operation_of(responder: Any) -> Operation | None:
    """The description of a responder that has one."""
    found = getattr(responder, "operation", None)
    return found if isinstance(found, Operation) else None
