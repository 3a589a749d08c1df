"""Headers that say why, and who: what we send of them, and that those of others do no harm."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from c2c_sip.config import load
from sipstack.message import Request, Response, make_response
from tests.simulation.trunks import Answering, Seen, answers, place_call

TRUNK = "192.0.2.7"
EXTENSION, CONTACT = "+12025550101", "+12025550102"
FOREIGN = [
    ("P-Asserted-Identity", '"Ann" <sip:+12025550102@trunk.test>, <tel:+12025550102>'),
    ("P-Charging-Vector", "icid-value=1"),
    ("Privacy", "id; critical; nothing-we-know"),
    ("History-Info", "<sip:ann@trunk.test?Reason=SIP%3Bcause%3D302>;index=1, <sip:bob@trunk.test>;index=1.1;mp=1"),
    ("Diversion", "<sip:ann@trunk.test>;reason=no-answer;counter=1"),
    ("Reason", 'Preemption;cause=1, SIP ; cause=580 ; text="x;y"'),
]  # fmt: skip


def call(folder: Path, contact: Answering) -> tuple[Seen, str]:
    """A call whose extension answers and whose contact is as told; what the trunk saw, and the record's cause."""
    path = folder / "c2c_sip.toml"
    path.write_text(
        '[calling]\nbusy_tone = 0\n[[trunk]]\nname = "t"\ndomain = "trunk.test"\nregister = false\n'
    )

    def trunk(request: Request) -> Response | None:
        return (contact if request.to.uri.user == CONTACT else answers)(request)

    nodes = place_call(
        load(str(path), {}),
        folder,
        {"extension": EXTENSION},
        CONTACT,
        zone={("trunk.test", "A"): (TRUNK,)},
        answering={TRUNK: trunk},
    )
    with sqlite3.connect(folder / "c2c.db") as database:
        ((cause,),) = database.execute("SELECT cause FROM activation").fetchall()
    return nodes[TRUNK], cause


def of(seen: Seen, user: str, method: str) -> list[Request]:
    return [r for r in seen.requests if r.method == method and r.to.uri.user == user]


def test_the_extension_is_told_why_it_is_hung_up(tmp_path: Path) -> None:
    seen, cause = call(tmp_path, lambda request: refused(request, 486))
    assert cause == "USER_BUSY"
    (bye,) = of(seen, EXTENSION, "BYE")
    assert bye.get("Reason") == "SIP;cause=486"


def test_a_call_that_ends_as_calls_do_needs_no_reason(tmp_path: Path) -> None:
    seen, cause = call(tmp_path, answers)
    assert cause == "X"  # by whom hangs up in this network
    assert all(bye.get("Reason") is None for bye in of(seen, EXTENSION, "BYE"))


def refused(
    request: Request, status: int, headers: tuple[tuple[str, str], ...] = ()
) -> Response | None:
    if request.method == "ACK":
        return None
    return make_response(request, status, to_tag="them", headers=headers)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("Q.850;cause=17", "USER_BUSY"),
        ('SIP;cause=480;text="a, b", Q.850 ;cause=1;text="x;cause=16"', "UNALLOCATED_NUMBER"),
        ("q.850; CAUSE=21", "CALL_REJECTED"),
        ("Q.850", "NO_USER_RESPONSE"),
        ("Q.850;cause=seventeen", "NO_USER_RESPONSE"),
        ("Q.850;cause=99999999999999999999", "NO_USER_RESPONSE"),
        (";;,,=", "NO_USER_RESPONSE"),
    ],
)
def test_the_networks_own_cause_is_believed_where_it_can_be_read(
    reason: str, cause: str, tmp_path: Path
) -> None:
    _, found = call(tmp_path, lambda request: refused(request, 480, (("Reason", reason),)))
    assert found == cause


def test_what_others_say_of_who_called_does_no_harm(tmp_path: Path) -> None:
    def tells_all(request: Request) -> Response | None:
        response = answers(request)
        if response is not None:
            for name, value in FOREIGN:
                response.add(name, value)
        return response

    seen, _ = call(tmp_path, tells_all)
    assert len(of(seen, CONTACT, "ACK")) == len(of(seen, CONTACT, "BYE")) == 1
    # None of it goes any further.
    for request in seen.requests:
        assert not {name for name, _ in request.headers} & {name for name, _ in FOREIGN}
