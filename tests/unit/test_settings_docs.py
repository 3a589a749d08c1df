"""``docs/settings.md`` is what ``python docs/make_settings.py`` makes."""

from __future__ import annotations

import runpy
from dataclasses import fields
from pathlib import Path

from c2c_sip.config import Config, Trunk

DOCS = Path(__file__).parents[2] / "docs"
MADE = runpy.run_path(str(DOCS / "make_settings.py"))


def test_the_page_of_settings_is_made_anew() -> None:
    made = MADE["page"]()
    assert (DOCS / "settings.md").read_text() == made, "run: python docs/make_settings.py"


def test_each_setting_says_what_it_does_and_what_it_accepts() -> None:
    said = MADE["comments"]((DOCS.parent / "conf" / "c2c_sip.toml").read_text())
    kinds = {section.name: type(section.default) for section in fields(Config)}
    del kinds["trunks"], kinds["origins"]
    page = MADE["page"]()
    for name, kind in {**kinds, "trunk": Trunk}.items():
        heading = f"## [[{name}]]" if name == "trunk" else f"## [{name}]"
        table = page.partition(heading)[2].partition("\n## ")[0]
        for entry in fields(kind):
            row = next(line for line in table.splitlines() if line.startswith(f"| `{entry.name}` "))
            assert row.split(" | ")[2].strip(), f"{name}.{entry.name}: accepted"
    assert said["trunk.keepalive"].endswith("as often as it wants")


def test_a_comment_that_changes_makes_the_page_stale() -> None:
    said = MADE["comments"](
        "[http]  # of HTTP\nlisten = 'x'   # one\n               # two\n# a = 1\n"
    )
    assert said == {"http": "of HTTP", "http.listen": "one two", "http.a": ""}
