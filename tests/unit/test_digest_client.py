"""The digest of a client, computed here a second time from the RFCs: each algorithm, with and without a session."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pytest

from sipstack.account import Account, Attempt
from sipstack.digest import Credentials, DigestClient, DigestError, DigestServer, challenges
from sipstack.message import Response, Uri

HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda octets: hashlib.md5(octets).hexdigest(),
    "SHA-256": lambda octets: hashlib.sha256(octets).hexdigest(),
    "SHA-512-256": lambda octets: hashlib.new("sha512_256", octets).hexdigest(),
}
URI, BODY = "sip:provider.test", b"v=0\r\n"


def challenge(*values: str, status: int = 401) -> Response:
    response = Response(status, "Unauthorized")
    for value in values:
        response.add("Proxy-Authenticate" if status == 407 else "WWW-Authenticate", value)
    return response


def client(cnonce: str = "c0") -> DigestClient:
    return DigestClient(Credentials("acct", "pw"), lambda: cnonce)


def params(header: str) -> dict[str, str]:
    assert header.startswith("Digest ")
    found = re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', header)
    return {name: quoted or bare for name, quoted, bare in found}


def again(digest: DigestClient, kind: str) -> str:
    """What the next request of a kind begins with."""
    (kept,) = digest.kept(kind)
    return digest.answer(kept, kind, URI)[1]


@pytest.mark.parametrize("session", [False, True])
@pytest.mark.parametrize("qop", ["", "auth", "auth-int", "auth-int, auth"])
@pytest.mark.parametrize("algorithm", HASHES)
def test_each_algorithm_with_each_protection(algorithm: str, qop: str, session: bool) -> None:
    """RFC 7616 §3.4.1 to §3.4.3."""
    h = HASHES[algorithm]
    name = algorithm + ("-sess" if session else "")
    offer = f', qop="{qop}"' if qop else ""
    value = f'Digest realm="p", nonce="n", algorithm={name}, opaque="o"{offer}'
    header, answer = client().authorize(challenge(value), "REGISTER", URI, BODY)
    given = params(answer)
    chosen = "auth" if qop.endswith("auth") else qop
    a1 = h(b"acct:p:pw")
    if session:
        a1 = h(f"{a1}:n:c0".encode())
    a2 = f"REGISTER:{URI}" + (f":{h(BODY)}" if chosen == "auth-int" else "")
    middle = f"00000001:c0:{chosen}:" if chosen else ""
    assert given["response"] == h(f"{a1}:n:{middle}{h(a2.encode())}".encode())
    assert header == "Authorization"
    assert (given["algorithm"], given["opaque"]) == (name, "o")
    assert given.get("qop", "") == chosen
    assert given.get("nc") == ("00000001" if chosen else None)
    assert given.get("cnonce") == ("c0" if chosen or session else None)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
def test_of_several_challenges_the_strongest_is_answered_in_whatever_order(algorithm: str) -> None:
    names = list(HASHES)[: list(HASHES).index(algorithm) + 1]
    values = [f'Digest realm="p", nonce="{name}", algorithm={name}, qop="auth"' for name in names]
    for order in (values, values[::-1]):
        _, answer = client().authorize(challenge(*order, status=407), "INVITE", URI)
        assert params(answer)["nonce"] == algorithm


def test_a_nonce_is_counted_over_all_requests_and_none_twice_with_one_count() -> None:
    digest = client()
    first = challenge('Digest realm="p", nonce="n", qop="auth"')
    _, answer = digest.authorize(first, "INVITE", URI)
    counts = [params(answer)["nc"]]
    for _ in range(3):
        counts.append(params(again(digest, "INVITE"))["nc"])
    assert counts == ["00000001", "00000002", "00000003", "00000004"]
    # Another method has its own way to be let in, but the count is the nonce's.
    assert digest.kept("BYE") == ()
    _, answer = digest.authorize(first, "BYE", URI)
    assert params(answer)["nc"] == "00000005"


def test_a_nonce_without_a_count_is_not_used_again() -> None:
    digest = client()
    digest.authorize(challenge('Digest realm="p", nonce="n"'), "INVITE", URI)
    assert digest.kept("INVITE") == ()


@pytest.mark.parametrize(
    ("status", "name", "value", "nonce"),
    [
        (401, "Authentication-Info", 'nextnonce="m", qop=auth', "m"),
        (407, "Proxy-Authentication-Info", 'nextnonce="m"', "m"),
        (401, "Proxy-Authentication-Info", 'nextnonce="m"', "n"),
        (401, "Authentication-Info", 'nextnonce=""', "n"),
        (401, "Authentication-Info", 'rspauth="x"', "n"),
        (401, "Authentication-Info", "===", "n"),
        (401, "Other", "", "n"),
    ],
)
def test_the_next_nonce_is_used_for_the_next_request(
    status: int, name: str, value: str, nonce: str
) -> None:
    digest = client()
    wanted = challenge('Digest realm="p", nonce="n", qop="auth"', status=status)
    digest.authorize(wanted, "INVITE", URI)
    fine = Response(200, "OK")
    fine.add(name, value)
    digest.accepted(fine, "INVITE")
    digest.accepted(fine, "BYE")  # of which nothing is known
    answer = again(digest, "INVITE")
    assert params(answer)["nonce"] == nonce
    assert params(answer)["nc"] == ("00000002" if nonce == "n" else "00000001")


def test_the_counts_of_old_nonces_are_forgotten_and_not_those_in_use() -> None:
    digest = client()
    for number in range(1500):
        digest.authorize(challenge(f'Digest realm="p", nonce="{number}", qop="auth"'), "BYE", URI)
    assert len(digest._counts) == 1000
    assert params(again(digest, "BYE"))["nc"] == "00000002"


def test_of_a_qop_without_end_only_the_beginning_is_read() -> None:
    few = challenge('Digest realm="p", nonce="n", qop="x, ,AUTH"')
    assert params(client().authorize(few, "INVITE", URI)[1])["qop"] == "auth"
    many = challenge(f'Digest realm="p", nonce="n", qop="{"x," * 1000}auth"')
    with pytest.raises(DigestError):
        client().authorize(many, "INVITE", URI)


def test_a_challenge_that_cannot_be_answered_is_no_try_and_asks_for_no_password() -> None:
    account = Account(
        name="p",
        domain=Uri.parse("sip:provider.test"),
        username="acct",
        credentials=Credentials("acct", "pw"),
        make_cnonce=lambda: "c",
    )
    account.learn("192.0.2.7")
    attempt = Attempt(account)
    basic = challenge('Basic realm="p"', 'Digest realm="p", nonce="n", algorithm=MD6')
    basic.add("CSeq", "1 INVITE")
    assert not attempt.challenged(basic, ("192.0.2.7", 5060))
    assert not attempt.tried


def test_what_several_ask_in_one_response_is_told_apart_by_realm() -> None:
    """RFC 3261 §22.3. Of one realm the strongest counts, and what the status says where it asks as both."""
    response = challenge(
        'Digest realm="a", nonce="1", algorithm=MD5, qop="auth"',
        'Digest realm="b", nonce="2", algorithm=SHA-256, qop="auth"',
        'Digest realm="a", nonce="3", algorithm=SHA-256, qop="auth"',
        'Digest realm="b", nonce="4", algorithm=MD5, qop="auth"',
        'Digest realm="c", nonce="5", algorithm=MD6',
    )
    response.add("Proxy-Authenticate", 'Digest realm="a", nonce="6", algorithm=SHA-512-256')
    response.add("Proxy-Authenticate", 'Digest realm="d", nonce="7", stale=TRUE')
    asked = [(c.realm, c.header, c.params["nonce"], c.stale) for c in challenges(response)]
    assert asked == [
        ("a", "Authorization", "3", False),
        ("b", "Authorization", "2", False),
        ("d", "Proxy-Authorization", "7", True),
    ]


def test_a_next_nonce_is_of_nobody_where_two_servers_may_have_named_it() -> None:
    digest = client()
    values = [f'Digest realm="{realm}", nonce="n", qop="auth"' for realm in "ab"]
    proxy = challenge('Digest realm="c", nonce="n", qop="auth"', status=407)
    asked = challenges(challenge(*values)) + challenges(proxy)
    digest.keep(asked, "INVITE")
    fine = Response(200, "OK")
    fine.add("Authentication-Info", 'nextnonce="m"')
    fine.add("Proxy-Authentication-Info", 'nextnonce="o"')
    digest.accepted(fine, "INVITE")
    assert [c.params["nonce"] for c in digest.kept("INVITE")] == ["n", "n", "o"]


def test_of_the_kinds_of_requests_with_a_nonce_the_oldest_are_forgotten() -> None:
    digest = client()
    asked = challenges(challenge('Digest realm="a", nonce="n", qop="auth"'))
    for port in range(150):
        digest.keep(asked, ("INVITE", ("192.0.2.7", port)))
    assert [bool(digest.kept(("INVITE", ("192.0.2.7", port)))) for port in (0, 49, 50, 149)] == [
        False,
        False,
        True,
        True,
    ]


def signed(server: DigestServer, **changes: str) -> str:
    """An Authorization of whoever knows the password, with some fields as they should not be."""
    h = HASHES["MD5"]
    (value,) = server.challenges(0.0)
    fields = {"username": "acct", "realm": "p", "uri": URI, "nonce": params(value)["nonce"]}
    fields |= {"qop": "auth", "nc": "00000001", "cnonce": "c"} | changes
    a1, a2 = h(b"acct:p:pw"), h(f"REGISTER:{fields['uri']}".encode())
    middle = ":".join(fields[name] for name in ("nonce", "nc", "cnonce", "qop"))
    fields = {"response": h(f"{a1}:{middle}:{a2}".encode())} | fields
    return "Digest " + ", ".join(f'{name}="{each}"' for name, each in fields.items())


@pytest.mark.parametrize(
    ("changes", "let_in"),
    [
        ({}, True),
        ({"nc": "0000000A"}, True),
        ({"algorithm": "SHA-512-256"}, False),
        ({"algorithm": "MD6"}, False),
        ({"nc": "1"}, False),
        ({"nc": "0000000g"}, False),
        ({"nc": "00000000"}, False),
        ({"response": "0"}, False),
        ({"uri": "sip:other.test"}, False),
        ({"realm": "q"}, False),
        ({"nonce": "0.0"}, False),
        ({"username": "other"}, False),
    ],
)
def test_a_server_lets_in_who_answers_its_own_question(
    changes: dict[str, str], let_in: bool
) -> None:
    server = DigestServer("p", b"secret", algorithms=("MD5",))
    header = signed(server, **changes)
    passwords = {"acct": "pw"}
    assert server.verify(header, "REGISTER", URI, passwords.get, 0.0).ok is let_in
    # And nobody twice.
    assert not server.verify(header, "REGISTER", URI, passwords.get, 0.0).ok


def test_the_counts_of_a_server_do_not_fill_its_memory() -> None:
    server = DigestServer("p", b"secret", algorithms=("MD5",))
    server._counts.update({str(number): 1 for number in range(10_000)})
    assert server.verify(signed(server), "REGISTER", URI, {"acct": "pw"}.get, 0.0).ok
    assert len(server._counts) == 10_000
