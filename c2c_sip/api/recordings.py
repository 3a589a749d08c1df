"""``…/history/{activation_id}/recording.wav``: what was said, where a click-to-call has its calls recorded."""

from pathlib import Path

import falcon

from c2c_sip.api import envelope, ranges
from c2c_sip.api.access import Access, Row
from c2c_sip.api.answers import RECORDING
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import not_found
from c2c_sip.store import Store
from sipstack.media.recording import Recorder


def is_recorded(recorder: Recorder | None, row: Row) -> bool:
    """Whether there is a recording of this activation: one look at the directory, once its call is over."""
    return recorder is not None and row["state"] == "ended" and recorder.path(row["id"]).is_file()


class RecordingFile:
    """The recording of one call.

    :param recorder: who has the files; ``None`` where nothing is recorded
    """

    def __init__(self, store: Store, access: Access, recorder: Recorder | None) -> None:
        self._store = store
        self._access = access
        self._recorder = recorder

    @operation(Operation(envelope=False, answer_types=("audio/wav",), ranges=True))
    def on_get(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        id: str,
        activation_id: str,
    ) -> None:
        """The call as a WAV file, the extension left and the contact right; it is there once the call is over."""
        path = self._path(req, account_id, id, activation_id)
        try:
            file = path.open("rb")
        except OSError as error:
            raise not_found() from error
        size = path.stat().st_size
        resp.content_type = "audio/wav"
        resp.set_header("Content-Disposition", f'attachment; filename="{activation_id}.wav"')
        resp.set_header("Cache-Control", "private, no-store")
        resp.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
        ranges.send(req, resp, file, size)

    @operation(Operation(answer=RECORDING))
    def on_delete(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        id: str,
        activation_id: str,
    ) -> None:
        """Delete the recording; the record stays."""
        path = self._path(req, account_id, id, activation_id)
        try:
            path.unlink()
        except OSError as error:
            raise not_found() from error
        by = self._access.actor(req)
        self._store.note(by, account_id, "delete", "recording", activation_id)
        envelope.success(req, resp, {"id": activation_id})

    def _path(self, req: falcon.Request, account_id: str, id: str, activation_id: str) -> Path:
        self._access.clicktocall(req, account_id, id)
        if self._recorder is None or self._store.activation(id, activation_id) is None:
            raise not_found()
        # Only what is in the database gets here: hexadecimal digits.
        return self._recorder.path(activation_id)
