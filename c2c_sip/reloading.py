"""What becomes of settings that are read again while the service runs. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from c2c_sip import settings
from c2c_sip.config import Config


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that is another one now, by its name, and what it was and is to be, as they may be shown."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before} is {self.after} now"


@dataclass(frozen=True, slots=True)
class Reload:
    """What holds from now on, what of it is new, and what has to wait for a restart."""

    config: Config
    applied: tuple[Change, ...]
    waiting: tuple[Change, ...]


def reload(running: Config, read: Config) -> Reload:
    """Put what may change while the service runs out of what was ``read`` into what it is ``running`` with."""
    old, new = _by_name(running), _by_name(read)
    changed = [
        name for name in dict.fromkeys((*old, *new)) if _value(old, name) != _value(new, name)
    ]
    applied = [name for name in changed if name in old and old[name].field.metadata["reload"]]
    waiting = [name for name in changed if name not in applied]
    sections: dict[str, dict[str, Any]] = {}
    origins = dict(running.origins)
    for name in applied:
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = new[name].value
        origins.pop(name, None)
        if name in read.origins:
            origins[name] = read.origins[name]
    config = replace(
        running,
        **{name: replace(getattr(running, name), **values) for name, values in sections.items()},
        origins=origins,
    )
    return Reload(
        config,
        tuple(_change(name, old, new) for name in applied),
        tuple(_change(name, old, new) for name in waiting),
    )


def _by_name(config: Config) -> dict[str, settings.Setting]:
    return {entry.name: entry for entry in settings.each(config)}


def _value(found: Mapping[str, settings.Setting], name: str) -> Any:
    return found[name].value if name in found else None


def _change(
    name: str, old: Mapping[str, settings.Setting], new: Mapping[str, settings.Setting]
) -> Change:
    def shown(found: Mapping[str, settings.Setting]) -> str:
        return repr(settings.shown_value(found[name])) if name in found else "nothing"

    return Change(name, shown(old), shown(new))
