"""The settings as they are shown: each with its default, where it comes from, and nothing of a secret. Pure."""

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields
from typing import Any

from c2c_sip.config import Config, Origin, Trunk

#: What stands for a secret that is set.
HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting by its full name, as ``http.listen``; a trunk's are named by it, as ``trunk.provider.domain``."""

    name: str
    field: Field[Any]
    value: Any
    origin: Origin

    @property
    def is_secret(self) -> bool:
        """Whether the value is not to be shown."""
        if self.name == "database.url" and not self.origin.is_secret:
            # Of SQLite it is the path of a file, which whoever looks for it may want to know.
            return not self.value.startswith("sqlite:")
        return self.origin.is_secret or bool(self.field.metadata["secret"])


def each(config: Config) -> Iterator[Setting]:
    """All settings, in the order of ``conf/c2c_sip.toml``."""
    for section in fields(Config):
        if section.name in ("trunks", "origins"):
            continue
        values = getattr(config, section.name)
        for entry in fields(values):
            name = f"{section.name}.{entry.name}"
            origin = config.origins.get(name, Origin())
            yield Setting(name, entry, getattr(values, entry.name), origin)
    for index, trunk in enumerate(config.trunks):
        for entry in fields(Trunk):
            origin = config.origins.get(f"trunk[{index}].{entry.name}", Origin())
            name = f"trunk.{trunk.name}.{entry.name}"
            yield Setting(name, entry, getattr(trunk, entry.name), origin)


def shown_value(setting: Setting) -> Any:
    """A value as JSON has it: lists for tuples, and nothing of a secret."""
    if setting.is_secret:
        return HIDDEN if setting.value else ""
    return _plain(setting.value)


def shown(config: Config) -> list[dict[str, Any]]:
    """All settings as the API has them."""
    return [
        {
            "name": setting.name,
            "value": shown_value(setting),
            "default": _plain(setting.field.default),
            "origin": setting.origin.kind,
            "source": setting.origin.source,
            "secret": setting.is_secret,
            "reload": setting.field.metadata["reload"],
        }
        for setting in each(config)
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
