"""How steadily ringback is paced: ``python -m tests.bench.pacing [--seconds 600] [--legs 20]``.

Every leg's packets are checked to be one stream: sequence numbers one by one, timestamps 20 ms of audio apart. Reported is how
far arrivals are from what their timestamps say (the worst, and the drift from the first minute's mean to the last one's). Where
the machine stops the relay for more than 100 ms, it skips frames rather than send them in a burst: the timestamp then jumps
by so many frames, and stays right by the clock; these are counted as skipped.
"""

from __future__ import annotations

import argparse
import select
import socket
import struct
import time

from sipstack.media import MediaPlane
from sipstack.media.tones import FRAME, RATE, RINGBACK
from sipstack.sdp import CODECS, RemoteMedia

HOST = "127.0.0.1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--legs", type=int, default=20)
    options = parser.parse_args()
    plane = MediaPlane(ports=(32000, 32000 + 2 * options.legs + 20))
    plane.start()
    ears: dict[int, socket.socket] = {}
    poll = select.epoll()
    pcmu = CODECS["PCMU"]
    for _ in range(options.legs):
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.bind((HOST, 0))
        ears[ear.fileno()] = ear
        poll.register(ear.fileno(), select.EPOLLIN)
        leg, port = plane.open(HOST), ear.getsockname()[1]
        leg.set_remote(RemoteMedia(HOST, port, HOST, port + 1, (pcmu,)), (pcmu,))
        leg.play(RINGBACK["us"])
    #: For each leg: when its first packet came, that one's numbers, and how many have come.
    first: dict[int, tuple[float, int, int]] = {}
    count = dict.fromkeys(ears, 0)
    skipped = dict.fromkeys(ears, 0)
    early = late = 0.0
    wrong = 0
    minutes: dict[int, list[float]] = {}
    end = time.perf_counter() + options.seconds
    while (now := time.perf_counter()) < end:
        for fd, _ in poll.poll(1.0):
            packet = ears[fd].recv(2048)
            now = time.perf_counter()
            if packet[1] >= 192:
                continue
            sequence, timestamp = struct.unpack_from("!HI", packet, 2)
            began, first_sequence, first_timestamp = first.setdefault(
                fd, (now, sequence, timestamp)
            )
            number = count[fd]
            wrong += sequence != (first_sequence + number) & 0xFFFF
            elapsed = (timestamp - first_timestamp) & 0xFFFFFFFF
            frames, rest = divmod(elapsed, FRAME)
            wrong += rest != 0 or frames < number + skipped[fd]
            skipped[fd] = frames - number
            off = now - began - elapsed / RATE
            early, late = min(early, off), max(late, off)
            minute = minutes.setdefault(int((now - began) / 60), [0.0, 0])
            minute[0] += off
            minute[1] += 1
            count[fd] += 1
    plane.close()
    means = [1000 * total / number for total, number in minutes.values()]
    print(f"packets {sum(count.values())}, out of place {wrong}, skipped {sum(skipped.values())}")
    print(f"off schedule by {1000 * early:.2f} to {1000 * late:.2f} ms")
    print(f"drift {means[-1] - means[0]:.3f} ms in {options.seconds:.0f} s")


if __name__ == "__main__":
    main()
