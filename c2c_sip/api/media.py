"""``/accounts/{account_id}/media``: audio of one's own, for ringback, music on hold and announcements."""

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import falcon

from c2c_sip.api import body, conditions, envelope, listing, ranges
from c2c_sip.api.access import Access, Row
from c2c_sip.api.accounts import merged
from c2c_sip.api.answers import MEDIA_SHOWN
from c2c_sip.api.body import read_data
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import ApiError, invalid, not_found
from c2c_sip.config import Config
from c2c_sip.schemas import MEDIA, validate
from c2c_sip.store import Store
from sipstack.media import wav
from sipstack.message.multipart import find_part

#: What WAV files are called.
WAV_TYPES = ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave")
_OCTETS = "application/octet-stream"
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
_FILE = {"type": "string", "format": "binary"}
_UPLOAD = Operation(
    request_types=dict.fromkeys((*WAV_TYPES, _OCTETS), _FILE)
    | {
        _MULTIPART: {
            "type": "object",
            "properties": {"file": _FILE},
            "required": ["file"],
        }
    },
    answer=MEDIA_SHOWN,
    problems=(403, 409, 412),
)
_UPLOAD_PATH = re.compile(r"/v[12]/accounts/[^/]+/media/[^/]+(/raw)?/?")
#: What is ours to say, whatever a request has.
_READ_ONLY = ("id", "revision", "content_type", "content_length", "media_source")


def is_upload(path: str) -> bool:
    """Whether a request to this path may be as large as a file."""
    return _UPLOAD_PATH.fullmatch(path) is not None


def _checked(document: Row) -> Row:
    document = {k: v for k, v in document.items() if k not in _READ_ONLY}
    errors = validate(MEDIA, document)
    if errors:
        raise invalid(errors)
    return document


def _shown(document: Row) -> Row:
    seen = {k: v for k, v in document.items() if k not in ("revision", "created")}
    return {"media_source": "upload"} | seen


class Audio:
    """What the resources below have in common."""

    def __init__(self, store: Store, access: Access, config: Config) -> None:
        self._store = store
        self._access = access
        self._most = config.http.max_upload
        self._quota = config.database.media_quota

    def read(self, account_id: str, media_id: str) -> Row:
        """A document.

        :raises ApiError: 404.
        """
        found = self._store.media.get(account_id, media_id)
        if found is None:
            raise not_found()
        return found

    def show(self, req: falcon.Request, resp: falcon.Response, document: Row) -> None:
        """Answer with it."""
        envelope.success(req, resp, _shown(document), revision=document["revision"])

    def send(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, media_id: str
    ) -> None:
        """Answer with the audio itself.

        :raises ApiError: 404.
        """
        found = self.read(account_id, media_id)
        octets = self._store.media.octets(account_id, media_id)
        if octets is None:
            raise not_found()
        envelope.headers(req, resp)
        resp.content_type = found["content_type"]
        resp.set_header("Content-Disposition", f'attachment; filename="{media_id}.wav"')
        # Whatever is in it: no browser is to take it for a page.
        resp.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
        ranges.send(req, resp, BytesIO(octets), len(octets))

    def upload(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, media_id: str
    ) -> None:
        """Keep the request's audio.

        :raises ApiError: 400, 404, 409, 412, 413 or 415.
        """
        self._access.account(req, account_id)
        self.read(account_id, media_id)
        octets = self._octets(req)
        try:
            wav.check(octets)
        except wav.WavError as error:
            detail = {"message": f"this audio cannot be played: {error}"}
            raise invalid({"body": {"invalid": detail}}) from error

        def write(found: Row, revision: int) -> Row | None:
            left = self._quota - self._store.media.used(account_id)
            if len(octets) > left + found.get("content_length", 0):
                message = f"an account may have {self._quota} bytes of audio"
                raise ApiError(409, "conflict", {"message": message})
            return self._store.media.put(
                account_id, media_id, octets, WAV_TYPES[0], revision, self._access.actor(req)
            )

        self.show(req, resp, conditions.edit(req, lambda: self.read(account_id, media_id), write))

    def _octets(self, req: falcon.Request) -> bytes:
        found = body.octets(req, self._most)
        kind = body.kind_of(req)
        if kind == _MULTIPART:
            for wanted in (*WAV_TYPES, _OCTETS):
                part = find_part(req.content_type, found, wanted)
                if part is not None:
                    return part
            raise invalid({"file": {"required": {"message": "no part of the form is audio"}}})
        # Of curl, which says "form" unless told otherwise.
        is_unlabelled = kind in ("", _FORM) and found[:4] == b"RIFF"
        if kind not in (*WAV_TYPES, _OCTETS) and not is_unlabelled:
            message = "the body must be one of " + ", ".join((*WAV_TYPES, _OCTETS, _MULTIPART))
            raise ApiError(415, "unsupported_media_type", {"message": message})
        return found


class MediaList:
    """The list."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=MEDIA_SHOWN, many=True))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """The documents, newest first."""
        self._access.account(req, account_id)
        wanted = listing.read(req)
        fetch = listing.documents(lambda span: self._store.media.page(account_id, span), wanted)
        listing.answer(req, resp, fetch, wanted, _shown)

    @operation(Operation(MEDIA, answer=MEDIA_SHOWN, status=(201, 201), problems=(403,)))
    def on_put(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Create a document, to which the audio is then posted."""
        self._access.account(req, account_id)
        made = self._store.media.create(
            account_id, _checked(read_data(req)), self._access.actor(req)
        )
        envelope.success(req, resp, _shown(made), status=201, revision=1)


class Media:
    """One of them."""

    def __init__(self, store: Store, access: Access, audio: Audio) -> None:
        self._store = store
        self._access = access
        self._audio = audio

    @operation(Operation(answer=MEDIA_SHOWN, problems=(304,), answer_types=("audio/wav",)))
    def on_get(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, media_id: str
    ) -> None:
        """Its document; the audio itself, if that is what is accepted."""
        self._access.account(req, account_id)
        resp.append_header("Vary", "Accept")
        if req.accept.lower().startswith("audio/"):
            self._audio.send(req, resp, account_id, media_id)
        else:
            self._audio.show(req, resp, self._audio.read(account_id, media_id))

    @operation(Operation(MEDIA, answer=MEDIA_SHOWN, problems=(403, 409, 412)))
    def on_post(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, media_id: str
    ) -> None:
        """Replace its document.

        A body of one of `audio`'s types is its audio, as with `raw`.
        """
        if body.kind_of(req).startswith("audio/"):
            self._audio.upload(req, resp, account_id, media_id)
        else:
            self._edit(req, resp, account_id, media_id, lambda found: read_data(req))

    @operation(Operation(MEDIA, partial=True, answer=MEDIA_SHOWN, problems=(403, 409, 412)))
    def on_patch(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, media_id: str
    ) -> None:
        """Merge into its document; null takes a field away."""
        self._edit(req, resp, account_id, media_id, lambda found: merged(found, read_data(req)))

    def _edit(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        media_id: str,
        change: Callable[[Row], Any],
    ) -> None:
        self._access.account(req, account_id)

        def write(found: Row, revision: int) -> Row | None:
            return self._store.media.update(
                account_id, media_id, _checked(change(found)), revision, self._access.actor(req)
            )

        changed = conditions.edit(req, lambda: self._audio.read(account_id, media_id), write)
        self._audio.show(req, resp, changed)

    @operation(Operation(answer=MEDIA_SHOWN, problems=(403, 409, 412)))
    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, media_id: str
    ) -> None:
        """Take it away, audio and all."""
        self._access.account(req, account_id)

        def delete(found: Row, revision: int) -> Row | None:
            gone = self._store.media.delete(account_id, media_id, revision, self._access.actor(req))
            return found if gone else None

        gone = conditions.edit(req, lambda: self._audio.read(account_id, media_id), delete)
        self._audio.show(req, resp, gone)


class MediaRaw:
    """``…/media/{media_id}/raw``: the audio."""

    def __init__(self, access: Access, audio: Audio) -> None:
        self._access = access
        self._audio = audio

    @operation(Operation(envelope=False, answer_types=("audio/wav",), ranges=True))
    def on_get(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, media_id: str
    ) -> None:
        """The audio."""
        self._access.account(req, account_id)
        self._audio.send(req, resp, account_id, media_id)

    @operation(_UPLOAD)
    def on_post(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, media_id: str
    ) -> None:
        """Keep a WAV file, instead of the one before."""
        self._audio.upload(req, resp, account_id, media_id)
