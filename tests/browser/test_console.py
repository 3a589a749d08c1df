"""The console, driven as people do against a service with the lab's phones: every flow, every page, hostile words."""

import json
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Route,
    expect,
)

from tests.browser.conftest import screenshot, violations
from tests.interop.programs import Service

CONTACT = "+12025550102"
PREMIUM = "+19005550100"
SECONDS = 20_000
#: What every text may be that comes from a caller, a phone or a provider.
HOSTILE = '"\'><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>{{7*7}}'


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("console")
    (folder / "recordings").mkdir()
    running = Service(folder, f'[recording]\ndirectory = "{folder}/recordings"\n')
    running.start("--lab")
    yield running
    running.stop()


class Visit:
    """A browser's tab of its own, with all that went out from it and all that it complained of."""

    def __init__(self, context: BrowserContext, service: Service) -> None:
        self.context = context
        self.service = service
        self.page = context.new_page()
        self.urls: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", self._asked)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _asked(self, request: Request) -> None:
        self.urls.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        # What the API refuses on purpose is an error to the browser.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    @property
    def token(self) -> str:
        if not self.page.url.startswith(self.service.url):
            return ""
        kept: str = self.page.evaluate(
            "JSON.parse(sessionStorage.getItem('c2c-session'))?.token ?? ''"
        )
        return kept

    def go(self, where: str = "") -> Page:
        self.page.goto(f"{self.service.url}/console{where}")
        return self.page

    def sign_in(self, where: str = "") -> Page:
        """Without the form, which has tests of its own."""
        account = self.service.account["id"]
        _, answer = self.service.http(
            "PUT", "/v1/api_auth", {"data": {"api_key": self.service.account["api_key"]}}
        )
        session = json.dumps({"token": answer["auth_token"], "account": account, "name": "Test"})
        self.context.add_init_script(
            f"sessionStorage.getItem('begun') ?? (sessionStorage.setItem('c2c-session', {session!r}), "
            "sessionStorage.setItem('begun', '1'))"
        )
        return self.go(where)


@pytest.fixture
def visiting(browser: Browser, service: Service) -> Callable[..., Any]:
    @contextmanager
    def visit(**options: Any) -> Iterator[Visit]:
        context = browser.new_context(locale="en-GB", **options)
        made = Visit(context, service)
        yield made
        tokens = {made.token, service.token} - {""}
        context.close()
        assert made.complaints == []
        assert {urlsplit(url).netloc for url in made.urls if not url.startswith("blob:")} == {
            urlsplit(service.url).netloc
        }
        assert not [url for url in made.urls for token in tokens if token in url]

    return visit


def titled(page: Page, name: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible(timeout=SECONDS)


def fill_sign_in(page: Page, user: str, password: str, account: str) -> None:
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_label("Account, by name or realm").fill(account)
    page.get_by_role("button", name="Sign in", exact=True).click()


def hang_up_all(service: Service) -> None:
    _, answer = service.http("GET", f"{service.base}/channels")
    for call_id in {leg["activation_id"]: leg["call_id"] for leg in answer["data"]}.values():
        hangup = {"data": {"action": "hangup"}}
        service.http("POST", f"{service.base}/channels/{call_id}", hangup)


def connected(service: Service, definition: str) -> str:
    """A call of which both phones have answered; its id."""
    activation: str = service.connect(definition, CONTACT)["id"]
    end = time.monotonic() + 20
    while service.record(definition, activation)["state"] != "connected":
        assert time.monotonic() < end
        time.sleep(0.1)
    return activation


# --- signing in and out


def test_a_wrong_password_is_told_and_the_right_one_leads_in_by_name_or_realm(
    visiting: Callable[..., Any], service: Service
) -> None:
    account = service.account
    with visiting() as visit:
        page = visit.go()
        titled(page, "Sign in")
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_label("User name")).to_be_focused()
        expect(page.get_by_text("Please fill this in.")).to_have_count(3)
        fill_sign_in(page, account["username"], "wrong", "Test")
        expect(page.get_by_role("alert")).to_contain_text("do not belong together")
        fill_sign_in(page, account["username"], account["password"], "Test")
        titled(page, "Dashboard")
        token = visit.token
        assert service.http("GET", f"/v1/token_auth?auth_token={token}")[0] == 200
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You are signed out.")).to_be_visible()
        assert visit.token == ""
        mine, service.token = service.token, token
        status, _ = service.http("GET", "/v1/token_auth")
        service.token = mine
        assert status == 401
        # By keyboard alone, and by the realm.
        expect(page.get_by_label("User name")).to_be_focused()
        page.keyboard.type(account["username"])
        page.keyboard.press("Tab")
        page.keyboard.type(account["password"])
        page.keyboard.press("Tab")
        page.keyboard.type("example.test")
        page.keyboard.press("Enter")
        titled(page, "Dashboard")


def test_an_api_key_leads_in(visiting: Callable[..., Any], service: Service) -> None:
    with visiting() as visit:
        page = visit.go("#/history")
        page.get_by_role("button", name="API key").click()
        page.get_by_label("API key", exact=True).last.fill("0" * 64)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("no such API key")
        page.get_by_label("API key", exact=True).last.fill(service.account["api_key"])
        page.get_by_role("button", name="Sign in", exact=True).click()
        titled(page, "History")


def test_the_credentials_are_hashed_as_everybody_does(visiting: Callable[..., Any]) -> None:
    import hashlib

    with visiting() as visit:
        page = visit.go()
        for text in (
            "",
            "abc",
            "jo:secret",
            "ä€𝄞" * 20,
            *("x" * n for n in (54, 55, 56, 63, 64, 65)),
        ):
            found = page.evaluate(
                "async (text) => (await import('./console/digest.js')).sha1(text)", text
            )
            assert found == hashlib.sha1(text.encode()).hexdigest()


def test_an_expired_token_leads_back_to_sign_in_and_then_to_where_one_was(
    visiting: Callable[..., Any], service: Service
) -> None:
    with visiting() as visit:
        page = visit.sign_in("#/clicktocalls")
        titled(page, "Click-to-calls")
        mine, service.token = service.token, visit.token
        assert service.http("DELETE", "/v1/token_auth")[0] == 200
        service.token = mine
        page.get_by_role("link", name="History").click()
        titled(page, "Sign in")
        expect(page.get_by_role("status")).to_contain_text("Your session has ended")
        assert visit.token == ""
        fill_sign_in(page, service.account["username"], service.account["password"], "Test")
        titled(page, "History")


# --- a call from its making to its packets


def test_a_click_to_call_is_made_tried_out_watched_and_read(
    visiting: Callable[..., Any], service: Service
) -> None:
    with visiting() as visit:
        page = visit.sign_in("#/clicktocalls/new")
        titled(page, "New click-to-call")
        page.get_by_label("Name", exact=True).fill("Front desk")
        page.get_by_label("Extension", exact=True).fill("not an extension")
        page.get_by_label("Whitelist").fill("^\\+1\n(")
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_role("alert")).to_contain_text("not accepted yet")
        for label in ("Extension", "Whitelist"):
            field = page.get_by_label(label, exact=True)
            expect(field).to_have_attribute("aria-invalid", "true")
            told = page.locator(f"#{field.get_attribute('id')}-wrong")
            expect(told).not_to_be_empty()
        expect(page.get_by_label("Extension", exact=True)).to_be_focused()
        page.get_by_label("Extension", exact=True).fill("101")
        page.get_by_label("Whitelist").fill("^\\+1")
        page.get_by_role("button", name="Create").click()
        titled(page, "Front desk")
        # Try it out, and watch it ring.
        page.get_by_label("Contact", exact=True).fill("nonsense:")
        page.get_by_role("button", name="Call now").click()
        expect(page.get_by_label("Contact", exact=True)).to_have_attribute("aria-invalid", "true")
        page.get_by_label("Contact", exact=True).fill(CONTACT)
        page.get_by_role("button", name="Call now").click()
        steps = page.get_by_role("status").get_by_role("listitem")
        expect(steps.filter(has_text="Extension rings")).to_have_class(re.compile("now|done"))
        expect(steps.filter(has_text="Connected")).to_have_class("done", timeout=SECONDS)
        page.get_by_role("link", name="Open this call").click()
        titled(page, f"Call with {CONTACT}")
        expect(page.get_by_text("Connected", exact=True).first).to_be_visible()
        # Hang the live call up from the dashboard.
        page.get_by_role("link", name="Dashboard").click()
        page.get_by_role("button", name=re.compile("Hang up the call with")).click()
        expect(page.get_by_text("The call was hung up.")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_text("No call is up right now.")).to_be_visible(timeout=SECONDS)
        # Find it, and read its messages.
        page.get_by_role("link", name="History").click()
        page.get_by_label("Search").fill("front DESK")
        page.get_by_text("More filters").click()
        page.get_by_label("Result").select_option("success")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.get_by_text("1 call.")).to_be_visible(timeout=SECONDS)
        page.get_by_role("table").get_by_role("link").click()
        titled(page, f"Call with {CONTACT}")
        invite = page.get_by_role(
            "button", name=re.compile(r"INVITE.*from c2c-sip to Contact")
        ).last
        invite.focus()
        page.keyboard.press("Enter")
        expect(invite).to_have_attribute("aria-expanded", "true")
        expect(page.get_by_role("region", name=re.compile("INVITE"))).to_contain_text("Call-ID:")
        listed = page.locator(".ladder ol > li").count()
        with page.expect_download() as downloaded:
            page.get_by_role("button", name="Packets for Wireshark").click()
        octets = downloaded.value.path().read_bytes()
        assert octets[:4] in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1")
        assert downloaded.value.suggested_filename.endswith(".pcap")
        assert octets.count(b"SIP/2.0\r\n") + octets.count(b"\nSIP/2.0") >= 1
        with page.expect_download() as downloaded:
            page.get_by_role("button", name="Messages as JSON").click()
        assert len(json.loads(downloaded.value.path().read_bytes())["messages"]) == listed
        with page.expect_download() as downloaded:
            page.get_by_role("button", name="Ladder as a picture").click()
        assert downloaded.value.path().read_bytes().startswith(b"<svg")
        page.get_by_role("link", name="Front desk").click()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        titled(page, "Front desk")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        titled(page, "Click-to-calls")
        expect(page.get_by_role("link", name="Front desk")).to_have_count(0)
        # Its call is there still.
        page.go_back()
        page.goto(f"{service.url}/console#/history?search=front&result=success")
        page.get_by_role("table").get_by_role("link").click()
        expect(page.get_by_text("Front desk (deleted)")).to_be_visible(timeout=SECONDS)


def test_a_recorded_call_s_recording_can_be_fetched(
    visiting: Callable[..., Any], service: Service
) -> None:
    definition = service.define(name="Recorded", extension="101", record=True)
    activation = connected(service, definition)
    with visiting() as visit:
        page = visit.sign_in(f"#/history/{activation}")
        page.get_by_role("button", name="Hang up").click()
        with page.expect_download(timeout=SECONDS) as downloaded:
            page.get_by_role("button", name="Recording").click(timeout=SECONDS)
        assert downloaded.value.path().read_bytes()[:4] == b"RIFF"
        assert downloaded.value.suggested_filename == f"{activation}.recording.wav"

        # It is offered as long as it is there, whatever becomes of the next calls.
        one = f"{service.base}/clicktocall/{definition}"
        service.http("PATCH", one, {"data": {"record": False}})
        page.reload()
        expect(page.get_by_role("button", name="Recording")).to_be_visible(timeout=SECONDS)
        service.http("PATCH", one, {"data": {"record": True}})
        service.http("DELETE", f"{one}/history/{activation}/recording.wav")
        page.reload()
        expect(page.get_by_role("button", name="Packets")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_role("button", name="Recording")).to_have_count(0)


# --- two who edit the same


def test_two_editors_do_not_lose_each_other_s_change(
    visiting: Callable[..., Any], service: Service
) -> None:
    definition = service.define(name="Both edit", extension="101", own_field={"kept": [1, None]})
    path = f"{service.base}/clicktocall/{definition}"
    with visiting() as visit:
        page = visit.sign_in(f"#/clicktocalls/{definition}")
        titled(page, "Both edit")
        page.get_by_label("Name", exact=True).fill("Mine")
        service.http("PATCH", path, {"data": {"throttle": 7, "name": "Theirs"}})
        page.get_by_role("button", name="Save").click()
        clash = page.get_by_role("alert").filter(has_text="Somebody else has changed this")
        row = clash.get_by_role("row").filter(has_text="throttle")
        expect(row).to_contain_text("7")
        row = clash.get_by_role("row").filter(has_text="name")
        for text in ("Both edit", "Theirs", "Mine"):
            expect(row).to_contain_text(text)
        assert service.http("GET", path)[1]["data"]["name"] == "Theirs"
        clash.get_by_role("button", name="Keep my changes").click()
        page.get_by_role("button", name="Save").click()
        titled(page, "Mine")
        kept = service.http("GET", path)[1]["data"]
        assert (kept["name"], kept["throttle"]) == ("Mine", 7)
        assert kept["own_field"] == {"kept": [1, None]}
        # And dropped, where theirs is better.
        service.http("PATCH", path, {"data": {"name": "Theirs again"}})
        page.get_by_label("Name", exact=True).fill("Mine again")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Drop my changes").click()
        expect(page.get_by_label("Name", exact=True)).to_have_value("Theirs again")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Nothing was changed.")).to_be_visible()


def test_all_fields_can_be_edited_as_json_and_none_is_lost(
    visiting: Callable[..., Any], service: Service
) -> None:
    definition = service.define(
        name="As JSON", extension=["101", "102"], own={"a": 1, "b": {"c": "x"}}, timeout=20
    )
    path = f"{service.base}/clicktocall/{definition}"
    with visiting() as visit:
        page = visit.sign_in(f"#/clicktocalls/{definition}")
        page.get_by_text("Hours", exact=True).click()
        page.get_by_label("Monday").fill("09:00-12:30, 13:30-18:00")
        page.get_by_role("button", name="All fields (JSON)").click()
        text = page.get_by_label("The whole document")
        document = json.loads(text.input_value())
        assert document["hours"] == {"monday": ["09:00-12:30", "13:30-18:00"]}
        assert document["own"] == {"a": 1, "b": {"c": "x"}} and "id" not in document
        text.fill("{")
        page.get_by_role("button", name="Form", exact=True).click()
        expect(page.get_by_text(re.compile("This is not JSON"))).to_be_visible()
        del document["own"]["a"], document["timeout"]
        document["more"] = {"deep": [{"x": True}]}
        text.fill(json.dumps(document))
        page.get_by_role("button", name="Form", exact=True).click()
        expect(page.get_by_label("Seconds to ring")).to_have_value("")
        expect(page.get_by_label("Extension", exact=True)).to_have_value("101\n102")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved.")).to_be_visible(timeout=SECONDS)
    kept = service.http("GET", path)[1]["data"]
    assert kept["own"] == {"b": {"c": "x"}} and kept["more"] == {"deep": [{"x": True}]}
    assert "timeout" not in kept and kept["extension"] == ["101", "102"]
    assert kept["hours"] == {"monday": ["09:00-12:30", "13:30-18:00"]}


def test_the_button_is_shown_as_it_will_be(visiting: Callable[..., Any], service: Service) -> None:
    definition = service.define(name="Shop", extension="101")
    with visiting() as visit:
        page = visit.sign_in(f"#/clicktocalls/{definition}")
        page.get_by_label("Words on the button").fill('Ring "us" </script>')
        page.get_by_label("Language").select_option("de")
        expect(page.get_by_label("Ihre Telefonnummer")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_role("button", name='Ring "us" </script>')).to_be_visible()
        snippet = page.get_by_role("region", name="HTML to copy").inner_text()
        assert f'data-id="{definition}"' in snippet and "&quot;us&quot; &lt;/script>" in snippet
        assert snippet.startswith(f'<script src="{service.url}/button.js"')
        page.get_by_text("Who may call", exact=True).click()
        page.get_by_label("A token is needed").check()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("so a public page cannot use it")).to_be_visible(timeout=SECONDS)


# --- what is looked for


def seed(service: Service, definition: str, number: int) -> None:
    """Records of calls since midnight, as if they had been made."""
    now = time.time()
    midnight = time.mktime((*time.localtime(now)[:3], 0, 0, 0, 0, 0, -1))
    with sqlite3.connect(service.folder / "c2c.db", timeout=20) as database:
        for n in range(number):
            failed = n % 3 == 0
            cause = ("USER_BUSY", "NO_ANSWER", "UNALLOCATED_NUMBER")[n // 3 % 3]
            created = midnight + (now - midnight) * (n + 1) / (number + 2)
            database.execute(
                "INSERT INTO activation (id, account_id, clicktocall_id, contact, called, created, state, result, cause, "
                "sip_status, duration_seconds, billing_seconds, ringing_seconds, ended, is_public, times) "
                "VALUES (?, ?, ?, ?, ?, ?, 'ended', ?, ?, ?, ?, ?, 4, ?, 1, 1)",
                (
                    secrets.token_hex(16),
                    service.account["id"],
                    definition,
                    f"+1202555{1000 + n}",
                    f"+1202555{1000 + n}",
                    created,
                    "error" if failed else "success",
                    cause if failed else "NORMAL_CLEARING",
                    486 if failed else 200,
                    30 + n,
                    0 if failed else 20 + n,
                    created + 30 + n,
                ),
            )
    database.close()


def test_history_is_searched_filtered_paged_and_saved(
    visiting: Callable[..., Any], service: Service
) -> None:
    definition = service.define(name="Long history", extension="101")
    seed(service, definition, 75)
    with visiting() as visit:
        page = visit.sign_in(f"#/history?clicktocall={definition}")
        rows = page.get_by_role("table").get_by_role("row")
        expect(rows).to_have_count(51, timeout=SECONDS)
        page.get_by_role("button", name="Show more").click()
        expect(rows).to_have_count(76, timeout=SECONDS)
        expect(page.get_by_text("75 calls.")).to_be_visible()
        page.get_by_label("Result").select_option("error")
        page.get_by_label("Cause").select_option("USER_BUSY")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(rows).to_have_count(10, timeout=SECONDS)
        expect(rows.nth(1)).to_contain_text("The line was busy.")
        assert "cause=USER_BUSY" in page.url
        page.get_by_label("Search").fill("202-555-1000")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(rows).to_have_count(2, timeout=SECONDS)
        with page.expect_download() as downloaded:
            page.get_by_role("button", name="Save as CSV").click()
        lines = downloaded.value.path().read_text().splitlines()
        assert len(lines) == 2 and "USER_BUSY" in lines[1]
        page.get_by_label("To", exact=True).fill("2001-01-01")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.get_by_text("No call is like that.")).to_be_visible(timeout=SECONDS)
        page.go_back()
        expect(rows).to_have_count(2, timeout=SECONDS)


# --- hostile words


def poisoned(value: Any, name: str = "") -> Any:
    """The same answer with every text in it hostile, but for what tells the page what it deals with."""
    if isinstance(value, dict):
        return {
            key: poisoned(each, key) if key not in ("status", "request_id", "node") else each
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [poisoned(each, name) for each in value]
    known = ("id", "activation_id", "clicktocall_id", "call_id", "role", "direction", "result")
    if not isinstance(value, str) or name in known or name.endswith("start_key"):
        return value
    return HOSTILE + value


def test_no_word_of_anybody_is_ever_taken_for_markup(
    visiting: Callable[..., Any], service: Service
) -> None:
    definition = service.define(
        name=HOSTILE[:100],
        extension="101",
        outbound_callee_id_name="<img src=x onerror=window.pwned=1>",
        custom_application_vars={"note": HOSTILE},
    )
    activation = connected(service, definition)
    refused = service.define(name=HOSTILE[:90], extension="101")
    service.http("POST", f"{service.base}/clicktocall/{refused}/connect", {"contact": HOSTILE})
    places = {
        "#/": "Dashboard",
        "#/clicktocalls": "Click-to-calls",
        f"#/clicktocalls/{definition}": None,
        "#/history": "History",
        f"#/history/{activation}": None,
        "#/settings": "Settings",
    }

    def spoil(route: Route) -> None:
        answer = route.fetch()
        if answer.ok and answer.headers["content-type"].startswith("application/json"):
            route.fulfill(response=answer, json=poisoned(answer.json()))
        else:
            route.fulfill(response=answer)

    with visiting() as visit:
        for is_spoilt in (False, True):
            if is_spoilt:
                visit.page.route("**/v1/**", spoil)
            for place, title in places.items():
                page = visit.go(place) if is_spoilt or visit.token else visit.sign_in(place)
                page.reload()
                titled(page, title or re.compile("."))
                expect(page.locator(".loading:visible")).to_have_count(0, timeout=SECONDS)
                for button in page.locator(".ladder .step").all()[:40]:
                    button.click()
                shown = page.locator("main").inner_text()
                if is_spoilt or title not in ("Settings", "Dashboard"):
                    assert "onerror=" in shown, place
                assert page.locator("main img, main [onerror], main iframe").count() == 0
                scripts = page.locator("main script").evaluate_all("all => all.map(e => e.src)")
                assert set(scripts) <= {f"{service.url}/button.js"}
                assert page.evaluate("window.pwned") is None
    hang_up_all(service)


# --- how it looks


@pytest.fixture(scope="module")
def scene(service: Service) -> tuple[str, str, str]:
    """A click-to-call, a call of it that is over, and one that is up."""
    definition = service.define(name="Reception", extension="101", whitelist=[r"^\+1"], throttle=2)
    finished = connected(service, definition)
    hang_up_all(service)
    service.ended(definition, finished)
    service.http("POST", f"{service.base}/clicktocall/{definition}/connect", {"contact": PREMIUM})
    return definition, finished, connected(service, definition)


@pytest.mark.parametrize(
    ("device", "scheme"),
    [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")],
)
def test_every_page_can_be_read_by_everybody(
    visiting: Callable[..., Any], scene: tuple[str, str, str], device: str, scheme: str
) -> None:
    width = 1280 if device == "desktop" else 360
    looks = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    definition, finished, live = scene

    def look(page: Page, name: str) -> None:
        expect(page.locator(".loading:visible")).to_have_count(0, timeout=SECONDS)
        page.evaluate("scrollTo(0, 0)")
        screenshot(page, f"console-{name}-{device}-{scheme}", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        # Both schemes, each at one of the widths.
        if (device == "desktop") == (scheme == "light"):
            assert violations(page) == [], name

    with visiting(**looks) as visit:
        page = visit.go()
        titled(page, "Sign in")
        look(page, "sign-in")
    with visiting(**looks) as visit:
        page = visit.sign_in("#/")
        expect(page.get_by_role("button", name=re.compile("Hang up the call"))).to_be_visible()
        expect(page.get_by_role("img", name=re.compile("Today by the hour"))).to_be_visible()
        expect(page.get_by_role("region", name="Trunks")).to_contain_text("Registered")
        look(page, "dashboard")
        for where, title, name in (
            ("#/clicktocalls", "Click-to-calls", "click-to-calls"),
            ("#/clicktocalls/new", "New click-to-call", "new"),
            (f"#/clicktocalls/{definition}", "Reception", "click-to-call"),
            (f"#/history?clicktocall={definition}", "History", "history"),
            ("#/settings", "Settings", "settings"),
        ):
            page = visit.go(where)
            titled(page, title)
            look(page, name)
        page = visit.go(f"#/history/{live}")
        titled(page, f"Call with {CONTACT}")
        look(page, "live-call")
        page = visit.go(f"#/history/{finished}")
        page.get_by_role("button", name=re.compile("200 OK")).first.click()
        look(page, "call")


def test_the_settings_say_where_they_come_from_and_keep_their_secrets(
    visiting: Callable[..., Any], service: Service
) -> None:
    with visiting() as visit:
        page = visit.sign_in("#/")
        page.get_by_role("link", name="Settings").click()
        titled(page, "Settings")
        ports = page.get_by_role("region", name="media").get_by_role("row").filter(has_text="ports")
        expect(ports).to_contain_text(str(list(service.rtp)).replace(" ", ""))
        expect(ports).to_contain_text(f"File {service.config}")
        trunk = page.get_by_role("region", name="trunk.lab").get_by_role("row")
        expect(trunk.filter(has_text=re.compile("^password"))).to_contain_text("***")
        page.get_by_label("Find a setting").fill("max_calls")
        expect(page.get_by_role("region")).to_have_count(1)
        page.get_by_label("Changed only").check()
        expect(page.get_by_text("No setting is like that.")).to_be_visible()


def test_who_does_not_run_the_service_sees_neither_its_trunks_nor_its_settings(
    visiting: Callable[..., Any], service: Service
) -> None:
    other = json.loads(service.run("account", "create", "Tenant", "--json"))
    with visiting() as visit:
        page = visit.go("#/settings")
        fill_sign_in(page, other["username"], other["password"], "Tenant")
        titled(page, "Settings")
        expect(page.get_by_text("Only users of the first account")).to_be_visible()
        page.get_by_role("link", name="Dashboard").click()
        expect(page.get_by_text("No calls today yet.")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_text("Nothing has failed lately.")).to_be_visible()
        expect(page.get_by_role("heading", name="Trunks")).to_be_hidden()
        expect(page.get_by_role("link", name="Settings")).to_have_count(0)


def test_what_was_typed_is_not_lost_without_a_question(
    visiting: Callable[..., Any], service: Service
) -> None:
    definition = service.define(name="Half done", extension="101")
    with visiting() as visit:
        page = visit.sign_in(f"#/clicktocalls/{definition}")
        page.get_by_label("Name", exact=True).fill("Half typed")
        page.get_by_role("link", name="History").click()
        question = page.get_by_role("dialog", name="Leave without saving?")
        question.get_by_role("button", name="Cancel").click()
        expect(page.get_by_label("Name", exact=True)).to_have_value("Half typed")
        assert page.url.endswith(definition)
        page.get_by_role("link", name="History").click()
        question.get_by_role("button", name="Leave").click()
        titled(page, "History")
        page.go_back()
        titled(page, "Half done")


def test_a_service_that_is_gone_is_told_until_it_is_back(visiting: Callable[..., Any]) -> None:
    with visiting() as visit:
        page = visit.sign_in("#/")
        titled(page, "Dashboard")
        visit.context.set_offline(True)
        trouble = page.get_by_role("alert")
        expect(trouble).to_contain_text("The service cannot be reached", timeout=SECONDS)
        visit.context.set_offline(False)
        expect(trouble).to_have_count(0, timeout=SECONDS)


def test_there_is_a_word_where_there_is_nothing(
    visiting: Callable[..., Any], service: Service
) -> None:
    with visiting() as visit:
        page = visit.sign_in("#/nonsense")
        titled(page, "There is no such page.")
        visit.go(f"#/history/{'0' * 32}")
        expect(page.get_by_role("alert")).to_contain_text("not here any more")
        visit.go(f"#/clicktocalls/{'0' * 32}")
        expect(page.get_by_role("alert")).to_contain_text("not here any more")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("main")).to_be_focused()
