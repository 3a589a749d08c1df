"""The settings as they are shown: each with its default, where it comes from, and nothing of a secret. Pure."""

from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any

from c2c_sip.config import Config, Origin, Trunk

#: What stands for a secret that is set.
HIDDEN = "***"


def shown(config: Config) -> list[dict[str, Any]]:
    """All settings, in the order of ``conf/c2c_sip.toml``; a trunk's are named by it, as ``trunk.provider.domain``."""
    return [
        _shown(name, entry, value, config.origins.get(place, Origin()))
        for name, place, entry, value in _each(config)
    ]


def _each(config: Config) -> Iterator[tuple[str, str, Field[Any], Any]]:
    """Each setting: its name, the name that its origin is kept by, its field, and its value."""
    for section in fields(Config):
        if section.name in ("trunks", "origins"):
            continue
        values = getattr(config, section.name)
        for entry in fields(values):
            name = f"{section.name}.{entry.name}"
            yield name, name, entry, getattr(values, entry.name)
    for index, trunk in enumerate(config.trunks):
        for entry in fields(Trunk):
            name, place = f"trunk.{trunk.name}.{entry.name}", f"trunk[{index}].{entry.name}"
            yield name, place, entry, getattr(trunk, entry.name)


def _shown(name: str, entry: Field[Any], value: Any, origin: Origin) -> dict[str, Any]:
    secret = origin.is_secret or entry.metadata["secret"]
    if name == "database.url" and not origin.is_secret:
        # Of SQLite it is the path of a file, which whoever looks for it may want to know.
        secret = not value.startswith("sqlite:")
    if secret:
        value = HIDDEN if value else ""
    return {
        "name": name,
        "value": _plain(value),
        "default": _plain(entry.default),
        "origin": origin.kind,
        "source": origin.source,
        "secret": secret,
        "reload": entry.metadata["reload"],
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it: lists for tuples."""
    return list(value) if isinstance(value, tuple) else value
