"""The hours in which a click-to-call calls: by the clock on the wall of their time zone."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from c2c_sip.calling.hours import DAYS, is_open, next_change
from c2c_sip.schemas import CLICKTOCALL, TIME_ZONES, validate
from tests.unit.conftest import Api

BERLIN: dict[str, Any] = {"timezone": "Europe/Berlin"} | {
    day: ["09:00-12:30", "13:30-18:00"] for day in DAYS[:5]
}


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("when", "open_"),
    [
        ("2026-11-23 08:59:59", False),
        ("2026-11-23 09:00:00", True),
        ("2026-11-23 12:29:59", True),
        ("2026-11-23 12:30:00", False),
        ("2026-11-23 13:30:00", True),
        ("2026-11-27 17:59:59", True),
        ("2026-11-28 10:00:00", False),
        # Summer: the same hours by the wall, another by UTC.
        ("2026-07-20 09:00:00", True),
        ("2026-07-20 08:59:59", False),
    ],
)
def test_a_span_has_its_first_minute_and_not_its_last(when: str, open_: bool) -> None:
    assert is_open(BERLIN, at(when)) is open_


def test_the_time_zone_is_what_the_hours_are_in() -> None:
    noon = datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()
    hours = {"monday": ["11:30-12:30"]}
    assert is_open(hours, noon)
    assert not is_open(hours | {"timezone": "Asia/Tokyo"}, noon)


@pytest.mark.parametrize(
    ("span", "when", "open_"),
    [
        ("22:00-02:00", "2026-11-23 23:59:00", True),
        ("22:00-02:00", "2026-11-24 01:59:00", True),
        ("22:00-02:00", "2026-11-24 02:00:00", False),
        ("22:00-02:00", "2026-11-23 01:00:00", False),
        ("00:00-24:00", "2026-11-23 23:59:59", True),
        ("00:00-24:00", "2026-11-24 00:00:00", False),
        ("08:00-08:00", "2026-11-24 07:59:00", True),
        ("08:00-08:00", "2026-11-24 08:00:00", False),
    ],
)
def test_a_span_may_reach_into_the_next_day(span: str, when: str, open_: bool) -> None:
    hours = {"timezone": "Europe/Berlin", "monday": [span]}
    assert is_open(hours, at(when)) is open_


def test_from_sunday_to_monday_the_week_begins_anew() -> None:
    hours = {"sunday": ["23:00-01:00"]}
    assert is_open(hours, at("2026-11-23 00:30:00", "UTC"))
    assert next_change(hours, at("2026-11-23 00:30:00", "UTC")) == at("2026-11-23 01:00:00", "UTC")


@pytest.mark.parametrize("hours", [{}, {"timezone": "Europe/Berlin"}, {"message": "x"}])
def test_without_any_day_it_is_always_open(hours: dict[str, Any]) -> None:
    assert is_open(hours, 0.0) and next_change(hours, 0.0) is None


def test_a_week_without_a_span_is_never_open() -> None:
    assert not is_open({"monday": []}, 0.0) and next_change({"monday": []}, 0.0) is None


@pytest.mark.parametrize(
    ("now", "change"),
    [
        ("2026-11-23 08:00:30", "2026-11-23 09:00:00"),
        ("2026-11-23 10:00:00", "2026-11-23 12:30:00"),
        ("2026-11-27 18:00:00", "2026-11-30 09:00:00"),
        # The clocks go back in the night to the 25th, and forward in that to the 29th of March.
        ("2026-10-24 12:00:00", "2026-10-26 09:00:00"),
        ("2026-03-28 12:00:00", "2026-03-30 09:00:00"),
    ],
)
def test_when_it_opens_or_closes_next(now: str, change: str) -> None:
    assert next_change(BERLIN, at(now)) == at(change)


def test_days_that_follow_each_other_without_a_gap_are_one() -> None:
    hours = {"monday": ["00:00-24:00"], "tuesday": ["00:00-10:00"]}
    assert next_change(hours, at("2026-11-23 12:00:00", "UTC")) == at("2026-11-24 10:00:00", "UTC")


def test_every_zone_that_is_accepted_is_one() -> None:
    for zone in TIME_ZONES:
        is_open({"timezone": zone, "monday": ["00:00-00:00"]}, 1e9)


@pytest.mark.parametrize(
    ("hours", "path", "rule"),
    [
        ({"timezone": "Mars/Base"}, "hours.timezone", "enum"),
        ({"timezone": "../../etc/passwd"}, "hours.timezone", "enum"),
        ({"monday": ["9-17"]}, "hours.monday.0", "pattern"),
        ({"monday": ["09:00-17:00\n"]}, "hours.monday.0", "pattern"),
        ({"monday": ["24:00-25:00"]}, "hours.monday.0", "pattern"),
        ({"monday": "09:00-17:00"}, "hours.monday", "type"),
        ({"monday": ["09:00-17:00"] * 9}, "hours.monday", "maxItems"),
        ({"message": "a\r\nb"}, "hours.message", "pattern"),
    ],
)
def test_hours_that_cannot_be_meant_are_refused(
    hours: dict[str, Any], path: str, rule: str
) -> None:
    found = validate(CLICKTOCALL, {"name": "n", "extension": "1", "hours": hours})
    assert list(found[path]) == [rule]


def test_whoever_may_activate_it_may_ask_whether_it_is_open(api: Api) -> None:
    always = api.create(name="a")["id"]
    never = api.create(name="n", hours={"monday": [], "message": "We have moved."})["id"]
    closed = api.create(name="c", auth_required=True)["id"]
    assert api.get(f"/clicktocall/{always}/hours", token=None).json["data"] == {
        "open": True, "timezone": "UTC", "message": None, "changes": None,
    }  # fmt: skip
    assert api.get(f"/clicktocall/{never}/hours", token=None).json["data"] == {
        "open": False, "timezone": "UTC", "message": "We have moved.", "changes": None,
    }  # fmt: skip
    assert api.get(f"/clicktocall/{closed}/hours", token=None).status_code == 401
    assert api.get(f"/clicktocall/{closed}/hours").status_code == 200
    assert api.get("/clicktocall/none/hours", token=None).status_code == 404


def test_an_account_s_hours_are_those_of_its_click_to_calls(api: Api) -> None:
    assert api.patch("", {"defaults": {"hours": {"monday": []}}}).status_code == 200
    one = api.create()["id"]
    assert api.get(f"/clicktocall/{one}/hours").json["data"]["open"] is False


@pytest.mark.parametrize(
    ("zone", "day", "span", "asked", "changes"),
    [
        # The clock goes from 02:00 to 03:00: what begins or ends between begins and ends then.
        ("Europe/Berlin", "sunday", "02:30-12:00", "2026-03-29T01:50+01:00", "2026-03-29T03:00+02:00"),
        ("Europe/Berlin", "saturday", "08:45-02:30", "2026-03-28T20:00+01:00", "2026-03-29T03:00+02:00"),
        ("America/St_Johns", "sunday", "02:30-12:00", "2026-03-07T19:24-03:30", "2026-03-08T03:00-02:30"),
        # From 00:00 to 01:00.
        ("Africa/Cairo", "friday", "00:45-20:00", "2026-04-23T22:43+02:00", "2026-04-24T01:00+03:00"),
        # From 03:00 back to 02:00: the first time that it is 02:30.
        ("Europe/Berlin", "sunday", "02:30-12:00", "2026-10-25T01:50+02:00", "2026-10-25T02:30+02:00"),
    ],
)  # fmt: skip
def test_a_clock_that_is_changed_over_an_edge(
    zone: str, day: str, span: str, asked: str, changes: str
) -> None:
    hours = {"timezone": zone, day: [span]}
    now = datetime.fromisoformat(asked).timestamp()
    assert next_change(hours, now) == datetime.fromisoformat(changes).timestamp()
