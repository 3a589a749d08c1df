"""What a check has found."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was seen, and what to do where it is not well."""

    check: str
    verdict: Verdict
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """It is well."""
    return Finding(check, Verdict.OK, text)


def warn(check: str, text: str, remedy: str) -> Finding:
    """It may do, but not always."""
    return Finding(check, Verdict.WARN, text, remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    """It will not do."""
    return Finding(check, Verdict.FAIL, text, remedy)


def not_checked(check: str, text: str, remedy: str = "") -> Finding:
    """It is not known."""
    return Finding(check, Verdict.NOT_CHECKED, text, remedy)
