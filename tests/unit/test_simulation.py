"""The virtual loop and the virtual network themselves."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sipstack.transport import Address, Transport
from tests.simulation.clock import Deadlock, NotVirtual, Runaway, VirtualLoop, run
from tests.simulation.network import Conditions, VirtualNetwork

A, B = "192.0.2.1", "192.0.2.2"


class Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[float, bytes, Address]] = []

    def __call__(self, data: bytes, source: Address, transport: Transport) -> None:
        self.heard.append((asyncio.get_running_loop().time(), data, source))

    @property
    def texts(self) -> list[bytes]:
        return [data for _, data, _ in self.heard]


def test_a_sleep_of_a_day_takes_no_time_and_exactly_a_day() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(86400)
        return loop.time() - before

    assert run(main()) == 86400


def test_timers_fire_in_order_at_the_very_time_they_were_set_for() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        fired: list[tuple[str, float]] = []

        def note(name: str) -> None:
            fired.append((name, loop.time() - start))

        for name, delay in (("c", 0.3), ("a", 0.1), ("b", 0.1 + 0.2 - 0.1)):
            loop.call_at(start + delay, note, name)
        await asyncio.sleep(1)
        assert [time for _, time in fired] == [
            (start + 0.1) - start,
            (start + 0.1 + 0.2 - 0.1) - start,
            (start + 0.3) - start,
        ]
        return fired

    assert [name for name, _ in run(main())] == ["a", "b", "c"]


def test_waiting_for_what_can_not_happen_is_a_deadlock_that_names_the_task() -> None:
    async def hopeless() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock, match="hopeless"):
        run(hopeless())


def test_spinning_without_time_passing_is_noticed() -> None:
    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Runaway):
        run(spin())


def test_running_past_the_limit_is_noticed() -> None:
    async def forever() -> None:
        while True:
            await asyncio.sleep(1)

    with pytest.raises(Runaway, match="limit"):
        run(forever(), limit=60)


def test_an_error_in_a_callback_fails_the_run() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(1, lambda: 1 / 0)
        await asyncio.sleep(2)

    with pytest.raises(ZeroDivisionError):
        run(main())


def test_an_error_in_a_task_that_nobody_awaits_fails_the_run() -> None:
    async def broken() -> None:
        raise LookupError("seen")

    async def main() -> None:
        task = asyncio.create_task(broken())
        await asyncio.sleep(2)
        del task

    with pytest.raises(LookupError):
        run(main())


def test_real_sockets_and_threads_are_refused() -> None:
    async def datagrams() -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0), family=socket.AF_INET
        )

    async def thread() -> None:
        await asyncio.to_thread(print)

    for main in (datagrams, thread):
        with pytest.raises(NotVirtual):
            run(main())


def test_the_clock_can_jump_and_timers_in_between_fire_late() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        start = loop.time()
        fired = loop.create_future()
        loop.call_later(1, lambda: fired.set_result(loop.time() - start))
        loop.jump(100)
        return float(await fired)

    assert run(main()) == 100


def exchange(seed: int, conditions: Conditions, count: int = 200) -> list[bytes]:
    """Send numbered datagrams a millisecond apart and give back what arrived."""

    async def main() -> list[bytes]:
        network = VirtualNetwork(seed, conditions)
        listener = Listener()
        network.transport(B, receiver=listener)
        sender = network.transport(A)
        for number in range(count):
            sender.send(b"%d" % number, (B, 5060))
            await asyncio.sleep(0.001)
        await asyncio.sleep(10)
        assert network.in_flight == 0
        return listener.texts

    return run(main())


def test_a_perfect_network_delivers_everything_once_in_order() -> None:
    assert exchange(1, Conditions()) == [b"%d" % n for n in range(200)]


def test_datagrams_of_the_same_instant_arrive_in_order() -> None:
    async def main() -> list[bytes]:
        network = VirtualNetwork()
        listener = Listener()
        network.transport(B, receiver=listener)
        sender = network.transport(A)
        for number in range(50):
            sender.send(b"%d" % number, (B, 5060))
        await asyncio.sleep(1)
        return listener.texts

    assert run(main()) == [b"%d" % n for n in range(50)]


def test_loss_duplicates_and_reordering_happen_about_as_often_as_asked() -> None:
    heard = exchange(7, Conditions(loss=0.3), 1000)
    assert 600 < len(heard) < 800
    heard = exchange(7, Conditions(duplicate=0.2), 1000)
    assert 1150 < len(heard) < 1250
    heard = exchange(7, Conditions(reorder=0.1), 1000)
    assert sorted(heard, key=int) == [b"%d" % n for n in range(1000)] != heard


def test_the_same_seed_gives_the_same_fate_and_another_seed_another() -> None:
    rough = Conditions(loss=0.2, duplicate=0.2, reorder=0.2, delay=(0.001, 0.1))
    assert exchange(3, rough) == exchange(3, rough)
    assert exchange(3, rough) != exchange(4, rough)


def test_a_direction_can_be_dead_and_the_other_alive_and_come_back() -> None:
    async def main() -> tuple[list[bytes], list[bytes]]:
        network = VirtualNetwork()
        at_a, at_b = Listener(), Listener()
        a, b = network.transport(A, receiver=at_a), network.transport(B, receiver=at_b)
        network.cut(A, B)
        a.send(b"lost", (B, 5060))
        b.send(b"heard", (A, 5060))
        await asyncio.sleep(1)
        network.set(Conditions(), A, B)
        a.send(b"again", (B, 5060))
        await asyncio.sleep(1)
        return at_a.texts, at_b.texts

    assert run(main()) == ([b"heard"], [b"again"])


def test_reliable_transports_keep_order_and_refuse_where_nobody_listens() -> None:
    async def main() -> list[bytes]:
        network = VirtualNetwork(5, Conditions(loss=0.5, duplicate=0.5, delay=(0.0, 0.5)))
        listener = Listener()
        network.transport(B, name="TCP", receiver=listener)
        sender = network.transport(A, name="TCP")
        for number in range(100):
            sender.send(b"%d" % number, (B, 5060))
        with pytest.raises(ConnectionRefusedError):
            sender.send(b"", ("192.0.2.9", 5060))
        await asyncio.sleep(1)
        return listener.texts

    assert run(main()) == [b"%d" % n for n in range(100)]


def test_what_is_sent_to_a_crashed_host_goes_nowhere_and_the_journal_says_so() -> None:
    async def main() -> None:
        network = VirtualNetwork()
        listener = Listener()
        network.transport(B, receiver=listener)
        a = network.transport(A)
        a.send(b"OPTIONS", (B, 5060))
        network.crash(B)
        await asyncio.sleep(1)
        assert listener.heard == []
        assert [passage.fate for passage in network.journal] == ["nobody"]
        assert "nobody    OPTIONS" in network.ladder()

    run(main())


def test_an_address_is_taken_once_and_port_0_finds_a_free_one() -> None:
    network = VirtualNetwork()
    network.transport(A)
    with pytest.raises(OSError, match="in use"):
        network.transport(A)
    first, second = network.transport(A, 0), network.transport(A, 0)
    assert first.local_address != second.local_address
    first.close()
    assert network.transport(A, 0).local_address == first.local_address
    with pytest.raises(OSError, match="closed"):
        first.send(b"", (B, 5060))
