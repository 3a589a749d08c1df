"""Write ``docs/settings.md``: all settings, from the program and from the comments of ``conf/c2c_sip.toml``.

python docs/make_settings.py
"""

import json
import re
import sys
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from c2c_sip.config import Config, Trunk, accepted  # noqa: E402

PAGE = ROOT / "docs" / "settings.md"
#: Secrets, and where they are read from.
_NOTE = """\
# All settings

<!-- Made by `python docs/make_settings.py` from c2c_sip/config/sections.py and the comments of conf/c2c_sip.toml: edit those. -->

In one file, `--config FILE`, else `$C2C_SIP_CONFIG`, else `/etc/c2c-sip/c2c_sip.toml`; what is not there has its default.
[conf/c2c_sip.toml](../conf/c2c_sip.toml) is such a file with everything in it. Each setting can be given by its environment
variable instead, which goes before the file; lists are written with commas there. Any setting may be read from a file of its own
with `_file` after its name, as `password_file = "/run/secrets/trunk"`. `c2c-sip check-config` says all that is wrong at
once; a service does not start with a mistake in it.

"At once" are those that a running service heeds on SIGHUP (`systemctl reload c2c-sip`); all others want a restart.
`GET /v1/settings` shows what a service has, and where each comes from.
"""
_SETTING = re.compile(r"(?:# )?(\w+) = .*?(?:\s{2,}# (.*)|\s# (.*))?$")
_MORE = re.compile(r"#?\s{12,}# (.*)$")
_SECTION = re.compile(r"(?:# )?\[\[?(\w+)\]\]?(?:\s+# (.*))?$")


def comments(text: str) -> dict[str, str]:
    """What the file says of each setting, by ``section.key``, and of each section."""
    found: dict[str, str] = {}
    section = last = ""
    for line in text.splitlines():
        if match := _SECTION.match(line):
            section, last = match[1], ""
            found[section] = match[2] or ""
        elif (match := _MORE.match(line)) and last:
            found[last] += " " + match[1]
        elif (match := _SETTING.match(line)) and section:
            last = f"{section}.{match[1]}"
            found[last] = match[2] or match[3] or ""
        else:
            last = ""
    return found


def _plain(value: Any) -> str:
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(section: str, kind: Any, said: dict[str, str]) -> list[str]:
    lines = ["| setting | default | accepted | what it does |", "|---|---|---|---|"]
    entry: Field[Any]
    for entry in fields(kind):
        name = f"{section}.{entry.name}"
        marks = [
            text
            for text, true in (
                ("A secret.", entry.metadata["secret"]),
                ("At once.", entry.metadata["reload"]),
            )
            if true
        ]
        does = " ".join([said.get(name, ""), *marks]).strip()
        lines.append(
            f"| `{entry.name}` | {_plain(entry.default)} | {_cell(accepted(entry))} | {_cell(does)} |"
        )
    return lines


def page() -> str:
    """The page as it should be."""
    said = comments((ROOT / "conf" / "c2c_sip.toml").read_text("utf-8"))
    parts = [_NOTE]
    for section in fields(Config):
        if section.name in ("trunks", "origins"):
            continue
        about = said.get(section.name, "")
        parts.append(f"## [{section.name}]\n")
        if about:
            parts.append(f"{about[:1].upper()}{about[1:]}.\n")
        parts.append(f"Variables: `C2C_SIP_{section.name.upper()}__…`\n")
        parts.append("\n".join(_table(section.name, type(section.default), said)) + "\n")
    parts.append("## [[trunk]]\n")
    parts.append(
        "The provider or PBX that calls go through; may be repeated. Without one, only SIP URIs can be called.\n\n"
        "Variables, of the first one: `C2C_SIP_TRUNK__0__…`\n"
    )
    parts.append("\n".join(_table("trunk", Trunk, said)) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
