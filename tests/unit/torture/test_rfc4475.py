"""The 49 torture messages of RFC 4475, each with what that RFC says an endpoint does with it."""

import pytest

from sipstack.digest import Credentials, DigestClient, DigestServer
from sipstack.message import ParseError, Request, Response, parse_datagram
from sipstack.message.multipart import find_part
from sipstack.registrar import Registrar
from sipstack.sdp import SessionDescription
from sipstack.transport.framing import Framing, FramingError
from tests.unit import torture
from tests.unit.torture import PEER, Endpoint


def octets(name: str) -> bytes:
    return torture.octets("rfc4475", name)


def request(name: str) -> Request:
    message = parse_datagram(octets(name))
    assert isinstance(message, Request)
    return message


def response(name: str) -> Response:
    message = parse_datagram(octets(name))
    assert isinstance(message, Response)
    return message


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


def refused(endpoint: Endpoint, name: str, status: int) -> Response:
    """The endpoint refuses the message, once, with ``status``; nothing is left of it."""
    answer = endpoint.answer(octets(name))
    assert answer.status == status, answer.start_line()
    assert not endpoint.calls
    assert endpoint.agent.transactions == 0
    return answer


def answered(endpoint: Endpoint, name: str) -> Response:
    """The endpoint takes the call."""
    answer = endpoint.answer(octets(name))
    assert answer.status == 200, answer.start_line()
    assert len(endpoint.calls) == 1
    return answer


class Domain:
    """A registrar whose users all have the same password."""

    def __init__(self) -> None:
        self.registrar = Registrar(
            DigestServer("example.com", b"secret"), lambda user: "pw", new_tag=lambda: "t"
        )

    def register(self, name: str, username: str) -> Response:
        """Send the REGISTER of this name, the challenge answered."""
        digest = DigestClient(Credentials(username, "pw"), lambda: "c")
        first = self.registrar.receive(request(name), PEER, 1000.0)
        if first.status != 401:
            return first
        again = request(name)
        again.add(*digest.authorize(first, "REGISTER", again.request_uri))
        return self.registrar.receive(again, PEER, 1000.0)

    def fetch(self, name: str, username: str) -> list[str]:
        """The URIs that are bound now, asked for by a REGISTER without Contact."""
        digest = DigestClient(Credentials(username, "pw"), lambda: "c")
        query = request(name)
        query.remove("Contact")
        challenge = self.registrar.receive(query, PEER, 1001.0)
        query.add(*digest.authorize(challenge, "REGISTER", query.request_uri))
        found = self.registrar.receive(query, PEER, 1001.0)
        assert found.status == 200
        return [str(contact.uri) for contact in found.contacts]


# --- 3.1.1 valid messages


def test_wsinv_is_read_through_folds_escapes_and_white_space(endpoint: Endpoint) -> None:
    m = request("wsinv")
    assert m.method == "INVITE"
    assert (m.uri.user, m.uri.host) == ("vivekg", "chair-dnrc.example.com")
    assert m.uri.params == (("unknownparam", None),)
    assert (str(m.to.uri), m.to.tag) == ("sip:vivekg@chair-dnrc.example.com", "1918181833n")
    assert (m.from_.display_name, m.from_.tag) == ('J Rosenberg \\"', "98asjd8")
    assert m.max_forwards == 68
    assert m.call_id == "wsinv.ndaksdj@192.0.2.1"
    assert (m.cseq.number, m.cseq.method) == (9, "INVITE")
    assert [(via.transport, via.host, via.branch) for via in m.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert m.get("Subject") == ""
    assert m.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert m.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert m.routes[0].uri.params == (
        ("lr", None),
        ("unknownwith", "value"),
        ("unknown-no-value", None),
    )
    contact = m.contacts[0]
    assert contact.display_name == 'Quoted string ""'
    assert contact.params == (("newparam", "newvalue"), ("secondparam", None), ("q", "0.33"))
    assert len(m.body) == 150
    assert SessionDescription.parse(m.body).address == "192.0.2.4"
    # Well-formed, so it is only its To tag that says: of a dialog that we have not.
    refused(endpoint, "wsinv", 481)


def test_intmeth_has_each_character_that_may_be_there_and_an_unknown_method(
    endpoint: Endpoint,
) -> None:
    m = request("intmeth")
    assert m.method == m.cseq.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert m.cseq.number == 139122385
    assert m.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert m.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert m.uri.host == "example.com"
    assert m.via.branch == "z9hG4bK-.!%66*_+`'~"
    assert m.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert m.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert m.from_.param("fromparam''~+*_!.-%") == '"работающий"'
    assert m.from_.tag == "_token~1'+`*%!-."
    assert m.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert m.max_forwards == 255
    assert m.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"
    answer = refused(endpoint, "intmeth", 501)
    assert "INVITE" in (answer.get("Allow") or "")
    assert answer.to.display_name == m.to.display_name


def test_esc01_is_unescaped_once_and_only_where_escapes_are_meant(endpoint: Endpoint) -> None:
    m = request("esc01")
    assert (m.uri.unescaped_user, m.uri.host) == ("sips:user@example.com", "example.net")
    assert m.to.uri.unescaped_user == "user"
    assert m.from_.uri.unescaped_user == "I have spaces"
    contact = m.contacts[0].uri
    assert contact.unescaped_user == "caller"
    assert contact.has_param("lr")
    assert contact.param("name") == "value%41"
    answered(endpoint, "esc01")


def test_escnull_registers_two_contacts_that_differ_in_nulls_only() -> None:
    m = request("escnull")
    assert m.to.uri.unescaped_user == m.from_.uri.unescaped_user == "null-\x00-null"
    assert [contact.uri.unescaped_user for contact in m.contacts] == ["\x00", "\x00\x00"]
    domain = Domain()
    assert domain.register("escnull", "null-\x00-null").status == 200
    bound = domain.fetch("escnull", "null-\x00-null")
    assert sorted(bound) == ["sip:%00%00@host5.example.com", "sip:%00@host5.example.com"]


def test_esc02_is_not_unescaped_where_escapes_mean_nothing(endpoint: Endpoint) -> None:
    m = request("esc02")
    assert m.method == "RE%47IST%45R"
    assert m.to.display_name == m.from_.display_name == "%Z%45"
    assert [contact.uri.user for contact in m.contacts] == ["alias1", "alias3"]
    assert m.get("C%6Fntact") == "<sip:alias2@host2.example.com>"
    refused(endpoint, "esc02", 501)


def test_lwsdisp_needs_no_space_after_a_display_name(endpoint: Endpoint) -> None:
    m = request("lwsdisp")
    assert (m.from_.display_name, str(m.from_.uri)) == ("caller", "sip:caller@example.com")
    assert endpoint.answer(octets("lwsdisp")).status == 200


def test_longreq_has_long_values_and_many_of_them(endpoint: Endpoint) -> None:
    m = request("longreq")
    assert m.to.display_name == f"I have a user name of {'extreme' * 10} proportion"
    assert m.to.uri.port == 6000
    assert m.to.uri.param("unknownparam1") == f"very{'long' * 20}value"
    assert m.to.uri.has_param(f"very{'long' * 25}parameternamewithnovalue")
    assert m.from_.uri.user == "amazinglylongcallername" * 5
    assert m.from_.tag == f"12{'982' * 50}424"
    assert m.call_id == f"longreq.one{'really' * 20}longcallid"
    assert len(m.vias) == 34
    assert m.vias[-1].branch == f"very{'long' * 50}branchvalue"
    assert m.vias[-1].received == "192.0.2.5"
    assert len(m.body) == 150
    answered(endpoint, "longreq")


def test_dblreq_ends_where_its_content_length_says(endpoint: Endpoint) -> None:
    m = request("dblreq")
    assert (m.method, m.body) == ("REGISTER", b"")
    refused(endpoint, "dblreq", 405)


def test_semiuri_keeps_its_semicolons_in_the_user(endpoint: Endpoint) -> None:
    m = request("semiuri")
    assert (m.uri.unescaped_user, m.uri.host) == ("user;par=u@example.net", "example.com")
    assert m.uri.params == ()
    assert len(m.values("Accept")) == 6
    assert endpoint.answer(octets("semiuri")).status == 200


def test_transports_may_be_any_in_a_via(endpoint: Endpoint) -> None:
    found = [via.transport for via in request("transports").vias]
    assert found == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]
    answer = endpoint.answer(octets("transports"))
    assert answer.status == 200
    assert [via.transport for via in answer.vias] == found


def test_mpart01_has_a_text_and_a_binary_part(endpoint: Endpoint) -> None:
    m = request("mpart01")
    assert len(m.body) == 553
    assert find_part(m.content_type, m.body, "text/plain") == b"Hello"
    binary = find_part(m.content_type, m.body, "application/octet-stream")
    assert binary is not None
    # DER says its own length: four octets of header, and what they announce.
    assert (binary[:4], len(binary)) == (b"\x30\x82\x01\x52", 4 + 0x152)
    refused(endpoint, "mpart01", 405)


def test_unreason_says_what_it_wants(endpoint: Endpoint) -> None:
    assert response("unreason").reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    heard = endpoint.hears(octets("unreason"))
    assert heard is not None
    assert heard.status == 200
    assert SessionDescription.parse(heard.body).address == "192.0.2.198"


def test_noreason_says_nothing(endpoint: Endpoint) -> None:
    assert (response("noreason").status, response("noreason").reason) == (100, "")
    heard = endpoint.hears(octets("noreason"))
    assert heard is not None
    assert heard.status == 100


# --- 3.1.2 invalid messages


def test_badinv01_has_separators_with_nothing_between(endpoint: Endpoint) -> None:
    refused(endpoint, "badinv01", 400)


def test_clerr_says_that_its_body_is_longer(endpoint: Endpoint) -> None:
    answer = refused(endpoint, "clerr", 400)
    assert answer.reason == "Body shorter than Content-Length"
    assert list(Framing().feed(octets("clerr"))) == [], "a stream may still bring the rest"


def test_ncl_has_a_negative_length(endpoint: Endpoint) -> None:
    answer = refused(endpoint, "ncl", 400)
    assert "Content-Length" in answer.reason
    for length in (b"-999", b"five"):
        with pytest.raises(FramingError):
            list(Framing().feed(octets("ncl").replace(b"-999", length)))


def test_scalar02_has_numbers_out_of_range(endpoint: Endpoint) -> None:
    answer = refused(endpoint, "scalar02", 400)
    assert "CSeq" in answer.reason


def test_scalarlg_is_dropped_for_its_cseq(endpoint: Endpoint) -> None:
    assert endpoint.hears(octets("scalarlg")) is None


def test_quotbal_has_a_quote_that_is_not_closed(endpoint: Endpoint) -> None:
    assert "To" in refused(endpoint, "quotbal", 400).reason


def test_ltgtruri_has_brackets_around_the_request_uri(endpoint: Endpoint) -> None:
    refused(endpoint, "ltgtruri", 400)


def test_lwsruri_has_a_space_in_the_request_uri(endpoint: Endpoint) -> None:
    refused(endpoint, "lwsruri", 400)


def test_lwsstart_has_two_spaces_in_the_request_line(endpoint: Endpoint) -> None:
    refused(endpoint, "lwsstart", 400)


def test_trws_has_spaces_after_the_request_line(endpoint: Endpoint) -> None:
    refused(endpoint, "trws", 400)


def test_escruri_has_headers_in_the_request_uri(endpoint: Endpoint) -> None:
    refused(endpoint, "escruri", 400)


def test_baddate_has_a_date_that_nobody_needs(endpoint: Endpoint) -> None:
    answered(endpoint, "baddate")


def test_regbadct_has_a_question_mark_in_a_contact_without_brackets(endpoint: Endpoint) -> None:
    assert "Contact" in refused(endpoint, "regbadct", 400).reason


def test_badaspec_has_spaces_in_the_brackets_which_are_forgiven_and_not_repeated(
    endpoint: Endpoint,
) -> None:
    assert str(request("badaspec").to) == '"Watson, Thomas" <sip:t.watson@example.org>'
    assert endpoint.answer(octets("badaspec")).status == 200


def test_baddn_has_a_comma_in_a_display_name_without_quotes(endpoint: Endpoint) -> None:
    refused(endpoint, "baddn", 400)


def test_badvers_is_of_a_version_to_come(endpoint: Endpoint) -> None:
    answer = refused(endpoint, "badvers", 505)
    assert (answer.get("Via") or "").startswith("SIP/7.0/UDP c.example.com;")


def test_mismatch01_has_another_method_in_its_cseq(endpoint: Endpoint) -> None:
    assert "CSeq" in refused(endpoint, "mismatch01", 400).reason


def test_mismatch02_has_so_too_and_a_method_that_nobody_knows(endpoint: Endpoint) -> None:
    assert refused(endpoint, "mismatch02", 501).get("Allow")


def test_bigcode_is_dropped(endpoint: Endpoint) -> None:
    with pytest.raises(ParseError):
        parse_datagram(octets("bigcode"))
    assert endpoint.hears(octets("bigcode")) is None


# --- 3.2 transaction layer


def test_badbranch_is_told_from_others_as_before_rfc_3261(endpoint: Endpoint) -> None:
    assert request("badbranch").via.branch == "z9hG4bK"
    assert endpoint.answer(octets("badbranch")).status == 200


# --- 3.3 application layer


def test_insuf_lacks_what_every_request_has(endpoint: Endpoint) -> None:
    answer = refused(endpoint, "insuf", 400)
    assert answer.reason == "Missing From header"
    assert answer.get("Call-ID") is None


def test_unkscm_has_a_scheme_that_nobody_knows(endpoint: Endpoint) -> None:
    assert request("unkscm").uri.opaque == "totallyopaquecontent"
    refused(endpoint, "unkscm", 416)


def test_novelsc_has_a_scheme_that_is_not_for_calls(endpoint: Endpoint) -> None:
    assert request("novelsc").uri.scheme == "soap.beep"
    refused(endpoint, "novelsc", 416)


def test_unksm2_has_foreign_uris_which_a_registrar_cannot_register(endpoint: Endpoint) -> None:
    m = request("unksm2")
    assert str(m.to.uri) == "isbn:2983792873"
    assert (str(m.from_.uri), m.from_.tag) == ("http://www.example.com", "3234233")
    assert str(m.contacts[0].uri) == "name:John_Smith"
    refused(endpoint, "unksm2", 405)
    assert Domain().register("unksm2", "x").status == 400


def test_bext01_requires_what_we_do_not_know(endpoint: Endpoint) -> None:
    answer = refused(endpoint, "bext01", 420)
    assert answer.values("Unsupported") == ["nothingSupportsThis", "nothingSupportsThisEither"]


def test_invut_has_a_body_of_an_unknown_type(endpoint: Endpoint) -> None:
    answer = refused(endpoint, "invut", 415)
    assert (answer.get("Accept"), answer.get("Accept-Encoding")) == ("application/sdp", "identity")


def test_regaut01_is_authorized_by_an_unknown_scheme(endpoint: Endpoint) -> None:
    refused(endpoint, "regaut01", 405)
    challenge = Domain().registrar.receive(request("regaut01"), PEER, 1000.0)
    assert challenge.status == 401
    assert (challenge.get("WWW-Authenticate") or "").startswith("Digest ")


def test_multi01_has_several_of_what_there_is_one(endpoint: Endpoint) -> None:
    assert refused(endpoint, "multi01", 400).reason.startswith("Several ")


def test_mcl01_has_two_lengths(endpoint: Endpoint) -> None:
    assert "Content-Length" in refused(endpoint, "mcl01", 400).reason
    with pytest.raises(FramingError):
        list(Framing().feed(octets("mcl01")))


def test_bcast_is_dropped_for_its_second_via(endpoint: Endpoint) -> None:
    assert response("bcast").vias[1].host == "255.255.255.255"
    assert endpoint.hears(octets("bcast")) is None


def test_zeromf_has_come_as_far_as_it_may(endpoint: Endpoint) -> None:
    assert request("zeromf").max_forwards == 0
    assert endpoint.answer(octets("zeromf")).status == 200


def test_cparam01_has_a_parameter_of_the_contact() -> None:
    domain = Domain()
    assert domain.register("cparam01", "watson").status == 200
    assert domain.fetch("cparam01", "watson") == ["sip:+19725552222@gw1.example.net"]


def test_cparam02_has_a_parameter_of_the_uri() -> None:
    domain = Domain()
    assert domain.register("cparam02", "watson").status == 200
    bound = ["sip:+19725552222@gw1.example.net;unknownparam"]
    assert domain.fetch("cparam02", "watson") == bound


def test_regescrt_has_a_header_in_the_uri() -> None:
    domain = Domain()
    assert domain.register("regescrt", "user").status == 200
    bound = ["sip:user@example.com?Route=%3Csip:sip.example.com%3E"]
    assert domain.fetch("regescrt", "user") == bound


def test_sdp01_accepts_nothing_that_we_could_answer_with(endpoint: Endpoint) -> None:
    assert (refused(endpoint, "sdp01", 406).get("Warning") or "").startswith("399 ")


# --- 3.4 backward compatibility


def test_inv2543_is_a_call_as_it_was_before_rfc_3261(endpoint: Endpoint) -> None:
    m = request("inv2543")
    assert (m.via.branch, m.from_.tag, m.content_length, m.max_forwards) == (None,) * 4
    assert m.body.endswith(b"m=audio 49217 RTP/AVP 0\r\n")
    answer = answered(endpoint, "inv2543")
    assert answer.record_routes[0].uri.param("maddr") == "ss1.example.com"
    assert endpoint.media[0].address == "192.0.2.5"
