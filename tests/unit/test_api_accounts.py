"""The tree of accounts, users and what they may, account-wide defaults, and the log of who changed what."""

import hashlib
import threading
from typing import Any

import pytest

from c2c_sip.api.attempts import MOST_FOR_ANY, MOST_FOR_ONE, WINDOW, Attempts, ShutOut
from c2c_sip.api.errors import ApiError
from c2c_sip.store import Actor, Store
from c2c_sip.store import secrets as store_secrets
from tests.unit.conftest import Api, FakeCalling

GOOD: dict[str, Any] = {"name": "Sales", "extension": "100"}
NUMBER = "+14155550100"


def child_of(api: Api, path: str = "", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = api.put(path, {"name": "Child"} | more).json["data"]
    return made


def md5(username: str, password: str) -> str:
    return hashlib.md5(f"{username}:{password}".encode()).hexdigest()


def signs_in(api: Api, username: str, password: str) -> Any:
    data = {"credentials": md5(username, password), "account_id": api.account["id"]}
    return api.request("PUT", "/v2/user_auth", json={"data": data}, token=None)


# --- the tree


def test_a_parent_sees_all_below_it_and_how_they_hang_together(api: Api) -> None:
    one = child_of(api, name="One")
    two = child_of(api, f"/v1/accounts/{one['id']}", name="Two")
    other = child_of(api, name="Other")
    assert [row["name"] for row in api.get("/children").json["data"]] == ["Other", "One"]
    below = api.get("/descendants").json["data"]
    assert {row["id"]: row["tree"] for row in below} == {
        one["id"]: [api.account["id"]],
        two["id"]: [api.account["id"], one["id"]],
        other["id"]: [api.account["id"]],
    }
    assert api.get(f"/v1/accounts/{two['id']}/children").json["data"] == []
    assert [r["name"] for r in api.get("/descendants?filter_name=Two").json["data"]] == ["Two"]
    up = api.get(f"/v1/accounts/{two['id']}/parents").json["data"]
    assert up == [{"id": api.account["id"], "name": "Acme"}, {"id": one["id"], "name": "One"}]
    assert api.get(f"/v1/accounts/{two['id']}/tree").json["data"] == up


def test_a_child_sees_nothing_of_what_is_above_or_beside_it(api: Api) -> None:
    one, other = child_of(api, name="One"), child_of(api, name="Other")
    two = child_of(api, f"/v1/accounts/{one['id']}", name="Two")
    token = api.store.create_token(one["id"], None, "test")
    here = f"/v1/accounts/{one['id']}"
    for account in (api.account["id"], other["id"]):
        for path in ("", "/children", "/descendants", "/parents", "/users", "/audit", "/media"):
            assert api.get(f"/v1/accounts/{account}{path}", token=token).status_code == 404
    assert api.get(f"{here}/parents", token=token).json["data"] == []
    (row,) = api.get(f"{here}/children", token=token).json["data"]
    assert row["tree"] == [one["id"]]
    up = api.get(f"/v1/accounts/{two['id']}/parents", token=token).json["data"]
    assert up == [{"id": one["id"], "name": "One"}]


def test_accounts_are_not_above_one_another_without_end(api: Api) -> None:
    path = ""
    answers = []
    for _ in range(20):
        answer = api.put(path, {"name": "deeper"})
        answers.append(answer.status_code)
        if answer.status_code != 201:
            break
        path = f"/v1/accounts/{answer.json['data']['id']}"
    assert answers == [201] * 15 + [409]
    assert api.get(path).status_code == 200


def test_children_come_in_pages(api: Api) -> None:
    for name in "abc":
        child_of(api, name=name)
    first = api.get("/children?page_size=2").json
    rest = api.get(f"/children?page_size=2&start_key={first['next_start_key']}").json
    assert [row["name"] for row in first["data"] + rest["data"]] == ["c", "b", "a"]


# --- users


def user(api: Api, **more: Any) -> dict[str, Any]:
    document = {"username": "ann", "password": "correct horse"} | more
    answer = api.put("/users", document)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json["data"]
    return made


def test_the_life_of_a_user(api: Api) -> None:
    made = user(api, first_name="Ann", crm=7)
    assert made == {
        "id": made["id"],
        "username": "ann",
        "first_name": "Ann",
        "crm": 7,
        "priv_level": "admin",
        "enabled": True,
    }
    one = f"/users/{made['id']}"
    assert api.get(one).json["data"] == made
    assert [row["username"] for row in api.get("/users").json["data"]] == ["ann", "jo"]
    assert api.get("/users?filter_crm=7").json["data"] == [made]
    assert signs_in(api, "ann", "correct horse").json["data"]["owner_id"] == made["id"]
    assert api.patch(one, {"first_name": None, "last_name": "Lee"}).json["data"] == {
        key: value for key, value in (made | {"last_name": "Lee"}).items() if key != "first_name"
    }
    assert signs_in(api, "ann", "correct horse").status_code == 201
    assert api.delete(one).status_code == 200
    assert api.get(one).status_code == 404
    assert signs_in(api, "ann", "correct horse").status_code == 401
    assert signs_in(api, "jo", "secret").status_code == 201


def test_no_answer_shows_a_password_or_its_hash(api: Api) -> None:
    made = user(api)
    one = f"/users/{made['id']}"
    texts = [
        api.get(one).text,
        api.get("/users").text,
        api.patch(one, {"password": "battery staple"}).text,
        api.get("/audit").text,
        api.delete(one).text,
    ]
    for text in texts:
        for secret in ("correct horse", "battery staple", md5("ann", "correct horse"), "scrypt"):
            assert secret not in text
    assert '"password": {"to": "changed"}' in texts[3]


@pytest.mark.parametrize(
    ("data", "field", "rule"),
    [
        ({"password": "correct horse"}, "username", "required"),
        ({"username": "ann"}, "password", "required"),
        ({"username": "ann", "password": "short"}, "password", "minLength"),
        ({"username": "a\r\nb", "password": "correct horse"}, "username", "pattern"),
        ({"username": "ann", "password": 5}, "password", "type"),
        ({"username": "ann", "password": "correct horse", "priv_level": "x"}, "priv_level", "enum"),
        ({"username": "ann", "password": "correct horse", "enabled": 1}, "enabled", "type"),
    ],
)
def test_a_wrong_user_is_400_with_the_field(
    api: Api, data: dict[str, Any], field: str, rule: str
) -> None:
    answer = api.put("/users", data)
    assert answer.status_code == 400
    assert list(answer.json["data"][field]) == [rule]


def test_a_name_that_another_has_is_409(api: Api) -> None:
    answer = api.put("/users", {"username": "jo", "password": "correct horse"})
    assert answer.status_code == 409 and "unique" in answer.json["data"]["username"]
    one = f"/users/{user(api)['id']}"
    answer = api.patch(one, {"username": "jo", "password": "correct horse"})
    assert answer.status_code == 409 and "unique" in answer.json["data"]["username"]


def test_another_name_needs_the_password_again(api: Api) -> None:
    one = f"/users/{user(api)['id']}"
    answer = api.patch(one, {"username": "anna"})
    assert answer.status_code == 409 and "required" in answer.json["data"]["password"]
    assert api.patch(one, {"username": "anna", "password": "correct horse"}).status_code == 200
    assert signs_in(api, "anna", "correct horse").status_code == 201
    assert signs_in(api, "ann", "correct horse").status_code == 401


@pytest.mark.parametrize("change", [{"password": "battery staple"}, {"enabled": False}])
def test_who_is_signed_in_is_not_any_more_after_the_change(
    api: Api, change: dict[str, Any]
) -> None:
    made = user(api)
    token = signs_in(api, "ann", "correct horse").json["auth_token"]
    mine = {"Authorization": "Basic " + _basic(api, "ann", "correct horse")}
    assert api.get("", token=token).status_code == 200
    assert api.get("", token=None, headers=mine).status_code == 200
    assert api.patch(f"/users/{made['id']}", change).status_code == 200
    assert api.get("", token=token).status_code == 401
    assert api.get("", token=None, headers=mine).status_code == 401
    assert signs_in(api, "ann", "correct horse").status_code == 401
    assert api.get("").status_code == 200


def _basic(api: Api, username: str, password: str) -> str:
    import base64

    return base64.b64encode(f"{api.account['id']}:{md5(username, password)}".encode()).decode()


def test_a_user_who_is_no_admin_looks_and_calls_and_changes_nothing(
    api: Api, calling: FakeCalling
) -> None:
    made = api.create(auth_required=True)
    one = f"/clicktocall/{made['id']}"
    mine = user(api, priv_level="user")
    token = signs_in(api, "ann", "correct horse").json["auth_token"]
    for path in (
        "",
        "/clicktocall",
        one,
        f"{one}/history",
        "/cdrs",
        "/channels",
        "/users",
        "/media",
    ):
        assert api.get(path, token=token).status_code == 200, path
    answer = api.post(f"{one}/connect", {"contact": NUMBER}, token=token)
    assert answer.status_code == 200
    calling.live = [{"account_id": api.account["id"], "call_id": "a"}]
    assert api.post("/channels/a", {"action": "hangup"}, token=token).status_code == 200
    for method, path in (
        ("PUT", "/v1/accounts"),
        ("PUT", ""),
        ("POST", ""),
        ("PATCH", ""),
        ("PUT", "/api_key"),
        ("PUT", "/clicktocall"),
        ("POST", one),
        ("PATCH", one),
        ("DELETE", one),
        ("POST", f"{one}/link"),
        ("PUT", "/never_call"),
        ("PUT", "/users"),
        ("PATCH", f"/users/{mine['id']}"),
        ("DELETE", f"/users/{mine['id']}"),
        ("PUT", "/media"),
        ("GET", "/audit"),
    ):
        answer = api.request(method, path, json={"data": GOOD}, token=token)
        assert answer.status_code == 403, (method, path)
        assert answer.json["message"] == "forbidden"
    assert api.get(one).json["data"]["name"] == "Sales"


def test_the_users_of_an_account_are_its_own(api: Api) -> None:
    made = user(api)
    child = child_of(api)
    assert api.get(f"/v1/accounts/{child['id']}/users/{made['id']}").status_code == 404
    assert api.delete(f"/v1/accounts/{child['id']}/users/{made['id']}").status_code == 404
    (own,) = api.get(f"/v1/accounts/{child['id']}/users").json["data"]
    assert own["username"] == child["username"]


def test_an_account_s_users_are_told_apart_with_one_hash(
    store: Store, account: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ann", "bob", "eve"):
        store.users.create(account["id"], {"username": name}, "correct horse")
    count = 0
    scrypt = store_secrets._scrypt

    def counting(*arguments: Any) -> bytes:
        nonlocal count
        count += 1
        return scrypt(*arguments)

    monkeypatch.setattr(store_secrets, "_scrypt", counting)
    costs = []
    for name, password in (
        ("bob", "correct horse"),
        ("jo", "secret"),
        ("bob", "wrong"),
        ("nobody", "x"),
    ):
        count = 0
        found = store.users.check(account["id"], "md5", md5(name, password))
        assert (found is None) is (name == "nobody" or password == "wrong")
        costs.append(count)
    assert costs == [1] * 4
    count = 0
    assert store.users.check(None, "md5", md5("bob", "x")) is None
    assert count == 1


def test_basic_costs_a_hash_once_and_not_after_the_password_has_changed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = user(api)
    count = 0
    scrypt = store_secrets._scrypt

    def counting(*arguments: Any) -> bytes:
        nonlocal count
        count += 1
        return scrypt(*arguments)

    monkeypatch.setattr(store_secrets, "_scrypt", counting)
    mine = {"Authorization": "Basic " + _basic(api, "ann", "correct horse")}
    for _ in range(5):
        assert api.get("/users", token=None, headers=mine).status_code == 200
    assert count == 1
    api.patch(f"/users/{made['id']}", {"password": "battery staple"})
    assert api.get("/users", token=None, headers=mine).status_code == 401


# --- guessing


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wrong_one(attempts: Attempts, client: str, account: str) -> None:
    with attempts.checking(client, account) as wrong:
        wrong()


def test_whoever_guesses_is_shut_out_and_nobody_else() -> None:
    clock = Clock()
    attempts = Attempts(4, clock)
    for _ in range(MOST_FOR_ONE):
        wrong_one(attempts, "203.0.113.9", "acme")
    with pytest.raises(ShutOut) as caught:
        wrong_one(attempts, "203.0.113.9", "ACME")
    assert 0 < int(caught.value.headers["Retry-After"]) <= WINDOW + 1
    wrong_one(attempts, "203.0.113.9", "other")
    wrong_one(attempts, "203.0.113.10", "acme")
    clock.now += WINDOW
    wrong_one(attempts, "203.0.113.9", "acme")


def test_whoever_tries_one_account_after_the_other_is_shut_out_of_all() -> None:
    attempts = Attempts(4, Clock())
    for number in range(MOST_FOR_ANY):
        wrong_one(attempts, "2001:db8::1", str(number))
    with pytest.raises(ShutOut):
        wrong_one(attempts, "2001:db8::2", "another")
    wrong_one(attempts, "2001:db8:0:1::1", "another")


def test_what_was_right_counts_for_nothing() -> None:
    attempts = Attempts(4, Clock())
    for _ in range(100):
        with attempts.checking("203.0.113.9", "acme"):
            pass


def test_those_who_sign_in_do_not_take_all_threads() -> None:
    attempts = Attempts(1, Clock())
    inside, leave = threading.Event(), threading.Event()

    def slow() -> None:
        with attempts.checking("a", "a"):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=slow)
    thread.start()
    assert inside.wait(10)
    with pytest.raises(ApiError) as caught:
        wrong_one(attempts, "b", "b")
    assert caught.value.status == 503 and caught.value.headers["Retry-After"]
    leave.set()
    thread.join()
    wrong_one(attempts, "b", "b")


def test_what_is_remembered_of_attempts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c2c_sip.api.attempts.MOST_KEYS", 10)
    attempts = Attempts(4, Clock())
    for number in range(100):
        wrong_one(attempts, f"203.0.113.{number}", "acme")
    assert len(attempts._wrong) == 10


def test_guessing_a_password_is_429_and_the_right_one_from_elsewhere_still_serves(api: Api) -> None:
    api = api.with_http(trusted_proxies=("127.0.0.1",))
    evil, good = {"X-Forwarded-For": "203.0.113.9"}, {"X-Forwarded-For": "203.0.113.10"}

    def attempt(password: str, headers: dict[str, str], **account: str) -> Any:
        data = {"credentials": md5("jo", password)} | (account or {"realm": "acme.example"})
        where = "/v2/user_auth"
        return api.request("PUT", where, json={"data": data}, headers=headers, token=None)

    for number in range(MOST_FOR_ONE):
        # By its other names it is the same account.
        name = {"account_name": "Acme"} if number % 2 else {}
        assert attempt("wrong", evil, **name).status_code == 401
    shut = attempt("wrong", evil)
    assert shut.status_code == 429 and int(shut.headers["retry-after"]) > 0
    assert attempt("secret", evil).status_code == 429
    assert attempt("secret", good).status_code == 201


def test_guessing_with_basic_ends_in_401_without_a_hash_and_right_ones_go_on(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {"Authorization": "Basic " + _basic(api, "jo", "secret")}
    assert api.get("", token=None, headers=right).status_code == 200
    wrong = {"Authorization": "Basic " + _basic(api, "jo", "wrong")}
    for _ in range(MOST_FOR_ONE):
        assert api.get("", token=None, headers=wrong).status_code == 401

    def never(*arguments: Any) -> bytes:
        raise AssertionError("hashed")

    monkeypatch.setattr(store_secrets, "_scrypt", never)
    assert api.get("", token=None, headers=wrong).status_code == 401
    assert api.get("", token=None, headers=right).status_code == 200


# --- defaults


def test_an_account_says_for_all_what_a_click_to_call_does_not(
    api: Api, calling: FakeCalling
) -> None:
    plain = api.create()
    own = api.create(whitelist=["^\\+44"], outbound_callee_id_name="Own", throttle=9)
    api.patch(
        "",
        {
            "caller_id": {
                "external": {"name": "Acme", "number": "+14155550199"},
                "internal": {"number": "555"},
            },
            "ringback": "uk",
            "music_on_hold": {"media_id": "m1"},
            "defaults": {"whitelist": ["^\\+1"], "throttle": 2, "timeout": 7},
        },
    )
    shown = api.get(f"/clicktocall/{plain['id']}").json["data"]
    assert shown["whitelist"] == ["^\\+1"] and shown["throttle"] == 2 and shown["timeout"] == 7
    shown = api.get(f"/clicktocall/{own['id']}").json["data"]
    assert shown["whitelist"] == ["^\\+44"] and shown["throttle"] == 9 and shown["timeout"] == 7
    assert shown["outbound_callee_id_name"] == "Own"
    assert shown["outbound_callee_id_number"] == "+14155550199"
    connect = f"/clicktocall/{plain['id']}/connect"
    assert api.post(connect, {"contact": "+442071838750"}, token=None).status_code == 400
    assert api.post(connect, {"contact": NUMBER}, token=None).status_code == 200
    given = calling.dialled[0]["clicktocall"]
    assert given["caller_id_number"] == "555" and given["ringback"] == "uk"
    assert given["outbound_callee_id_name"] == "Acme" and given["timeout"] == 7
    rows = api.get("/clicktocall?filter_throttle=2").json["data"]
    assert [row["id"] for row in rows] == [plain["id"]]


def test_auth_required_can_be_an_account_s_default(api: Api) -> None:
    made = api.create()
    connect = f"/clicktocall/{made['id']}/connect"
    api.patch("", {"defaults": {"auth_required": True}})
    assert api.post(connect, {"contact": NUMBER}, token=None).status_code == 401
    started = api.post(connect, {"contact": NUMBER}).json["data"]
    assert api.get(f"{connect}/{started['id']}", token=None).status_code == 401
    api.patch(f"/clicktocall/{made['id']}", {"auth_required": False})
    assert api.post(connect, {"contact": NUMBER}, token=None).status_code == 200


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"defaults": {"throttle": -1}}, "defaults.throttle"),
        ({"defaults": {"whitelist": ["("]}}, "defaults.whitelist.0"),
        ({"defaults": {"custom_sip_headers": {"Via": "x"}}}, "defaults.custom_sip_headers.Via"),
        ({"defaults": []}, "defaults"),
        ({"caller_id": {"external": {"number": "a\r\nb"}}}, "caller_id.external.number"),
        ({"music_on_hold": {"media_id": 5}}, "music_on_hold.media_id"),
    ],
)
def test_a_wrong_default_is_400_with_its_field(api: Api, data: dict[str, Any], field: str) -> None:
    answer = api.patch("", data)
    assert answer.status_code == 400
    assert list(answer.json["data"]) == [field]


def test_a_new_key_ends_what_the_old_one_was_exchanged_for(api: Api) -> None:
    def exchanged(key: str) -> str:
        answer = api.request("PUT", "/v1/api_auth", json={"data": {"api_key": key}}, token=None)
        return str(answer.json["auth_token"])

    stolen, own = (exchanged(api.account["api_key"]) for _ in range(2))
    child = api.put("", {"name": "Child"}).json["data"]
    others = [api.token, api.store.create_token(api.account["id"], "x", "user_auth")]
    others.append(exchanged(child["api_key"]))
    made = api.request("PUT", "/api_key", token=own).json["data"]["api_key"]
    assert api.get("", token=stolen).status_code == 401
    assert api.get("", token=own).status_code == 200
    assert api.get("", token=exchanged(made)).status_code == 200
    for token in others:
        assert api.request("GET", "/v1/token_auth", token=token).status_code == 200


# --- who changed what


def log(api: Api, query: str = "") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = api.get(f"/audit{query}").json["data"]
    return rows


def test_each_change_is_in_the_log_with_who_did_it_and_what_it_was(api: Api) -> None:
    mine = user(api)
    token = signs_in(api, "ann", "correct horse").json["auth_token"]
    made = api.put("/clicktocall", GOOD, token=token).json["data"]
    one = f"/clicktocall/{made['id']}"
    api.patch(one, {"name": "Support", "note": 1}, token=token)
    api.delete(one, token=token)
    api.request("PUT", "/api_key")
    rows = log(api)
    assert [(row["kind"], row["action"]) for row in rows] == [
        ("api_key", "create"),
        ("clicktocall", "delete"),
        ("clicktocall", "update"),
        ("clicktocall", "create"),
        ("user", "create"),
        ("account", "create"),
    ]
    changed = rows[2]
    assert changed["target_id"] == made["id"]
    assert changed["changes"] == {
        "name": {"from": "Sales", "to": "Support"},
        "note": {"to": 1},
    }
    assert rows[1]["changes"]["name"] == {"from": "Support"}
    for row in rows[1:4]:
        assert row["actor_id"] == mine["id"] and row["method"] == "user_auth"
        assert row["actor_account_id"] == api.account["id"] and row["client"] == "127.0.0.1"
    assert rows[0]["actor_id"] is None and rows[0]["method"] == "test"
    assert rows[5]["method"] == "internal"
    assert changed["timestamp"] > 63_000_000_000 and changed["iso_8601"]


def test_what_lets_somebody_call_or_keeps_him_from_it_is_in_the_log(api: Api) -> None:
    mine = user(api)
    token = signs_in(api, "ann", "correct horse").json["auth_token"]
    for _ in range(2):  # the second time it changes nothing
        api.put("/never_call", {"number": "+14155550100"}, token=token)
    api.delete("/never_call/%2B14155550100", token=token)
    api.delete("/never_call/%2B14155550100", token=token)
    made = api.create()
    row = api.post(f"/clicktocall/{made['id']}/connect", {"contact": "+14155550101"}, token=None)
    activation = row.json["data"]["id"]
    api.store.update_activation(activation, cdr_id="c" * 32, called="+14155550101")
    api.store.flush()
    where = f"/clicktocall/{made['id']}/connect/{activation}/never_call"
    assert api.request("POST", where, token=None).status_code == 200
    rows = [row for row in log(api) if row["kind"] == "never_call"]
    assert [(row["action"], row["target_id"], row["actor_id"], row["method"]) for row in rows] == [
        ("create", "+14155550101", None, "public"),
        ("delete", "+14155550100", mine["id"], "user_auth"),
        ("create", "+14155550100", mine["id"], "user_auth"),
    ]
    assert {row["client"] for row in rows} == {"127.0.0.1"}
    api.put("/never_call", {"number": f"sip:{'x' * 200}@example.net"})
    assert log(api)[0]["changes"] == {"number": {"to": f"sip:{'x' * 200}@example.net"}}


def test_what_a_parent_changes_below_is_in_the_log_of_what_was_changed(api: Api) -> None:
    child = child_of(api)
    api.patch(f"/v1/accounts/{child['id']}", {"name": "Renamed"})
    rows = api.get(f"/v1/accounts/{child['id']}/audit").json["data"]
    assert [(row["kind"], row["action"]) for row in rows] == [
        ("account", "update"),
        ("account", "create"),
    ]
    assert rows[0]["actor_account_id"] == api.account["id"]
    assert [row["kind"] for row in log(api)] == ["account"]


def test_what_was_refused_is_not_in_the_log(api: Api) -> None:
    made = api.create()
    before = len(log(api))
    one = f"/clicktocall/{made['id']}"
    api.patch(one, {"name": ""})
    api.patch(one, {"name": "x"}, headers={"If-Match": '"9"'})
    api.put("/users", {"username": "jo", "password": "correct horse"})
    api.patch("", {"realm": "a b"})
    assert len(log(api)) == before


def test_the_log_is_filtered_paged_and_made_into_a_table(api: Api) -> None:
    for number in range(3):
        api.create(name=str(number))
    assert len(log(api, "?filter_kind=clicktocall&filter_action=create")) == 3
    assert log(api, "?filter_kind=nothing") == []
    first = api.get("/audit?page_size=2").json
    assert len(first["data"]) == 2
    rest = api.get(f"/audit?start_key={first['next_start_key']}").json["data"]
    assert len(rest) == 2
    table = api.get("/audit", headers={"Accept": "text/csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert len(table.text.splitlines()) == 5


def test_a_change_and_its_entry_are_of_one_transaction(
    store: Store, account: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store.create_clicktocall(account["id"], GOOD)

    def fail(*arguments: Any) -> None:
        raise RuntimeError("no room in the log")

    monkeypatch.setattr(store.audit, "add", fail)
    by = Actor(account["id"], None, "test", "127.0.0.1")
    for change in (
        lambda: store.update_clicktocall(account["id"], made["id"], {"name": "x"}, 1, by),
        lambda: store.delete_clicktocall(account["id"], made["id"], 1, by),
        lambda: store.update_account(account["id"], {"name": "x", "realm": "x.example"}, 1, by),
        lambda: store.replace_api_key(account["id"], by),
    ):
        with pytest.raises(RuntimeError):
            change()
    found = store.clicktocall(account["id"], made["id"])
    assert found is not None and found["name"] == "Sales"
    assert store.check_api_key(account["api_key"]) == account["id"]
