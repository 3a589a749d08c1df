"""Plain counts: nothing that somebody outside chooses makes them grow without end."""

from __future__ import annotations

import secrets
import threading

from c2c_sip.api.traffic import Traffic
from c2c_sip.calling import tally as calls
from c2c_sip.calling.tally import Histogram
from sipstack import tally as sip
from sipstack.media import LegCounters


def test_a_value_at_a_bound_is_below_it() -> None:
    found = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.1, 99.0):
        found.add(value)
    assert found.counts == [2, 2, 2]
    assert found.total == 0.5 + 1.0 + 1.5 + 2.0 + 2.1 + 99.0


def test_only_calls_that_were_connected_have_a_setup_time_and_a_duration() -> None:
    tally = calls.Tally()
    tally.call_ended("error", "USER_BUSY", None, None)
    tally.call_ended("success", "NORMAL_CLEARING", 4.0, 60.0)
    assert tally.ended == {("error", "USER_BUSY"): 1, ("success", "NORMAL_CLEARING"): 1}
    assert sum(tally.setup.counts) == sum(tally.duration.counts) == 1
    assert (tally.setup.total, tally.duration.total) == (4.0, 60.0)


def test_a_leg_without_audio_says_nothing_about_how_it_sounded() -> None:
    tally = calls.Tally()
    tally.leg_ended("contact", None, LegCounters(lost=3))
    tally.leg_ended("extension", 2.0, LegCounters(packets_received=0))
    assert sum(tally.loss.of["contact"].counts) == 0
    assert sum(tally.ringing.of["extension"].counts) == 1
    tally.leg_ended("contact", 1.0, LegCounters(packets_received=75, lost=25, mean_jitter_ms=4.0))
    assert tally.loss.of["contact"].total == 0.25
    assert tally.jitter.of["contact"].total == 0.004
    assert sum(tally.mos.of["contact"].counts) == 0
    tally.leg_ended("contact", 1.0, LegCounters(packets_received=75, mos=4.4))
    assert tally.mos.of["contact"].total == 4.4


def test_there_is_an_end_to_causes() -> None:
    tally = calls.Tally()
    for number in range(1000):
        tally.call_ended("error", f"CAUSE_{number}", None, None)
    assert len(tally.ended) == calls.MOST_CAUSES + 1
    assert tally.ended["error", "OTHER"] == 1000 - calls.MOST_CAUSES


def test_methods_and_statuses_that_nobody_knows_are_one() -> None:
    tally = sip.Tally()
    for number in range(1000):
        tally.concluded("server", f"X{number}", 200 + number % 500)
    tally.concluded("client", "INVITE", "timeout")
    tally.concluded("client", "INVITE", 486)
    assert {method for _, method, _ in tally.transactions} == {"other", "INVITE"}
    assert len(tally.transactions) < 100
    assert tally.transactions["client", "INVITE", "486"] == 1
    assert tally.transactions["server", "other", "4xx"] > 0


def test_requests_are_counted_by_template_and_strangers_leave_nothing_behind() -> None:
    traffic = Traffic()
    for _ in range(500):
        traffic.count(secrets.token_hex(4), None, 404, 0.001)
    traffic.count("GET", "/v1/accounts/{account_id}", 200, 0.2)
    assert traffic.requests() == {
        ("other", "none", "404"): 500,
        ("GET", "/v1/accounts/{account_id}", "200"): 1,
    }
    assert sum(traffic.seconds()["none"].counts) == 500


def test_threads_lose_no_request() -> None:
    traffic = Traffic()

    def ask() -> None:
        for _ in range(2000):
            traffic.count("GET", "/healthz", 200, 0.001)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert traffic.requests() == {("GET", "/healthz", "200"): 8000}
