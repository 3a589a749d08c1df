"""Coverage-guided fuzzing of all that strangers' octets reach: ``python -m tests.fuzz TARGET [--seconds 60]``.

Needs atheris (``pip install atheris``); without it, or with ``--random``, the seeds are mutated blindly, which finds
less. What breaks a target is written to ``crash-…`` in the directory named by ``--crashes``, and ``--replay FILE`` runs
it once more.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PIECES = (
    b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b"\r\n ", b":", b";", b",", b"<", b">", b'"', b"\\", b"@", b"%00", b"%",
    b"[", b"]", b"?", b"=", b"&", b"z9hG4bK", b"SIP/2.0", b"sip:", b"tel:", b";tag=", b";branch=", b"l: 5\r\n",
    b"Content-Length: 99999999999\r\n", b"4294967296", b"-1", b"\xff\xfe", b"\xd0\xbd", b"::ffff:", b"multipart/mixed;boundary=b",
    b"--b\r\n", b"a=rtpmap:", b"m=audio 1 RTP/AVP 0\r\n", b"c=IN IP4 0.0.0.0\r\n",
)  # fmt: skip


def mutated(octets: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """The octets with a few changes: cut, doubled, moved, replaced, joined with another's."""
    data = bytearray(octets)
    for _ in range(rng.randint(1, 6)):
        at, end = sorted(rng.randint(0, len(data)) for _ in range(2))
        end = min(end, at + rng.choice((1, 2, 8, 64)))
        match rng.randrange(6):
            case 0:
                del data[at:end]
            case 1:
                data[at:at] = data[at:end] * rng.choice((1, 2, 50))
            case 2:
                data[at:end] = rng.choice(PIECES)
            case 3:
                data[at:at] = rng.choice(PIECES) * rng.choice((1, 1, 3, 100))
            case 4:
                data[at:end] = bytes(rng.randrange(256) for _ in range(end - at))
            case _:
                other = rng.choice(others)
                start = rng.randint(0, len(other))
                data[at:end] = other[start : start + rng.randint(1, 100)]
    return bytes(data[:65_000])


def blindly(run: Callable[[bytes], None], seeds: list[bytes], seconds: float, seed: int) -> int:
    """Run mutations of the seeds for a while; how many."""
    rng = random.Random(seed)
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        run(mutated(rng.choice(seeds), seeds, rng))
        count += 1
    return count


def main() -> int:
    from tests.fuzz import TARGETS, seeds

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=1, help="of the blind mutations")
    parser.add_argument("--random", action="store_true", help="mutate blindly")
    parser.add_argument("--crashes", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--replay", type=Path, help="run one file and nothing else")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if arguments.replay is not None:
        TARGETS[arguments.target](arguments.replay.read_bytes())
        print(f"{arguments.target}: holds")
        return 0
    names = list(TARGETS) if arguments.target == "all" else [arguments.target]
    if not arguments.random and len(names) == 1:
        try:
            atheris = importlib.import_module("atheris")
        except ImportError:
            print("atheris is not installed: mutating blindly", file=sys.stderr)
        else:
            return _guided(atheris, names[0], seeds(names[0]), arguments)
    for name in names:
        latest = b""

        def run(octets: bytes, name: str = name) -> None:
            nonlocal latest
            latest = octets
            TARGETS[name](octets)

        try:
            count = blindly(run, seeds(name), arguments.seconds, arguments.seed)
        except BaseException:
            crash = arguments.crashes / f"crash-{name}"
            crash.write_bytes(latest)
            print(f"{name}: broken by {crash}", file=sys.stderr)
            raise
        print(f"{name}: {count} inputs in {arguments.seconds} s, all hold")
    return 0


def _guided(
    atheris: object, name: str, seeds: list[bytes], arguments: argparse.Namespace
) -> int:  # pragma: no cover - not in the default run
    instrument, setup, fuzz = (
        getattr(atheris, attribute) for attribute in ("instrument_all", "Setup", "Fuzz")
    )
    from tests.fuzz import TARGETS

    instrument()
    with tempfile.TemporaryDirectory() as corpus:
        for number, octets in enumerate(seeds):
            (Path(corpus) / f"seed-{number}").write_bytes(octets)
        options = [
            f"-max_total_time={arguments.seconds}",
            "-max_len=65000",
            "-timeout=5",
            "-rss_limit_mb=1024",
            f"-artifact_prefix={arguments.crashes}/",
        ]
        setup([sys.argv[0], *options, corpus], TARGETS[name])
        fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
