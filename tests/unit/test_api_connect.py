"""The activation: from a body, a form, a link; waited for or not; refused without ringing anybody."""

import json
import re
import threading
from typing import Any
from urllib.parse import quote

import pytest

from c2c_sip.calling.policy import Refusal
from tests.unit.conftest import Api, FakeCalling

NUMBER = "+14155550100"
BOUNDARY = "xYzZY"


@pytest.fixture
def one(api: Api) -> str:
    """The path of a click-to-call that anybody may activate."""
    return f"/clicktocall/{api.create()['id']}"


def multipart(*parts: tuple[str, str]) -> dict[str, Any]:
    body = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in parts
    )
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return {"body": f"{body}--{BOUNDARY}--\r\n", "headers": {"Content-Type": kind}}


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(("version", "status"), [("v1", 200), ("v2", 202)])
def test_an_activation_answers_at_once_with_what_it_is_known_by(
    api: Api, calling: FakeCalling, version: str, status: int
) -> None:
    api.version = version
    one = f"/clicktocall/{api.create()['id']}"
    answer = api.post(f"{one}/connect", {"contact": NUMBER}, token=None)
    assert answer.status_code == status
    data = answer.json["data"]
    assert re.fullmatch(r"[0-9a-f]{32}", data["id"])
    assert data["call_id"] and data["state"] == "initiated" and data["contact"] == NUMBER
    assert "auth_token" not in answer.json
    assert [call["contact"] for call in calling.dialled] == [NUMBER]
    state = api.get(f"{one}/connect/{data['id']}", token=None)
    assert state.status_code == 200
    assert state.json["data"]["state"] == "initiated"


@pytest.mark.parametrize(
    "more",
    [
        {"json": {"data": {"contact": NUMBER}}},
        {"json": {"contact": NUMBER}},
        {"json": {"data": {"contact": NUMBER, "name": "x", "throttle": "many", "id": 5}}},
        {"json": {"data": {}}, "params": {"contact": NUMBER}},
        {"json": {}, "params": {"contact": NUMBER}},
        {"params": {"contact": NUMBER}},
        {"body": f"contact={quote(NUMBER)}&other=1", "headers": FORM},
        {"body": f"contact={NUMBER}", "headers": FORM},
        {"body": f"contact={quote(NUMBER)}", "headers": {"Content-Type": FORM["Content-Type"] + "; charset=UTF-8"}},
        multipart(("contact", NUMBER)),
        multipart(("other", "1"), ("contact", NUMBER)),
    ],
)  # fmt: skip
def test_the_contact_is_taken_from_a_document_an_object_a_form_or_the_query(
    api: Api, calling: FakeCalling, one: str, more: dict[str, Any]
) -> None:
    answer = api.request("POST", f"{one}/connect", token=None, **more)
    assert answer.status_code == 200, answer.text
    assert [call["contact"] for call in calling.dialled] == [NUMBER]


@pytest.mark.parametrize("query", [f"contact={quote(NUMBER)}", f"contact={NUMBER}"])
def test_a_link_dials(api: Api, calling: FakeCalling, one: str, query: str) -> None:
    answer = api.get(f"{one}/connect?{query}", token=None)
    assert answer.status_code == 200
    assert [call["contact"] for call in calling.dialled] == [NUMBER]


def test_looking_does_not_dial(api: Api, calling: FakeCalling, one: str) -> None:
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"):
        api.request(method, f"{one}/connect?contact={quote(NUMBER)}", token=None)
    assert calling.dialled == []
    assert api.request("HEAD", f"{one}/connect", token=None).status_code == 405


@pytest.mark.parametrize(
    "contact",
    [
        None, "", "  ", 14155550100, 5.5, True, [], {}, [NUMBER], "alice", "1 800 FLOWERS x", "a@b",
        "mailto:a@b.example", "http://a.example", "javascript:1", "+", "()", "sip:", "sip:a@", "sip:@",
        "1" * 300, "+1415555010\r\nX-A: 1", "+1415555010\n", "\0", "1\x7f", "sip:a@acme.example\r\n",
        "sip:a@acme.example\0", "sip:a@acme.example?X-A=1", "sip:evil@other.example", "sip:a@127.0.0.1",
        "sip:a@169.254.169.254", "sip:a@acme.example.evil.example", "sip:acme.example@evil.example",
        "sip:a@acme.example;maddr=127.0.0.1", "<sip:a@acme.example>", '"x" <sip:a@acme.example>',
        "sip:a@acme.example, sip:b@acme.example", "٠١٢٣ x", "１２３x",
    ],
)  # fmt: skip
def test_a_contact_that_may_not_be_dialled_is_400_names_it_and_rings_nobody(
    api: Api, calling: FakeCalling, one: str, contact: Any
) -> None:
    answer = api.post(f"{one}/connect", {"contact": contact}, token=None)
    assert answer.status_code == 400
    assert list(answer.json["data"]) == ["contact"]
    (detail,) = answer.json["data"]["contact"].values()
    assert detail["message"] and "cause" in detail
    assert calling.dialled == []
    assert api.get(f"{one}/history").json["data"] == []


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"json": {}},
        {"json": {"data": {}}},
        {"body": "", "headers": FORM},
        {"body": "contact=", "headers": FORM},
        {"body": "other=1", "headers": FORM},
        multipart(("other", "1")),
    ],
)
def test_a_contact_that_is_missing_is_required(
    api: Api, calling: FakeCalling, one: str, more: dict[str, Any]
) -> None:
    answer = api.request("POST", f"{one}/connect", token=None, **more)
    assert answer.status_code == 400
    assert "contact" in answer.json["data"]
    assert calling.dialled == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        ('{"data": []}', "application/json", 400),
        ('{"data": "x"}', "application/json", 400),
        (NUMBER, "text/plain", 415),
        ("<contact/>", "application/xml", 415),
        ("contact=%FF", FORM["Content-Type"], 400),
        ("contact=1&" * 9000, FORM["Content-Type"], 413),
        ("x", "multipart/form-data", 400),
        ("--a\r\nbroken", "multipart/form-data; boundary=a", 400),
        ("--a" * 1000, "multipart/form-data; boundary=a", 400),
        ("x" * 70000, "multipart/form-data; boundary=a", 413),
    ],
)
def test_a_body_that_is_odd_rings_nobody(
    api: Api, calling: FakeCalling, one: str, body: str, kind: str, status: int
) -> None:
    answer = api.request(
        "POST", f"{one}/connect", body=body, headers={"Content-Type": kind}, token=None
    )
    assert answer.status_code == status
    assert calling.dialled == []


def test_a_click_to_call_that_is_not_there_is_404(api: Api, calling: FakeCalling, one: str) -> None:
    other = api.store.create_account("Other")
    identifier = one.rpartition("/")[2]
    for path in (
        "/clicktocall/" + "0" * 32,
        "/clicktocall/%00",
        f"/v1/accounts/{other['id']}/clicktocall/{identifier}",
        f"/v1/accounts/{'0' * 32}/clicktocall/{identifier}",
    ):
        for method in ("GET", "POST"):
            answer = api.request(method, f"{path}/connect?contact={quote(NUMBER)}", token=None)
            assert answer.status_code == 404
    api.delete(one)
    assert api.post(f"{one}/connect", {"contact": NUMBER}, token=None).status_code == 404
    assert calling.dialled == []


# --- who may


def test_auth_required_wants_a_token_of_this_account(api: Api, calling: FakeCalling) -> None:
    one = f"/clicktocall/{api.create(auth_required=True)['id']}"
    stranger = api.store.create_account("Stranger")
    strange = api.store.create_token(stranger["id"], None, "test")
    revoked = api.store.create_token(api.account["id"], None, "test")
    api.store.revoke_token(revoked)
    for token in (None, "", "0" * 64, strange, revoked):
        for method in ("GET", "POST"):
            answer = api.request(method, f"{one}/connect?contact={quote(NUMBER)}", token=token)
            assert answer.status_code == 401
    assert calling.dialled == []
    row = api.post(f"{one}/connect", {"contact": NUMBER}).json["data"]
    assert calling.dialled[0]["authenticated"] is True
    state = f"{one}/connect/{row['id']}"
    assert api.get(state).status_code == 200
    assert api.get(state, token=None).status_code == 401
    assert api.get(state, token=strange).status_code == 404


def test_a_parent_s_token_will_do(api: Api, calling: FakeCalling) -> None:
    child = api.request("PUT", "/v1/accounts", json={"data": {"name": "Child"}}).json["data"]
    where = f"/v1/accounts/{child['id']}/clicktocall"
    made = api.put(where, {"name": "n", "extension": "1", "auth_required": True}).json["data"]
    answer = api.post(f"{where}/{made['id']}/connect", {"contact": NUMBER})
    assert answer.status_code == 200
    assert calling.dialled[0]["authenticated"] is True


def test_a_stranger_s_token_counts_for_nothing_on_a_public_one(
    api: Api, calling: FakeCalling, one: str
) -> None:
    stranger = api.store.create_account("Stranger")
    strange = api.store.create_token(stranger["id"], None, "test")
    uri = "sip:a@elsewhere.example"
    assert api.post(f"{one}/connect", {"contact": uri}, token=strange).status_code == 400
    assert api.post(f"{one}/connect", {"contact": uri}).status_code == 200
    assert [call["authenticated"] for call in calling.dialled] == [True]


def test_the_whitelist_decides(api: Api, calling: FakeCalling) -> None:
    made = api.create(whitelist=["^\\+1415", "partner"])
    one = f"/clicktocall/{made['id']}"
    answers = {
        contact: api.post(f"{one}/connect", {"contact": contact}, token=None).status_code
        for contact in (NUMBER, "+442079460018", "sip:a@partner.example", "sip:a@evil.example")
    }
    assert list(answers.values()) == [200, 400, 200, 400]
    answer = api.post(f"{one}/connect", {"contact": "+442079460018"}, token=None)
    assert list(answer.json["data"]["contact"]) == ["pattern"]


def test_calling_is_given_the_documents_it_needs(api: Api, calling: FakeCalling) -> None:
    made = api.create(throttle=2, outbound_callee_id_name="Acme", x=1)
    api.post(f"/clicktocall/{made['id']}/connect", {"contact": NUMBER})
    (call,) = calling.dialled
    assert (call["account"]["id"], call["account"]["realm"]) == (api.account["id"], "acme.example")
    assert call["clicktocall"]["id"] == made["id"]
    assert call["clicktocall"]["throttle"] == 2
    assert call["clicktocall"]["outbound_callee_id_name"] == "Acme"


# --- refused


@pytest.mark.parametrize(
    ("kind", "v1", "v2"),
    [
        ("throttled", 503, 429),
        ("full", 503, 503),
        ("unavailable", 503, 503),
        ("stopping", 503, 503),
    ],
)
def test_a_refusal_has_its_status_and_when_to_try_again(
    api: Api, calling: FakeCalling, one: str, kind: Any, v1: int, v2: int
) -> None:
    calling.refusal = Refusal(kind, "not now", retry_after=7)
    for version, status in (("v1", v1), ("v2", v2)):
        api.version = version
        answer = api.post(f"{one}/connect", {"contact": NUMBER})
        assert answer.status_code == status
        assert answer.headers["retry-after"] == "7"
        assert answer.json["data"]["message"] == "not now"


def test_a_refusal_that_was_written_down_shows_its_record(
    api: Api, calling: FakeCalling, one: str
) -> None:
    row = {
        "id": "a" * 32,
        "contact": NUMBER,
        "created": 1.0,
        "state": "ended",
        "result": "error",
        "cause": "NORMAL_TEMPORARY_FAILURE",
    }
    calling.refusal = Refusal("unavailable", "no trunk", activation=row)
    answer = api.post(f"{one}/connect", {"contact": NUMBER})
    assert answer.status_code == 503
    assert answer.json["data"]["activation"]["cause"] == "NORMAL_TEMPORARY_FAILURE"


# --- waiting


@pytest.mark.parametrize(
    ("outcome", "status", "message"),
    [
        ({"state": "connected", "result": "success"}, 200, None),
        ({"state": "ended", "result": "success", "cause": "NORMAL_CLEARING"}, 200, None),
        ({"state": "ended", "result": "error", "cause": "NO_ANSWER"}, 504, "no_answer"),
        ({"state": "contact_ringing", "result": "error", "cause": "NO_ANSWER"}, 504, "no_answer"),
        ({"state": "ended", "result": "error", "cause": "NO_USER_RESPONSE", "sip_status": 480}, 504, "no_answer"),
        # 408 from either leg: nobody answered in time, as its sentence says.
        ({"state": "ended", "result": "error", "cause": "RECOVERY_ON_TIMER_EXPIRE", "sip_status": 408}, 504, "no_answer"),
        ({"state": "contact_ringing", "result": "error", "cause": "RECOVERY_ON_TIMER_EXPIRE", "sip_status": 408}, 504, "no_answer"),
        # Our own CANCEL once the time is up.
        ({"state": "ended", "result": "error", "cause": "NO_ANSWER", "sip_status": 487}, 504, "no_answer"),
        # Somebody hung up while it rang.
        ({"state": "ended", "result": "error", "cause": "ORIGINATOR_CANCEL", "sip_status": 487}, 503, "call_failed"),
        ({"state": "contact_ringing"}, 504, "no_answer"),
        ({}, 504, "no_answer"),
        ({"state": "ended", "result": "error", "cause": "USER_BUSY"}, 503, "call_failed"),
        ({"state": "ended", "result": "error", "cause": "UNALLOCATED_NUMBER"}, 503, "call_failed"),
        ({"state": "ended", "result": "error", "cause": "NORMAL_TEMPORARY_FAILURE"}, 503, "call_failed"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_blocking_activation_answers_with_how_it_went(
    api: Api,
    calling: FakeCalling,
    version: str,
    outcome: dict[str, Any],
    status: int,
    message: str | None,
) -> None:
    api.version = version
    one = f"/clicktocall/{api.create()['id']}"
    calling.outcome = outcome
    answer = api.post(f"{one}/connect?blocking=true", {"contact": NUMBER}, token=None)
    assert answer.status_code == status
    assert answer.json.get("message") == message
    item = answer.json["data"]
    assert item["contact"] == NUMBER and item["call_id"]
    for name, value in outcome.items():
        assert item[name] == value
    assert calling.waited[0] > 90


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"data": {"contact": "+14155550123", "blocking": true}}', "application/json"),
        ('{"contact": "+14155550123", "blocking": "true"}', "application/json"),
        ("contact=%2B14155550123&blocking=true", "application/x-www-form-urlencoded"),
    ],
)
def test_blocking_may_stand_beside_the_contact_as_in_kazoo(
    api: Api, calling: FakeCalling, one: str, body: str, kind: str
) -> None:
    calling.outcome = {"state": "ended", "result": "error", "cause": "USER_BUSY"}
    answer = api.request("POST", f"{one}/connect", body=body, headers={"Content-Type": kind})
    assert answer.status_code == 503 and calling.waited
    calling.waited.clear()
    told = body.replace("true", "false")
    answer = api.request("POST", f"{one}/connect", body=told, headers={"Content-Type": kind})
    assert answer.status_code == 200 and not calling.waited


def test_who_blocks_waits_for_the_key_of_the_extension_too(api: Api, calling: FakeCalling) -> None:
    for fields in ({}, {"confirm": "1"}):
        one = f"/clicktocall/{api.create(**fields)['id']}"
        api.post(f"{one}/connect?blocking=true", {"contact": NUMBER}, token=None)
    without, with_key = calling.waited
    assert with_key == without + api.config.calling.confirm_timeout


def test_a_link_may_block_too(api: Api, calling: FakeCalling, one: str) -> None:
    calling.outcome = {"state": "connected", "result": "success"}
    answer = api.get(f"{one}/connect?contact={quote(NUMBER)}&blocking=true", token=None)
    assert answer.status_code == 200
    assert answer.json["data"]["state"] == "connected"


@pytest.mark.parametrize("value", ["false", "", "0", "no"])
def test_anything_but_true_does_not_block(
    api: Api, calling: FakeCalling, one: str, value: str
) -> None:
    api.post(f"{one}/connect?blocking={value}", {"contact": NUMBER})
    assert calling.waited == []


def test_a_blocking_that_is_neither_true_nor_false_is_named_and_dials_nothing(
    api: Api, calling: FakeCalling, one: str
) -> None:
    answer = api.post(f"{one}/connect?blocking=maybe", {"contact": NUMBER})
    assert answer.status_code == 400
    assert list(answer.json["data"]) == ["blocking"]
    # Beside the contact may be whatever a document has.
    assert api.post(f"{one}/connect", {"contact": NUMBER, "blocking": "maybe"}).status_code == 200
    assert len(calling.dialled) == 1 and calling.waited == []


def test_those_who_wait_leave_threads_for_the_others(
    api: Api, calling: FakeCalling, one: str
) -> None:
    api = api.with_http(threads=3)
    calling.hold = threading.Event()
    answers: list[Any] = []
    path = f"{one}/connect?blocking=true"
    waiting = threading.Thread(
        target=lambda: answers.append(api.post(path, {"contact": NUMBER}, token=None))
    )
    waiting.start()
    assert calling.waiting.wait(5)
    refused = api.post(path, {"contact": NUMBER}, token=None)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert len(calling.dialled) == 1
    calling.hold.set()
    waiting.join(5)
    assert answers[0].status_code == 504
    # The place is free again, also after one that was refused.
    bad = api.post(path, {"contact": "nonsense"}, token=None)
    assert bad.status_code == 400
    assert api.post(path, {"contact": NUMBER}, token=None).status_code == 504


# --- from other origins, through proxies


def test_an_allowed_origin_may_read_the_answer(api: Api, one: str) -> None:
    api = api.with_http(allowed_origins=("https://shop.example",))
    headers = {"Origin": "https://shop.example"}
    answer = api.post(f"{one}/connect", {"contact": NUMBER}, token=None, headers=headers)
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers
    refused = api.post(f"{one}/connect", {"contact": "x"}, token=None, headers=headers)
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"
    state = api.get(f"{one}/connect/{answer.json['data']['id']}", token=None, headers=headers)
    assert state.headers["access-control-allow-origin"] == "https://shop.example"


def test_a_preflight_is_answered(api: Api, calling: FakeCalling, one: str) -> None:
    api = api.with_http(allowed_origins=("https://shop.example",))
    headers = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = api.request("OPTIONS", f"{one}/connect", token=None, headers=headers)
    assert answer.status_code == 200
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "content-type" in answer.headers["access-control-allow-headers"].lower()
    assert calling.dialled == []


@pytest.mark.parametrize("origins", [(), ("https://shop.example",)])
def test_another_origin_may_not(api: Api, one: str, origins: tuple[str, ...]) -> None:
    api = api.with_http(allowed_origins=origins)
    for origin in ("https://evil.example", "null", "https://shop.example.evil.example"):
        for method in ("POST", "OPTIONS"):
            answer = api.request(
                method,
                f"{one}/connect",
                json={"contact": NUMBER},
                token=None,
                headers={"Origin": origin},
            )
            assert "access-control-allow-origin" not in answer.headers


def test_what_is_private_is_not_for_other_origins(api: Api) -> None:
    api = api.with_http(allowed_origins=("*",))
    answer = api.get("/clicktocall", headers={"Origin": "https://shop.example"})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("trusted", "forwarded", "client"),
    [
        ((), "203.0.113.9", "127.0.0.1"),
        (("127.0.0.1",), "203.0.113.9", "203.0.113.9"),
        (("127.0.0.0/8",), "203.0.113.9", "203.0.113.9"),
        (("127.0.0.1",), "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        (("127.0.0.1", "203.0.113.9"), "1.2.3.4, 203.0.113.9", "1.2.3.4"),
        (("127.0.0.1", "203.0.113.0/24"), "9.9.9.9,1.2.3.4 , 203.0.113.9", "1.2.3.4"),
        (("127.0.0.1",), "", "127.0.0.1"),
        (("127.0.0.1",), "nonsense", "127.0.0.1"),
        (("127.0.0.1",), "evil, 2001:db8::1", "2001:db8::1"),
        (("10.0.0.1",), "203.0.113.9", "127.0.0.1"),
    ],
)
def test_a_client_s_address_is_what_trusted_proxies_say(
    api: Api,
    calling: FakeCalling,
    one: str,
    trusted: tuple[str, ...],
    forwarded: str,
    client: str,
) -> None:
    api = api.with_http(trusted_proxies=trusted)
    headers = {"X-Forwarded-For": forwarded}
    api.post(f"{one}/connect", {"contact": NUMBER}, headers=headers)
    assert [call["client"] for call in calling.dialled] == [client]


# --- looking afterwards


def test_the_state_is_public_only_where_the_click_to_call_is(api: Api, one: str) -> None:
    row = api.post(f"{one}/connect", {"contact": NUMBER}, token=None).json["data"]
    state = f"{one}/connect/{row['id']}"
    assert api.get(state, token=None).status_code == 200
    other = f"/clicktocall/{api.create()['id']}"
    for path in (f"{other}/connect/{row['id']}", f"{one}/connect/{'0' * 32}", f"{one}/connect/x"):
        assert api.get(path, token=None).status_code == 404
    api.patch(one, {"auth_required": True})
    assert api.get(state, token=None).status_code == 401


def test_the_state_is_followed_as_it_changes(api: Api, one: str) -> None:
    row = api.post(f"{one}/connect", {"contact": NUMBER}, token=None).json["data"]
    for state in (
        "extension_ringing",
        "extension_answered",
        "contact_ringing",
        "connected",
        "ended",
    ):
        api.store.update_activation(row["id"], state=state)
        api.store.flush()
        assert api.get(f"{one}/connect/{row['id']}").json["data"]["state"] == state


def test_nothing_secret_is_told_to_the_public(api: Api, one: str) -> None:
    answer = api.post(f"{one}/connect", {"contact": NUMBER}, token=None)
    text = json.dumps(answer.json)
    assert '"100"' not in text and "Sales" not in text


def test_a_proxy_next_door_that_is_not_trusted_is_told_of_once(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """Else all visitors are one address, and one of them can have the others shut out."""
    one = f"/clicktocall/{api.create()['id']}"
    for forwarded in ("203.0.113.1", "203.0.113.2"):
        headers = {"X-Forwarded-For": forwarded}
        answer = api.post(f"{one}/connect", {"contact": NUMBER}, token=None, headers=headers)
        assert answer.status_code == 200
    told = [record.getMessage() for record in caplog.records if "trusted_proxies" in record.msg]
    assert len(told) == 1 and "127.0.0.1" in told[0]
    caplog.clear()
    trusting = api.with_http(trusted_proxies=("127.0.0.1",))
    trusting.post(f"{one}/connect", {"contact": NUMBER}, token=None, headers=headers)
    assert not [record for record in caplog.records if "trusted_proxies" in record.msg]
