"""What two user agents know of each other (RFC 3261 §12)."""

from __future__ import annotations

import json

import pytest

from sipstack.dialog import Dialog, secured
from sipstack.message import NameAddr, ParseError, Request, Uri, make_response


def invite(*record_routes: str) -> Request:
    request = Request("INVITE", "sip:bob@example.com")
    request.add("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
    request.add("From", "Alice <sip:alice@example.com>;tag=a")
    request.add("To", "<sip:bob@example.com>")
    request.add("Call-ID", "call")
    request.add("CSeq", "7 INVITE")
    request.add("Contact", "<sip:alice@192.0.2.1>")
    for route in record_routes:
        request.add("Record-Route", route)
    return request


ROUTES = ("<sip:last.example.com;lr>", "<sip:middle.example.com;lr>, <sip:first.example.com;lr>")


def dialog_of_ours(*record_routes: str) -> Dialog:
    request = invite(*record_routes)
    ok = make_response(request, 200, to_tag="b", headers=[("Contact", "<sip:bob@192.0.2.9:5070>")])
    return Dialog.from_response(invite(), ok)


def test_the_caller_goes_through_the_proxies_from_its_own_end() -> None:
    dialog = dialog_of_ours(*ROUTES)
    request = dialog.request("BYE")
    hosts = [route.uri.host for route in request.routes]
    assert hosts == ["first.example.com", "middle.example.com", "last.example.com"]
    assert request.request_uri == "sip:bob@192.0.2.9:5070"
    assert dialog.next_hop().host == "first.example.com"
    assert (request.to.tag, request.from_.tag, request.cseq.number) == ("b", "a", 8)


def test_the_callee_goes_through_them_in_the_order_they_stand() -> None:
    dialog = Dialog.from_request(invite(*ROUTES), "b")
    hosts = [route.uri.host for route in dialog.request("BYE").routes]
    assert hosts == ["last.example.com", "middle.example.com", "first.example.com"]
    assert dialog.request("BYE").request_uri == "sip:alice@192.0.2.1"


def test_a_strict_router_gets_itself_as_the_request_uri_and_the_target_last() -> None:
    dialog = dialog_of_ours("<sip:last.example.com;lr>", "<sip:strict.example.com>")
    request = dialog.request("INFO")
    assert request.request_uri == "sip:strict.example.com"
    assert [str(route.uri) for route in request.routes] == [
        "sip:last.example.com;lr",
        "sip:bob@192.0.2.9:5070",
    ]
    assert dialog.next_hop().host == "strict.example.com"


def test_an_ack_has_the_number_of_its_invite_and_takes_none() -> None:
    dialog = dialog_of_ours()
    assert dialog.request("ACK", 7).cseq.number == 7
    assert [dialog.request("INFO").cseq.number for _ in range(3)] == [8, 9, 10]


def test_the_peer_s_numbers_have_to_grow() -> None:
    dialog = dialog_of_ours()

    def numbered(number: int) -> Request:
        request = invite()
        request.set("CSeq", f"{number} INVITE")
        return request

    assert dialog.check_sequence(numbered(5)) is None
    assert dialog.check_sequence(numbered(9)) is None
    late = dialog.check_sequence(numbered(6))
    assert late is not None and late.status == 500


def test_a_new_contact_moves_the_target_and_the_routes_stay() -> None:
    dialog = dialog_of_ours(*ROUTES)
    moved = invite("<sip:elsewhere.example.com;lr>")
    moved.set("Contact", "<sip:bob@192.0.2.77>")
    dialog.refresh_target(moved)
    assert dialog.request("BYE").request_uri == "sip:bob@192.0.2.77"
    assert dialog.next_hop().host == "first.example.com"


def test_whoever_comes_after_us_can_hang_up_with_what_was_written_down() -> None:
    dialog = dialog_of_ours(*ROUTES)
    dialog.request("INFO")
    loaded = Dialog.load(json.loads(json.dumps(dialog.dump())))
    bye, before = loaded.request("BYE"), dialog.request("BYE")
    assert bye.get_all("Route") == before.get_all("Route")
    assert (bye.request_uri, bye.call_id) == (before.request_uri, "call")
    assert (bye.from_.tag, bye.to.tag) == ("a", "b")
    assert bye.cseq.number > before.cseq.number


@pytest.mark.parametrize("spoilt", [{"local": "<sip:"}, {"remote_target": ""}])
def test_what_was_written_down_badly_is_refused(spoilt: dict[str, str]) -> None:
    with pytest.raises(ParseError):
        Dialog.load(dialog_of_ours().dump() | spoilt)


def test_a_callee_of_the_old_kind_without_a_contact_is_answered_at_its_address() -> None:
    request = invite()
    ok = make_response(request, 200, to_tag="b")
    assert Dialog.from_response(request, ok).request("BYE").request_uri == "sip:bob@example.com"


def test_what_no_request_uri_may_have_is_left_out_of_it() -> None:
    """RFC 3261 §12.2.1.1, §19.1.1: neither headers nor a method, which would have the request refused."""
    request = invite("<sip:last.example.com;lr>")
    contact = "<sip:bob@192.0.2.9;method=REFER;x=y?Subject=a&Route=%3Csip:evil%3E>"
    ok = make_response(request, 200, to_tag="b", headers=[("Contact", contact)])
    dialog = Dialog.from_response(invite(), ok)
    assert dialog.request("BYE").request_uri == "sip:bob@192.0.2.9;x=y"
    strict = make_response(request, 200, to_tag="b", headers=[("Contact", contact)])
    strict.set("Record-Route", "<sip:strict.example.com;method=REFER?Subject=a>")
    dialog = Dialog.from_response(invite(), strict)
    bye = dialog.request("BYE")
    assert bye.request_uri == "sip:strict.example.com"
    assert [str(route.uri) for route in bye.routes] == ["sip:bob@192.0.2.9;x=y"]


@pytest.mark.parametrize(
    ("way", "secure"),
    [
        (["sip:a@b.test"], False),
        (["sips:a@b.test"], True),
        (["sip:a@b.test", "sips:proxy.test;lr"], True),
        (["sip:a@b.test", "sip:proxy.test;lr;transport=tls"], False),
    ],
)
def test_where_the_way_is_one_of_tls_all_along_our_contact_is_too(
    way: list[str], secure: bool
) -> None:
    contact = NameAddr.parse("<sip:us@192.0.2.1:5061;transport=tls;x=y>;z=1")
    found = secured(contact, *(Uri.parse(uri) for uri in way))
    assert str(found) == ("<sips:us@192.0.2.1:5061;x=y>;z=1" if secure else str(contact))
