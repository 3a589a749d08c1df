"""Whom an account has told of its calls: the API, the queue, what is sent, and where nothing must go."""

from __future__ import annotations

import http.server
import json
import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any

import pytest

from c2c_sip.api.webhooks import MOST
from c2c_sip.calling.notices import LAST, STATES, Notices
from c2c_sip.delivery import ONES, PATIENCE, Delivery, pause, signature
from c2c_sip.outgoing import NotSent, fault, post
from c2c_sip.store import Span, Store
from c2c_sip.store.webhooks import WebhookRecords
from tests.unit.conftest import Api
from tests.unit.databases import each_database  # noqa: F401 - a fixture
from tests.unit.test_fields import Desk

LOOPBACK = [ip_network("127.0.0.0/8")]
URI = "https://hooks.example.com/c2c"


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The example of its specification."""
    assert (
        signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            '{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


# -- where nothing must go ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "a.localhost", "localhost.",
        "[::1]", "[::ffff:127.0.0.1]", "[::]", "0.0.0.0", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1",
        "169.254.169.254", "[fe80::1]", "[fd00::1]", "224.0.0.1", "[ff02::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "255.255.255.255", "192.0.2.1",
    ],
)  # fmt: skip
def test_no_url_leads_to_where_we_are(host: str) -> None:
    assert fault(f"http://{host}/") is not None
    assert fault(f"https://{host}:8443/x?y") is not None


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example.com", "ftp://example.com/", "file:///etc/passwd", "http://", "http:///x", "https://a b/",
        "http://user:secret@example.com/", "http://example.com:99999/", "http://example.com:0/", "http://ex\nample.com/",
        "http://example.com/\r\nX: y", "http://[::1", "https://exämple.com/", "http://" + "a" * 3000, None, 5, [],
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_receiver(url: object) -> None:
    assert fault(url) is not None
    if isinstance(url, str):
        with pytest.raises(NotSent):
            post(url, b"", {})


@pytest.mark.parametrize("url", [URI, "http://example.com", "https://198.51.101.7:8443/a?b=c"])
def test_what_is_one(url: str) -> None:
    assert fault(url) is None


def test_a_name_that_is_ours_by_the_time_it_is_asked_for_leads_nowhere(receiver: Receiver) -> None:
    with pytest.raises(NotSent, match="no public address"):
        post(
            f"http://hooks.example.com:{receiver.port}/", b"x", {}, find=lambda h, p: ["127.0.0.1"]
        )
    assert receiver.got == []


def test_a_public_address_of_this_machine_is_told_nothing_unless_it_is_allowed(
    receiver: Receiver,
) -> None:
    """By it the other programs of this machine are reached past the firewall, as in GitLab's rules for webhooks."""
    url = f"http://hooks.example.com:{receiver.port}/"
    with pytest.raises(
        NotSent, match=r"8\.8\.8\.8, which is this machine's own.*webhooks\.networks"
    ):
        post(url, b"x", {}, find=lambda h, p: ["8.8.8.8"], own=lambda address: True)
    asked: list[str] = []
    # Loopback stands for it, which is allowed here: then it is nobody's business whose it is.
    assert post(url, b"x", {}, LOOPBACK, find=lambda h, p: ["127.0.0.1"], own=asked.append) == 200  # type: ignore[func-returns-value, arg-type]
    assert asked == []
    with pytest.raises(NotSent, match="has no address"):
        post(url, b"x", {}, find=lambda h, p: [])


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "127.1", "169.254.169.254", "100.64.0.1", "::", "::1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe",
        "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "255.255.255.255",
    ],
)  # fmt: skip
def test_what_a_name_may_not_mean(address: str) -> None:
    with pytest.raises(NotSent, match="no public address"):
        post("https://hooks.example.com/", b"x", {}, find=lambda h, p: [address])


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(receiver: Receiver) -> None:
    answers = iter([["127.0.0.1"], ["192.168.0.1"]])
    url = f"http://hooks.example.com:{receiver.port}/"
    assert post(url, b"x", {}, LOOPBACK, find=lambda h, p: next(answers)) == 200
    assert receiver.got[0][1]["Host"] == f"hooks.example.com:{receiver.port}"


def test_a_redirection_is_followed_nowhere(receiver: Receiver) -> None:
    receiver.status, receiver.location = 302, "http://127.0.0.1:1/"
    assert post(receiver.url, b"x", {}, LOOPBACK) == 302
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "begins", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n"]
)
def test_a_receiver_that_drips_is_cut_off(begins: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            peer, _ = server.accept()
            with peer:
                try:
                    peer.sendall(begins)
                    for _ in range(100):
                        peer.sendall(b"X")
                        time.sleep(0.05)
                except OSError:
                    return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        if begins.endswith(b"\r\n\r\n"):
            # What it takes is known by then; how long the rest takes, and how it ends, is of no interest.
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            assert post(url, b"x", {}, LOOPBACK, timeout=1.0) == 200
        else:
            with pytest.raises(NotSent):
                post(
                    f"http://127.0.0.1:{server.getsockname()[1]}/", b"x", {}, LOOPBACK, timeout=0.3
                )
        thread.join(3.0)
        assert not thread.is_alive()


# -- a receiver -----------------------------------------------------------------------------------


class Receiver:
    """An HTTP server that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Mapping[str, str], bytes]] = []
        self.status, self.location = 200, ""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, self.headers, body))
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


# -- the queue and who works on it ----------------------------------------------------------------


class World:
    """A queue with a webhook of one account, and receivers that do as told."""

    def __init__(self, store: Store, account: dict[str, Any]) -> None:
        self.store = store
        self.queue: WebhookRecords = store.webhooks
        self.account_id = account["id"]
        self.now = 1_800_000_000.0
        self.sent: list[tuple[str, dict[str, Any], Mapping[str, str]]] = []
        #: What a URL answers; an exception is raised.
        self.answers: dict[str, int | Exception] = {}
        self.delivery = Delivery(self.queue, self.post, wall=lambda: self.now, rng=random.Random(1))
        self._ids = iter(range(1_000_000))

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.sent.append((url, json.loads(body), headers))
        answer = self.answers.get(url, 200)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def hook(self, uri: str = URI, **more: Any) -> str:
        document = {"name": "x", "uri": uri, "enabled": True} | more
        made = self.queue.create(self.account_id, document, secret="secret-of-16-chars")
        return str(made["id"])

    def call(self, activation: str, *states: str) -> None:
        """What a call's states put into the queue."""
        notices = Notices(
            self.queue.enabled(self.account_id),
            {"activation_id": activation, "account_id": self.account_id},
            lambda: f"{next(self._ids):032}",
            lambda: self.now,
        )
        for state in states:
            for change in notices.of(state, {}):
                self.store._writer.make(change).result()

    def turn(self) -> float:
        wait = self.delivery.turn()
        end = time.monotonic() + 5.0
        while self.delivery._accounts and time.monotonic() < end:
            time.sleep(0.002)
        assert not self.delivery._accounts
        return wait

    def turns(self, seconds: float, step: float = 1.0) -> None:
        end = self.now + seconds
        while self.now < end:
            self.turn()
            self.now += step

    def states(self, activation: str = "a") -> list[str]:
        return [
            body["data"]["state"]
            for _, body, _ in self.sent
            if body["data"]["activation_id"] == activation
        ]


@pytest.fixture
def world(store: Store, account: dict[str, Any]) -> World:
    return World(store, account)


def test_each_state_is_told_once_in_order_and_signed(world: World) -> None:
    world.hook(custom_data={"team": "north"})
    world.call("a", *STATES)
    for _ in STATES:
        world.turn()
    world.turn()
    assert world.states() == list(STATES)
    assert len({headers["Webhook-Id"] for _, _, headers in world.sent}) == len(STATES)
    url, body, headers = world.sent[0]
    assert url == URI
    assert body["type"] == "clicktocall.initiated"
    assert body["timestamp"] == "2027-01-15T08:00:00.000+00:00"
    assert body["custom_data"] == {"team": "north"}
    raw = json.dumps(body, separators=(",", ":"))
    assert headers["Webhook-Timestamp"] == "1800000000"
    expected = signature("secret-of-16-chars", body["id"], 1_800_000_000, raw)
    assert headers["Webhook-Signature"] == expected
    assert world.queue.waiting(world.now) == []


def test_a_webhook_of_one_state_is_told_of_that_one(world: World) -> None:
    world.hook(hook="connected")
    world.call("a", *STATES)
    world.turns(10)
    assert world.states() == ["connected"]


def test_an_empty_queue_is_looked_at_ever_less_often_until_there_is_something(world: World) -> None:
    assert [world.turn() for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 16.0, 16.0]
    world.answers[URI] = 500
    world.hook()
    world.call("a", "initiated")
    world.turn()
    assert world.turn() <= 1.0


def test_nobody_is_told_where_nobody_wants_it(world: World) -> None:
    world.hook(enabled=False)
    world.call("a", *STATES)
    assert world.queue.waiting(world.now) == []


def test_a_receiver_that_fails_gets_everything_in_order_once_it_is_back(world: World) -> None:
    hook = world.hook()
    world.answers[URI] = 500
    world.call("a", *STATES)
    world.turns(600)
    assert set(world.states()) == {"initiated"}
    tries = len(world.sent)
    assert 7 <= tries <= 20
    (shown,) = world.queue.undelivered(hook, Span(10))
    assert (shown["problem"], shown["attempts"], shown["failed"]) == (
        "HTTP status 500",
        tries,
        None,
    )
    world.answers[URI] = NotSent("it hangs")
    world.turns(600)
    world.answers[URI] = 204
    world.sent.clear()
    world.turns(1300)
    assert world.states() == list(STATES)


def test_after_a_day_a_notice_is_given_up_and_shown(world: World) -> None:
    hook = world.hook()
    world.answers[URI] = 404
    world.call("a", "initiated", "ended")
    world.turns(PATIENCE + 7300, 60.0)
    first = [row for row in world.queue.undelivered(hook, Span(10)) if row["sequence"] == 0]
    assert first[0]["failed"] == pytest.approx(1_800_000_000 + PATIENCE, abs=3700)
    # Those after it have their turn then.
    assert "ended" in world.states()
    world.now += 8 * 86400
    world.queue.tidy(world.now)
    assert not [r for r in world.queue.undelivered(hook, Span(10)) if r["failed"] is not None]


def test_a_receiver_that_fails_keeps_no_other_waiting(world: World) -> None:
    world.hook()
    world.hook("https://other.example.com/")
    world.answers[URI] = NotSent("no answer")
    for number in range(50):
        world.call(f"call-{number}", "initiated")
    world.turns(20)
    good = [url for url, _, _ in world.sent if url != URI]
    assert len(good) == 50
    assert len(world.sent) - 50 <= ONES + 6


def test_one_that_hangs_takes_a_few_threads_and_the_others_go_on(world: World) -> None:
    go_on = threading.Event()
    world.hook("https://hangs.example.com/")
    world.hook()
    taken = world.post

    def post_or_hang(url: str, body: bytes, headers: Mapping[str, str]) -> int:
        status = taken(url, body, headers)
        if "hangs" in url:
            go_on.wait(10.0)
        return status

    world.delivery._post = post_or_hang
    for number in range(40):
        world.call(f"call-{number}", "initiated")
    for _ in range(200):
        world.delivery.turn()
        time.sleep(0.005)
        if len([url for url, _, _ in world.sent if url == URI]) == 40:
            break
    assert len([url for url, _, _ in world.sent if url == URI]) == 40
    assert len([url for url, _, _ in world.sent if url != URI]) == ONES
    go_on.set()
    end = time.monotonic() + 5
    while world.delivery._accounts and time.monotonic() < end:
        time.sleep(0.01)


def test_what_was_under_way_when_the_program_died_is_sent_again(world: World) -> None:
    world.hook()
    world.call("a", "initiated", "connected")
    (notice,) = world.queue.due(world.queue.waiting(world.now)[0][0], world.now, 5, set())
    assert world.queue.take(notice, world.now + 30)
    assert not world.queue.take(notice, world.now + 30), "another node was faster"
    world.turns(20)
    assert world.sent == []
    world.turns(20)
    assert world.states() == ["initiated", "connected"]


def test_with_its_webhook_goes_what_it_was_to_be_told(world: World) -> None:
    hook = world.hook()
    world.call("a", *STATES)
    assert world.queue.delete(world.account_id, hook, 1)
    world.turns(5)
    assert world.sent == []
    assert world.queue.waiting(world.now) == []


def test_pauses_double_to_an_hour_and_are_never_alike() -> None:
    rng = random.Random(1)
    means = [sum(pause(n, rng) for _ in range(200)) / 200 for n in range(20)]
    assert means[0] == pytest.approx(0.75, abs=0.05)
    assert means[5] == pytest.approx(24, abs=2)
    assert means[19] == pytest.approx(2700, abs=120)
    assert pause(3, rng) != pause(3, rng)


# -- a call ---------------------------------------------------------------------------------------


def test_an_activation_is_told_of_with_what_it_is(store: Store, account: dict[str, Any]) -> None:
    desk = Desk(store, account)
    store.webhooks.create(account["id"], {"name": "x", "uri": URI}, secret="x" * 16)
    answer = desk.connect(custom_application_vars={"order": "7"})
    assert answer.status_code == 200
    ((hook, _),) = store.webhooks.waiting(desk.now)
    (notice,) = store.webhooks.due(hook, desk.now, 5, set())
    data = json.loads(notice.body)["data"]
    assert data["state"] == "initiated"
    assert data["contact"] == "+14155550100"
    assert data["clicktocall_id"] == desk.id
    assert data["custom_application_vars"] == {"order": "7"}
    assert data["activation_id"] == desk.history()["id"]


def test_a_refusal_is_no_call(store: Store, account: dict[str, Any]) -> None:
    desk = Desk(store, account)
    store.webhooks.create(account["id"], {"name": "x", "uri": URI}, secret="x" * 16)
    assert desk.connect(whitelist=["^nobody$"]).status_code == 400
    assert store.webhooks.waiting(desk.now) == []


def test_what_a_crash_has_cut_off_is_told_of(store: Store, account: dict[str, Any]) -> None:
    desk = Desk(store, account)
    store.webhooks.create(account["id"], {"name": "x", "uri": URI}, secret="x" * 16)
    desk.connect()
    notices: list[dict[str, Any]] = []

    def also(row: dict[str, Any]) -> tuple[Any, ...]:
        notices.append(row)
        hooks = store.webhooks.enabled(row["account_id"])
        facts = {"activation_id": row["id"]}
        return Notices(hooks, facts, lambda: "f" * 32, lambda: desk.now).of("ended", {}, LAST)

    assert store.close_open_activations(desk.now, also) == 1
    assert notices[0]["clicktocall_id"] == desk.id
    rows = store.models.Notice.select().order_by(store.models.Notice.sequence).dicts()
    assert [json.loads(row["body"])["data"]["state"] for row in rows] == ["initiated", "ended"]


# -- the API --------------------------------------------------------------------------------------

GOOD = {"name": "crm", "uri": URI}


def test_a_webhook_is_made_shown_changed_and_deleted(api: Api) -> None:
    made = api.put("/webhooks", GOOD)
    assert made.status_code == 201
    data = made.json["data"]
    assert data["secret"].startswith("whsec_")
    assert (data["hook"], data["http_verb"], data["enabled"]) == ("all", "post", True)
    path = f"/webhooks/{data['id']}"
    shown = api.get(path).json["data"]
    assert shown == {k: v for k, v in data.items() if k != "secret"}
    assert api.get("/webhooks").json["data"] == [shown]
    assert api.patch(path, {"hook": "ended"}).json["data"]["hook"] == "ended"
    assert api.post(path, GOOD | {"enabled": False}).json["data"]["enabled"] is False
    assert api.get(f"{path}/attempts").json["data"] == []
    assert api.delete(path).status_code == 200
    assert api.get(path).status_code == 404
    assert api.get(f"{path}/attempts").status_code == 404


def test_its_secret_is_never_shown_again_nor_in_the_audit_log(api: Api) -> None:
    made = api.put("/webhooks", GOOD | {"secret": "my-own-secret-16"}).json["data"]
    assert made["secret"] == "my-own-secret-16"
    api.patch(f"/webhooks/{made['id']}", {"secret": "another-secret-16"})
    assert "secret-16" not in api.get("/audit").text
    assert "secret-16" not in api.get(f"/webhooks/{made['id']}").text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("uri", "http://127.0.0.1/"), ("uri", "http://169.254.169.254/latest"), ("uri", "nonsense"), ("uri", 5),
        ("hook", "channel"), ("http_verb", "get"), ("enabled", "yes"), ("secret", "short"), ("custom_data", {"a": 1}),
        ("name", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_name(api: Api, field: str, value: object) -> None:
    refused = api.put("/webhooks", GOOD | {field: value})
    assert refused.status_code == 400
    assert next(iter(refused.json["data"])).split(".")[0] == field


def test_an_account_has_so_many_and_no_more(api: Api) -> None:
    for _ in range(MOST):
        assert api.put("/webhooks", GOOD).status_code == 201
    assert api.put("/webhooks", GOOD).status_code == 409


def test_what_did_not_arrive_is_listed(api: Api, store: Store, account: dict[str, Any]) -> None:
    world = World(store, account)
    hook = world.hook()
    world.answers[URI] = 503
    world.call("a" * 32, "initiated")
    world.turn()
    (attempt,) = api.get(f"/webhooks/{hook}/attempts").json["data"]
    assert (attempt["result"], attempt["reason"], attempt["attempts"]) == (
        "retrying",
        "HTTP status 503",
        1,
    )
