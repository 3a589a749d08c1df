"""Clients that are slow, idle, many or rude: none of them keeps the others from being answered."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from c2c_sip.api import server as module
from c2c_sip.api.server import HttpServer
from tests.interop.programs import until

BIG = b"x" * 6_000_000


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [BIG if environ["PATH_INFO"] == "/big" else str(len(body)).encode()]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """One thread, and little patience."""
    monkeypatch.setattr(module, "HEADER_TIME", 1.0)
    monkeypatch.setattr(module, "IDLE_TIME", 2.0)
    running = HttpServer(app, "127.0.0.1:0", 1, 1_000_000, lambda path: path == "/upload")
    running.start()
    yield running
    running.stop()


def address(server: HttpServer) -> tuple[str, int]:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def connect(server: HttpServer, first: bytes = b"") -> socket.socket:
    made = socket.socket()
    # Otherwise the kernel itself takes some megabytes of an answer that nobody reads.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    made.settimeout(20)
    made.connect(address(server))
    made.sendall(first)
    return made


def ask(server: HttpServer, method: str = "GET", path: str = "/", body: bytes | None = None) -> Any:
    connection = http.client.HTTPConnection(*address(server), timeout=20)
    connection.request(method, path, body)
    answer = connection.getresponse()
    found = (answer.status, answer.read(), answer.headers)
    connection.close()
    return found


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end has hung up; what it still had to say is read on the way."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_two_hundred_who_do_not_go_on_hold_no_thread_and_are_let_go(
    server: HttpServer, first: bytes
) -> None:
    slow = [connect(server, first) for _ in range(200)]
    assert ask(server)[0] == 200
    until(lambda: all(map(is_closed, slow)), 15, "the end of the slow ones")
    assert ask(server)[0] == 200
    for one in slow:
        one.close()


def test_a_head_that_comes_an_octet_at_a_time_is_not_waited_for(server: HttpServer) -> None:
    one = connect(server, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    began = time.monotonic()
    try:
        while time.monotonic() - began < 15:
            one.sendall(b"a")
            time.sleep(0.05)
            if is_closed(one):
                break
            one.setblocking(True)
    except ConnectionError:
        pass
    assert time.monotonic() - began < 10
    one.close()


def test_a_body_may_take_longer_the_longer_it_is(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOWEST", 1000)
    one = connect(server, b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n")
    for _ in range(20):
        one.sendall(b"x" * 200)
        time.sleep(0.12)
    assert b"200 OK" in one.recv(4096)
    one.close()


def test_whoever_does_not_read_the_answer_holds_no_thread_and_is_let_go(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOWEST", 10_000_000)
    lazy = [connect(server, b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(3)]
    assert ask(server)[0] == 200
    time.sleep(3)
    for one in lazy:
        received = 0
        one.settimeout(10)
        try:
            while chunk := one.recv(1 << 20):
                received += len(chunk)
        except ConnectionError:
            pass
        assert received < len(BIG)
        one.close()


def test_one_address_does_not_have_all_connections_unless_it_is_a_proxy_s(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_OF_ONE", 5)
    monkeypatch.setattr(module, "IDLE_TIME", 60.0)
    proxied = [connect(server) for _ in range(10)]
    assert ask(server)[0] == 200
    assert not any(map(is_closed, proxied))
    for one in proxied:
        one.close()
    until(lambda: not server._listening[0].active_channels, 10, "their end")
    server._server.adj.is_proxy = lambda address: False
    mine = [connect(server) for _ in range(10)]
    until(lambda: sum(map(is_closed, mine)) == 5, 10, "the end of five")
    for one in mine:
        one.close()


def test_only_an_upload_may_be_large_and_it_is_bounded_too(server: HttpServer) -> None:
    assert ask(server, "POST", "/", b"x" * 200_000)[:2] == (200, b"200000")
    assert ask(server, "POST", "/upload", b"x" * 1_000_000)[:2] == (200, b"1000000")
    for path, size in (("/", 300_000), ("/upload", 1_100_000)):
        one = connect(
            server, f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
        )
        assert one.recv(4096).startswith(b"HTTP/1.1 413")
        one.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ],
)
def test_what_is_no_request_is_refused_in_the_envelope(
    server: HttpServer, request_: bytes, status: int
) -> None:
    one = connect(server, request_)
    answer = http.client.HTTPResponse(one)
    answer.begin()
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Server"] is None
    body = json.loads(answer.read())
    assert body["status"] == "error" and body["error"] == str(status) and body["message"]
    one.close()


def test_every_answer_says_when_it_was_made(server: HttpServer) -> None:
    assert ask(server)[2]["Date"].endswith("GMT")


def test_an_address_in_use_is_an_error(server: HttpServer) -> None:
    with pytest.raises(OSError):
        HttpServer(app, server.url.removeprefix("http://"), 1, 1000, lambda path: False)


def test_what_was_asked_is_answered_at_the_end() -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        inside.set()
        leave.wait(10)
        return app(environ, start_response)

    server = HttpServer(slow, "127.0.0.1:0", 1, 1000, lambda path: False)
    server.start()
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(ask(server)[0]))
    thread.start()
    assert inside.wait(10)
    threading.Timer(0.3, leave.set).start()
    server.stop()
    thread.join(10)
    assert answers == [200]


@pytest.mark.parametrize("hosts", [b"Host: a\r\nHost: b\r\n", b"Host: a, b\r\n"])
def test_a_request_that_is_for_several_hosts_is_refused(server: HttpServer, hosts: bytes) -> None:
    connection = connect(server, b"GET / HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n")
    assert connection.makefile("rb").readline() == b"HTTP/1.1 400 Bad Request\r\n"
    connection.close()
    connection = connect(server, b"GET / HTTP/1.0\r\n\r\n")
    assert connection.makefile("rb").readline() == b"HTTP/1.0 200 OK\r\n"
    connection.close()
