"""Without a network: read and write messages, and answer a challenge. With one: find the servers of a domain.

messages.py DOMAIN [NAMESERVER PORT]
"""

import asyncio
import sys

from sipstack import (
    Credentials,
    DigestClient,
    DigestServer,
    DnsLookup,
    Request,
    ResolveError,
    Resolver,
    Uri,
    make_response,
    parse_datagram,
)

REGISTER = b"""REGISTER sip:example.net SIP/2.0\r
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1\r
Max-Forwards: 70\r
From: "Ann" <sip:ann@example.net>;tag=a1\r
To: <sip:ann@example.net>\r
Call-ID: 17@192.0.2.7\r
CSeq: 1 REGISTER\r
Contact: <sip:ann@192.0.2.7:5060>;expires=300\r
Content-Length: 0\r
\r
"""


def messages() -> None:
    request = parse_datagram(REGISTER)
    assert isinstance(request, Request)
    print(f"{request.method} of {request.to.uri}, at {request.contacts[0].uri}")

    # The server asks for a password …
    server = DigestServer("example", b"what nonces are made from")
    challenge = make_response(request, 401, to_tag="s1")
    for value in server.challenges(now=0.0):
        challenge.add("WWW-Authenticate", value)
    print(challenge.serialize().decode())

    # … and the client answers, with the strongest hash that it is offered.
    client = DigestClient(Credentials("ann", "s3cret"))
    name, value = client.authorize(challenge, "REGISTER", request.request_uri)
    request.add(name, value)
    passwords = {"ann": "s3cret"}
    verdict = server.verify(value, "REGISTER", request.request_uri, passwords.get, now=1.0)
    print(f"let in: {verdict.ok}, as {verdict.username}")


async def servers(domain: str, nameserver: tuple[str, int] | None) -> None:
    """By NAPTR, SRV and address records, in the order to try them (RFC 3263)."""
    resolver = Resolver(DnsLookup([nameserver] if nameserver else []))
    try:
        targets = await resolver.resolve(Uri.parse(f"sip:{domain}"))
    except ResolveError as error:
        print(f"{domain}: {error}")
        return
    for target in targets:
        print(f"{domain}: {target.transport} {target.address[0]} port {target.address[1]}")


if __name__ == "__main__":
    messages()
    given = (sys.argv[2], int(sys.argv[3])) if len(sys.argv) > 3 else None
    asyncio.run(servers(sys.argv[1], given))
