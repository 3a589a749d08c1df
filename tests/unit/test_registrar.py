"""The server of REGISTER."""

from itertools import count

import pytest

from sipstack.digest import Credentials, DigestClient, DigestServer
from sipstack.message import Request, Response, Uri
from sipstack.registrar import MOST_BINDINGS, Registrar

SOURCE = ("192.0.2.5", 5060)
NOW = 1000.0


class Phone:
    """Registers ``user`` with its password, challenges included."""

    def __init__(self, registrar: Registrar, user: str = "bob", password: str = "pw") -> None:
        self.registrar = registrar
        self.user = user
        self.digest = DigestClient(Credentials(user, password), lambda: "c")
        self.numbers = count(1)

    def ask(
        self, contact: str = "<sip:bob@192.0.2.5>", expires: str = "300", now: float = NOW,
        call_id: str = "reg", cseq: int | None = None, to: str | None = None,
        domain: str = "example.test", more: tuple[tuple[str, str], ...] = (),
    ) -> Response:  # fmt: skip
        authorization: tuple[str, str] | None = None
        for _ in range(3):
            request = Request("REGISTER", "sip:example.test")
            request.add("Via", "SIP/2.0/UDP 192.0.2.5;branch=z9hG4bKx")
            request.add("From", f"<sip:{self.user}@example.test>;tag=f")
            request.add("To", f"<sip:{to or self.user}@{domain}>")
            request.add("Call-ID", call_id)
            request.add("CSeq", f"{cseq or next(self.numbers)} REGISTER")
            if contact:
                request.add("Contact", contact)
            if expires:
                request.add("Expires", expires)
            for header in more:
                request.add(*header)
            if authorization:
                request.add(*authorization)
            response = self.registrar.receive(request, SOURCE, now)
            if response.status != 401:
                break
            authorization = self.digest.authorize(response, "REGISTER", "sip:example.test")
        return response


@pytest.fixture
def registrar() -> Registrar:
    return Registrar(
        DigestServer("example.test", b"secret"),
        {"bob": "pw", "eve": "ev"}.get,
        min_expires=60,
        max_expires=600,
        new_tag=lambda: "t",
    )


def contacts(registrar: Registrar, now: float = NOW) -> list[str]:
    return [str(binding.contact) for binding in registrar.bindings("bob", now)]


def test_a_binding_is_kept_until_it_expires(registrar: Registrar) -> None:
    response = Phone(registrar).ask()
    assert response.status == 200
    assert response.contacts[0].param("expires") == "300"
    assert contacts(registrar, NOW + 299) == ["sip:bob@192.0.2.5"]
    assert contacts(registrar, NOW + 301) == []


def test_a_wrong_password_or_another_s_name_registers_nothing(registrar: Registrar) -> None:
    assert Phone(registrar, password="no").ask().status == 401
    assert Phone(registrar, user="eve", password="ev").ask(to="bob").status == 403
    assert contacts(registrar) == []


def test_too_short_an_expiry_gets_423_with_the_shortest(registrar: Registrar) -> None:
    response = Phone(registrar).ask(expires="10")
    assert (response.status, response.get("Min-Expires")) == (423, "60")
    assert Phone(registrar).ask(expires="99999").contacts[0].param("expires") == "600"


def test_expires_zero_and_the_star_remove(registrar: Registrar) -> None:
    phone = Phone(registrar)
    phone.ask()
    phone.ask(contact="<sip:bob@192.0.2.6>;expires=100", expires="")
    assert len(contacts(registrar)) == 2
    phone.ask(contact="<sip:bob@192.0.2.5>;expires=0")
    assert contacts(registrar) == ["sip:bob@192.0.2.6"]
    assert phone.ask(contact="*", expires="5").status == 400
    assert phone.ask(contact="*", expires="0").status == 200
    assert contacts(registrar) == []


def test_an_older_cseq_of_the_same_call_changes_nothing(registrar: Registrar) -> None:
    phone = Phone(registrar)
    assert phone.ask(cseq=50).status == 200
    assert phone.ask(cseq=49, expires="0").status == 500
    assert phone.ask(cseq=50).status == 200, "a copy of the same request"
    assert len(contacts(registrar)) == 1
    assert phone.ask(cseq=1, call_id="restarted").status == 200


def test_a_query_lists_and_bindings_are_bounded(registrar: Registrar) -> None:
    phone = Phone(registrar)
    for number in range(MOST_BINDINGS):
        assert phone.ask(contact=f"<sip:bob@192.0.2.{number + 10}>").status == 200
    assert phone.ask(contact="<sip:bob@192.0.2.99>").status == 403
    assert len(phone.ask(contact="", expires="").contacts) == MOST_BINDINGS


def test_what_cannot_be_read_is_refused(registrar: Registrar) -> None:
    assert Phone(registrar).ask(contact="<sip:").status == 400
    assert Uri.parse("sip:bob@192.0.2.5").host == "192.0.2.5"


def test_the_preferred_contact_is_the_first_and_of_equals_the_newest(registrar: Registrar) -> None:
    phone = Phone(registrar)
    for contact in ("<sip:a@192.0.2.5>;q=0.5", "<sip:b@192.0.2.5>", "<sip:c@192.0.2.5>;q=2"):
        phone.ask(contact=contact)
    response = phone.ask(contact="<sip:d@192.0.2.5>;q=0.50")
    assert [str(binding.contact.user) for binding in registrar.bindings("bob", NOW)] == [
        "c", "b", "d", "a",
    ]  # fmt: skip
    assert [contact.param("q") for contact in response.contacts] == [None, None, "0.5", "0.5"]


def test_the_proxies_on_the_way_are_kept_and_told_to_who_knows_them(registrar: Registrar) -> None:
    phone = Phone(registrar)
    path = ("Path", "<sip:edge.test;lr>, <sip:core.test;lr>")
    assert phone.ask(more=(path,)).get("Path") is None
    (binding,) = registrar.bindings("bob", NOW)
    assert [str(hop) for hop in binding.path] == ["<sip:edge.test;lr>", "<sip:core.test;lr>"]
    response = phone.ask(more=(path, ("Supported", "path"), ("Require", "path")))
    assert response.status == 200
    assert response.values("Path") == ["<sip:edge.test;lr>", "<sip:core.test;lr>"]
    many = ("Path", ", ".join(f"<sip:{n}.test;lr>" for n in range(11)))
    assert phone.ask(more=(many,)).status == 400
    assert phone.ask(more=(("Path", "<sip:"),)).status == 400
    refused = phone.ask(more=(("Require", "path, outbound"),))
    assert (refused.status, refused.get("Unsupported")) == (420, "outbound")


def test_an_address_of_another_domain_is_not_found(registrar: Registrar) -> None:
    assert Phone(registrar).ask(domain="elsewhere.test").status == 404
    assert contacts(registrar) == []


@pytest.mark.parametrize("text", ["99999999999", "4294967296", "soon", "-1", "9" * 5000])
def test_an_expiry_that_cannot_be_read_is_an_hour(registrar: Registrar, text: str) -> None:
    # RFC 3261 §20.19 and §20.10; of it, as of any, what this registrar grants at most.
    assert Phone(registrar).ask(expires=text).status == 200
    assert [each.expires for each in registrar.bindings("bob", NOW)] == [NOW + 600]
    own = f"<sip:bob@192.0.2.5>;expires={text}"
    assert Phone(registrar).ask(own, expires="120", call_id="b").status == 200
    assert [each.expires for each in registrar.bindings("bob", NOW)] == [NOW + 600]
