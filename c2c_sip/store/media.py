"""Uploaded audio: its documents in the database, its octets there too or in a directory."""

import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import peewee as pw

from c2c_sip.store.audit import NOBODY, Actor, Audit
from c2c_sip.store.errors import StoreError
from c2c_sip.store.pages import Span, page
from c2c_sip.store.writer import Writer

Row = dict[str, Any]


class MediaRecords:
    """The audio's part of a store, as its attribute ``media``; from any thread.

    :param directory: where octets are kept, each in a file that is named for its digest; empty: in the database
    """

    def __init__(self, models: Any, writer: Writer, audit: Audit, directory: str = "") -> None:
        self._models = models
        self._writer = writer
        self._audit = audit
        self._directory = Path(directory) if directory else None
        if self._directory is not None:
            try:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{directory} cannot be used: {error.strerror}") from error

    def create(self, account_id: str, document: Mapping[str, Any], by: Actor = NOBODY) -> Row:
        """A new document, without octets yet."""
        now = time.time()
        row: Row = {
            "id": secrets.token_hex(16),
            "account": account_id,
            "document": json.dumps(dict(document)),
            "revision": 1,
            "created": now,
            "modified": now,
            "content_type": None,
            "content_length": None,
            "file": None,
        }

        def work() -> None:
            self._models.Media.insert(**row).execute()
            self._audit.add(by, account_id, "create", "media", row["id"], None, document)

        self._writer.submit(work).result()
        return _document(row)

    def get(self, account_id: str, identifier: str) -> Row | None:
        """A document with ``id``, ``revision``, and ``content_type`` and ``content_length`` once there are octets."""
        row = self._row(account_id, identifier)
        return _document(row) if row else None

    def _row(self, account_id: str, identifier: str) -> Row | None:
        model = self._models.Media
        query = model.select().where(model.id == identifier, model.account == account_id)
        found: Row | None = query.dicts().first()
        return found

    def page(self, account_id: str, span: Span) -> list[Row]:
        """Documents of an account in the order of time, each with ``created``."""
        model = self._models.Media
        rows = page(model, [model.account == account_id], span, model.modified)
        return [_document(row) | {"created": row["created"]} for row in rows]

    def update(
        self,
        account_id: str,
        identifier: str,
        document: Mapping[str, Any],
        revision: int,
        by: Actor = NOBODY,
    ) -> Row | None:
        """Replace the document of what is still of ``revision``; ``None`` where it is not."""
        changes = {"document": json.dumps(dict(document))}
        return self._change(account_id, identifier, changes, revision, "update", by)

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
        changed = self._change(
            account_id, identifier, changes, revision, "upload", by, None if name else octets
        )
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

    def _change(
        self,
        account_id: str,
        identifier: str,
        changes: Row,
        revision: int,
        action: str,
        by: Actor,
        octets: bytes | None = None,
    ) -> Row | None:
        model, content = self._models.Media, self._models.MediaContent
        changes = changes | {"revision": revision + 1, "modified": time.time()}

        def work() -> Row | None:
            mine = (model.id == identifier) & (model.account == account_id)
            mine &= model.revision == revision
            before = model.select().where(mine).dicts().first()
            if before is None or not model.update(**changes).where(mine).execute():
                return None
            if "content_length" in changes:
                content.delete().where(content.id == identifier).execute()
                if octets is not None:
                    content.insert(id=identifier, octets=octets).execute()
            after = _document(before | changes)
            shown = [
                {k: v for k, v in one.items() if k not in ("id", "revision")}
                for one in (_document(before), after)
            ]
            self._audit.add(by, account_id, action, "media", identifier, *shown)
            return after

        return self._writer.submit(work).result()

    def delete(self, account_id: str, identifier: str, revision: int, by: Actor = NOBODY) -> bool:
        """Take what is still of ``revision`` away, with its octets."""
        model, content = self._models.Media, self._models.MediaContent
        before = self._row(account_id, identifier)

        def work() -> bool:
            query = model.delete().where(
                model.id == identifier, model.account == account_id, model.revision == revision
            )
            if not query.execute():
                return False
            content.delete().where(content.id == identifier).execute()
            self._audit.add(by, account_id, "delete", "media", identifier)
            return True

        gone = self._writer.submit(work).result()
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
            model = self._models.MediaContent
            found = model.select(model.octets).where(model.id == identifier).scalar()
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
        model = self._models.Media
        query = model.select(pw.fn.SUM(model.content_length)).where(model.account == account_id)
        return int(query.scalar() or 0)


def _document(row: Mapping[str, Any]) -> Row:
    document: Row = json.loads(row["document"])
    document |= {"id": row["id"], "revision": row["revision"]}
    if row["content_length"] is not None:
        document |= {
            "content_type": row["content_type"],
            "content_length": row["content_length"],
        }
    return document
