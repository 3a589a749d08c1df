"""Answer each call, send back what the caller says, and tell the keys that are pressed. SIGINT ends it.

answer.py udp:127.0.0.1:5070
"""

import asyncio
import contextlib
import sys

from sipstack import CallFailed, Phone, PhoneCall


async def take(call: PhoneCall) -> None:
    """One call. When this returns the call is hung up."""
    print(f"called by {call.caller}", flush=True)
    call.ring()
    # Whoever calls may give up now: then it has ended.
    if await call.ends_within(1.0):
        return
    call.answer()
    try:
        await call.answered()
    except CallFailed:
        return
    call.echo()
    await call.ended()
    print(f"ended, keys: {call.keys or 'none'}", flush=True)


async def main(listen: str) -> None:
    async with Phone(listen, user="echo", on_call=take) as phone:
        host, port = phone.address
        print(f"ready sip:echo@{host}:{port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
