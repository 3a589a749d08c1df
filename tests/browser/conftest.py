"""A chromium for all tests, and pages of another origin than the service's."""

import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

#: Where screenshots are left for people to look at.
SCREENSHOTS = Path(__file__).parent / "screenshots"


# Playwright's event loop runs in this thread as long as it is open: no test outside may find it there.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "chromium is not installed"
    with sync_playwright() as playwright:
        # The sandbox needs more than a container gives; only our own pages are looked at.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Site:
    """A web site of somebody else: pages by path, at an origin of its own."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        #: What else is in the head of the answer, by path.
        self.headers: dict[str, dict[str, str]] = {}
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = site.pages.get(self.path)
                self.send_response(404 if page is None else 200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                for name, value in site.headers.get(self.path, {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write((page or "").encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def violations(page: Page) -> list[str]:
    """What axe-core has against a page."""
    found = Axe().run(page)
    return [f"{one['id']}: {one['help']}" for one in found.response["violations"]]


def screenshot(page: Page, name: str, full_page: bool = False) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page)
