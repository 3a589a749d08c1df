"""Digest: the RFC's own example, both sides against each other, and what is refused."""

import pytest

from sipstack.account import Account, Attempt
from sipstack.digest import Credentials, DigestClient, DigestError, DigestServer
from sipstack.message import Request, Response, Uri

NOW = 1000.0


def challenge(*lines: str, status: int = 401) -> Response:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return Response(status, None, [(name, line) for line in lines])


def client(password: str = "Circle of Life") -> DigestClient:
    return DigestClient(
        Credentials("Mufasa", password), lambda: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    )


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_rfc_7616(algorithm: str, response: str) -> None:
    line = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", '
        f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    name, value = client().authorize(challenge(line), "GET", "/dir/index.html")
    assert name == "Authorization"
    assert f'response="{response}"' in value
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in value
    assert "qop=auth," in value


@pytest.mark.parametrize(
    "line",
    [
        'Digest realm="r", nonce="n",',
        'Digest realm="r", nonce="n" , ',
        'Digest , realm="r",, nonce="n"',
        'Digest realm="r", ,nonce="n",,',
    ],
)
def test_nothing_between_two_commas_of_a_challenge_is_passed_over(line: str) -> None:
    _, value = client().authorize(challenge(line), "INVITE", "sip:a@b.example")
    assert 'nonce="n"' in value


def test_the_strongest_challenge_is_answered_and_others_are_passed_over() -> None:
    _, value = client().authorize(
        challenge(
            'Basic realm="r"',
            'Digest realm="r", nonce="n", algorithm=MD5',
            'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"',
            'Digest realm="r", nonce="n", algorithm=SHA3-999',
        ),
        "INVITE",
        "sip:x",
    )
    assert "algorithm=SHA-256" in value


def test_nothing_that_can_be_answered_is_an_error() -> None:
    for line in (
        'Basic realm="r"',
        'Digest realm="r"',
        'Digest nonce="n',
        'Digest realm="r", nonce="n", qop="x"',
    ):
        with pytest.raises(DigestError):
            client().authorize(challenge(line), "INVITE", "sip:x")


def test_both_sides_agree_count_nonces_and_refuse_replays() -> None:
    server = DigestServer("realm", b"secret")
    ours = DigestClient(Credentials("u", "p"), lambda: "c")
    asked = challenge(*server.challenges(NOW), status=407)
    passwords = {"u": "p"}.get
    name, first = ours.authorize(asked, "INVITE", "sip:x@y")
    assert name == "Proxy-Authorization"
    assert server.verify(first, "INVITE", "sip:x@y", passwords, NOW + 1).ok
    replayed = server.verify(first, "INVITE", "sip:x@y", passwords, NOW + 1)
    assert (replayed.ok, replayed.stale) == (False, True)
    _, second = ours.authorize(asked, "INVITE", "sip:x@y")
    assert "nc=00000002" in second
    assert server.verify(second, "INVITE", "sip:x@y", passwords, NOW + 2).ok
    _, third = ours.authorize(asked, "INVITE", "sip:x@y")
    assert not server.verify(third, "BYE", "sip:x@y", passwords, NOW + 2).ok
    assert not server.verify(third, "INVITE", "sip:other", passwords, NOW + 2).ok
    assert server.verify(third, "INVITE", "sip:x@y", passwords, NOW + 9999).stale
    assert not server.verify(third, "INVITE", "sip:x@y", {"u": "q"}.get, NOW + 2).stale
    assert not server.verify(third, "INVITE", "sip:x@y", {}.get, NOW + 2).ok


@pytest.mark.parametrize(
    "header", [None, "", "Basic x", "Digest", 'Digest username="u"', "Digest " + "a=b," * 99]
)
def test_what_is_no_authorization_is_refused(header: str | None) -> None:
    assert not DigestServer("r", b"s").verify(header, "INVITE", None, {}.get, NOW).ok


def account() -> Account:
    made = Account(
        name="t",
        domain=Uri.parse("sip:sip.example.net"),
        credentials=Credentials("u", "p"),
        make_cnonce=lambda: "c",
    )
    made.learn("192.0.2.7")
    return made


def asked(value: str, method: str = "INVITE") -> Response:
    response = challenge(value)
    response.add("CSeq", f"1 {method}")
    return response


def test_a_password_is_tried_once_and_once_more_only_for_a_stale_nonce() -> None:
    fresh = asked('Digest realm="r", nonce="1", qop="auth"')
    stale = asked('Digest realm="r", nonce="2", qop="auth", stale=true')
    server = ("192.0.2.7", 5060)
    attempt = Attempt(account())
    assert attempt.challenged(fresh, server)
    assert not attempt.challenged(fresh, server)
    attempt = Attempt(account())
    assert attempt.challenged(fresh, server)
    assert attempt.challenged(stale, server)
    assert not attempt.challenged(stale, server)


def test_only_the_trunk_s_own_servers_get_an_answer() -> None:
    bye = asked('Digest realm="sip.example.net", nonce="1"', "BYE")
    assert not Attempt(account()).challenged(bye, ("192.0.2.66", 5060))
    assert not Attempt(None).challenged(bye, ("192.0.2.7", 5060))
    # Nor does another server see what one of them asked for.
    attempt = Attempt(account())
    assert attempt.challenged(bye, ("192.0.2.7", 5060))
    request = Request("BYE", "sip:x@y", [("To", "<sip:x@y>;tag=t")])
    attempt.authorize(request, ("192.0.2.66", 5060))
    assert request.get("Authorization") is None
    attempt.authorize(request, ("192.0.2.7", 5060))
    assert request.get("Authorization") is not None


def test_a_nonce_is_kept_for_the_server_that_it_is_from() -> None:
    ours = account()
    ours.learn("192.0.2.8")
    first, second = ("192.0.2.7", 5060), ("192.0.2.8", 5060)
    for server, realm in ((first, "one"), (second, "two")):
        attempt = Attempt(ours)
        request = Request("INVITE", "sip:x@y", [("To", "<sip:x@y>")])
        attempt.authorize(request, server)
        assert request.get("Authorization") is None
        assert attempt.challenged(asked(f'Digest realm="{realm}", nonce="1", qop="auth"'), server)
    for server, realm in ((first, "one"), (second, "two")):
        request = Request("INVITE", "sip:x@y", [("To", "<sip:x@y>")])
        Attempt(ours).authorize(request, server)
        assert f'realm="{realm}"' in (request.get("Authorization") or "")


def test_no_password_shows_in_a_representation() -> None:
    assert "p4ss" not in repr(Credentials("u", "p4ss"))


def test_who_are_challenged_in_the_same_moment_are_not_taken_for_each_other() -> None:
    server = DigestServer("r", b"secret")
    answers = []
    for user in ("alice", "bob"):
        client = DigestClient(Credentials(user, "pw"), lambda: "c")
        response = Response(401)
        for challenge in server.challenges(1000.0):
            response.add("WWW-Authenticate", challenge)
        answers.append(client.authorize(response, "REGISTER", "sip:r")[1])
    assert [
        server.verify(answer, "REGISTER", "sip:r", {"alice": "pw", "bob": "pw"}.get, 1000.0).ok
        for answer in answers
    ] == [True, True]
