"""A database that is a server's, which may be restarted, or out of reach for a while."""

import logging
import re
from importlib.util import find_spec
from typing import Any

import peewee as pw

log = logging.getLogger(__name__)

#: Seconds for a connection to be made, and milliseconds for what was sent to be acknowledged: of a server whose machine
#: is gone nothing else would tell for a quarter of an hour. The URL's query may say something else.
PATIENCE = {"connect_timeout": 5, "tcp_user_timeout": 10_000}


class _Returning:
    """What a database class gets: a connection that the server has closed is made anew by the next statement.

    Not in a transaction, of which a part would be lost.
    """

    def execute_sql(self: Any, *arguments: Any, **more: Any) -> Any:
        """See :meth:`peewee.Database.execute_sql`."""
        execute = super().execute_sql  # type: ignore[misc]
        try:
            return execute(*arguments, **more)
        except (pw.OperationalError, pw.InterfaceError) as error:
            if self.is_closed() or self.in_transaction() or not self.connection().closed:
                raise
            log.warning("connecting to the database anew: %s", error)
            self.close()
            return execute(*arguments, **more)


def connect(url: str) -> pw.Database:
    """The database that ``postgresql://USER:PASSWORD@HOST/NAME`` names; nothing is sent before it is used.

    :raises RuntimeError: what it takes is not installed.
    """
    # Only here: it brings everything there is for every database.
    from playhouse import db_url

    kind = db_url.schemes.get("psycopg3")
    if kind is None or find_spec("psycopg") is None:
        raise RuntimeError("c2c-sip has to be installed as c2c-sip[postgres]")
    named = db_url.parse(
        re.sub(r"^postgres(ql)?://", "psycopg3://", url), unquote_password=True, unquote_user=True
    )
    made: pw.Database = type("Server", (_Returning, kind), {})(**PATIENCE | named)
    return made
