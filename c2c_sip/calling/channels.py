"""A live leg as the API shows it. Pure."""

from typing import Any

from c2c_sip.calling.flow import Flow
from c2c_sip.calling.heard import shown
from c2c_sip.calling.leg import Leg
from c2c_sip.calling.plan import LegPlan
from sipstack.media import LegCounters


def describe(
    flow: Flow,
    leg: Leg | LegPlan,
    clicktocall_id: str,
    state: str,
    created: float,
    elapsed: float,
    now: float,
) -> dict[str, Any]:
    """One leg of a call of Unix time ``created``, ``elapsed`` seconds ago; ``now`` is on the media plane's clock.

    Of one that is still to be dialled there is a plan only.
    """
    plan = flow.plan
    own = leg.plan if isinstance(leg, Leg) else leg
    other = plan.contact
    if own is plan.contact:
        # The last to come is whom it talks to: a transfer's leg comes after the extension's.
        beside = [each.plan for each in list(flow.legs.values()) if each is not leg]
        other = beside[-1] if beside else plan.extensions[0]
    return {
        "id": own.call_id,
        "call_id": own.call_id,
        "uuid": own.call_id,
        "other_leg": other.call_id,
        "other_leg_call_id": other.call_id,
        "activation_id": plan.activation_id,
        "clicktocall_id": clicktocall_id,
        "role": own.role,
        "direction": "outbound",
        "answered": isinstance(leg, Leg) and leg.call.answered,
        "state": state,
        "from": str(own.from_.uri),
        "to": str(own.outbound.uri),
        "destination": own.outbound.uri.user or "",
        "created": created,
        "elapsed_s": max(0, int(elapsed)),
        "media": shown(leg.media.counters() if isinstance(leg, Leg) else LegCounters(), now),
    }
