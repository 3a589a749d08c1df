"""The numbered steps from an empty database to today's. A step that has run anywhere is never changed again.

So the steps are statements, in the SQL that SQLite and PostgreSQL share, and not made from the models, which do change.
"""

from typing import Any

import peewee as pw

from c2c_sip.store.errors import StoreError

_FIRST = (
    """
    CREATE TABLE account (
        id VARCHAR(32) NOT NULL PRIMARY KEY,
        parent_id VARCHAR(32) REFERENCES account (id),
        name VARCHAR(128) NOT NULL,
        realm VARCHAR(253) NOT NULL,
        document TEXT NOT NULL,
        revision INTEGER NOT NULL,
        created DOUBLE PRECISION NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX account_realm ON account (realm)",
    "CREATE INDEX account_parent ON account (parent_id)",
    """
    CREATE TABLE user_ (
        id VARCHAR(32) NOT NULL PRIMARY KEY,
        account_id VARCHAR(32) NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        username VARCHAR(128) NOT NULL,
        md5_hash VARCHAR(255) NOT NULL,
        sha_hash VARCHAR(255) NOT NULL,
        created DOUBLE PRECISION NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX user_username ON user_ (account_id, username)",
    """
    CREATE TABLE api_key (
        id VARCHAR(16) NOT NULL PRIMARY KEY,
        account_id VARCHAR(32) NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        secret_hash VARCHAR(255) NOT NULL,
        created DOUBLE PRECISION NOT NULL
    )
    """,
    "CREATE INDEX api_key_account ON api_key (account_id)",
    """
    CREATE TABLE token (
        token_hash VARCHAR(64) NOT NULL PRIMARY KEY,
        account_id VARCHAR(32) NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        owner_id VARCHAR(32),
        method VARCHAR(16) NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        expires DOUBLE PRECISION NOT NULL
    )
    """,
    "CREATE INDEX token_account ON token (account_id)",
    "CREATE INDEX token_expires ON token (expires)",
    """
    CREATE TABLE clicktocall (
        id VARCHAR(32) NOT NULL PRIMARY KEY,
        account_id VARCHAR(32) NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        document TEXT NOT NULL,
        revision INTEGER NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        modified DOUBLE PRECISION NOT NULL,
        deleted DOUBLE PRECISION
    )
    """,
    "CREATE INDEX clicktocall_list ON clicktocall (account_id, created, id)",
    """
    CREATE TABLE activation (
        id VARCHAR(32) NOT NULL PRIMARY KEY,
        account_id VARCHAR(32) NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        clicktocall_id VARCHAR(32) NOT NULL REFERENCES clicktocall (id) ON DELETE CASCADE,
        contact TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        state VARCHAR(32) NOT NULL,
        result VARCHAR(16),
        cause VARCHAR(64),
        sip_status INTEGER,
        call_id VARCHAR(64),
        cdr_id VARCHAR(32),
        extension_call_id VARCHAR(64),
        extension_cdr_id VARCHAR(32),
        duration_seconds INTEGER NOT NULL,
        billing_seconds INTEGER NOT NULL,
        ringing_seconds INTEGER NOT NULL,
        ended DOUBLE PRECISION
    )
    """,
    "CREATE INDEX activation_history ON activation (clicktocall_id, created, id)",
    "CREATE INDEX activation_account ON activation (account_id)",
    "CREATE INDEX activation_open ON activation (id) WHERE ended IS NULL",
    """
    CREATE TABLE cdr (
        id VARCHAR(32) NOT NULL PRIMARY KEY,
        account_id VARCHAR(32) NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        activation_id VARCHAR(32) NOT NULL REFERENCES activation (id) ON DELETE CASCADE,
        role VARCHAR(16) NOT NULL,
        call_id VARCHAR(64) NOT NULL,
        from_uri TEXT NOT NULL,
        to_uri TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        answered DOUBLE PRECISION,
        ended DOUBLE PRECISION,
        duration_seconds INTEGER NOT NULL,
        billing_seconds INTEGER NOT NULL,
        ringing_seconds INTEGER NOT NULL,
        cause VARCHAR(64),
        sip_status INTEGER,
        hangup_by VARCHAR(16),
        media TEXT
    )
    """,
    "CREATE INDEX cdr_list ON cdr (account_id, created, id)",
    "CREATE INDEX cdr_activation ON cdr (activation_id)",
    "CREATE INDEX cdr_open ON cdr (id) WHERE ended IS NULL",
)

#: What it takes to hang up a leg that was up when the program died.
_DIALOGS = ("ALTER TABLE cdr ADD COLUMN dialog TEXT",)

#: What the guard remembers: of each activation who asked for whom and why not, and who is never to be called.
_GUARD = (
    "ALTER TABLE activation ADD COLUMN client VARCHAR(64)",
    "ALTER TABLE activation ADD COLUMN called TEXT",
    "ALTER TABLE activation ADD COLUMN is_public INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE activation ADD COLUMN rule VARCHAR(32)",
    "ALTER TABLE activation ADD COLUMN times INTEGER NOT NULL DEFAULT 1",
    "CREATE INDEX activation_public ON activation (created) WHERE is_public = 1",
    "DROP INDEX activation_account",
    "CREATE INDEX activation_account ON activation (account_id, created)",
    """
    CREATE TABLE never_call (
        id VARCHAR(32) NOT NULL PRIMARY KEY,
        account_id VARCHAR(32) NOT NULL,
        number VARCHAR(320) NOT NULL,
        source VARCHAR(32) NOT NULL,
        created DOUBLE PRECISION NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX never_call_number ON never_call (number, account_id)",
    """
    CREATE TABLE spent (
        id VARCHAR(64) NOT NULL PRIMARY KEY,
        used INTEGER NOT NULL,
        expires DOUBLE PRECISION NOT NULL
    )
    """,
    "CREATE INDEX spent_expires ON spent (expires)",
    """
    CREATE TABLE signing_key (
        name VARCHAR(32) NOT NULL PRIMARY KEY,
        value VARCHAR(64) NOT NULL
    )
    """,
)

#: Users as documents, audio, and the audit log. (SQLite takes any type; BYTEA is PostgreSQL's for octets.)
_DOCUMENTS = (
    "ALTER TABLE user_ ADD COLUMN document TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE user_ ADD COLUMN priv_level VARCHAR(16) NOT NULL DEFAULT 'admin'",
    "ALTER TABLE user_ ADD COLUMN enabled INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE user_ ADD COLUMN revision INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE user_ ADD COLUMN modified DOUBLE PRECISION NOT NULL DEFAULT 0",
    "CREATE INDEX user_list ON user_ (account_id, created, id)",
    "CREATE INDEX token_owner ON token (owner_id)",
    """
    CREATE TABLE media (
        id VARCHAR(32) NOT NULL PRIMARY KEY,
        account_id VARCHAR(32) NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        document TEXT NOT NULL,
        revision INTEGER NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        modified DOUBLE PRECISION NOT NULL,
        content_type VARCHAR(64),
        content_length INTEGER,
        file VARCHAR(64)
    )
    """,
    "CREATE INDEX media_list ON media (account_id, created, id)",
    "CREATE TABLE media_content (id VARCHAR(32) NOT NULL PRIMARY KEY, octets BYTEA NOT NULL)",
    """
    CREATE TABLE audit (
        id VARCHAR(32) NOT NULL PRIMARY KEY,
        account_id VARCHAR(32) NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        actor_account_id VARCHAR(32),
        actor_id VARCHAR(32),
        method VARCHAR(16) NOT NULL,
        client VARCHAR(64) NOT NULL,
        action VARCHAR(16) NOT NULL,
        kind VARCHAR(16) NOT NULL,
        target_id VARCHAR(64) NOT NULL,
        changes TEXT NOT NULL
    )
    """,
    "CREATE INDEX audit_list ON audit (account_id, created, id)",
)

_TRACES = (
    """
    CREATE TABLE trace (
        id VARCHAR(32) NOT NULL PRIMARY KEY,
        created DOUBLE PRECISION NOT NULL,
        octets BYTEA NOT NULL
    )
    """,
    "CREATE INDEX trace_created ON trace (created)",
)

#: What a click-to-call keeps with each of its calls.
_VARIABLES = ("ALTER TABLE activation ADD COLUMN variables TEXT",)

#: Whom to tell of calls, and what is to be told still.
_WEBHOOKS = (
    """
    CREATE TABLE webhook (
        id VARCHAR(32) NOT NULL PRIMARY KEY,
        account_id VARCHAR(32) NOT NULL REFERENCES account (id) ON DELETE CASCADE,
        document TEXT NOT NULL,
        revision INTEGER NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        modified DOUBLE PRECISION NOT NULL,
        secret VARCHAR(128) NOT NULL
    )
    """,
    "CREATE INDEX webhook_list ON webhook (account_id, created, id)",
    """
    CREATE TABLE notice (
        id VARCHAR(32) NOT NULL PRIMARY KEY,
        webhook_id VARCHAR(32) NOT NULL,
        activation_id VARCHAR(32) NOT NULL,
        sequence INTEGER NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        body TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        due DOUBLE PRECISION NOT NULL,
        failed DOUBLE PRECISION,
        problem TEXT
    )
    """,
    "CREATE INDEX notice_order ON notice (webhook_id, activation_id, sequence)",
    "CREATE INDEX notice_due ON notice (webhook_id, due) WHERE failed IS NULL",
    "CREATE INDEX notice_failed ON notice (failed) WHERE failed IS NOT NULL",
)

#: Why a call ended as it did.
_EXPLANATIONS = ("ALTER TABLE activation ADD COLUMN explanation TEXT",)

#: Whose call it is: another's start does not end it.
_NODES = ("ALTER TABLE activation ADD COLUMN node VARCHAR(255)",)

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: _FIRST,
    2: _DIALOGS,
    3: _GUARD,
    4: _DOCUMENTS,
    5: _TRACES,
    6: _VARIABLES,
    7: _WEBHOOKS,
    8: _EXPLANATIONS,
    9: _NODES,
}
NEWEST = max(MIGRATIONS)

#: What PostgreSQL's advisory lock is known by: of two nodes that start on an empty database, one waits.
_LOCK = 5_060_022


def migrate(database: pw.Database) -> None:
    """Bring the database to :data:`NEWEST`, as a whole or not at all.

    :raises StoreError: the database was made by a newer program.
    """
    execute: Any = database.execute_sql
    versions: Any = pw.Table("schema_version", ("version",))
    with database.atomic():
        if not isinstance(database, pw.SqliteDatabase):
            execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY)")
        found = execute("SELECT MAX(version) FROM schema_version").fetchone()[0] or 0
        if found > NEWEST:
            raise StoreError(
                f"the database is of version {found}, this program knows {NEWEST}: use a newer program"
            )
        for version in range(found + 1, NEWEST + 1):
            for statement in MIGRATIONS[version]:
                execute(statement)
            versions.insert(version=version).execute(database)
