"""Accounts in the store, their users, keys and tokens: what is not ours is not given out."""

import time
from pathlib import Path
from typing import Any

import pytest

from c2c_sip.store import Store, Taken
from c2c_sip.store import secrets as store_secrets
from c2c_sip.store import store as store_module
from tests.unit.stores import account


def test_an_account_comes_with_a_user_a_key_and_a_realm_of_its_own(fresh: Store) -> None:
    one, two = account(fresh, "One"), account(fresh, "Two")
    assert one["realm"] != two["realm"]
    assert one["password"] != two["password"]
    assert fresh.check_api_key(one["api_key"]) == one["id"]
    assert fresh.check_api_key(two["api_key"]) == two["id"]


def test_a_realm_is_one_account_s_however_it_is_written(fresh: Store) -> None:
    account(fresh, realm="Acme.Example")
    with pytest.raises(Taken) as taken:
        account(fresh, realm="aCME.example")
    assert taken.value.field == "realm"
    assert len(fresh.accounts()) == 1
    found = fresh.account_by("realm", "ACME.EXAMPLE")
    assert found is not None and found["realm"] == "acme.example"


@pytest.mark.parametrize("name", ["Acme", "Ünal GmbH", "ΑΒΓ", "株式会社"])
def test_an_account_is_found_by_its_name_in_any_script(fresh: Store, name: str) -> None:
    made = account(fresh, name)
    found = fresh.account_by("name", name)
    assert found is not None and found["id"] == made["id"]


def test_who_takes_the_name_of_another_account_keeps_nobody_out_by_it(fresh: Store) -> None:
    made = account(fresh, "Acme")
    account(fresh, "acme")
    found = fresh.account_by("name", "ACME")
    assert found is not None and found["id"] == made["id"]
    # By letters and digits only, one of the two may be meant.
    assert fresh.account_by("name", "A.C.M.E.") is None


def test_a_user_is_known_by_both_of_kazoo_s_hashes_and_by_nothing_else(fresh: Store) -> None:
    made = account(fresh, username="jo", password="pässword")
    md5, sha = store_secrets.user_hashes("jo", "pässword")
    owner = fresh.users.check(made["id"], "md5", md5)
    assert owner is not None
    assert fresh.users.check(made["id"], "sha", sha) == owner
    assert fresh.users.check(made["id"], "md5", md5.upper()) == owner
    assert fresh.users.check(made["id"], "md5", sha) is None
    assert fresh.users.check(made["id"], "sha", md5) is None
    assert fresh.users.check(made["id"], "md5", "pässword") is None
    assert fresh.users.check(None, "md5", md5) is None
    other = account(fresh, "Other", username="jo", password="else")
    assert fresh.users.check(other["id"], "md5", md5) is None


def test_no_secret_is_in_the_database(tmp_path: Path, cheap: None) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/c2c.db")
    made = account(store, username="jo", password="correct horse")
    token = store.create_token(made["id"], None, "x")
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    md5, sha = store_secrets.user_hashes("jo", "correct horse")
    for secret in ("correct horse", made["api_key"], made["api_key"][16:], md5, sha, token):
        assert secret.encode() not in kept


def test_a_wrong_name_costs_as_many_hashes_as_a_wrong_password(
    fresh: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = account(fresh, username="jo", password="x")
    count = 0
    scrypt = store_secrets._scrypt

    def counting(*arguments: Any) -> bytes:
        nonlocal count
        count += 1
        return scrypt(*arguments)

    monkeypatch.setattr(store_secrets, "_scrypt", counting)
    costs = []
    for attempt in (
        lambda: fresh.users.check(made["id"], "md5", "0" * 32),
        lambda: fresh.users.check(None, "md5", "0" * 32),
        lambda: fresh.check_api_key(made["api_key"][:16] + "0" * 48),
        lambda: fresh.check_api_key("0" * 64),
        lambda: fresh.check_api_key("\0" * 64),
        lambda: fresh.check_api_key(""),
    ):
        count = 0
        assert attempt() is None
        costs.append(count)
    assert costs == [1] * 6


def test_a_new_api_key_ends_the_one_before(fresh: Store) -> None:
    made = account(fresh)
    new = fresh.replace_api_key(made["id"])
    assert fresh.check_api_key(new) == made["id"]
    assert fresh.check_api_key(made["api_key"]) is None
    assert fresh.api_key_id(made["id"]) == new[:16]


def test_a_token_lives_an_hour_after_its_last_use(
    fresh: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = account(fresh)
    now = time.time()
    monkeypatch.setattr(store_module.time, "time", lambda: now)
    token = fresh.create_token(made["id"], "owner", "user_auth")
    found = fresh.check_token(token)
    assert found is not None and (found["account_id"], found["owner_id"]) == (made["id"], "owner")
    now += 3000
    assert fresh.check_token(token)
    fresh.flush()
    now += 3000
    assert fresh.check_token(token)
    fresh.flush()
    now += 3601
    assert fresh.check_token(token) is None


def test_a_revoked_token_serves_no_more(fresh: Store) -> None:
    made = account(fresh)
    token, other = (fresh.create_token(made["id"], None, "x") for _ in range(2))
    fresh.revoke_token(token)
    assert fresh.check_token(token) is None
    assert fresh.check_token(other) is not None


def test_expired_tokens_are_swept_away(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = account(fresh)
    fresh.create_token(made["id"], None, "x")
    now = time.time() + 7200
    monkeypatch.setattr(store_module.time, "time", lambda: now)
    fresh.create_token(made["id"], None, "x")
    assert fresh.models.Token.select().count() == 1


def test_a_parent_reaches_down_the_tree_and_nobody_reaches_up_or_across(fresh: Store) -> None:
    top = account(fresh, "top")["id"]
    middle = account(fresh, "middle", parent_id=top)["id"]
    bottom = account(fresh, "bottom", parent_id=middle)["id"]
    aside = account(fresh, "aside", parent_id=top)["id"]
    assert fresh.is_within(bottom, top) and fresh.is_within(bottom, middle)
    assert fresh.is_within(bottom, bottom)
    assert not fresh.is_within(top, bottom)
    assert not fresh.is_within(bottom, aside)
    assert not fresh.is_within("0" * 32, top)


def test_an_account_s_document_is_kept_whole(fresh: Store) -> None:
    made = account(fresh)
    document = {"name": "New", "realm": "New.Example", "notes": {"a": [1, None, "\0"]}}
    changed = fresh.update_account(made["id"], document, 1)
    assert changed is not None
    assert changed["realm"] == "new.example"
    assert changed["notes"] == {"a": [1, None, "\0"]}
    assert changed["revision"] == 2
