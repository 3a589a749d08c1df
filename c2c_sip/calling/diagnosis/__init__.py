"""Why a call failed, or went as it did: one sentence or two, from what was seen of it; and how a trunk is. Pure.

Each way that a call ends has a name, by which ``docs/failures.md`` tells how it comes about and what to do. What the
peer has said is its own, and so is cut short and cleaned before it stands in a sentence; passwords are in none.
"""

from c2c_sip.calling.diagnosis.calls import explain
from c2c_sip.calling.diagnosis.facts import CallFacts, Diagnosis, LegFacts, Outcome, Why
from c2c_sip.calling.diagnosis.refusals import cut_off, for_visitor, refused
from c2c_sip.calling.diagnosis.trunks import of_trunk

__all__ = [
    "CallFacts",
    "Diagnosis",
    "LegFacts",
    "Outcome",
    "Why",
    "cut_off",
    "explain",
    "for_visitor",
    "of_trunk",
    "refused",
]
