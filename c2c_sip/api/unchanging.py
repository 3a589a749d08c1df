"""What is the same for everybody until the next version of the program."""

import hashlib
from io import BytesIO

import falcon


class Unchanging:
    """A text and its media type, and how long it may be kept without asking, as ``Cache-Control``."""

    def __init__(self, text: str, kind: str, caching: str = "public, max-age=300") -> None:
        self._octets = text.encode()
        self._kind = kind
        self._caching = caching
        self._tag = f'"{hashlib.sha256(self._octets).hexdigest()[:32]}"'

    def send(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with it, or with 304 to whoever has it already."""
        resp.set_header("ETag", self._tag)
        resp.set_header("Cache-Control", self._caching)
        if self._tag in (req.get_header("If-None-Match") or ""):
            resp.status = 304
            return
        resp.content_type = self._kind
        # As a file, of which the server takes as much as the client does: a text would be in memory once for each who is slow.
        resp.set_stream(BytesIO(self._octets), len(self._octets))
