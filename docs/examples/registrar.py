"""A registrar for the users in a dictionary. SIGINT ends it.

registrar.py udp:127.0.0.1:5060
"""

import asyncio
import contextlib
import secrets
import sys

from sipstack import DigestServer, Registrar, Request, Response, UserAgent, open_transport

PASSWORDS = {"1001": "s3cret", "1002": "another"}


async def main(listen: str) -> None:
    now = asyncio.get_running_loop().time
    digest = DigestServer("example", secrets.token_bytes(16), algorithms=("MD5",))
    registrar = Registrar(digest, PASSWORDS.get)

    def answer(request: Request, source: tuple[str, int]) -> Response | None:
        """Called with each request that belongs to no call; None leaves it to the user agent."""
        if request.method != "REGISTER":
            return None
        response = registrar.receive(request, source, now())
        user = request.to.uri.user or ""
        places = [str(binding.contact) for binding in registrar.bindings(user, now())]
        print(f"{user}: {response.status}, now at {', '.join(places) or 'no place'}", flush=True)
        return response

    transport = await open_transport(listen)
    UserAgent([transport], on_request=answer)
    print(f"ready {transport.local_address[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
