"""Lists as CSV (:rfc:`4180`), for spreadsheets."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import falcon

from c2c_sip.api import body, envelope

_CSV = "text/csv"
#: What a spreadsheet takes for a formula, unless it is a number; also as wide as a Chinese character.
_FORMULA = re.compile("[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?\Z")


def wanted(req: falcon.Request) -> bool:
    """Whether the answer is to be CSV: the ``Accept`` header, or what stands for it in the query or the envelope."""
    accept: Any = req.get_param("accept")
    if accept is None and req.context.get("tunnelled"):
        accept = body.peek(req, "accept")
    if accept is None:
        accept = req.accept
    if not isinstance(accept, str):
        return False
    if accept.strip().lower() == "csv":
        return True
    try:
        # JSON first: it is what `*/*` gets.
        return falcon.mediatypes.best_match([falcon.MEDIA_JSON, _CSV], accept) == _CSV
    except ValueError:
        return False


def answer(
    req: falcon.Request,
    resp: falcon.Response,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    next_start_key: str | None,
) -> None:
    """Answer with a table; where there is more, ``Link`` says where."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    envelope.headers(req, resp)
    resp.content_type = f"{_CSV}; charset=utf-8; header=present"
    resp.text = text.getvalue()
    name = req.get_header("X-File-Name") or req.get_param("file_name") or "list"
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name.removesuffix(".csv"))[:100].lstrip(".") or "list"
    resp.set_header("Content-Disposition", f'attachment; filename="{name}.csv"')
    if next_start_key is not None:
        query = {k: v for k, v in req.params.items() if k not in ("start_key", "auth_token")}
        following = falcon.to_query_str(query | {"start_key": next_start_key}, False)
        resp.set_header("Link", f'<{following}>; rel="next"')


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else text
