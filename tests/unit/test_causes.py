"""Hangup causes of SIP statuses and Q.850 codes."""

from __future__ import annotations

import pytest

from c2c_sip.calling.causes import hangup_cause


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (200, "NORMAL_CLEARING"),
        (302, "REDIRECTION_TO_NEW_DESTINATION"),
        (403, "CALL_REJECTED"),
        (404, "UNALLOCATED_NUMBER"),
        (407, "CALL_REJECTED"),
        (408, "RECOVERY_ON_TIMER_EXPIRE"),
        (480, "NO_USER_RESPONSE"),
        (484, "INVALID_NUMBER_FORMAT"),
        (486, "USER_BUSY"),
        (487, "ORIGINATOR_CANCEL"),
        (488, "INCOMPATIBLE_DESTINATION"),
        (499, "NORMAL_UNSPECIFIED"),
        (500, "NORMAL_TEMPORARY_FAILURE"),
        (503, "NORMAL_TEMPORARY_FAILURE"),
        (599, "NORMAL_TEMPORARY_FAILURE"),
        (600, "USER_BUSY"),
        (603, "CALL_REJECTED"),
        (604, "UNALLOCATED_NUMBER"),
        (699, "CALL_REJECTED"),
        (0, "NORMAL_UNSPECIFIED"),
    ],
)
def test_the_cause_of_a_status(status: int, cause: str) -> None:
    assert hangup_cause(status) == cause


@pytest.mark.parametrize(
    ("status", "q850", "cause"),
    [
        (503, 17, "USER_BUSY"),
        (500, 19, "NO_ANSWER"),
        (404, 34, "NORMAL_CIRCUIT_CONGESTION"),
        (486, 16, "USER_BUSY"),
        (480, 31, "NO_USER_RESPONSE"),
        (486, 999, "USER_BUSY"),
        (200, 16, "NORMAL_CLEARING"),
    ],
)
def test_a_q850_code_is_believed_before_the_status_where_it_says_something(
    status: int, q850: int, cause: str
) -> None:
    assert hangup_cause(status, q850) == cause
