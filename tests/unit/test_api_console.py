"""The console's files: what they are served with, and what they must not have in them."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from c2c_sip.web.assets import CONSOLE, console_file
from tests.unit.conftest import Api

SCRIPTS = sorted(name for name in CONSOLE if name.endswith(".js"))


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_is_served_under_a_strict_policy(api: Api) -> None:
    answer = api.client.simulate_get("/console")
    assert answer.headers["content-type"].startswith("text/html")
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_nothing_is_inline_and_all_that_is_named_is_there(api: Api) -> None:
    page = Elements(api.client.simulate_get("/console").text)
    for tag, attributes in page.found:
        assert tag != "style" and "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "script":
            assert attributes["src"]
        for where in (attributes.get("src"), attributes.get("href")):
            if where is not None:
                assert api.client.simulate_get(f"/{where}").status_code == 200


@pytest.mark.parametrize("name", sorted(CONSOLE - {"index.html"}))
def test_each_file_is_served_as_what_it_is_and_asked_for_anew(api: Api, name: str) -> None:
    answer = api.client.simulate_get(f"/console/{name}")
    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    assert answer.headers["content-type"].startswith(kind[name.rpartition(".")[2]])
    assert answer.headers["cache-control"] == "no-cache"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.text == console_file(name)
    etag = {"If-None-Match": answer.headers["etag"]}
    assert api.client.simulate_get(f"/console/{name}", headers=etag).status_code == 304
    assert api.client.simulate_head(f"/console/{name}").status_code == 200


def test_a_slash_too_many_leads_to_the_page_also_below_a_path(api: Api) -> None:
    answer = api.client.simulate_get("/console/")
    assert (answer.status_code, answer.headers["location"]) == (301, "../console")


@pytest.mark.parametrize(
    "name",
    ["index.html", "nothing.js", "..", "%2e%2e", "..%2fbutton.js", "app.js%00", "__init__.py"],
)
def test_nothing_else_is_served(api: Api, name: str) -> None:
    assert api.client.simulate_get(f"/console/{name}").status_code == 404


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_markup_of_text_or_asks_another_host(name: str) -> None:
    text = console_file(name)
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc"
    assert re.findall(forbidden, text) == []
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://www.w3.org/2000/svg"}
    for imported in re.findall(r'from "([^"]+)"', text):
        assert imported.startswith("./") and imported[2:] in CONSOLE


def test_words_stand_in_one_place() -> None:
    for name in set(SCRIPTS) - {"words.js"}:
        # What is put between tags or into a label: a text with a space and a capital letter.
        found = re.findall(r'"[A-Z][a-z]+ [a-z][^"]*"', console_file(name))
        assert found == [], name


def test_the_files_come_with_the_package() -> None:
    setup = Path(__file__).parents[2] / "setup.py"
    assert '"web/console/*"' in setup.read_text("utf-8")
