"""Cerberus' schemas as JSON Schemas, for the description of the API."""

from collections.abc import Mapping
from typing import Any

from c2c_sip.schemas import MEANINGS

Schema = dict[str, Any]

_TYPES = {
    "dict": "object",
    "list": "array",
    "string": "string",
    "integer": "integer",
    "float": "number",
    "boolean": "boolean",
}
_SIZES = {"string": "Length", "list": "Items", "dict": "Properties"}


def of_document(fields: Mapping[str, Any], partial: bool = False) -> Schema:
    """The JSON Schema of an object with these fields; it may have any others.

    :param partial: it is to be merged into another: nothing is required, and null takes away what is not
    """
    described = {name: rules for name, rules in fields.items() if not _prose(rules)}
    found: Schema = {
        "type": "object",
        "properties": {name: _of_field(rules, partial) for name, rules in described.items()},
    }
    required = [name for name, rules in described.items() if rules.get("required")]
    if required and not partial:
        found["required"] = required
    told = [f"`{name}`: {text}" for name, rules in fields.items() if (text := _prose(rules))]
    if told:
        found["description"] = "Also: " + "; ".join(told)
    return found


def _prose(rules: Mapping[str, Any]) -> str:
    """What is told of a field in words only: where what is accepted depends on what else there is."""
    return str(rules.get("meta", {}).get("prose", ""))


def _of_field(rules: Mapping[str, Any], partial: bool) -> Schema:
    kinds = rules.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    found: Schema = {}
    if "dict" in kinds:
        found = of_document(rules.get("schema", {}), partial)
        if not found["properties"]:
            del found["properties"]
        if rules.get("allow_unknown") is False:
            found["additionalProperties"] = {"type": "null"} if partial else False
        if "valuesrules" in rules:
            found["additionalProperties"] = _of_field(rules["valuesrules"], partial)
    if "list" in kinds and "schema" in rules:
        found["items"] = _of_field(rules["schema"], False)
    names = [_TYPES[kind] for kind in kinds]
    if rules.get("nullable") or (partial and names and not rules.get("required")):
        names.append("null")
    if names:
        found["type"] = names[0] if len(names) == 1 else names
    for kind in kinds:
        for rule, prefix in (("minlength", "min"), ("maxlength", "max")):
            if rule in rules and kind in _SIZES:
                found[prefix + _SIZES[kind]] = rules[rule]
    for rule, keyword in (("min", "minimum"), ("max", "maximum")):
        if rule in rules:
            found[keyword] = rules[rule]
    if "allowed" in rules:
        found["enum"] = [*rules["allowed"], *([None] if "null" in names else [])]
    checks = rules.get("check_with", [])
    for check in checks if isinstance(checks, list) else [checks]:
        meaning = _mergeable(MEANINGS[check]) if partial else MEANINGS[check]
        if any(found.get(word, value) != value for word, value in meaning.items()):
            # Two patterns, say: both have to match.
            found.setdefault("allOf", []).append(meaning)
        else:
            found |= meaning
    for word in ("description", "readOnly", "writeOnly", "examples", "default", "pattern"):
        if word in rules.get("meta", {}):
            found[word] = rules["meta"][word]
    return found


def _mergeable(schema: Any) -> Any:
    """A schema of what is merged into another: any member of an object may be null, which takes it away."""
    found = dict(schema)
    for word in ("additionalProperties", "properties"):
        below = found.get(word)
        if word == "properties" and below:
            found[word] = {
                name: {"anyOf": [_mergeable(one), {"type": "null"}]} for name, one in below.items()
            }
        elif below:
            found[word] = {"anyOf": [below, {"type": "null"}]}
    if "anyOf" in found:
        found["anyOf"] = [_mergeable(one) for one in found["anyOf"]]
    if found.get("type") == "object":
        found["type"] = ["object", "null"]
    return found
