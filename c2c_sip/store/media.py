"""Uploaded audio: its documents in the database, its octets there too or in a directory."""

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import peewee as pw

from c2c_sip.store.audit import NOBODY, Actor, Audit
from c2c_sip.store.documents import Documents, Row
from c2c_sip.store.errors import StoreError
from c2c_sip.store.writer import Writer


class MediaRecords(Documents):
    """The audio's part of a store, as its attribute ``media``; from any thread.

    A document has ``content_type`` and ``content_length`` once there are octets.

    :param directory: where octets are kept, each in a file that is named for its digest; empty: in the database
    """

    def __init__(self, models: Any, writer: Writer, audit: Audit, directory: str = "") -> None:
        super().__init__(models.Media, "media", writer, audit)
        self._content = models.MediaContent
        self._directory = Path(directory) if directory else None
        if self._directory is not None:
            try:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{directory} cannot be used: {error.strerror}") from error

    def shown(self, row: Mapping[str, Any]) -> Row:
        """A row as its document, with what is known of its octets."""
        document = super().shown(row)
        if row.get("content_length") is not None:
            document |= {
                "content_type": row["content_type"],
                "content_length": row["content_length"],
            }
        return document

    def put(
        self,
        account_id: str,
        identifier: str,
        octets: bytes,
        content_type: str,
        revision: int,
        by: Actor = NOBODY,
    ) -> Row | None:
        """Keep the octets of what is still of ``revision``, instead of those before; ``None`` where it is not."""
        name = secrets.token_hex(16) if self._directory is not None else None
        changes: Row = {
            "content_type": content_type,
            "content_length": len(octets),
            "file": name,
        }
        if self._directory is not None and name is not None:
            self._write(self._directory / name, octets)
        before = self._row(account_id, identifier)

        def also() -> None:
            self._content.delete().where(self._content.id == identifier).execute()
            if name is None:
                self._content.insert(id=identifier, octets=octets).execute()

        changed = self._change(account_id, identifier, changes, revision, "upload", by, also)
        # Only now: what a crash in between leaves is a file too many, never one too few.
        self._remove((before or {}).get("file") if changed else name)
        return changed

    @staticmethod
    def _write(path: Path, octets: bytes) -> None:
        try:
            with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"audio cannot be kept: {error.strerror}") from error

    def _remove(self, name: str | None) -> None:
        if name and self._directory is not None:
            (self._directory / name).unlink(missing_ok=True)

    def delete(
        self,
        account_id: str,
        identifier: str,
        revision: int,
        by: Actor = NOBODY,
        also: Callable[[], None] = lambda: None,
    ) -> bool:
        """Take what is still of ``revision`` away, with its octets."""
        before = self._row(account_id, identifier)

        def octets_too() -> None:
            self._content.delete().where(self._content.id == identifier).execute()
            also()

        gone = super().delete(account_id, identifier, revision, by, octets_too)
        if gone and before is not None:
            self._remove(before["file"])
        return gone

    def octets(self, account_id: str, identifier: str) -> bytes | None:
        """The octets; ``None`` where there are none.

        :raises StoreError: the file that they were in is not there.
        """
        row = self._row(account_id, identifier)
        if row is None or row["content_length"] is None:
            return None
        if row["file"] is None:
            content = self._content
            found = content.select(content.octets).where(content.id == identifier).scalar()
            return bytes(found) if found is not None else None
        if self._directory is None:
            raise StoreError("audio is in a directory, and no directory is configured")
        try:
            path: Path = self._directory / row["file"]
            return path.read_bytes()
        except OSError as error:
            raise StoreError(f"audio cannot be read: {error.strerror}") from error

    def used(self, account_id: str) -> int:
        """Octets that an account's audio takes."""
        model = self._model
        query = model.select(pw.fn.SUM(model.content_length)).where(model.account == account_id)
        return int(query.scalar() or 0)
