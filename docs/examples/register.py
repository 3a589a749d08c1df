"""Register with a registrar, stay so for a while, and un-register.

register.py USER HOST[:PORT] SECONDS, with the password in $SIP_PASSWORD
"""

import asyncio
import os
import sys

from sipstack import Phone, RegistrationFailed


async def main(user: str, domain: str, seconds: float) -> int:
    password = os.environ.get("SIP_PASSWORD", "")
    # Any address of ours, and a free port. Leaving the block hangs up and un-registers.
    async with Phone("udp:0.0.0.0:0", user=user, domain=domain, password=password) as phone:
        try:
            await phone.register()
        except RegistrationFailed as error:
            print(f"not registered: {error}")
            return 1
        print(f"registered as sip:{user}@{domain}", flush=True)
        await asyncio.sleep(seconds)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
