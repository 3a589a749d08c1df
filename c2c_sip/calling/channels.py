"""A live leg as the API shows it. Pure."""

from typing import Any

from c2c_sip.calling.flow import Flow
from c2c_sip.calling.heard import shown
from c2c_sip.calling.leg import Leg


def describe(
    flow: Flow, leg: Leg, clicktocall_id: str, state: str, elapsed: float, now: float
) -> dict[str, Any]:
    """One leg of a call that has been in the works for ``elapsed`` seconds; ``now`` is on the media plane's clock."""
    plan = flow.plan
    other = plan.contact
    if leg.plan is plan.contact:
        # The last to come is whom it talks to: a transfer's leg comes after the extension's.
        beside = [each.plan for each in list(flow.legs.values()) if each is not leg]
        other = beside[-1] if beside else plan.extensions[0]
    return {
        "id": leg.plan.call_id,
        "call_id": leg.plan.call_id,
        "uuid": leg.plan.call_id,
        "other_leg_call_id": other.call_id,
        "activation_id": plan.activation_id,
        "clicktocall_id": clicktocall_id,
        "role": leg.plan.role,
        "direction": "outbound",
        "answered": leg.call.answered,
        "state": state,
        "from": str(leg.plan.from_.uri),
        "to": str(leg.plan.outbound.uri),
        "elapsed_s": max(0, int(elapsed)),
        "media": shown(leg.media.counters(), now),
    }
