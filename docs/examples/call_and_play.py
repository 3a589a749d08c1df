"""Call a SIP URI, play a WAV file, and hang up.

call_and_play.py sip:USER@HOST FILE.wav
"""

import asyncio
import sys

from sipstack import CallFailed, Clip, Phone, Playback
from sipstack.media import wav


async def main(uri: str, clip: Clip) -> int:
    async with Phone("udp:0.0.0.0:0", user="announcer") as phone:
        # As for an account: Phone(…, user="1001", domain="sip.example.net", password="…"), then call("1002").
        call = phone.call(uri)
        call.play(Playback(clip))
        try:
            await call.answered(timeout=60)
        except CallFailed as failure:
            print(f"not answered: {failure}")
            return 1
        # The peer may hang up before.
        await call.ends_within(clip.seconds)
        call.hang_up()
        await call.ended()
        heard = call.counters()
        print(f"sent {heard.packets_sent} packets, received {heard.packets_received}")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], wav.load(sys.argv[2]))))
