"""Accounts with their users, keys and tokens; click-to-calls; activations; CDRs."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """
    CREATE TABLE account (
        id TEXT NOT NULL PRIMARY KEY,
        parent_id TEXT REFERENCES account (id),
        path TEXT NOT NULL,
        name TEXT NOT NULL,
        plain_name TEXT NOT NULL,
        realm TEXT NOT NULL,
        salt TEXT NOT NULL,
        document TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        modified DOUBLE PRECISION NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX account_realm ON account (realm)",
    "CREATE INDEX account_plain_name ON account (plain_name)",
    """
    CREATE TABLE login (
        id TEXT NOT NULL PRIMARY KEY,
        account_id TEXT NOT NULL REFERENCES account (id),
        username TEXT NOT NULL,
        md5_hash TEXT NOT NULL,
        sha_hash TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX login_username ON login (account_id, username)",
    "CREATE INDEX login_md5 ON login (md5_hash)",
    "CREATE INDEX login_sha ON login (sha_hash)",
    """
    CREATE TABLE api_key (
        account_id TEXT NOT NULL PRIMARY KEY REFERENCES account (id),
        public_id TEXT NOT NULL,
        hash TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX api_key_public_id ON api_key (public_id)",
    """
    CREATE TABLE token (
        hash TEXT NOT NULL PRIMARY KEY,
        account_id TEXT NOT NULL REFERENCES account (id),
        owner_id TEXT,
        method TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        expires DOUBLE PRECISION NOT NULL
    )
    """,
    "CREATE INDEX token_expires ON token (expires)",
    """
    CREATE TABLE clicktocall (
        id TEXT NOT NULL PRIMARY KEY,
        account_id TEXT NOT NULL REFERENCES account (id),
        name TEXT NOT NULL,
        extension TEXT NOT NULL,
        realm TEXT,
        document TEXT NOT NULL,
        history_items BIGINT NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        modified DOUBLE PRECISION NOT NULL,
        deleted DOUBLE PRECISION
    )
    """,
    "CREATE INDEX clicktocall_account ON clicktocall (account_id, created, id)",
    """
    CREATE TABLE activation (
        id TEXT NOT NULL PRIMARY KEY,
        account_id TEXT NOT NULL REFERENCES account (id),
        clicktocall_id TEXT NOT NULL REFERENCES clicktocall (id),
        contact TEXT NOT NULL,
        created DOUBLE PRECISION NOT NULL,
        state TEXT NOT NULL,
        result TEXT,
        cause TEXT,
        sip_status BIGINT,
        call_id TEXT,
        cdr_id TEXT,
        extension_call_id TEXT,
        extension_cdr_id TEXT,
        duration_seconds BIGINT NOT NULL,
        billing_seconds BIGINT NOT NULL,
        ringing_seconds BIGINT NOT NULL,
        ended DOUBLE PRECISION
    )
    """,
    "CREATE INDEX activation_history ON activation (clicktocall_id, created, id)",
    "CREATE INDEX activation_open ON activation (clicktocall_id) WHERE ended IS NULL",
    """
    CREATE TABLE cdr (
        id TEXT NOT NULL PRIMARY KEY,
        account_id TEXT NOT NULL REFERENCES account (id),
        activation_id TEXT NOT NULL REFERENCES activation (id),
        role TEXT NOT NULL,
        call_id TEXT NOT NULL,
        from_uri TEXT,
        to_uri TEXT,
        created DOUBLE PRECISION NOT NULL,
        answered DOUBLE PRECISION,
        ended DOUBLE PRECISION,
        duration_seconds BIGINT NOT NULL,
        billing_seconds BIGINT NOT NULL,
        ringing_seconds BIGINT NOT NULL,
        cause TEXT,
        sip_status BIGINT,
        hangup_by TEXT,
        media TEXT NOT NULL
    )
    """,
    "CREATE INDEX cdr_account ON cdr (account_id, created, id)",
    "CREATE INDEX cdr_activation ON cdr (activation_id)",
    "CREATE INDEX cdr_open ON cdr (activation_id) WHERE ended IS NULL",
)
