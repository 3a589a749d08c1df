"""``/console``: the pages for people, which ask the API like any other client does."""

from functools import cache
from typing import Any

import falcon

from c2c_sip.api.errors import not_found
from c2c_sip.api.unchanging import Unchanging
from c2c_sip.web.assets import CONSOLE, console_file

_KINDS = {
    "html": falcon.MEDIA_HTML,
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
#: Nothing inline, nothing from elsewhere, no markup made of texts, and in nobody's frame. The one policy is for the
#: address of the button's script, of which the page has a preview.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types c2c-button"
)


@cache
def _file(name: str) -> Unchanging:
    # Asked for each time, since the files are of one version only together.
    return Unchanging(console_file(name), _KINDS[name.rpartition(".")[2]], "no-cache")


def _send(req: falcon.Request, resp: falcon.Response, name: str) -> None:
    resp.set_header("Content-Security-Policy", _POLICY)
    resp.set_header("X-Frame-Options", "DENY")
    _file(name).send(req, resp)


class Console:
    """``/console``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The one page, which makes all others."""
        if str(req.env.get("PATH_INFO", "")).endswith("/"):
            # Its addresses are relative, since a proxy may have this service below a path.
            raise falcon.HTTPMovedPermanently("../console")
        _send(req, resp, "index.html")


class ConsoleFile:
    """``/console/{name}``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str, **_: Any) -> None:
        """A script, a style sheet, or a picture."""
        if name not in CONSOLE or name == "index.html":
            raise not_found()
        _send(req, resp, name)
