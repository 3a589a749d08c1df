"""docs/guard.md says what is so: every setting with its default, every reason, and the click-to-call's fields."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from c2c_sip.calling.guard import SCOPES
from c2c_sip.calling.numbering import REFUSED_KINDS
from c2c_sip.config import Guard
from c2c_sip.schemas import ACCOUNT, CLICKTOCALL

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "guard.md").read_text("utf-8")


@pytest.mark.parametrize("name", [field.name for field in fields(Guard)])
def test_each_setting_is_told(name: str) -> None:
    assert f"`{name}`" in TEXT


def test_each_reason_that_the_code_gives_is_told() -> None:
    sources = "".join(
        path.read_text("utf-8") for path in (ROOT / "c2c_sip" / "calling").glob("*.py")
    )
    named = set(re.findall(r'reason="([a-z_]+)"', sources))
    named |= set(re.findall(r'refuse\([^)]*"([a-z_]+)"\)', sources))
    named |= {f"link_{rule}" for rule in re.findall(r'LinkError\("([a-z]+)"|_bad_link\("([a-z]+)"', sources) for rule in rule if rule}  # fmt: skip
    named |= {*REFUSED_KINDS, "country"} | {f"per_{scope}" for scope in SCOPES}
    assert {"whitelist", "never_call", "link_used", "proof"} <= named
    assert not {name for name in named if f"`{name}`" not in TEXT}


def test_each_field_that_the_guard_reads_is_told() -> None:
    for name in ("region", "countries", "limits", "caller_ids", "connect_by_get"):
        assert name in ACCOUNT and f"`{name}`" in TEXT
    for name in ("challenge", "limits", "connect_by_get"):
        assert name in CLICKTOCALL
