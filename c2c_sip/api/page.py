"""The one page that a person sees who follows a link that is not to dial at once: a question, and a button."""

import falcon

from c2c_sip.api.markup import escape

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Start a call</title>
<form method="post" action="{action}">
<p>We will ring our phone first, and then yours.</p>
<button>Call me</button>
</form>
"""


def ask(resp: falcon.Response, action: str) -> None:
    """Answer with the page; its button posts to the URL ``action``."""
    resp.content_type = falcon.MEDIA_HTML
    resp.text = _PAGE.format(action=escape(action))
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("Referrer-Policy", "no-referrer")
    policy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    resp.set_header("Content-Security-Policy", policy)
