"""The button: its script, its page, and the plain form of it."""

import json
import re
from html import unescape
from typing import Any
from urllib.parse import unquote

import pytest

from c2c_sip.calling.policy import Refusal
from c2c_sip.web.assets import button_script, words
from tests.unit.conftest import Api, FakeCalling

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NUMBER = "contact=%2B14155550100"


def page(api: Api, **fields: Any) -> str:
    return f"/button/{api.account['id']}/{api.create(**fields)['id']}"


def ask(api: Api, method: str, path: str, **more: Any) -> Any:
    return api.client.simulate_request(method, path, **more)


def said(answer: Any) -> list[str]:
    return [unescape(text) for text in re.findall(r'<p role="\w+">([^<]*)</p>', answer.text)]


def test_the_script_is_small_and_for_pages_of_any_origin(api: Api) -> None:
    answer = ask(api, "GET", "/button.js")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert len(answer.content) < 10_000 and "__WORDS__" not in answer.text
    again = ask(api, "GET", "/button.js", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304 and again.content == b""


def test_every_language_has_every_word() -> None:
    known = words()
    for language, texts in known["texts"].items():
        assert set(texts) == set(known["texts"]["en"]), language
        assert all(texts.values())
    keys = set(known["texts"]["en"])
    assert set(known["reasons"].values()) | set(known["causes"].values()) <= keys
    used = set(re.findall(r"words\.(\w+)", button_script()))
    assert used <= keys and len(used) > 5


@pytest.mark.parametrize(
    ("query", "header", "language"),
    [
        ("", "", "en"),
        ("", "fr-CH, fr;q=0.9, en;q=0.8, *;q=0.5", "fr"),
        ("", "pt, es;q=0.5, de;q=0.6", "de"),
        ("?lang=es", "de", "es"),
        ("?lang=xx", "de;q=x, , es", "es"),
    ],
)
def test_the_page_is_in_the_visitors_language(
    api: Api, query: str, header: str, language: str
) -> None:
    answer = ask(api, "GET", page(api) + query, headers={"Accept-Language": header})
    assert answer.status_code == 200
    assert f'<html lang="{language}">' in answer.text and f'data-lang="{language}"' in answer.text


def test_a_form_calls_and_leads_to_the_page_of_its_state(api: Api, calling: FakeCalling) -> None:
    one = page(api)
    sent = ask(api, "POST", f"{one}?lang=de", body=NUMBER, headers=FORM)
    assert sent.status_code == 303
    assert [call["contact"] for call in calling.dialled] == ["+14155550100"]
    assert not calling.dialled[0]["authenticated"]
    where = f"{one.rpartition('/')[0]}/{sent.headers['location']}"
    state = ask(api, "GET", where)
    assert said(state) == ["Der Anruf wird vorbereitet …"]
    assert state.headers["refresh"] == "2" and state.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("changes", "text", "refresh"),
    [
        ({"state": "contact_ringing"}, "Your phone is ringing. Please answer it.", "2"),
        ({"state": "connected"}, "You are connected.", "15"),
        ({"state": "ended", "result": "success"}, "The call has ended.", None),
        ({"state": "ended", "result": "error", "cause": "USER_BUSY"}, "The line is busy.", None),
        ({"state": "ended", "result": "error", "cause": "X"}, "The call could not be made.", None),
    ],
)
def test_the_state_is_told_and_the_page_comes_again_until_the_end(
    api: Api, changes: dict[str, Any], text: str, refresh: str | None
) -> None:
    one = page(api)
    sent = ask(api, "POST", one, body=NUMBER, headers=FORM)
    where = f"{one.rpartition('/')[0]}/{sent.headers['location']}"
    api.store.update_activation(where.rpartition("/")[2].partition("?")[0], **changes)
    api.store.flush()
    answer = ask(api, "GET", where)
    assert said(answer) == [text]
    assert answer.headers.get("refresh") == refresh
    assert ("<form" in answer.text) == (refresh is None)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ("", 400, "Please check the number, and give it with its country code."),
        ("contact=%22%3E%3Cscript%3E", 400, "Please check the number, and give it with its country code."),
        ("contact=%2B19005550100", 400, "This number cannot be called from here."),
    ],
)  # fmt: skip
def test_a_refusal_keeps_what_was_typed_and_says_why(
    api: Api, calling: FakeCalling, body: str, status: int, text: str
) -> None:
    answer = ask(api, "POST", page(api), body=body, headers=FORM)
    assert answer.status_code == status and said(answer) == [text]
    assert calling.dialled == [] and "<script" not in answer.text
    typed = re.search(r'value="([^"]*)"', answer.text)
    assert typed and unescape(typed[1]) == unquote(body.removeprefix("contact="))


def test_what_is_full_says_when_to_come_again(api: Api, calling: FakeCalling) -> None:
    calling.refusal = Refusal("full", "all lines are in use", reason="full", retry_after=7)
    answer = ask(api, "POST", page(api), body=NUMBER, headers=FORM)
    assert answer.status_code == 503 and answer.headers["retry-after"] == "7"
    assert said(answer) == ["All lines are busy. Please try again later."]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_there_is_no_button_for_what_is_not_public(
    api: Api, calling: FakeCalling, method: str
) -> None:
    hidden = page(api, auth_required=True)
    for path in (hidden, f"{hidden[:-1]}!", f"/button/{'0' * 32}/{'0' * 32}"):
        answer = ask(api, method, path, body=NUMBER, headers=FORM)
        assert answer.status_code == 404 and said(answer) == ["This button is not in service."]
    assert ask(api, "GET", f"{hidden}/{'0' * 32}").status_code == 404
    assert ask(api, "GET", f"{page(api)}/{'0' * 32}").status_code == 404
    assert calling.dialled == []


@pytest.mark.parametrize(
    ("origins", "ancestors"),
    [
        ((), "frame-ancestors 'self'"),
        (("https://a.example", "https://b.example"), "frame-ancestors 'self' https://a.example https://b.example"),
        (("*",), "frame-ancestors *"),
    ],
)  # fmt: skip
def test_frames_are_for_the_allowed_origins(
    api: Api, origins: tuple[str, ...], ancestors: str
) -> None:
    answer = ask(api.with_http(allowed_origins=origins), "GET", page(api))
    policy = answer.headers["content-security-policy"]
    assert policy.endswith(ancestors) and "default-src 'none'" in policy
    assert "x-frame-options" not in answer.headers


def test_a_page_that_nobody_asked_for_yet_calls_nobody(api: Api, calling: FakeCalling) -> None:
    ask(api, "GET", f"{page(api)}?{NUMBER}")
    ask(api, "HEAD", f"{page(api)}?{NUMBER}")
    assert calling.dialled == []


def test_the_script_has_its_words_as_json(api: Api) -> None:
    text = ask(api, "GET", "/button.js").text
    found = json.loads(text[text.index("= {") + 2 : text.index("};\n") + 1])
    assert set(found["languages"]) == {"en", "de", "fr", "es"}
    assert {len(texts) for texts in found["languages"].values()} == {len(found["keys"])}
