"""The call button in a page of another origin, and its own page: by mouse, by keyboard, without JavaScript."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Site, screenshot, violations
from tests.interop.programs import Service

CONTACT = "+12025550102"
PREMIUM = "+19005550100"
SECONDS = 15_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[Service]:
    running = Service(
        tmp_path_factory.mktemp("button"), env={"C2C_SIP_HTTP__ALLOWED_ORIGINS": site.origin}
    )
    running.start("--lab")
    yield running
    running.stop()


def tag(service: Service, definition: str, more: str = "") -> str:
    account = service.account["id"]
    return f'<script src="{service.url}/button.js" data-account="{account}" data-id="{definition}" {more}></script>'


def host_page(service: Service, definition: str, more: str = "", language: str = "en") -> str:
    return (
        f'<!doctype html><html lang="{language}"><title>Shop</title><main><h1>Shop</h1>'
        f"{tag(service, definition, more)}</main></html>"
    )


def page_of(service: Service, definition: str) -> str:
    return f"{service.url}/button/{service.account['id']}/{definition}"


def hang_up_all(service: Service) -> None:
    _, answer = service.http("GET", f"{service.base}/channels")
    for leg in answer["data"][:1]:
        service.http(
            "POST",
            f"{service.base}/channels/{leg['call_id']}",
            {"data": {"action": "hangup"}},
        )


def test_a_click_calls_and_the_states_are_seen_until_the_end(
    browser: Browser, service: Service, site: Site
) -> None:
    definition = service.define(extension="101")
    site.pages["/"] = host_page(service, definition)
    page = browser.new_page()
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(site.origin)
    page.evaluate("window.seen = []; addEventListener('c2c-state', e => seen.push(e.detail))")
    assert violations(page) == []
    screenshot(page, "button")
    page.get_by_label("Your phone number").fill(CONTACT)
    page.get_by_role("button", name="Call me").click()
    status = page.get_by_role("status")
    expect(status).to_have_text("You are connected.", timeout=SECONDS)
    assert page.get_by_role("button").get_attribute("aria-disabled") == "true"
    assert violations(page) == []
    screenshot(page, "button-connected")
    hang_up_all(service)
    expect(status).to_have_text("The call has ended.", timeout=SECONDS)
    expect(page.get_by_role("button")).not_to_have_attribute("aria-disabled", "true")
    seen = page.evaluate("window.seen")
    assert seen[0] == "asked" and seen[-1] == "ended" and "connected" in seen
    assert hosts == {urlsplit(url).netloc for url in (site.origin, service.url)}
    page.close()


@pytest.mark.parametrize(
    ("language", "label", "said"),
    [
        ("en", "Your phone number", "This number cannot be called from here."),
        ("de-AT", "Ihre Telefonnummer", "Diese Nummer kann von hier nicht angerufen werden."),
        ("fr", "Votre numéro de téléphone", "Ce numéro ne peut pas être appelé d’ici."),
        ("es", "Su número de teléfono", "Desde aquí no se puede llamar a este número."),
        ("pt", "Your phone number", "This number cannot be called from here."),
    ],
)
def test_a_refusal_is_told_in_the_language_of_the_page(
    browser: Browser, service: Service, site: Site, language: str, label: str, said: str
) -> None:
    site.pages["/"] = host_page(service, service.define(extension="101"), language=language)
    page = browser.new_page()
    page.goto(site.origin)
    page.get_by_label(label).fill(PREMIUM)
    page.get_by_role("button").click()
    expect(page.get_by_role("status")).to_have_text(said)
    assert page.get_by_label(label).get_attribute("aria-invalid") == "true"
    assert page.get_by_label(label).input_value() == PREMIUM
    page.close()


def test_the_keyboard_is_enough(browser: Browser, service: Service, site: Site) -> None:
    definition = service.define(extension="101")
    site.pages["/"] = host_page(service, definition)
    page = browser.new_page()
    page.goto(site.origin)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(re.compile("Please check the number"))
    # The focus is still on the field.
    page.keyboard.type(CONTACT)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_role("status")).to_have_text("You are connected.", timeout=SECONDS)
    page.keyboard.press("Space")  # which does not start another one
    expect(page.get_by_role("status")).to_have_text("You are connected.")
    hang_up_all(service)
    assert (
        len(service.http("GET", f"{service.base}/clicktocall/{definition}/history")[1]["data"]) == 1
    )
    page.close()


def test_a_page_with_a_strict_policy_of_its_own_can_have_it(
    browser: Browser, service: Service, site: Site
) -> None:
    policy = f"default-src 'none'; script-src {service.url}; connect-src {service.url}"
    site.pages["/strict"] = host_page(service, service.define(extension="101"))
    site.headers["/strict"] = {"Content-Security-Policy": policy}
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{site.origin}/strict")
    button = page.get_by_role("button")
    assert button.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(11, 87, 208)"
    page.get_by_label("Your phone number").fill(PREMIUM)
    button.click()
    expect(page.get_by_role("status")).to_have_text(re.compile("cannot be called"))
    assert not [text for text in complaints if "Content Security Policy" in text]
    page.close()


def test_a_page_of_an_origin_that_is_not_allowed_cannot_call_and_cannot_have_it_in_a_frame(
    browser: Browser, service: Service, site: Site
) -> None:
    definition = service.define(extension="101")
    stranger = Site()
    try:
        stranger.pages["/"] = host_page(service, definition)
        frame = f'<!doctype html><title>x</title><iframe title="c" src="{page_of(service, definition)}"></iframe>'
        stranger.pages["/frame"] = site.pages["/frame"] = frame
        page = browser.new_page()
        page.goto(stranger.origin)
        page.get_by_label("Your phone number").fill(PREMIUM)
        page.get_by_role("button").click()
        # Its answer is none that the page may read.
        expect(page.get_by_role("status")).to_have_text(re.compile("connection was lost"))
        page.goto(f"{stranger.origin}/frame")
        expect(page.frame_locator("iframe").get_by_role("button")).to_have_count(0)
        page.goto(f"{site.origin}/frame")
        expect(page.frame_locator("iframe").get_by_role("button", name="Call me")).to_be_visible()
        page.close()
    finally:
        stranger.close()


def test_proof_of_work_is_done_without_a_word(
    browser: Browser, service: Service, site: Site
) -> None:
    definition = service.define(extension="101", challenge="proof_of_work")
    site.pages["/"] = host_page(service, definition, 'data-lang="de" data-call="Los"')
    page = browser.new_page()
    page.goto(site.origin)
    page.get_by_label("Ihre Telefonnummer").fill(CONTACT)
    page.get_by_role("button", name="Los").click()
    expect(page.get_by_role("status")).to_have_text("Sie sind verbunden.", timeout=4 * SECONDS)
    hang_up_all(service)
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "width"), [("desktop", 1200), ("phone", 360)])
def test_its_own_page_can_be_read_by_everybody(
    browser: Browser, service: Service, scheme: str, device: str, width: int
) -> None:
    context = browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 640},
        locale="de-DE",
    )
    page = context.new_page()
    page.goto(page_of(service, service.define(extension="101")))
    expect(page.get_by_role("button", name="Rufen Sie mich an")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    screenshot(page, f"button-page-{device}-{scheme}")
    context.close()


def test_without_javascript_a_form_calls_and_the_page_tells_the_state(
    browser: Browser, service: Service
) -> None:
    definition = service.define(extension="101")
    context = browser.new_context(java_script_enabled=False, locale="fr-FR")
    page = context.new_page()
    page.goto(page_of(service, definition))
    number = page.get_by_label("Votre numéro de téléphone")
    number.fill(PREMIUM)
    page.get_by_role("button", name="Appelez-moi").click()
    expect(page.get_by_role("alert")).to_have_text("Ce numéro ne peut pas être appelé d’ici.")
    assert number.input_value() == PREMIUM
    number.fill(CONTACT)
    page.get_by_role("button", name="Appelez-moi").click()
    said = page.get_by_role("status")
    expect(said).to_have_text("Vous êtes en communication.", timeout=SECONDS)
    screenshot(page, "button-page-without-javascript")
    hang_up_all(service)
    expect(said).to_have_text("L’appel est terminé.", timeout=2 * SECONDS)
    expect(page.get_by_role("button", name="Appelez-moi")).to_be_visible()
    context.close()


def test_what_is_not_for_everybody_has_no_button(browser: Browser, service: Service) -> None:
    page = browser.new_page()
    for definition in (service.define(extension="101", auth_required=True), "0" * 32):
        answer = page.goto(page_of(service, definition))
        assert answer is not None and answer.status == 404
        assert page.get_by_role("alert").inner_text() == "This button is not in service."
        assert violations(page) == []
    page.close()
