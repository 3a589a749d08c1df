"""URIs, headers, messages and the parser: what is read, what is kept, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.message import (
    CSeq,
    NameAddr,
    ParseError,
    Request,
    Response,
    Uri,
    Via,
    check_request,
    make_request,
    make_response,
    parse_datagram,
)
from sipstack.message import headers as header_values
from sipstack.message import uri as uris
from sipstack.message.headers import split_values
from sipstack.message.uri import MOST_REMEMBERED, WORTH_REMEMBERING

B = Uri.parse("sip:b@192.0.2.2")
INVITE = (
    "INVITE sip:bob@biloxi.example.com;transport=udp SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKx;rport\r\n"
    "Max-Forwards: 70\r\n"
    'From: "Alice, A." <sip:alice@atlanta.example.com>;tag=1\r\n'
    "t: Bob <sip:bob@biloxi.example.com>\r\n"
    "i: call@example\r\n"
    "CSeq: 7 INVITE\r\n"
    "m: <sip:alice@192.0.2.1:5062>\r\n"
    "Record-Route: <sip:p2;lr>,\r\n <sip:p1;lr>\r\n"
    "X-Unknown: Kept As It Came\r\n"
    "Content-Length: 4\r\n\r\nbody and more"
)


def invite(**changes: str) -> Request:
    text = INVITE
    for old, new in changes.items():
        text = text.replace(old, new)
    message = parse_datagram(text.encode())
    assert isinstance(message, Request)
    return message


def test_compact_names_folding_and_comma_joined_values_are_read() -> None:
    message = invite()
    assert message.method == "INVITE"
    assert message.uri.param("transport") == "udp"
    assert message.via.branch == "z9hG4bKx"
    assert message.via.has_param("rport")
    assert message.via.rport is None
    assert message.from_ == NameAddr(
        "Alice, A.", Uri.parse("sip:alice@atlanta.example.com"), (("tag", "1"),)
    )
    assert message.to.display_name == "Bob"
    assert message.call_id == "call@example"
    assert message.cseq == CSeq(7, "INVITE")
    assert message.contacts[0].uri.port == 5062
    assert [route.uri.host for route in message.record_routes] == ["p2", "p1"]
    assert message.body == b"body"
    assert check_request(message) is None


def test_order_and_spelling_are_kept_on_the_way_out() -> None:
    octets = invite().serialize()
    assert b"\r\nt: Bob <sip:bob@biloxi.example.com>\r\ni: call@example\r\n" in octets
    assert b"X-Unknown: Kept As It Came" in octets
    assert octets.endswith(b"Content-Length: 4\r\n\r\nbody")


@pytest.mark.parametrize(
    "text",
    [
        "sip:a@b",
        "sip:+1-212-555-1212:1234@gateway.example.com;user=phone",
        "sips:alice@atlanta.example.com?subject=project%20x&priority=urgent",
        "sip:[2001:db8::10]:5070;lr",
        "sip:alice@[2001:db8::10]",
        "tel:+358-555-1234567",
        "sip:alice;day=tuesday@atlanta.example.com",
        "unknown:stuff@x?y",
    ],
)
def test_a_uri_is_written_as_it_was_read(text: str) -> None:
    assert str(Uri.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "bob",
        "sip:a@",
        "sip:@b",
        "sip:a@b:0",
        "sip:a@b:99999",
        "sip:a b@c",
        "sip:a@[::1",
        "sip:a@b\r\nX: y",
    ],
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Uri.parse(text)


EQUIVALENT = [
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
    ("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
     "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"),
    ("sip:alice@atlanta.com?subject=project%20x&priority=urgent",
     "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
]  # fmt: skip
DIFFERENT = [
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        *[(*pair, True) for pair in EQUIVALENT],
        *[(*pair, False) for pair in DIFFERENT],
        # What the text of §19.1.4 says besides, and other kinds of addresses and URIs.
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com", False),
        ("sip:bob:a@biloxi.com", "sip:bob:A@biloxi.com", False),
        ("sip:bob@biloxi.com;maddr=192.0.2.1", "sip:bob@biloxi.com", False),
        ("sip:bob@biloxi.com;user=phone", "sip:bob@biloxi.com", False),
        ("sip:bob@biloxi.com;lr", "sip:bob@biloxi.com", True),
        ("sip:b%FF@biloxi.com", "sip:b%FE@biloxi.com", False),
        ("sip:%2B1%2c2@biloxi.com", "sip:%2b1%2C2@biloxi.com", True),
        *[(f"sip:a{sign}b@biloxi.com", f"sip:a%{ord(sign):02X}b@biloxi.com", False) for sign in "/&=+$,"],
        *[(f"sip:a{sign}b@biloxi.com", f"sip:a%{ord(sign):02X}b@biloxi.com", True) for sign in "-_.!~*'()"],
        ("sip:a%253Bb@biloxi.com", "sip:a%3Bb@biloxi.com", False),
        ("sip:biloxi.com?subject=a%26b", "sip:biloxi.com?subject=a%26B", False),
        ("sip:bob@[2001:db8::1]", "sip:bob@[2001:DB8:0::0:1]", True),
        ("sip:bob@[2001:db8::1]", "sip:bob@[2001:db8::2]", False),
        ("tel:+358-555-1234567;Phone-Context=x;a", "tel:+3585551234567;a;phone-context=X", True),
        ("tel:+358-555-1234567", "tel:+358-555-1234568", False),
        ("tel:7042;phone-context=example.com", "tel:7042", False),
        ("URN:service:sos", "urn:service:sos", True),
        ("urn:service:sos", "urn:service:other", False),
    ],
)  # fmt: skip
def test_uris_compare_as_the_rfc_s_examples(one: str, other: str, same: bool) -> None:
    assert Uri.parse(one).equivalent(Uri.parse(other)) is same
    assert Uri.parse(other).equivalent(Uri.parse(one)) is same


def test_escapes_are_undone_once_where_they_are_asked_for() -> None:
    uri = Uri.parse("sip:%75se%72%40@h;%6C%72;n%61me=v%61lue%2541")
    assert str(uri) == "sip:%75se%72%40@h;%6C%72;n%61me=v%61lue%2541"
    assert uri.unescaped_user == "user@"
    assert uri.has_param("lr")
    assert uri.param("name") == "value%41"


def test_what_is_remembered_of_addresses_is_bounded_and_read_as_before() -> None:
    for number in range(2 * MOST_REMEMBERED + 10):
        address = NameAddr.parse(f"<sip:u{number}@example.test>;tag={number}")
        assert (address.uri.user, address.tag) == (f"u{number}", str(number))
    assert len(header_values._KNOWN) <= MOST_REMEMBERED
    assert len(uris._KNOWN) <= MOST_REMEMBERED
    assert NameAddr.parse("<sip:u1@example.test>") is NameAddr.parse("<sip:u1@example.test>")
    longer = f"<sip:{'u' * WORTH_REMEMBERING}@example.test>"
    assert NameAddr.parse(longer) == NameAddr.parse(longer)
    assert longer not in header_values._KNOWN


def test_splitting_reads_no_value_and_each_is_read_once() -> None:
    broken = INVITE.replace("m: <sip", "m: <<sip").replace("CSeq: 7", "CSeq: x")
    message = parse_datagram(broken.encode())
    for read in ("contacts", "cseq"):
        with pytest.raises(ParseError):
            getattr(message, read)
    for read in ("via", "vias", "from_", "to", "record_routes"):
        assert getattr(message, read) is getattr(message, read)
    message.set("To", "<sip:other@example.com>")
    assert message.to.uri.user == "other"


def test_a_request_is_read_as_what_it_was_made_of() -> None:
    who = NameAddr('A "b"', Uri.parse("sip:a@192.0.2.1;x=y"), (("tag", "1"),))
    routes = [NameAddr.parse("<sip:p1;lr>"), NameAddr.parse("<sip:p2;lr>")]
    made = make_request(
        "BYE", B, routes=routes, from_=who, to=NameAddr("", B), call_id="c", sequence=7
    )
    read = parse_datagram(made.serialize())
    assert isinstance(read, Request)
    for each in (made, read):
        assert (each.method, each.uri, each.max_forwards) == ("BYE", B, 70)
        assert (each.from_, each.to, each.call_id) == (who, NameAddr("", B), "c")
        assert (each.cseq, each.routes) == (CSeq(7, "BYE"), routes)


#: What is done to a message in between, each with whatever header it is about.
CHANGES = st.sampled_from(["add", "set", "insert_first", "remove", "remove_first", "push_via"])
HEADERS = st.sampled_from(
    [
        *[("From", f"<sip:a@b>;tag={n}") for n in range(3)],
        *[("f", "<sip:c@b>"), ("To", "<sip:d@b>"), ("Call-ID", "1"), ("i", "2"), ("CSeq", "1 BYE")],
        *[("Via", f"SIP/2.0/UDP h;branch={n}") for n in range(3)],
        *[("v", "SIP/2.0/TCP a, SIP/2.0/UDP b"), ("Contact", "<sip:e@b>, <sip:f@b>"), ("m", "*")],
        *[("Route", "<sip:p;lr>"), ("Record-Route", "<sip:q;lr>, <sip:r;lr>"), ("X", "1")],
    ]
)


def everything_in(message: Request) -> list[object]:
    """What each question is answered with."""
    found: list[object] = []
    for name in ("via", "vias", "from_", "to", "call_id", "cseq", "contacts", "contact_star"):
        try:
            found.append(getattr(message, name))
        except ParseError as error:
            found.append(error.reason)
    found += [message.routes, message.record_routes]
    for name in ("From", "to", "v", "Via", "Contact", "CSeq", "i", "X"):
        found += [message.get(name), message.get_all(name)]
    return found


@given(st.lists(st.tuples(CHANGES, HEADERS, st.booleans()), max_size=12))
def test_whatever_was_asked_and_changed_before_the_headers_are_read_as_they_stand(
    changes: list[tuple[str, tuple[str, str], bool]],
) -> None:
    message = make_request(
        "BYE", B, routes=(), from_=NameAddr("", B), to=NameAddr("", B), call_id="c", sequence=7
    )
    for change, (name, value), is_asked in changes:
        if is_asked:
            everything_in(message)
        if change in ("remove", "remove_first"):
            getattr(message, change)(name)
        elif change == "push_via":
            message.push_via(Via("UDP", "h", None, (("branch", f"z{len(value)}"),)))
        else:
            getattr(message, change)(name, value)
    assert everything_in(message) == everything_in(Request("BYE", B, message.headers))


@pytest.mark.parametrize(
    ("text", "via"),
    [
        ("SIP/2.0/UDP 192.0.2.1;branch=x", Via("UDP", "192.0.2.1", None, (("branch", "x"),))),
        ("SIP / 2.0 / TCP [2001:db8::1]:5061 ; received=1.2.3.4",
         Via("TCP", "2001:db8::1", 5061, (("received", "1.2.3.4"),))),
    ],
)  # fmt: skip
def test_vias_are_read_with_white_space_anywhere(text: str, via: Via) -> None:
    assert Via.parse(text) == via


@pytest.mark.parametrize(
    ("params", "branch"),
    [
        ("", None),
        (";rport;branch=z9hG4bKx", "z9hG4bKx"),
        (";BRANCH=a=b,c;received=192.0.2.1", "a=b,c"),
        (";Branch=abc,d;received=192.0.2.1", "abc,d"),
        (";branch;branch=late", None),
        (";branch-x=1;xbranch=2;branch=right", "right"),
        (";x=;branch=no", "no"),
    ],
)
def test_a_branch_is_the_same_whether_or_not_the_parameters_were_cut_apart(
    params: str, branch: str | None
) -> None:
    via = Via.parse(f"SIP/2.0/UDP 192.0.2.9{params}")
    assert via.branch == branch
    assert via.param("branch") == branch
    assert via.branch == branch


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_our_own_via_is_written_as_it_is_read(host: str) -> None:
    ours = Via.of_ours("TCP", host, 5070, "z9hG4bKabc")
    written = f"SIP/2.0/TCP {f'[{host}]' if ':' in host else host}:5070;rport;branch=z9hG4bKabc"
    assert str(ours) == written
    assert Via.parse(written) == ours
    assert (ours.branch, ours.has_param("rport"), ours.rport) == ("z9hG4bKabc", True, None)


@given(st.text(), st.binary(max_size=2000))
def test_the_size_of_a_message_is_known_before_it_is_written(name: str, body: bytes) -> None:
    shown = "".join(c for c in name if c.isprintable())
    request = invite()
    request.set("From", str(NameAddr(shown, B, (("tag", "1"),))))
    request.remove("Content-Length")
    request.body = body
    assert request.size == len(request.serialize())
    response = make_response(request, 200)
    response.body = body
    assert response.size == len(response.serialize())


def test_values_are_cut_at_commas_outside_of_quotes_and_brackets_only() -> None:
    text = '"a, \\"b" <sip:x@y,z>, <sip:c>;q="1,2" , sip:d'
    assert split_values(text) == ['"a, \\"b" <sip:x@y,z>', '<sip:c>;q="1,2"', "sip:d"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"CSeq: 7 INVITE": "CSeq: 7 BYE"}, 400),
        ({"CSeq: 7 INVITE": "CSeq: x INVITE"}, 400),
        ({"SIP/2.0\r\nVia": "SIP/3.0\r\nVia"}, 505),
        ({"INVITE sip:bob": "INVITE http:bob"}, 416),
        ({"t: Bob <sip:bob@biloxi.example.com>\r\n": ""}, 400),
        ({"m: <sip": "m: <<sip"}, 400),
        ({"Max-Forwards: 70": "Max-Forwards: many"}, 400),
    ],
)
def test_what_is_wrong_with_a_request_decides_its_answer(
    changes: dict[str, str], status: int
) -> None:
    try:
        wrong = check_request(invite(**changes))
    except ParseError as error:
        wrong = error
    assert wrong is not None
    assert wrong.status == status


@pytest.mark.parametrize("cut", ["Content-Length: 4", "Content-Length: 99", "X-Unknown: Kept\x00"])
def test_a_broken_request_that_can_be_answered_comes_with_the_error(cut: str) -> None:
    text = (
        INVITE.replace("Content-Length: 4", cut)
        if "Length" in cut
        else INVITE.replace("X-Unknown: Kept", cut)
    )
    if cut == "Content-Length: 4":
        text = text[:-20].replace("\r\n\r\n", "\r\n")
    with pytest.raises(ParseError) as caught:
        parse_datagram(text.encode())
    assert caught.value.status == 400
    assert caught.value.request is not None
    assert make_response(caught.value.request, 400).status == 400


def test_a_response_copies_what_it_has_to() -> None:
    response = make_response(invite(), 200, to_tag="ours")
    assert response.get("Via") == "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKx;rport"
    assert response.to.tag == "ours"
    assert len(response.record_routes) == 2
    assert make_response(invite(), 100, to_tag="ours").to.tag is None
    assert make_response(invite(), 486, to_tag="ours").record_routes == []


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "a\rb"])
def test_no_header_can_be_forged_through_a_value(value: str) -> None:
    message = Request("OPTIONS", "sip:x@y")
    message.add("Subject", value)
    with pytest.raises(ValueError, match="control"):
        message.serialize()
    with pytest.raises(ValueError, match="unsafe"):
        Request("OPTIONS", "sip:x", [(value, "v")]).serialize()
    with pytest.raises(ValueError, match="control"):
        Response(200, value).serialize()


def test_quotes_in_a_display_name_are_escaped() -> None:
    name = NameAddr('say "hi" \\ there', Uri.parse("sip:a@b"), ())
    assert str(name) == '"say \\"hi\\" \\\\ there" <sip:a@b>'
    assert NameAddr.parse(str(name)) == name


def test_any_byte_survives_the_way_in_and_out() -> None:
    text = INVITE.encode().replace(b"Kept As", b"K\xff\xc3\xa9")
    assert b"K\xff\xc3\xa9 It Came" in parse_datagram(text).serialize()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_noise_raises_nothing_but_parse_errors(noise: bytes) -> None:
    read_all(noise)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(INVITE)), st.integers(0, 40), st.binary(max_size=12))
def test_a_damaged_message_raises_nothing_but_parse_errors(at: int, cut: int, noise: bytes) -> None:
    whole = INVITE.encode()
    read_all(whole[:at] + noise + whole[at + cut :])


def read_all(octets: bytes) -> None:
    try:
        message = parse_datagram(octets)
        if isinstance(message, Request):
            check_request(message)
            _ = message.uri
        _ = (message.vias, message.from_, message.to, message.cseq, message.contacts)
        _ = (message.routes, message.record_routes, message.expires, message.max_forwards)
    except ParseError:
        pass


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ((), None),
        (("0",), 0),
        (("00000000000060",), 60),
        (("4294967295",), 2**32 - 1),
        (("4294967296",), 3600),
        (("99999999999",), 3600),
        (("9" * 10_000,), 3600),
        (("-1",), 3600),
        (("soon",), 3600),
        (("",), 3600),
        (("60", "60"), 60),
        (("60", "90"), 3600),
    ],
)
def test_an_expires_that_cannot_be_read_is_an_hour(
    lines: tuple[str, ...], seconds: int | None
) -> None:
    assert Response(200, headers=[("Expires", line) for line in lines]).expires == seconds
