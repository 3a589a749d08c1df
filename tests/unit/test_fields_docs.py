"""docs/fields.md says what is so: a row for each field that is checked, with its type and its default."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from c2c_sip.calling.defaults import DEFAULTABLE
from c2c_sip.calling.headers import auto_answer
from c2c_sip.calling.hours import DAYS
from c2c_sip.calling.ringing import COMPLETED_ELSEWHERE
from c2c_sip.schemas import CLICKTOCALL, MOST_EXTENSIONS, TIME_ZONES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "fields.md").read_text("utf-8")


def fields_of(
    schema: Mapping[str, Any], above: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Dotted path and rules of every field; of the days of a week only the first."""
    for name, rules in schema.items():
        if name not in DAYS[1:]:
            yield above + name, rules
        if rules["type"] == "dict":
            yield from fields_of(rules.get("schema", {}), f"{above}{name}.")


def rows() -> dict[str, list[str]]:
    """Field → the other cells of its row in the first table."""
    table = TEXT.split("|---|---|---|---|---|\n", 1)[1].split("\n\n", 1)[0]
    found = {}
    for line in table.splitlines():
        first, *others = [cell.strip() for cell in line.strip("|").split(" |")]
        names = re.findall(r"`([^`]+)`", first)
        found[names[0]] = [*others, ""][:4]
    return found


def kind(rules: Mapping[str, Any]) -> str:
    """A type in the words of the table."""
    if "allowed" in rules:
        if rules["allowed"] == TIME_ZONES:
            return "a time zone"
        words = [f"`{v}`" if isinstance(v, str) else str(v).lower() for v in rules["allowed"]]
        return ", ".join(words[:-1]) + f" or {words[-1]}"
    match rules["type"]:
        case ["string", "list"]:
            return "text or list"
        case "string":
            return f"text, {rules['minlength']}–{rules['maxlength']}"
        case "integer":
            return (
                f"whole number, {rules['min']}–{rules['max']}"
                if "max" in rules
                else f"whole number, from {rules['min']}"
            )
        case "boolean":
            return "true or false"
        case "list":
            return "list"
        case "dict":
            return "object"
        case other:
            raise AssertionError(f"no words for {other}")


FIELDS = dict(fields_of(CLICKTOCALL))


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_has_its_row(name: str) -> None:
    found = rows()
    assert name in found, f"docs/fields.md has no row for {name}"
    assert found[name][0] == kind(FIELDS[name])


def test_there_are_no_rows_for_what_is_not_there() -> None:
    assert not rows().keys() - FIELDS.keys()


@pytest.mark.parametrize(
    "name", [n for n, rules in FIELDS.items() if rules.get("required") or "default" in rules.get("meta", {})]
)  # fmt: skip
def test_defaults_are_those_of_the_schemas(name: str) -> None:
    rules = FIELDS[name]
    if rules.get("required"):
        assert rows()[name][1] == "required"
        return
    default = rules["meta"]["default"]
    shown = default if isinstance(default, str) else str(default).lower()
    assert rows()[name][1] == f"`{shown}`"


def test_what_the_text_says_of_values_is_so() -> None:
    assert f"up to {MOST_EXTENSIONS} of them" in TEXT
    assert f"`Reason: {COMPLETED_ELSEWHERE}`" in TEXT
    for name, value in auto_answer("HOST"):
        assert f"`{name}: {value}`" in TEXT
    told = TEXT.split("under `defaults`:", 1)[1].split(". ", 1)[0]
    assert set(re.findall(r"`([a-z_]+)`", told)) == set(DEFAULTABLE)
