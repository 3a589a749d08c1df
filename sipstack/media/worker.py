"""A relay in a process of its own, and the end of it that the media plane has.

Commands go to the process as pickled (method, arguments) with their length before them, the sockets of a new line beside
them; what comes back is what the relay hears, and the counters of its lines, of all of them within :data:`REFRESH`
seconds. Nobody but the two holds an end of the channel, so that both may believe what comes over it.
"""

import contextlib
import errno
import gc
import logging
import multiprocessing
import os
import pickle
import select
import signal
import socket
import struct
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Collection
from socket import SocketType
from typing import Any

from sipstack.entropy import Entropy
from sipstack.media.line import LegCounters, Line
from sipstack.media.relay import Relay
from sipstack.scheduling import come_first, interrupt, roaming
from sipstack.transport import Address

log = logging.getLogger(__name__)

#: Seconds in which each line's counters are told once.
REFRESH = 2.0
#: Seconds that the process has to take a command, or to answer one.
ANSWER = 2.0
#: Seconds in which a process that has lines must say something: it owes all their counters in two.
DEAF = 10
#: Seconds to wait for a new process to be there, which on a small or busy machine takes a few.
STARTING = 30.0
#: Octets that wait to be told, before all is dropped that is not waited for.
MOST_WAITING = 4 << 20
#: Seconds that a process should live before the next one is started at once.
SHORTEST_LIFE = 5.0

_LENGTH = struct.Struct("!I")
_FDS = array("i", [0, 0])


class Channel:
    """One direction's end of a stream of pickled objects, some of them with two file descriptors beside them."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._received = bytearray()
        self.descriptors: deque[int] = deque()

    def fileno(self) -> int:
        """For select."""
        return self._stream.fileno()

    def receive(self) -> list[Any]:
        """What can be read now, blocking for something if the stream does.

        :raises EOFError: the other end is closed.
        """
        room = socket.CMSG_SPACE(_FDS.itemsize * 64)
        try:
            octets, ancillary, _, _ = self._stream.recvmsg(1 << 18, room)
        except (BlockingIOError, InterruptedError):
            return []
        except ConnectionError:
            octets, ancillary = b"", []
        for _, _, content in ancillary:
            passed = array("i")
            passed.frombytes(content[: len(content) - len(content) % passed.itemsize])
            self.descriptors.extend(passed)
        if not octets:
            raise EOFError
        self._received += octets
        found = []
        while len(self._received) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
            if len(self._received) < end:
                break
            found.append(pickle.loads(self._received[_LENGTH.size : end]))  # noqa: S301 - our own process
            del self._received[:end]
        return found

    def send(self, message: object, descriptors: Collection[int] = ()) -> None:
        """Send all of it, blocking as the stream does."""
        octets = _framed(message)
        if descriptors:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))]
            sent = self._stream.sendmsg([octets], ancillary)
            octets = octets[sent:]
        self._stream.sendall(octets)

    def close(self) -> None:
        """Close the stream and what was passed over it in vain."""
        self._stream.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


def _framed(message: object) -> bytes:
    octets = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(octets)) + octets


# --- in the process


class _Teller:
    """The relay's listener: tells the media plane, and never waits for it."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._waiting = bytearray()

    def key(self, number: int, key: str) -> None:
        self.offer("key", number, key)

    def audio(self, number: int, timestamp: int, payload: bytes, encoding: str, now: float) -> None:
        self.offer("audio", number, timestamp, payload, encoding, now)

    def head(
        self, number: int, now: float, sent: bool, peer: Address, head: bytes, size: int
    ) -> None:
        self.offer("head", number, now, sent, peer, head, size)

    def offer(self, *message: object) -> None:
        """Tell what is not missed, where too much waits already."""
        if len(self._waiting) < MOST_WAITING:
            self.tell(*message)

    def tell(self, *message: object) -> None:
        self._waiting += _framed(message)
        self.flush()

    def flush(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while self._waiting:
                del self._waiting[: self._stream.send(self._waiting)]


class _Log(logging.Handler):
    """Has the service log what the process has to say."""

    def __init__(self, teller: _Teller) -> None:
        super().__init__()
        self._teller = teller

    def emit(self, record: logging.LogRecord) -> None:
        self._teller.offer("log", record.name, record.levelno, self.format(record))


def run(commands: socket.socket, events: socket.socket, first: bool) -> None:
    """The whole life of the process."""
    # Ctrl-C is meant for the service, which ends this process by closing the channel.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    commands.setblocking(False)
    events.setblocking(False)
    channel, teller = Channel(commands), _Teller(events)
    logging.getLogger().addHandler(_Log(teller))
    interrupt()
    if first:
        come_first()
    epoll = select.epoll()
    relay = Relay(epoll, teller)
    rng = Entropy()
    running = True

    def add(number: int, own: str, known: Collection[str]) -> None:
        guard, rtcp = (SocketType(fileno=channel.descriptors.popleft()) for _ in range(2))
        for one in (guard, rtcp):
            one.setblocking(False)
        relay.add(Line(number, guard, rtcp, own, known=known, now=time.monotonic(), rng=rng))

    def remove(number: int) -> None:
        teller.tell("removed", number, relay.remove(number))

    own: dict[str, Callable[..., object]] = {"add": add, "remove": remove}

    def obey() -> None:
        nonlocal running
        try:
            messages = channel.receive()
        except EOFError:
            running = False
            return
        for name, arguments in messages:
            try:
                (own.get(name) or getattr(relay, name))(*arguments)
            except Exception:
                # One leg's fault must not silence all the others.
                log.exception("the relay could not do what it was told")

    relay.attend(channel.fileno(), obey)
    teller.tell("ready")
    # What the modules are made of stays: no look at it is worth a pause.
    gc.freeze()
    told, credit, then = deque[int](), 0.0, time.monotonic()

    def go_on() -> bool:
        """Tell the counters whose turn it is: a few at a time, for all at once would hold up the packets."""
        nonlocal credit, then
        now = time.monotonic()
        credit = min(credit + (now - then) / REFRESH * relay.size, relay.size)
        then = now
        fresh = {}
        while credit >= 1.0:
            credit -= 1.0
            if not told:
                told.extend(relay.numbers())
            number = told.popleft()
            counters = relay.counters(number)
            if counters is not None:
                fresh[number] = counters
        if fresh:
            teller.offer("counters", fresh)
        teller.flush()
        return running

    relay.run(go_on)
    relay.close()


# --- in the service


class Worker:
    """A relay process, started again whenever it dies. ``heard`` is told what it hears, ``died`` that it is gone."""

    def __init__(
        self, heard: Callable[..., None], died: Callable[["Worker"], None], name: str, first: bool
    ) -> None:
        self._heard = heard
        self._died = died
        self._name = name
        self._first = first
        self._lock = threading.Lock()
        self._counters: dict[int, LegCounters] = {}
        self._removed: dict[int, threading.Event] = {}
        #: The lines that the process has.
        self._lines: set[int] = set()
        #: Whether it has owed an answer, and has not been heard since.
        self._is_late = False
        self._closing = threading.Event()
        #: The process has said that it takes commands.
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)
        self._commands: Channel | None = None

    @property
    def alive(self) -> bool:
        """Whether there is a process that takes commands, and does what they say."""
        return self._commands is not None and self._ready.is_set() and not self._is_late

    def start(self) -> None:
        """Start the process and the thread that listens to it."""
        self._begin()
        self._thread.start()

    def wait(self) -> None:
        """Wait until the process takes commands, :data:`STARTING` seconds at most."""
        if not self._ready.wait(STARTING):
            log.error("%s is not there after %d s", self._name, STARTING)

    def close(self) -> None:
        """End the process, which closes its sockets."""
        self._closing.set()
        with self._lock:
            if self._commands is not None:
                self._commands.close()
                self._commands = None
        if self._thread.is_alive():
            self._thread.join(5.0)

    def add(
        self,
        number: int,
        guard: SocketType,
        rtcp: SocketType,
        own: str,
        known: Collection[str],
    ) -> None:
        """Give a line to the process, with its two sockets.

        :raises OSError: there is no process now, or it hangs.
        """
        if self._is_late or not self._send(
            ("add", (number, own, frozenset(known))), (guard.fileno(), rtcp.fileno())
        ):
            raise OSError(errno.EAGAIN, "the relay is being started again")
        self._lines.add(number)
        guard.close()
        rtcp.close()

    def tell(self, name: str, *arguments: object) -> None:
        """Have the relay do something, in the order given; nothing happens where it has died."""
        self._send((name, arguments))

    def counters(self, number: int) -> LegCounters:
        """A line's counters, as they were :data:`REFRESH` seconds ago at most."""
        return self._counters.get(number, LegCounters())

    def last_received(self, number: int) -> float | None:
        """When a line's peer was last heard, as far as it was told."""
        return self.counters(number).last_received

    def remove(self, number: int) -> LegCounters:
        """End a line; its last counters, which are worth waiting a few milliseconds for."""
        done = self._removed[number] = threading.Event()
        # Who waits is all of the signalling: once in vain is enough.
        if self._send(("remove", (number,))) and not self._is_late:
            self._is_late = not done.wait(ANSWER)
        del self._removed[number]
        self._lines.discard(number)
        return self.counters(number)

    def drop(self, number: int) -> None:
        """Its counters are not asked for any more."""
        self._counters.pop(number, None)

    def _send(self, message: object, descriptors: Collection[int] = ()) -> bool:
        with self._lock:
            # What is sent before it reads would fill the channel, and look as if it were dead.
            if self._commands is None or not self._ready.is_set():
                return False
            try:
                self._commands.send(message, descriptors)
            except OSError as error:
                # Half a message may have gone: nothing that follows would be understood.
                log.error("%s takes no commands (%s): it is ended", self._name, error)
                self._process.kill()
                return False
            return True

    def _begin(self) -> None:
        commands, theirs = socket.socketpair()
        mine, events = socket.socketpair()
        commands.settimeout(ANSWER)
        events.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._process = multiprocessing.get_context("spawn").Process(
            target=run, args=(theirs, events, self._first), name=self._name, daemon=True
        )
        with roaming():
            self._process.start()
        theirs.close()
        events.close()
        mine.settimeout(1.0)
        self._events = Channel(mine)
        self._lines.clear()
        self._is_late = False
        with self._lock:
            self._commands = Channel(commands)

    # --- in the listening thread

    def _watch(self) -> None:
        while True:
            born = time.monotonic()
            self._listen()
            self._events.close()
            # One that is only deaf must not live on beside its successor, nor be waited for at the end of all.
            self._process.join(ANSWER)
            self._process.kill()
            self._process.join()
            with self._lock:
                self._ready.clear()
                if self._commands is not None:
                    self._commands.close()
                self._commands = None
            for waiting in list(self._removed.values()):
                waiting.set()
            if self._closing.is_set():
                return
            log.error("%s has died (%s); its calls end", self._name, self._process.exitcode)
            self._died(self)
            pause = max(0.0, born + SHORTEST_LIFE - time.monotonic())
            while not self._closing.wait(pause):
                try:
                    self._begin()
                    break
                except OSError as error:
                    log.error("%s cannot be started: %s", self._name, error)
                    pause = SHORTEST_LIFE
            else:
                return

    def _listen(self) -> None:
        silent = 0
        while True:
            try:
                messages = self._events.receive()
            except TimeoutError:
                if self._closing.is_set():
                    return
                # By how often nothing came, and not by the clock: all of the service may have been stopped for a while.
                silent = silent + 1 if self._lines or self._is_late else 0
                if silent == DEAF:
                    log.error("%s says nothing any more: it is ended", self._name)
                    self._process.kill()
                continue
            except EOFError:
                return
            silent, self._is_late = 0, False
            for name, *content in messages:
                if name == "log":
                    logger, level, text = content
                    logging.getLogger(logger).log(level, "%s: %s", self._name, text)
                elif name == "ready":
                    self._ready.set()
                elif name == "counters":
                    self._counters.update(content[0])
                elif name == "removed":
                    number, counters = content
                    if number in self._removed:
                        self._counters[number] = counters
                        self._removed[number].set()
                    else:
                        self._counters.pop(number, None)
                else:
                    self._heard(name, *content)
