"""TLS on loopback: whose certificate is believed, for what name, and who may connect to us."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from c2c_sip.config import Config, Sip, Trunk
from c2c_sip.service import bind
from sipstack.message import Request, Response, Uri, make_response
from sipstack.resolver import Answer, Naptr, Resolver, Srv, Target
from sipstack.transport import Address, stream
from sipstack.transport.stream import StreamTransport
from sipstack.transport.tls import client_context, server_context
from sipstack.useragent import UserAgent
from tests.interop.programs import HOST
from tests.interop.test_transports import ask

HOSTS = [HOST, "::1"]


class Files:
    """An authority, and certificates by it, as PEM files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._made = trustme.CA()
        self.authority = str(folder / "authority.pem")
        self._made.cert_pem.write_to_path(self.authority)

    def issue(self, *names: str) -> str:
        file = str(self._folder / f"{names[0].replace(':', '_')}.pem")
        self._made.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(file)
        return file


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "good")


def on_request(request: Request, source: Address) -> Response:
    return make_response(request, 200, request.via.transport, to_tag="t")


@asynccontextmanager
async def agent(
    host: str,
    client: ssl.SSLContext,
    server: ssl.SSLContext | None = None,
    names: dict[str, str] | None = None,
    by_name: dict[str, ssl.SSLContext] | None = None,
    transport: StreamTransport | None = None,
) -> AsyncIterator[tuple[UserAgent, StreamTransport]]:
    """A user agent that only knows TLS, and ``names`` instead of the DNS."""
    loop = asyncio.get_running_loop()

    async def lookup(name: str, kind: str) -> Answer:
        literal = (names or {}).get(name, "")
        records: tuple[Naptr | Srv | str, ...] = ()
        if literal and kind == ("AAAA" if ":" in literal else "A"):
            records = (literal,)
        return Answer(records, 60.0)

    if transport is None:
        transport = StreamTransport(
            host, 0, loop, tls=client, server_tls=server, tls_by_name=by_name
        )
        await transport.listen()
    one = UserAgent(
        [transport],
        loop=loop,
        rng=random.Random(),
        on_request=on_request,
        resolver=Resolver(lookup, transports=["TLS"], clock=loop.time),
    )
    try:
        yield one, transport
    finally:
        one.close()
        await asyncio.sleep(0.01)


async def located(us: UserAgent, uri: str) -> Target:
    found: asyncio.Future[Target] = asyncio.get_running_loop().create_future()

    def fail(why: str) -> None:
        raise AssertionError(why)

    us.locate(Uri.parse(uri), None, lambda targets: found.set_result(targets[0]), fail)
    return await found


@pytest.mark.parametrize("host", HOSTS)
def test_a_certificate_of_the_name_that_was_asked_for_is_believed_and_no_other(
    files: Files, tmp_path: Path, host: str
) -> None:
    stranger = Files(tmp_path / "stranger")

    async def main() -> None:
        trusting = client_context(files.authority)
        names = {"good.test": host, "other.test": host}
        server = server_context(files.issue("good.test"))
        async with (
            agent(host, trusting, names=names) as (us, _),
            agent(host, trusting, server) as (_, theirs),
            agent(host, trusting, server_context(stranger.issue("good.test"))) as (_, false),
        ):
            for name, port, expected in (
                ("good.test", theirs.local_address[1], (200, "TLS")),
                ("other.test", theirs.local_address[1], (503, "")),
                (f"[{host}]" if ":" in host else host, theirs.local_address[1], (503, "")),
                ("good.test", false.local_address[1], (503, "")),
            ):
                target = await located(us, f"sips:{name}:{port}")
                assert await ask(us, target) == expected, name

    asyncio.run(main())


@pytest.mark.parametrize("host", HOSTS)
def test_an_address_is_a_name_too(files: Files, host: str) -> None:
    async def main() -> None:
        trusting = client_context(files.authority)
        async with (
            agent(host, trusting) as (us, _),
            agent(host, trusting, server_context(files.issue(host))) as (_, theirs),
        ):
            literal = f"[{host}]" if ":" in host else host
            target = await located(us, f"sips:{literal}:{theirs.local_address[1]}")
            assert await ask(us, target) == (200, "TLS")

    asyncio.run(main())


def test_a_connection_of_one_name_is_not_used_for_another_at_the_same_address(files: Files) -> None:
    """Or who may be called at evil.test could wait there for what is meant for the trunk, once he forges its DNS."""

    async def main() -> None:
        trusting = client_context(files.authority)
        names = {"evil.test": HOST, "trunk.test": HOST}
        evil = server_context(files.issue("evil.test"))
        async with (
            agent(HOST, trusting, names=names) as (us, _),
            agent(HOST, trusting, evil) as (_, theirs),
        ):
            port = theirs.local_address[1]
            assert await ask(us, await located(us, f"sips:evil.test:{port}")) == (200, "TLS")
            assert await ask(us, await located(us, f"sips:trunk.test:{port}")) == (503, "")
            assert await ask(us, await located(us, f"sips:evil.test:{port}")) == (200, "TLS")

    asyncio.run(main())


def test_a_peer_that_connected_to_us_gets_answers_on_its_connection_but_no_requests(
    files: Files,
) -> None:
    async def main() -> None:
        trusting = client_context(files.authority)
        own = server_context(files.issue(HOST))
        async with (
            agent(HOST, trusting, own) as (us, ours),
            agent(HOST, trusting, own) as (them, _),
        ):
            target = await located(them, f"sips:{HOST}:{ours.local_address[1]}")
            assert await ask(them, target) == (200, "TLS")
            (guest,) = ours._guests
            # Nobody listens at the port that it came from.
            assert await ask(us, await located(us, f"sips:{HOST}:{guest[1]}")) == (503, "")
            # A request of theirs that comes by a connection of ours is answered by it.
            assert await ask(them, target) == (200, "TLS")

    asyncio.run(main())


def test_who_does_not_listen_names_the_port_of_its_connection(files: Files) -> None:
    async def main() -> None:
        trusting = client_context(files.authority)
        async with (
            agent(HOST, trusting) as (us, _),
            agent(HOST, trusting, server_context(files.issue(HOST))) as (_, theirs),
        ):
            target = await located(us, f"sips:{HOST}:{theirs.local_address[1]}")
            assert us.contact(target, "x").uri.port == 5061
            assert await ask(us, target) == (200, "TLS")
            (guest,) = theirs._guests
            assert us.contact(target, "x").uri.port == guest[1]

    asyncio.run(main())


def test_authorities_of_a_name_are_believed_for_it_alone(files: Files, tmp_path: Path) -> None:
    private = Files(tmp_path / "private")

    async def main() -> None:
        names = {"pbx.test": HOST, "good.test": HOST}
        by_name = {"pbx.test": client_context(private.authority)}
        both = server_context(private.issue("pbx.test", "good.test"))
        trusting = client_context(files.authority)
        async with (
            agent(HOST, trusting, names=names, by_name=by_name) as (us, _),
            agent(HOST, trusting, both) as (_, theirs),
        ):
            port = theirs.local_address[1]
            assert await ask(us, await located(us, f"sips:pbx.test:{port}")) == (200, "TLS")
            assert await ask(us, await located(us, f"sips:good.test:{port}")) == (503, "")

    asyncio.run(main())


def test_a_server_that_asks_for_it_gets_our_certificate(files: Files) -> None:
    async def main() -> None:
        names = {"good.test": HOST}
        own = files.issue("us.test")
        strict = server_context(files.issue("good.test"))
        strict.load_verify_locations(files.authority)
        strict.verify_mode = ssl.CERT_REQUIRED
        trusting = client_context(files.authority)
        async with (
            agent(HOST, client_context(files.authority, own), names=names) as (us, _),
            agent(HOST, trusting, names=names) as (nobody, _),
            agent(HOST, trusting, strict) as (_, theirs),
        ):
            uri = f"sips:good.test:{theirs.local_address[1]}"
            assert await ask(us, await located(us, uri)) == (200, "TLS")
            assert await ask(nobody, await located(nobody, uri)) == (503, "")

    asyncio.run(main())


def test_a_trunk_has_a_certificate_of_its_own_to_show(files: Files, tmp_path: Path) -> None:
    """As a provider gives it to its customer. Other trunks are not shown it, and believe no other authority for it."""
    provider = Files(tmp_path / "provider")
    config = Config(
        sip=Sip(tls_ca=files.authority),
        trunks=tuple(
            Trunk(name=name, domain=domain, username="u", transport="tls", tls_certificate=own)
            for name, domain, own in (
                ("one", "one.test:5061", provider.issue("customer.test")),
                ("two", "two.test", ""),
            )
        ),
    )

    async def main() -> None:
        loop = asyncio.get_running_loop()
        names = {"one.test": HOST, "two.test": HOST}
        strict = server_context(files.issue("one.test", "two.test"))
        strict.load_verify_locations(provider.authority)
        strict.verify_mode = ssl.CERT_REQUIRED
        (ours,) = await bind(
            replace(config, sip=replace(config.sip, listen=(f"tls:{HOST}:0",))), loop
        )
        trusting = client_context(files.authority)
        async with (
            agent(HOST, trusting, names=names, transport=ours) as (us, _),
            agent(HOST, trusting, strict) as (_, theirs),
        ):
            port = theirs.local_address[1]
            assert await ask(us, await located(us, f"sips:one.test:{port}")) == (200, "TLS")
            assert await ask(us, await located(us, f"sips:two.test:{port}")) == (503, "")

    asyncio.run(main())


def test_nothing_older_than_tls_1_2_is_spoken(files: Files) -> None:
    async def main() -> None:
        trusting = client_context(files.authority)
        async with agent(HOST, trusting, server_context(files.issue(HOST))) as (_, theirs):
            for version, taken in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
                old = ssl.create_default_context(cafile=files.authority)
                old.minimum_version = ssl.TLSVersion.TLSv1
                old.set_ciphers("DEFAULT@SECLEVEL=0")
                old.maximum_version = version
                try:
                    _, writer = await asyncio.open_connection(*theirs.local_address, ssl=old)
                except OSError:
                    assert not taken
                else:
                    assert taken
                    writer.close()

    with pytest.warns(DeprecationWarning):
        asyncio.run(main())


def test_who_never_finishes_the_handshake_holds_few_connections_and_not_for_long(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CONNECT_TIMEOUT", 0.5)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        trusting = client_context(files.authority)
        async with agent(HOST, trusting, server_context(files.issue(HOST))) as (_, theirs):
            silent = []
            for _ in range(stream.CONNECTIONS_OF_ONE + 20):
                one = socket.socket()
                one.setblocking(False)
                await loop.sock_connect(one, theirs.local_address)
                silent.append(one)
            await asyncio.sleep(0.1)
            assert theirs._guests_of.total() == stream.CONNECTIONS_OF_ONE
            for one in silent:
                async with asyncio.timeout(5):
                    try:
                        while await loop.sock_recv(one, 100):
                            pass
                    except ConnectionError:
                        pass
                one.close()
            await asyncio.sleep(0.05)
            assert theirs._guests_of.total() == 0

    asyncio.run(main())


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    file = tmp_path / "own.pem"
    with pytest.raises(OSError, match=str(file)):
        server_context(str(file))
    file.write_text("nonsense")
    with pytest.raises(OSError, match=str(file)):
        client_context("", str(file))
    with pytest.raises(OSError, match=str(file)):
        client_context(str(file))
