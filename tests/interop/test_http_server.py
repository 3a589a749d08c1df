"""Clients that are slow, idle, many or rude: none of them keeps the others from being answered."""

import errno
import gc
import http.client
import json
import socket
import struct
import threading
import time
import weakref
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


def until_closed(connection: socket.socket) -> bytes:
    found = bytearray()
    while chunk := connection.recv(1 << 16):
        found += chunk
    return bytes(found)


def test_whoever_says_that_he_has_no_more_to_ask_gets_his_answer(server: HttpServer) -> None:
    one = connect(server, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    one.shutdown(socket.SHUT_WR)
    assert until_closed(one).endswith(b"\r\n\r\n3")
    one.close()


def test_an_answer_by_http_1_0_ends_with_the_connection(server: HttpServer) -> None:
    one = connect(server, b"GET /big HTTP/1.0\r\n\r\n")
    assert until_closed(one).endswith(b"\r\n\r\n" + BIG)
    one.close()


def test_what_is_asked_ahead_is_answered_in_order_however_slowly_it_is_taken() -> None:
    def count(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        number = environ["PATH_INFO"][1:].encode()
        return [number * 100_000 if int(number) % 2 else number]

    server = HttpServer(count, "127.0.0.1:0", 4, 1000, lambda path: False)
    server.start()
    numbers = [str(number).encode() for number in range(10, 30)]
    asked = b"".join(b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in numbers)
    connections = [connect(server, asked) for _ in range(8)]
    for one in connections:
        stream = one.makefile("rb", buffering=4096)
        for number in numbers:
            length = 0
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            assert stream.read(length) == (number * 100_000 if int(number) % 2 else number)
        stream.close()
        one.close()
    server.stop()


def counted(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The turns of the server's thread from now on."""
    turns: list[float] = []
    turn = server._turn
    monkeypatch.setattr(server, "_turn", lambda patience: (turns.append(patience), turn(patience)))
    return turns


def test_nobody_who_takes_his_time_keeps_the_server_busy(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = counted(server, monkeypatch)
    lazy = connect(server, b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
    half = connect(server, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    until(lambda: len(turns) > 3, 20, "a second of waiting")
    before = len(turns)
    time.sleep(1)
    # Five a second, and what the lazy one's own system takes at first.
    assert len(turns) - before < 100
    for one in (lazy, half):
        one.close()


def test_beyond_the_most_connections_the_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 10)
    server = HttpServer(app, "127.0.0.1:0", 1, 1000, lambda path: False)
    server.start()
    early = [connect(server) for _ in range(12)]
    until(lambda: server.connections >= 8, 20, "as many as it takes")
    taken = server.connections
    late = connect(server, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    time.sleep(0.5)
    assert server.connections == taken
    for one in early:
        one.close()
    assert b"200 OK" in until_closed(late)
    server.stop()


def test_a_connection_that_is_over_is_gone_without_the_cycle_collector(server: HttpServer) -> None:
    gc.disable()
    try:
        one = connect(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in one.recv(4096)
        (channel,) = server._listening[0].active_channels.values()
        seen = weakref.ref(channel)
        del channel
        one.close()
        # The thread that has answered it forgets it with the next one.
        until(lambda: not server.connections, 20, "its end")
        until(lambda: ask(server)[0] == 200 and seen() is None, 20, "nothing of it")
    finally:
        gc.enable()


def test_an_urgent_octet_keeps_nobody_busy(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = counted(server, monkeypatch)
    rude = connect(server)
    rude.send(b"x", socket.MSG_OOB)
    until(lambda: len(turns) > 1, 20, "a turn")
    before = len(turns)
    time.sleep(1)
    assert len(turns) - before < 20
    rude.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in rude.recv(4096)
    rude.close()


def test_an_answer_that_is_taken_as_fast_as_it_must_be_comes_whole(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The answer may take 4 s; what is left of it in the fourth, less than one.
    monkeypatch.setattr(module, "SLOWEST", 2_000_000)
    server._listening[0].adj.socket_options = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)]
    one = connect(server, b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    stream = one.makefile("rb", buffering=64 * 1024)
    received, began = 0, time.monotonic()
    while chunk := stream.read(64 * 1024):
        received += len(chunk)
        time.sleep(max(0.0, began + received / 2_200_000 - time.monotonic()))
    assert received > len(BIG)
    stream.close()
    one.close()


def test_a_body_in_chunks_may_take_longer_the_longer_it_is(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOWEST", 1000)
    one = connect(server, b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(20):
        one.sendall(b"c8\r\n" + b"x" * 200 + b"\r\n")
        time.sleep(0.12)
    one.sendall(b"0\r\n\r\n")
    assert b"200 OK" in one.recv(4096)
    one.close()


def test_only_the_server_s_thread_lets_go_of_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        inside.set()
        leave.wait(10)
        return app(environ, start_response)

    closers: list[str] = []
    close = module._Channel.handle_close
    monkeypatch.setattr(
        module._Channel,
        "handle_close",
        lambda channel: (closers.append(threading.current_thread().name), close(channel)),
    )
    server = HttpServer(slow, "127.0.0.1:0", 1, 1000, lambda path: False)
    server.start()
    one = connect(
        server,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    )
    assert inside.wait(10)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()
    leave.set()
    until(lambda: not server.connections, 20, "its end")
    assert set(closers) == {"http"}
    server.stop()


def test_without_descriptors_nobody_is_accepted_for_a_while(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (listening,) = server._listening
    tries = []
    taken = socket.socket.accept

    def refuse(made: socket.socket) -> Any:
        tries.append(1)
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as full:
        full.setattr(socket.socket, "accept", refuse)
        one = connect(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: tries, 20, "a try")
        time.sleep(1.2)
        assert len(tries) < 10
    assert socket.socket.accept is taken and listening.socket is not None
    assert b"200 OK" in one.recv(4096)
    one.close()


def test_what_is_answered_while_the_client_leaves_is_no_error(
    server: HttpServer, caplog: pytest.LogCaptureFixture
) -> None:
    one = connect(server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in one.recv(4096)
    (channel,) = server._listening[0].active_channels.values()
    one.close()
    until(lambda: not server.connections, 20, "its end")
    # As a thread has it that is just about to send.
    channel.outbufs[-1].append(b"x")
    channel.total_outbufs_len = 1
    channel._look()
    assert not caplog.records
