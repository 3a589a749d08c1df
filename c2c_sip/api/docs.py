"""``/openapi.json`` and ``/docs``: the description of the API for programs, and for people."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import falcon

from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.markup import escape
from c2c_sip.api.unchanging import Unchanging

Json = dict[str, Any]

_STYLE = """\
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem }
h2 { border-bottom: 1px solid; margin-top: 3rem }
h3 { font: bold 1rem ui-monospace, monospace; margin: 2rem 0 .3rem }
code { font-family: ui-monospace, monospace }
pre, .scroll { overflow-x: auto }
table { border-collapse: collapse }
td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid #8886 }
nav ul { columns: 14rem; list-style: none; padding: 0 }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: Nothing is loaded from anywhere, and the one style sheet is the one above.
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'"
)


class OpenApi:
    """``/openapi.json``.

    :param describe: makes the description, when it is asked for first
    """

    def __init__(self, describe: Callable[[], Json]) -> None:
        self._describe = describe

    @cached_property
    def _page(self) -> Unchanging:
        return Unchanging(json.dumps(self._describe()), falcon.MEDIA_JSON)

    @operation(Operation(who="anybody"))
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """This description."""
        self._page.send(req, resp)


class Docs:
    """``/docs``: one page, which needs nothing from elsewhere."""

    def __init__(self, describe: Callable[[], Json]) -> None:
        self._describe = describe

    @cached_property
    def _page(self) -> Unchanging:
        return Unchanging("".join(_rendered(self._describe())), falcon.MEDIA_HTML)

    @operation(Operation(who="anybody"))
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The same to read."""
        resp.set_header("Content-Security-Policy", _POLICY)
        self._page.send(req, resp)


def _rendered(description: Json) -> Iterator[str]:
    info = description["info"]
    title = escape(f"{info['title']} {info['version']}")
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body><main><h1>{title}</h1>"
    yield "".join(f"<p>{_inline(text)}</p>" for text in info["description"].split("\n\n"))
    yield '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>'
    by_tag: dict[str, list[tuple[str, str, Json, Json]]] = {}
    for path, item in description["paths"].items():
        for verb, found in item.items():
            if verb != "parameters":
                by_tag.setdefault(found["tags"][0], []).append((path, verb, found, description))
    yield '<nav aria-label="Resources"><ul>'
    yield "".join(f'<li><a href="#{tag}">{tag}</a></li>' for tag in by_tag)
    yield "</ul></nav>"
    for tag, entries in by_tag.items():
        yield f'<h2 id="{tag}">{tag}</h2>'
        for entry in entries:
            yield from _operation(*entry)
    yield "</main></body></html>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def _operation(path: str, verb: str, found: Json, description: Json) -> Iterator[str]:
    yield f'<h3 id="{found["operationId"]}">{verb.upper()} {escape(path)}</h3>'
    yield f"<p>{_inline(found['summary'])}."
    security = found.get("security")
    if security == []:
        yield " No token is needed."
    elif security:
        yield " Whether a token is needed is for the click-to-call to say."
    yield "</p>"
    if "description" in found:
        yield f"<p>{_inline(found['description'])}</p>"
    if found.get("parameters"):
        rows = [(p["name"], p["schema"], p.get("description", "")) for p in found["parameters"]]
        yield _table("Query", [(n, _kind(s), t) for n, s, t in rows])
    for kind, media in found.get("requestBody", {}).get("content", {}).items():
        data = media["schema"].get("properties", {}).get("data", media["schema"])
        yield _fields(f"Body, {kind}", data)
    statuses = []
    for status, answer in found["responses"].items():
        if "$ref" in answer:
            answer = description["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        elif status.startswith("2"):
            for media in answer["content"].values():
                data = media["schema"].get("properties", {}).get("data", {})
                data = data.get("items", data)
                if data.get("properties") and "On v1" not in answer["description"]:
                    yield _fields("Answer", data)
        statuses.append((status, "", answer["description"]))
    yield _table("Status", statuses)


def _fields(caption: str, schema: Json) -> str:
    required = schema.get("required", [])
    rows = [
        (
            name,
            _kind(rules) + (", required" if name in required else ""),
            rules.get("description", ""),
        )
        for name, rules in schema.get("properties", {}).items()
    ]
    more = f"<p>{_inline(schema['description'])}</p>" if "description" in schema else ""
    return _table(caption, rows) + more


def _table(caption: str, rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    body = "".join(
        f"<tr><th scope=row><code>{escape(name)}</code></th><td>{escape(kind)}</td>"
        f"<td>{_inline(text)}</td></tr>"
        for name, kind, text in rows
    )
    return f'<div class="scroll"><table><caption>{escape(caption)}</caption>{body}</table></div>'


def _kind(schema: Json) -> str:
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    kind = schema.get("type", "")
    text = " | ".join(kind) if isinstance(kind, list) else str(kind)
    if kind == "array" and "items" in schema:
        text = f"array of {_kind(schema['items'])}"
    bounds = [
        f"{word} {schema[key]}"
        for key, word in (
            ("minLength", "at least"),
            ("maxLength", "at most"),
            ("minimum", "from"),
            ("maximum", "to"),
        )
        if key in schema
    ]
    return ", ".join([text, *bounds]) if bounds else text
