"""Each activation that a rule refuses, over HTTP, and the sentence in its record: docs/failures.md."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.failures import is_told
from tests.interop.programs import HOST, Service, SippUas, free_port, stop_all, until

NUMBER, OTHER = "+12025550123", "+12025550124"
#: The captcha's provider is never asked: nothing is brought that it could look at. Nobody listens at the trunk's.
SETTINGS = """
[calling]
max_calls = 4
[guard]
captcha_url = "http://{host}:{port}/"
captcha_secret = "s3cret"
proof_of_work_bits = 8
per_service = 10
[[trunk]]
name = "provider"
domain = "provider.test"
outbound_proxy = "{host}:{port}"
register = false
"""


class Rules:
    """One service; what is refused by it."""

    def __init__(self, folder: Path) -> None:
        self.service = Service(folder, SETTINGS.format(host=HOST, port=free_port()))
        self.service.start()
        self.public = copy.copy(self.service)
        self.public.token = ""

    def define(self, **fields: Any) -> str:
        return self.service.define(**{"extension": "sip:desk@127.0.0.1:9"} | fields)

    def path(self, definition: str) -> str:
        return f"{self.service.base}/clicktocall/{definition}"

    def refused(self, definition: str, body: dict[str, Any], query: str = "") -> str:
        """What the record says of an activation by the public that is refused at once."""
        path = self.path(definition)
        status, answer = self.public.http("POST", f"{path}/connect{query}", body)
        assert status in (400, 503), answer
        _, answer = self.service.http("GET", f"{path}/history")
        return str(answer["data"][0]["explanation"])

    def link(self, definition: str, **what: Any) -> str:
        status, answer = self.service.http("POST", f"{self.path(definition)}/link", {"data": what})
        assert status == 200, answer
        return f"?link={answer['data']['link']}"


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rules]:
    made = Rules(tmp_path_factory.mktemp("refused"))
    yield made
    made.service.stop()


@pytest.mark.parametrize(
    ("name", "fields", "body"),
    [
        ("whitelist", {"whitelist": ["^[+]44"]}, {"contact": NUMBER}),
        ("host", {}, {"contact": "sip:somebody@elsewhere.test"}),
        ("address", {"whitelist": ["."]}, {"contact": "sip:somebody@10.1.2.3"}),
        ("country", {}, {"contact": "+442079460123"}),
        ("kind", {}, {"contact": "+19005550123"}),
        ("contact", {}, {}),
        ("hours", {"hours": {"timezone": "UTC", "monday": ["00:00-00:01"]}}, {"contact": NUMBER}),
        ("proof", {"challenge": "proof_of_work"}, {"contact": NUMBER}),
        ("captcha", {"challenge": "captcha"}, {"contact": NUMBER}),
        ("variable", {"custom_application_vars": {"order": "{{order}}"}}, {"contact": NUMBER, "order": "a\u0007"}),
    ],
)  # fmt: skip
def test_a_contact_or_a_request_that_is_against_a_rule(
    rules: Rules, name: str, fields: dict[str, Any], body: dict[str, Any]
) -> None:
    is_told(f"refused_{name}", rules.refused(rules.define(**fields), body))


def test_a_number_that_does_not_want_to_be_called(rules: Rules) -> None:
    listed = f"{rules.service.base}/never_call"
    assert rules.service.http("PUT", listed, {"data": {"number": OTHER}})[0] == 201
    is_told("refused_never_call", rules.refused(rules.define(), {"contact": OTHER}))


def test_a_link_that_is_not_for_this(rules: Rules) -> None:
    one, other = rules.define(auth_required=True), rules.define(auth_required=True)
    foreign = rules.link(other, contact=NUMBER)
    is_told("refused_link_signature", rules.refused(one, {}, foreign))
    pattern = rules.link(one, pattern="^[+]1415")
    is_told("refused_link_contact", rules.refused(one, {"contact": NUMBER}, pattern))
    soon = rules.link(one, contact=NUMBER, expires_in=1)
    used = rules.link(one, contact=NUMBER)
    rules.public.http("POST", f"{rules.path(one)}/connect{used}", {})
    is_told("refused_link_used", rules.refused(one, {}, used))
    time.sleep(2)  # it is as long good as was asked for
    is_told("refused_link_expired", rules.refused(one, {}, soon))


@pytest.mark.parametrize("scope", ["address", "contact", "clicktocall"])
def test_a_limit_of_an_hour(rules: Rules, scope: str) -> None:
    definition = rules.define(limits={f"per_{scope}": 1})
    # Nobody is at the trunk, so nobody is called; but it was asked for.
    assert (
        rules.public.http("POST", f"{rules.path(definition)}/connect", {"contact": NUMBER})[0]
        == 200
    )
    is_told(f"refused_per_{scope}", rules.refused(definition, {"contact": NUMBER}))


def test_a_limit_of_an_hour_of_an_account_and_of_all(rules: Rules) -> None:
    document = {"name": "Child", "realm": "child.test", "limits": {"per_account": 1}}
    status, answer = rules.service.http("PUT", "/v1/accounts", {"data": document})
    assert status == 201, answer
    child = copy.copy(rules)
    child.service, child.public = copy.copy(rules.service), copy.copy(rules.public)
    child.service.account = child.public.account = answer["data"]
    definition = child.define()
    child.public.http("POST", f"{child.path(definition)}/connect", {"contact": NUMBER})
    is_told("refused_per_account", child.refused(definition, {"contact": NUMBER}))
    definition = rules.define()

    def of_all() -> bool:
        status, answer = rules.public.http(
            "POST", f"{rules.path(definition)}/connect", {"contact": NUMBER}
        )
        return status == 503 and "last hour" in str(answer)

    for _ in range(12):
        if of_all():
            break
    is_told("refused_per_service", rules.refused(definition, {"contact": NUMBER}))


def test_more_calls_than_there_may_be(rules: Rules, tmp_path: Path) -> None:
    phone = SippUas(tmp_path, "ring", name="patient", calls=4)
    try:
        definition = rules.define(extension=phone.uri, whitelist=["."], timeout=30)
        calls = [rules.service.connect(definition, "sip:customer@127.0.0.1:9") for _ in range(4)]
        until(lambda: all(rules.service.record(definition, c["id"])["state"] != "initiated" for c in calls), 20, "all of them")  # fmt: skip
        path = rules.path(definition)
        assert (
            rules.service.http("POST", f"{path}/connect", {"contact": "sip:x@127.0.0.1:9"})[0]
            == 503
        )
        _, answer = rules.service.http("GET", f"{path}/history")
        is_told("refused_full", answer["data"][0]["explanation"])
        for call in calls:
            rules.service.http("POST", f"{rules.service.base}/channels/{call['extension_call_id']}", {"data": {"action": "hangup"}})  # fmt: skip
    finally:
        stop_all([phone])
