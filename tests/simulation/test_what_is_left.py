"""What a call leaves in memory, before the cycle collector has looked: nothing. Its pauses would be heard."""

import gc
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from c2c_sip.calling.door import _Live
from c2c_sip.calling.flow import Flow
from c2c_sip.calling.leg import Leg
from c2c_sip.calling.plan import LegPlan, Plan
from c2c_sip.calling.recorder import Recorder
from c2c_sip.config import load
from sipstack.call import OutgoingCall
from sipstack.dialog import Dialog
from sipstack.message import Request, Response, make_response
from sipstack.session import Session
from tests.simulation.trunks import Answering, answers, place_call

A_CALLS = (_Live, Flow, Leg, Plan, LegPlan, Recorder, OutgoingCall, Session, Dialog)
TRUNK = "192.0.2.7"


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def busy(request: Request) -> Response | None:
    if request.method == "INVITE" and request.to.uri.user == "+12025550102":
        return make_response(request, 486, to_tag="them")
    return answers(request)


def silent(request: Request) -> Response | None:
    return None


@pytest.mark.parametrize(
    ("trunk", "cause"),
    [(answers, "X"), (busy, "USER_BUSY"), (silent, "NO_ANSWER")],
)
@pytest.mark.parametrize("extension", ["+12025550101", ["+12025550101", "+12025550103"]])
def test_a_call_that_is_over_leaves_nothing(
    trunk: Answering, cause: str, extension: str | list[str], tmp_path: Path
) -> None:
    path = tmp_path / "c2c_sip.toml"
    path.write_text(
        '[calling]\nbusy_tone = 0\nextension_timeout = 5\n[[trunk]]\nname = "t"\ndomain = "trunk.test"\nregister = false\n'
    )
    place_call(
        load(str(path), {}),
        tmp_path,
        {"extension": extension},
        "+12025550102",
        zone={("trunk.test", "A"): (TRUNK,)},
        answering={TRUNK: trunk},
    )
    with sqlite3.connect(tmp_path / "c2c.db") as database:
        assert database.execute("SELECT cause FROM activation").fetchall() == [(cause,)]
    assert [type(o).__name__ for o in gc.get_objects() if isinstance(o, A_CALLS)] == []
