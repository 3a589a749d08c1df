"""The tables, as Peewee models bound to one database each (see :func:`bind`).

The tables and their indexes are made by :mod:`c2c_sip.store.migrations`; a test compares the two.
"""

from types import SimpleNamespace
from typing import Any

import peewee as pw


def bind(database: pw.Database) -> Any:
    """The models of one database. Made anew for each, so that two stores in a process never share any."""

    class Base(pw.Model):
        class Meta:
            database: pw.Database

    Base._meta.database = database

    class Account(Base):
        id = pw.CharField(32, primary_key=True)
        parent_id = pw.CharField(32, null=True)
        name = pw.CharField(128)
        realm = pw.CharField(253)
        document = pw.TextField(default="{}")
        revision = pw.IntegerField(default=1)
        created = pw.DoubleField()

        class Meta:
            table_name = "account"
            database: pw.Database

    class User(Base):
        id = pw.CharField(32, primary_key=True)
        account = pw.ForeignKeyField(Account, column_name="account_id", on_delete="CASCADE")
        username = pw.CharField(128)
        md5_hash = pw.CharField(255)
        sha_hash = pw.CharField(255)
        created = pw.DoubleField()
        document = pw.TextField(default="{}")
        priv_level = pw.CharField(16, default="admin")
        enabled = pw.IntegerField(default=1)
        revision = pw.IntegerField(default=1)
        modified = pw.DoubleField(default=0.0)

        class Meta:
            table_name = "user_"
            database: pw.Database

    class ApiKey(Base):
        id = pw.CharField(16, primary_key=True)
        account = pw.ForeignKeyField(Account, column_name="account_id", on_delete="CASCADE")
        secret_hash = pw.CharField(255)
        created = pw.DoubleField()

        class Meta:
            table_name = "api_key"
            database: pw.Database

    class Token(Base):
        token_hash = pw.CharField(64, primary_key=True)
        account = pw.ForeignKeyField(Account, column_name="account_id", on_delete="CASCADE")
        owner_id = pw.CharField(32, null=True)
        method = pw.CharField(16)
        created = pw.DoubleField()
        expires = pw.DoubleField(index=True)

        class Meta:
            table_name = "token"
            database: pw.Database

    class ClickToCall(Base):
        id = pw.CharField(32, primary_key=True)
        account = pw.ForeignKeyField(Account, column_name="account_id", on_delete="CASCADE")
        document = pw.TextField()
        revision = pw.IntegerField(default=1)
        created = pw.DoubleField()
        modified = pw.DoubleField()
        # Set instead of deleting: the history of what was called outlives the definition.
        deleted = pw.DoubleField(null=True)

        class Meta:
            table_name = "clicktocall"
            database: pw.Database

    class Activation(Base):
        id = pw.CharField(32, primary_key=True)
        account = pw.ForeignKeyField(Account, column_name="account_id", on_delete="CASCADE")
        clicktocall = pw.ForeignKeyField(
            ClickToCall, column_name="clicktocall_id", on_delete="CASCADE"
        )
        contact = pw.TextField()
        created = pw.DoubleField()
        state = pw.CharField(32)
        result = pw.CharField(16, null=True)
        cause = pw.CharField(64, null=True)
        sip_status = pw.IntegerField(null=True)
        call_id = pw.CharField(64, null=True)
        cdr_id = pw.CharField(32, null=True)
        extension_call_id = pw.CharField(64, null=True)
        extension_cdr_id = pw.CharField(32, null=True)
        duration_seconds = pw.IntegerField(default=0)
        billing_seconds = pw.IntegerField(default=0)
        ringing_seconds = pw.IntegerField(default=0)
        ended = pw.DoubleField(null=True)
        # Who asked: an address, of IPv6 a network.
        client = pw.CharField(64, null=True)
        # The contact in its canonical form.
        called = pw.TextField(null=True)
        # 1: without a token. Refusals do not count.
        is_public = pw.IntegerField(default=0)
        # By which rule it was refused, and how often, where further refusals are told of here.
        rule = pw.CharField(32, null=True)
        times = pw.IntegerField(default=1)
        # The click-to-call's custom_application_vars as they were filled in, in JSON.
        variables = pw.TextField(null=True)
        # Why it ended as it did, in a sentence.
        explanation = pw.TextField(null=True)
        # Whose call it is, of several services on one database.
        node = pw.CharField(255, null=True)

        class Meta:
            table_name = "activation"
            database: pw.Database

    class Cdr(Base):
        id = pw.CharField(32, primary_key=True)
        account = pw.ForeignKeyField(Account, column_name="account_id", on_delete="CASCADE")
        activation = pw.ForeignKeyField(
            Activation, column_name="activation_id", on_delete="CASCADE"
        )
        role = pw.CharField(16)
        call_id = pw.CharField(64)
        from_uri = pw.TextField()
        to_uri = pw.TextField()
        created = pw.DoubleField()
        answered = pw.DoubleField(null=True)
        ended = pw.DoubleField(null=True)
        duration_seconds = pw.IntegerField(default=0)
        billing_seconds = pw.IntegerField(default=0)
        ringing_seconds = pw.IntegerField(default=0)
        cause = pw.CharField(64, null=True)
        sip_status = pw.IntegerField(null=True)
        hangup_by = pw.CharField(16, null=True)
        media = pw.TextField(null=True)
        dialog = pw.TextField(null=True)

        class Meta:
            table_name = "cdr"
            database: pw.Database

    class NeverCall(Base):
        id = pw.CharField(32, primary_key=True)
        # Empty: nobody's account is to call it.
        account_id = pw.CharField(32)
        number = pw.CharField(320)
        source = pw.CharField(32)
        created = pw.DoubleField()

        class Meta:
            table_name = "never_call"
            database: pw.Database

    class Spent(Base):
        id = pw.CharField(64, primary_key=True)
        used = pw.IntegerField()
        expires = pw.DoubleField(index=True)

        class Meta:
            table_name = "spent"
            database: pw.Database

    class SigningKey(Base):
        name = pw.CharField(32, primary_key=True)
        value = pw.CharField(64)

        class Meta:
            table_name = "signing_key"
            database: pw.Database

    class Media(Base):
        id = pw.CharField(32, primary_key=True)
        account = pw.ForeignKeyField(Account, column_name="account_id", on_delete="CASCADE")
        document = pw.TextField()
        revision = pw.IntegerField(default=1)
        created = pw.DoubleField()
        modified = pw.DoubleField()
        content_type = pw.CharField(64, null=True)
        content_length = pw.IntegerField(null=True)
        file = pw.CharField(64, null=True)

        class Meta:
            table_name = "media"
            database: pw.Database

    class MediaContent(Base):
        id = pw.CharField(32, primary_key=True)
        octets = pw.BlobField()

        class Meta:
            table_name = "media_content"
            database: pw.Database

    class Audit(Base):
        id = pw.CharField(32, primary_key=True)
        account_id = pw.CharField(32)
        created = pw.DoubleField()
        actor_account_id = pw.CharField(32, null=True)
        actor_id = pw.CharField(32, null=True)
        method = pw.CharField(16)
        client = pw.CharField(64)
        action = pw.CharField(16)
        kind = pw.CharField(16)
        target_id = pw.CharField(64)
        changes = pw.TextField()

        class Meta:
            table_name = "audit"
            database: pw.Database

    class Trace(Base):
        # The activation's.
        id = pw.CharField(32, primary_key=True)
        created = pw.DoubleField(index=True)
        octets = pw.BlobField()

        class Meta:
            table_name = "trace"
            database: pw.Database

    class Webhook(Base):
        id = pw.CharField(32, primary_key=True)
        account = pw.ForeignKeyField(Account, column_name="account_id", on_delete="CASCADE")
        document = pw.TextField()
        revision = pw.IntegerField(default=1)
        created = pw.DoubleField()
        modified = pw.DoubleField()
        secret = pw.CharField(128)

        class Meta:
            table_name = "webhook"
            database: pw.Database

    class Notice(Base):
        id = pw.CharField(32, primary_key=True)
        webhook_id = pw.CharField(32)
        activation_id = pw.CharField(32)
        # Of those of one call to one receiver each waits for those before it.
        sequence = pw.IntegerField()
        created = pw.DoubleField()
        body = pw.TextField()
        attempts = pw.IntegerField(default=0)
        # When it is to be tried, or tried again.
        due = pw.DoubleField()
        # When it was given up, and what the last answer was.
        failed = pw.DoubleField(null=True)
        problem = pw.TextField(null=True)

        class Meta:
            table_name = "notice"
            database: pw.Database

    class SchemaVersion(Base):
        version = pw.IntegerField(primary_key=True)

        class Meta:
            table_name = "schema_version"
            database: pw.Database

    models = SimpleNamespace(
        Account=Account,
        User=User,
        ApiKey=ApiKey,
        Token=Token,
        ClickToCall=ClickToCall,
        Activation=Activation,
        Cdr=Cdr,
        NeverCall=NeverCall,
        Spent=Spent,
        SigningKey=SigningKey,
        Media=Media,
        MediaContent=MediaContent,
        Audit=Audit,
        Trace=Trace,
        Webhook=Webhook,
        Notice=Notice,
        SchemaVersion=SchemaVersion,
    )
    database.bind(list(vars(models).values()))
    return models
