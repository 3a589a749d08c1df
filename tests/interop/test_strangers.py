"""What a stranger gets who has no token, an old one, another account's, or octets that are to become something else."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.interop.abuse import Attacker, BusyTrunk, Table
from tests.interop.conftest import Start
from tests.interop.programs import Service, until

NUMBER = "+14155550123"
SCRIPT = "<script>alert(1)</script>"
IMAGE = "\"'><img src=x onerror=alert(1)>"
#: Routes that anybody may ask for of a click-to-call that is public, by the end of their path.
PUBLIC = ("/connect", "/connect/{activation_id}", "/connect/{activation_id}/never_call", "/hours")


@pytest.fixture
def trunk() -> Iterator[BusyTrunk]:
    trunk = BusyTrunk()
    yield trunk
    trunk.close()


def things(service: Service) -> dict[str, str]:
    """One of each thing that an account can have, by the name of its id in the paths."""
    made = service.define(extension="101", auth_required=True)

    def create(kind: str, **fields: Any) -> str:
        status, answer = service.http("PUT", f"{service.base}/{kind}", {"data": fields})
        assert status == 201, answer
        return str(answer["data"]["id"])

    activation = service.connect(made, NUMBER)
    record = service.ended(made, activation["id"])
    service.http("PUT", f"{service.base}/never_call", {"data": {"number": "+14155550177"}})
    return {
        "account_id": str(service.account["id"]),
        "id": made,
        "activation_id": record["id"],
        "call_id": record["extension_call_id"],
        "cdr_id": record["extension_cdr_id"],
        "user_id": create("users", username="ann", password="correct horse"),
        "media_id": create("media", name="music"),
        "webhook_id": create("webhooks", name="w", uri="https://crm.example.com/"),
        "number": "+14155550177",
    }


#: What any of the routes would do something with.
BODY = {"data": {"name": "x", "extension": "1", "contact": NUMBER, "number": NUMBER, "action": "hangup", "username": "eve", "password": "correct horse", "uri": "https://e.example/", "realm": "e.test"}}  # fmt: skip


def requests(service: Service, ids: dict[str, str]) -> list[tuple[str, str]]:
    """Each verb with each path of an account that the description has."""
    _, description = service.http("GET", "/openapi.json")
    found = []
    for path, operations in description["paths"].items():
        if "{account_id}" not in path or path.startswith("/button"):
            continue
        known = {verb.upper() for verb in operations} & {"GET", "PUT", "POST", "PATCH", "DELETE"}
        for name, value in ids.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        assert "{" not in path, path
        below = re.sub("^/v[12]", "", path)
        found += [(verb, f"/{v}{below}") for verb in known | {"HEAD"} for v in ("v1", "v2")]
    assert len(found) > 150
    return found


def test_ids_of_another_account_are_404_on_every_route_and_verb(
    start: Start, trunk: BusyTrunk, table: Table
) -> None:
    service = start(Service, trunk.settings()).start()
    mine = things(service)
    _, before = service.http("GET", f"{service.base}/audit?paginate=false")
    dialled = len(trunk.dialled)
    made = service.run("account", "create", "Other", "--realm", "o.test", "--json")
    other = json.loads(made)
    _, answer = service.http("PUT", "/v1/api_auth", {"data": {"api_key": other["api_key"]}})
    theirs, service.token = service.token, answer["auth_token"]
    attacker = Attacker(service)
    token = {"X-Auth-Token": service.token}
    asked = requests(service, mine)
    # His own account's id in front of another's things.
    beside = [
        (verb, path)
        for verb, path in requests(service, mine | {"account_id": other["id"]})
        if any(mine[name] in path for name in mine if name != "account_id")
    ]
    for verb, path in asked + beside:
        body = BODY if verb in ("PUT", "POST", "PATCH") else None
        status, _ = attacker.one(verb, path, body, token)
        # With auth_required it is the token that is wrong; HEAD is no verb of connect and channels.
        assert status in ((401, 404, 405, 409) if "/connect" in path else (404, 405)), (verb, path, status)  # fmt: skip
    table.add("another account's ids, every route and verb", f"{len(asked + beside)} × 404, 401, 405", attacker.times)  # fmt: skip
    service.token = theirs
    assert service.http("GET", f"{service.base}/audit?paginate=false")[1]["data"] == before["data"]
    assert len(trunk.dialled) == dialled


def test_without_a_token_that_serves_every_route_is_401(
    start: Start, trunk: BusyTrunk, table: Table
) -> None:
    service = start(Service, trunk.settings()).start()
    mine = things(service)
    dialled = len(trunk.dialled)
    asked = requests(service, mine)
    good = service.token
    hashed = hashlib.md5(b"ann:correct horse").hexdigest()

    def sign_in(how: str, **data: str) -> str:
        status, answer = service.http("PUT", f"/v1/{how}", {"data": data})
        assert status == 201, answer
        return str(answer["auth_token"])

    revoked = sign_in("api_auth", api_key=service.account["api_key"])
    deleted = sign_in("user_auth", credentials=hashed, realm="example.test")
    service.token = revoked
    assert service.http("DELETE", "/v1/token_auth")[0] == 200
    service.token = good
    assert service.http("DELETE", f"{service.base}/users/{mine['user_id']}")[0] == 200
    with sqlite3.connect(service.config.parent / "c2c.db", timeout=30) as database:
        database.execute("UPDATE token SET expires = ?", (time.time() - 1,))
    database.close()
    for how, headers in {
        "none": {},
        "made up": {"X-Auth-Token": "0" * 64},
        "empty": {"X-Auth-Token": "", "Authorization": "Bearer "},
        "revoked": {"X-Auth-Token": revoked},
        "of a user who was deleted": {"X-Auth-Token": deleted},
        "expired": {"X-Auth-Token": good},
    }.items():
        attacker = Attacker(service)
        for verb, path in asked:
            body = BODY if verb in ("PUT", "POST", "PATCH") else None
            status, _ = attacker.one(verb, path, body, headers)
            # HEAD is no verb of some; nobody needs a token to be left alone, for a call that took place.
            also = verb == "HEAD" or re.search("/connect/.*/never_call$", path)
            assert status in ((401, 404, 405, 409) if also else (401,)), (how, verb, path, status)
        table.add(f"a token: {how}; every route and verb", f"{len(asked)} × 401", attacker.times)
    assert len(trunk.dialled) == dialled


#: Texts that are allowed in names and numbers, and would be something else if they were not quoted.
TRICKS = ['"<sip:eve@x.test>"', 'a";tag=1;x="', "a>;lr", "x@y.test", "a b;c=d,<sip:z>", "x\\", "%0d%0aRoute:%20x", "?Route=x", "é漢字"]  # fmt: skip


def test_what_names_and_numbers_may_have_stays_inside_their_headers(
    start: Start, trunk: BusyTrunk, table: Table
) -> None:
    service = start(Service, trunk.settings()).start()
    plain = service.define(extension="101")
    attacker = Attacker(service)

    def sent(fields: dict[str, Any]) -> list[str]:
        before = len(trunk.invites)
        made = service.define(**({"extension": "101"} | fields))
        service.connect(made, NUMBER)
        until(lambda: len(trunk.invites) > before, 15, f"an INVITE with {fields}")
        return trunk.invites[before].split("\r\n\r\n")[0].split("\r\n")

    assert plain
    usual = [line.partition(":")[0] for line in sent({})]
    names = ("outbound_callee_id_name", "outbound_callee_id_number", "caller_id_number")
    cases = [(name, trick, "extension") for name in names for trick in TRICKS]
    cases += [(name, trick, "contact") for name in names[:2] for trick in TRICKS]
    cases += [("extension", "%0d%0aRoute:%20x", "extension"), ("extension", "é漢字", "extension")]
    for name, trick, first in cases:
        lines = sent({name: trick, "dial_first": first})
        assert [line.partition(":")[0] for line in lines[1:]] == usual[1:], (name, trick, lines)
        assert re.fullmatch(r"INVITE sip:[^\s<>\"@]+@[a-z0-9.:]+ SIP/2\.0", lines[0]), lines[0]
        for header in ("From", "To", "Contact"):
            value = next(line for line in lines if line.startswith(f"{header}:"))
            quoted = re.sub(r'"(?:[^"\\]|\\.)*"', '""', value.partition(":")[2])
            assert re.fullmatch(r'\s*(?:"" ?)?<sips?:[^<>"\s]+>(?:;tag=[\w.-]+|;[\w+.=:<>"-]+)*', quoted), value  # fmt: skip
    table.add("quotes, brackets and escapes in names and numbers", "200", attacker.times, "quoted")


def test_what_the_button_and_the_ladder_show_is_text(
    start: Start, trunk: BusyTrunk, table: Table
) -> None:
    """What a browser makes of it, and of all that the console shows, is seen in one:
    ``tests/browser/test_console.py::test_no_word_of_anybody_is_ever_taken_for_markup``."""
    service = start(Service, trunk.settings(), realm="example.test").start()
    attacker = Attacker(service)
    closed = {"monday": [], "message": f"closed {SCRIPT}{IMAGE}"}
    shut = service.define(extension="101", name=SCRIPT, hours=closed)
    open_ = service.define(
        extension="101", name=SCRIPT, outbound_callee_id_name=SCRIPT, caller_id_number=IMAGE
    )
    record = service.ended(open_, service.connect(open_, NUMBER)["id"])
    account = service.account["id"]
    pages = [("GET", f"/button/{account}/{one}?lang={quote(IMAGE)}", "") for one in (shut, open_)]
    pages += [("POST", f"/button/{account}/{shut}", f"contact={quote(NUMBER)}")]
    pages += [("POST", f"/button/{account}/{open_}", f"contact={quote(bad)}") for bad in (SCRIPT, IMAGE)]  # fmt: skip
    pages += [("GET", f"/button/{account}/{open_}/{record['id']}?lang={quote(SCRIPT)}", "")]
    pages += [("GET", f"/button/{account}/{quote(SCRIPT, safe='')}", "")]
    history = f"{service.base}/clicktocall/{open_}/history/{record['id']}"
    pages += [("GET", f"{history}/ladder.svg", ""), ("GET", "/docs", "")]
    for method, path, body in pages:
        kind, text = attacker.page(method, path, body, service.token)
        assert kind.split(";")[0] in ("text/html", "image/svg+xml"), path
        assert "alert(1)" not in text or "&lt;" in text, (path, text)
        assert "<script>alert" not in text and "<img" not in text, (path, text)
    # What is no page says so, so that no browser makes one of it.
    kind, text = attacker.page("GET", f"{service.base}/clicktocall", "", service.token)
    assert kind == "application/json" and SCRIPT in text
    table.add("scripts in all that the button and the ladder show", "as text", attacker.times)
