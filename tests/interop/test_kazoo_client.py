"""A client written from Kazoo's public documentation alone, against the service with its lab.

The documentation: docs.2600hz.com, "API Basics", "User Authentication", "Account API Authentication", "Basic Auth",
"Click To Call", "Query String Filters", "Call Detail Records", "Media". Nothing of this program is imported here.
"""

import base64
import csv
import hashlib
import io
import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.interop.programs import Service, until

CONTACT = "+12025550102"
EXTENSION = "101"


@dataclass
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def data(self) -> Any:
        return self.json["data"]


@dataclass
class KazooClient:
    """What the documentation's curl commands do."""

    server: str
    version: str
    headers: dict[str, str] = field(default_factory=dict)
    account_id: str = ""
    #: Clients that know only GET and POST put the verb into the envelope.
    tunnels: bool = False

    def send(
        self,
        verb: str,
        path: str,
        data: Any = None,
        headers: dict[str, str] | None = None,
        **query: str,
    ) -> Reply:
        where = f"{self.server}/{self.version}{path}"
        envelope: dict[str, Any] = {} if data is None else {"data": data}
        if self.tunnels and verb not in ("GET", "POST"):
            envelope["verb"] = verb.lower()
            verb = "POST"
        if query:
            where += "?" + urllib.parse.urlencode(query)
        request = urllib.request.Request(where, method=verb)
        if envelope:
            request.data = json.dumps(envelope).encode()
            request.add_header("Content-Type", "application/json")
        for name, value in (self.headers | (headers or {})).items():
            request.add_header(name, value)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as response:
                return Reply(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Reply(error.code, error.headers, error.read())

    def user_auth(self, username: str, password: str, realm: str) -> None:
        credentials = hashlib.md5(f"{username}:{password}".encode()).hexdigest()
        data = {"credentials": credentials, "account_realm": realm, "method": "md5"}
        self._signed_in(self.send("PUT", "/user_auth", data))

    def api_auth(self, api_key: str) -> None:
        self._signed_in(self.send("PUT", "/api_auth", {"api_key": api_key}))

    def basic(self, account_id: str, username: str, password: str) -> None:
        credentials = hashlib.md5(f"{username}:{password}".encode()).hexdigest()
        proof = base64.b64encode(f"{account_id}:{credentials}".encode()).decode()
        self.headers["Authorization"] = f"Basic {proof}"
        self.account_id = account_id

    def _signed_in(self, reply: Reply) -> None:
        assert reply.status == 201, reply
        for name in ("account_id", "apps", "is_reseller", "language", "owner_id", "reseller_id"):
            assert name in reply.data
        self.headers["X-Auth-Token"] = reply.json["auth_token"]
        self.account_id = reply.data["account_id"]

    @property
    def base(self) -> str:
        return f"/accounts/{self.account_id}/clicktocall"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Any:
    running = Service(tmp_path_factory.mktemp("kazoo"))
    running.start("--lab")
    yield running
    running.stop()


def signed_in(service: Service, how: str, version: str) -> KazooClient:
    client = KazooClient(service.url, version, tunnels=how == "tunnelled")
    account = service.account
    if how == "basic":
        client.basic(account["id"], account["username"], account["password"])
    elif how == "api_key":
        client.api_auth(account["api_key"])
    else:
        client.user_auth(account["username"], account["password"], account["realm"])
    return client


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("how", ["user", "api_key", "basic", "tunnelled"])
def test_the_walk_through_click_to_call(service: Service, how: str, version: str) -> None:
    client = signed_in(service, how, version)
    assert client.account_id == service.account["id"]
    before = {row["id"] for row in client.send("GET", client.base).data}

    name = f"Sales {how} {version}"
    made = client.send(
        "PUT", client.base, {"name": name, "auth_required": False, "extension": EXTENSION}
    )
    assert made.status == (201 if version == "v2" else 200), made
    assert made.json["status"] == "success"
    assert {"data", "request_id", "revision", "timestamp", "version", "node"} <= set(made.json)
    one = f"{client.base}/{made.data['id']}"

    listed = client.send("GET", client.base, filter_name=name)
    assert [row["id"] for row in listed.data] == [made.data["id"]]
    assert listed.data[0]["extension"] == EXTENSION and listed.json["page_size"] == 1
    assert client.send("GET", client.base, filter_name="nobody").data == []

    fetched = client.send("GET", one)
    assert fetched.status == 200 and fetched.data == made.data

    changed = client.send("POST", one, fetched.data | {"name": name + "!", "crm": {"id": 7}})
    assert changed.status == 200
    patched = client.send("PATCH", one, {"crm": {"owner": "jo"}, "outbound_callee_id_name": "Acme"})
    assert patched.data["crm"] == {"id": 7, "owner": "jo"}
    assert client.send("PATCH", one, {"crm": None}).data == {
        key: value for key, value in patched.data.items() if key != "crm"
    }

    anonymous = KazooClient(service.url, version)
    asked = anonymous.send("GET", f"{one}/connect", contact=CONTACT)
    assert asked.status == (202 if version == "v2" else 200), asked
    posted = anonymous.send("POST", f"{one}/connect", {"contact": CONTACT})
    assert posted.status == asked.status

    def records() -> Any:
        rows = client.send("GET", f"{one}/history").data
        return rows if all(row["call_id"] and row["state"] != "initiated" for row in rows) else None

    history = until(records, 15, "both calls in the history")
    assert len(history) == 2
    assert {row["contact"] for row in history} == {CONTACT}
    assert history[0]["timestamp"] > 63_000_000_000  # Gregorian seconds
    for row in history:
        for channel in client.send("GET", f"/accounts/{client.account_id}/channels").data:
            if channel["activation_id"] == row["id"]:
                where = f"/accounts/{client.account_id}/channels/{channel['call_id']}"
                client.send("POST", where, {"action": "hangup"})

    removed = client.send("DELETE", one)
    assert removed.status == 200 and removed.data["name"] == name + "!"
    assert client.send("GET", one).status == 404
    assert {row["id"] for row in client.send("GET", client.base).data} == before


def test_records_come_as_csv_and_by_pages(service: Service) -> None:
    client = signed_in(service, "api_key", "v2")
    made = client.send("PUT", client.base, {"name": "csv", "extension": EXTENSION}).data
    one = f"{client.base}/{made['id']}"
    for _ in range(3):
        assert client.send("POST", f"{one}/connect", {"contact": CONTACT}).status == 202
    table = client.send("GET", f"{one}/history", headers={"Accept": "text/csv"}, file_name="calls")
    assert table.headers["Content-Type"].startswith("text/csv")
    assert 'filename="calls.csv"' in table.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert len(rows) == 3
    first = client.send("GET", f"{one}/history", page_size="2").json
    rest = client.send("GET", f"{one}/history", start_key=first["next_start_key"]).json
    assert [row["id"] for row in first["data"] + rest["data"]] == [row["id"] for row in rows]
    newest = str(first["data"][0]["timestamp"])
    assert client.send("GET", f"{one}/history", created_from=str(int(newest) + 1)).data == []
    pretty = client.send("GET", one, headers={"X-Pretty-Print": "true"})
    assert b"\n" in pretty.body and b"\n" not in client.send("GET", one).body


def test_the_documentation_s_curl_commands_work_as_they_stand(service: Service) -> None:
    """They leave the content type to curl, which says that it is a form."""
    client = signed_in(service, "user", "v2")
    request = urllib.request.Request(f"{service.url}/v2{client.base}/", method="PUT")
    request.data = json.dumps({"data": {"name": "curl", "extension": EXTENSION}}).encode()
    request.add_header("Content-Type", "application/x-www-form-urlencoded")
    request.add_header("X-Auth-Token", client.headers["X-Auth-Token"])
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 201


def test_refusals_look_as_documented(service: Service) -> None:
    client = signed_in(service, "user", "v2")
    stranger = KazooClient(service.url, "v2", {"X-Auth-Token": "0" * 64})
    refused = stranger.send("GET", client.base)
    assert refused.status == 401
    assert refused.data == {"message": "invalid credentials"}
    assert (refused.json["error"], refused.json["message"]) == ("401", "invalid_credentials")
    assert refused.json["status"] == "error"
    wrong = client.send("PUT", client.base, {"extension": 5})
    assert wrong.status == 400 and wrong.json["message"] == "validation error"
    assert wrong.data["name"]["required"]["message"]
    assert wrong.data["extension"]["type"]["cause"] == 5
    forbidden = client.send("DELETE", client.base)
    assert forbidden.status == 405 and "PUT" in forbidden.headers["Allow"]
