"""The files of this room, as they are served."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

#: The files of the console.
CONSOLE = frozenset(file.name for file in files(__package__).joinpath("console").iterdir())
#: Words that only the server's own page has a use for.
_OF_PAGES = frozenset({"title", "script", "link"})


@cache
def words() -> dict[str, Any]:
    """What the button says: ``texts`` by language and key; the key for each refusal's reason and hangup cause."""
    found: dict[str, Any] = json.loads(_read("button.json"))
    return found


@cache
def button_script() -> str:
    """``button.js`` with its words in it, and without what only its readers need."""
    known = words()
    keys = [key for key in known["texts"]["en"] if key not in _OF_PAGES]
    given = {
        "keys": keys,
        "languages": {
            language: [texts[key] for key in keys] for language, texts in known["texts"].items()
        },
        "reasons": {why: key for why, key in known["reasons"].items() if key in keys},
        "causes": known["causes"],
    }
    text = re.sub(r"/\*.*?\*/", "", _read("button.js"), flags=re.DOTALL)
    lines = (line.strip() for line in text.splitlines())
    short = "\n".join(re.sub(r"(^| )// .*", "", line) for line in lines if line)
    # In a script of its own no text can end it early.
    return short.replace("__WORDS__", json.dumps(given, ensure_ascii=False, separators=(",", ":")))


def console_file(name: str) -> str:
    """One of them, as it is served: exactly as it is written."""
    return _read("console", name)


def _read(*names: str) -> str:
    return files(__package__).joinpath(*names).read_text("utf-8")
