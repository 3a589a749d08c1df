"""What is the same for everybody until the next version of the program."""

import hashlib

import falcon


class Unchanging:
    """A text and its media type, and how long it may be kept without asking, as ``Cache-Control``."""

    def __init__(self, text: str, kind: str, caching: str = "public, max-age=300") -> None:
        self._text = text
        self._kind = kind
        self._caching = caching
        self._tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'

    def send(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with it, or with 304 to whoever has it already."""
        resp.set_header("ETag", self._tag)
        resp.set_header("Cache-Control", self._caching)
        if self._tag in (req.get_header("If-None-Match") or ""):
            resp.status = 304
            return
        resp.content_type = self._kind
        resp.text = self._text
