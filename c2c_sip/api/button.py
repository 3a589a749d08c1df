"""``/button.js`` and ``/button/{account_id}/{id}``: a button that has the visitor of a page called."""

import base64
import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

import falcon

from c2c_sip.api import errors
from c2c_sip.api.body import read_contact
from c2c_sip.api.connect import Connect
from c2c_sip.api.errors import ApiError
from c2c_sip.api.markup import escape
from c2c_sip.api.unchanging import Unchanging
from c2c_sip.calling.policy import Refusal
from c2c_sip.store import Store
from c2c_sip.web.assets import button_script, words

#: Seconds until a page without JavaScript looks again, and how often it does: the time grows with the call's.
_SOON = 2
_LATER = 15
_STYLE = """\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:1rem}
h1{font-size:1.25em;margin:0 0 .75em}form{display:flex;flex-wrap:wrap;gap:.5em;align-items:end}label{display:grid}
input,button{font:inherit;padding:.5em .75em;min-height:2.75em;border-radius:.4em;border:1px solid currentcolor}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title><style>{style}</style></head>
<body><main><h1>{title}</h1>
{content}</main></body></html>
"""
_FORM = """<form method="post" action="{action}">
<label>{label} <input name="contact" type="tel" autocomplete="tel" required maxlength="256" value="{contact}"></label>
<button>{call}</button></form>"""


class ButtonScript:
    """``/button.js``."""

    @cached_property
    def _script(self) -> Unchanging:
        return Unchanging(button_script(), "text/javascript; charset=utf-8")

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The script, for pages of any origin."""
        resp.set_header("Cross-Origin-Resource-Policy", "cross-origin")
        self._script.send(req, resp)


class _ButtonPages:
    """What the pages have in common.

    :param origins: of the pages that may have these in a frame
    """

    def __init__(
        self, connect: Connect, store: Store, origins: Callable[[], tuple[str, ...]]
    ) -> None:
        self._connect = connect
        self._store = store
        self._origins = origins

    def _policy(self) -> str:
        origins = self._origins()
        ancestors = "*" if "*" in origins else " ".join(("'self'", *origins))
        return (
            "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
            # The script's own style sheet needs no leave where constructed ones are known.
            f"style-src 'sha256-{_STYLE_HASH}'; frame-ancestors {ancestors}"
        )

    def _send(self, resp: falcon.Response, language: str, content: str, status: int = 200) -> None:
        resp.status = status
        resp.content_type = falcon.MEDIA_HTML
        title = escape(words()["texts"][language]["title"])
        resp.text = _PAGE.format(language=language, title=title, style=_STYLE, content=content)
        resp.set_header("Content-Security-Policy", self._policy())
        resp.set_header("Cross-Origin-Resource-Policy", "cross-origin")
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("Vary", "Accept-Language")

    def _absent(self, resp: falcon.Response, language: str) -> None:
        self._send(resp, language, _said("alert", words()["texts"][language]["absent"]), 404)


class ButtonPage(_ButtonPages):
    """``/button/{account_id}/{id}``: a page with the button, for a frame or a link; a plain form without JavaScript."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """The page."""
        language = language_of(req)
        try:
            self._connect.public(account_id, id)
        except ApiError:
            self._absent(resp, language)
            return
        here = f'data-account="{escape(account_id)}" data-id="{escape(id)}" data-lang="{language}"'
        form = _form(language, id)
        # Relative, since a proxy may have this service below a path.
        script = f'<script src="../../button.js" {here}></script>'
        self._send(resp, language, f"{script}\n<noscript>{form}</noscript>")

    def on_post(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """Start the call, and go on to the page of its state."""
        language = language_of(req)
        given: Any = ""
        try:
            given = read_contact(req)
            row = self._connect.activate_for_visitor(req, account_id, id)
        except (ApiError, Refusal) as raised:
            error = errors.from_refusal(raised, "v1") if isinstance(raised, Refusal) else raised
            if error.status == 404:
                self._absent(resp, language)
                return
            for name, value in error.headers.items():
                resp.set_header(name, value)
            text = _refused(language, error)
            content = _said("alert", text) + _form(language, id, str(given or ""))
            self._send(resp, language, content, error.status)
            return
        raise falcon.HTTPSeeOther(f"{id}/{row['id']}?lang={language}")


class ButtonState(_ButtonPages):
    """``/button/{account_id}/{id}/{activation_id}``: how far the call is; the page loads itself anew until it ends."""

    def on_get(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        id: str,
        activation_id: str,
    ) -> None:
        """The page."""
        language = language_of(req)
        try:
            self._connect.public(account_id, id)
        except ApiError:
            self._absent(resp, language)
            return
        row = self._store.activation(id, activation_id)
        if row is None or row.get("rule") is not None:
            self._absent(resp, language)
            return
        known = words()
        texts = known["texts"][language]
        if row["state"] != "ended":
            resp.set_header("Refresh", str(_LATER if row["state"] == "connected" else _SOON))
            self._send(resp, language, _said("status", texts[row["state"]]))
            return
        key = "ended" if row["result"] == "success" else known["causes"].get(row["cause"], "failed")
        self._send(resp, language, _said("status", texts[key]) + _form(language, f"../{id}"))


def language_of(req: falcon.Request) -> str:
    """The visitor's language, of those that there are words in: by ``?lang=``, or as the browser has it."""
    known = words()["texts"]
    asked = (req.get_param("lang") or "").lower()[:2]
    if asked in known:
        return asked
    wanted: list[tuple[float, str]] = []
    for part in (req.get_header("Accept-Language") or "")[:256].split(","):
        tag, _, weight = part.partition(";q=")
        try:
            share = float(weight or 1)
        except ValueError:
            continue
        wanted.append((-share, tag.strip().lower()[:2]))
    return next((tag for _, tag in sorted(wanted) if tag in known), "en")


def _form(language: str, action: str, contact: str = "") -> str:
    texts = words()["texts"][language]
    return _FORM.format(
        action=f"{escape(action)}?lang={language}",
        label=escape(texts["label"]),
        contact=escape(contact),
        call=escape(texts["call"]),
    )


def _said(role: str, text: str) -> str:
    return f'<p role="{role}">{escape(text)}</p>'


def _refused(language: str, error: ApiError) -> str:
    """Why, in the visitor's words."""
    known = words()
    texts: dict[str, str] = known["texts"][language]
    data: Any = error.data if isinstance(error.data, dict) else {}
    reason = data.get("reason") or error.message
    if reason == "hours":
        return str(data["message"])
    for rules in data.values():
        if error.status == 400 and isinstance(rules, dict):
            detail: Any = next(iter(rules.values()), {})
            reason = detail.get("reason", reason) if isinstance(detail, dict) else reason
    key = known["reasons"].get(reason, "refused" if error.status == 400 else "down")
    return texts[key]
