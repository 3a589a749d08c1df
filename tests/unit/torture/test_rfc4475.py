r"""The torture tests of RFC 4475: what a user agent does with each of its 49 messages. Their ids are the RFC's own."""

from __future__ import annotations

import pytest

from sipstack.digest import DigestServer
from sipstack.message import ParseError, Request, Response, parse_datagram
from sipstack.registrar import Registrar
from sipstack.sdp import SessionDescription
from tests.unit.torture.agent import SDP, SOURCE, message, receive


def request(octets: bytes) -> Request:
    parsed = parse_datagram(octets)
    assert isinstance(parsed, Request)
    return parsed


def response(octets: bytes) -> Response:
    parsed = parse_datagram(octets)
    assert isinstance(parsed, Response)
    return parsed


# -- 3.1.1: valid messages -----------------------------------------------------------------------


def test_wsinv_a_short_tortuous_invite() -> None:
    octets = message(
        r"""
INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n
from   : "J Rosenberg \\\""       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
Content-Length   : {length}
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \"\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33
""",
        SDP,
    )
    found = request(octets)
    assert found.uri.has_param("unknownparam")
    assert (found.to.tag, found.from_.tag) == ("1918181833n", "98asjd8")
    assert found.from_.display_name == 'J Rosenberg \\"'
    assert (found.max_forwards, found.cseq.number, found.cseq.method) == (68, 9, "INVITE")
    hops = [(via.transport, via.host, via.branch) for via in found.vias]
    assert hops == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert found.get("Subject") == ""
    assert found.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert found.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    (contact,) = found.contacts
    assert contact.display_name == 'Quoted string ""'
    assert contact.param("newparam") == "newvalue"
    assert ("secondparam", None) in contact.params
    assert contact.param("q") == "0.33"
    assert found.routes[0].uri.param("unknownwith") == "value"
    assert SessionDescription.parse(found.body).media[0].port == 49217
    # A dialog cannot be made of a To that has a tag already.
    assert receive(octets).status == 481


def test_intmeth_wide_range_of_valid_characters() -> None:
    octets = message(
        """
!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0
Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~
To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>
From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%="\u0440\u0430\u0431\u043e\u0442\u0430\u044e\u0449\u0438\u0439";tag=_token~1'+`*%!-.
Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/"][?}{
CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~
Max-Forwards: 255
extensionHeader-!.%*+_`'~:\ufeff\u5927\u505c\u96fb
Content-Length: 0
"""
    )
    found = request(octets)
    assert found.method == "!interesting-Method0123456789_*+`.%indeed'~" == found.cseq.method
    assert found.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert found.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert found.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert found.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert found.from_.tag == "_token~1'+`*%!-."
    assert found.from_.param("fromparam''~+*_!.-%") == '"работающий"'
    assert found.via.branch == "z9hG4bK-.!%66*_+`'~"
    assert found.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert found.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"
    outcome = receive(octets)
    assert outcome.status == 501
    assert outcome.responses[0].get("Allow")


def test_esc01_valid_use_of_the_escaping_mechanism() -> None:
    octets = message(
        """
INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0
To: sip:%75se%72@example.com
From: <sip:I%20have%20spaces@example.net>;tag=938
Max-Forwards: 87
i: esc01.239409asdfakjkn23onasd0-3234
CSeq: 234234 INVITE
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw
C: application/sdp
Contact:
  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>
Content-Length: {length}
""",
        SDP,
    )
    found = request(octets)
    assert found.uri.user == "sips%3Auser%40example.com"
    assert found.to.uri.equivalent(type(found.uri).parse("sip:user@example.com"))
    assert found.from_.uri.user == "I%20have%20spaces"
    same = type(found.uri).parse("sip:caller@host5.example.net;lr;name=value%2541")
    other = type(found.uri).parse("sip:caller@host5.example.net;lr;name=valueA")
    assert found.contacts[0].uri.equivalent(same)
    assert not found.contacts[0].uri.equivalent(other), "unescaping is never done twice"
    assert len(receive(octets).calls) == 1


def test_escnull_escaped_nulls_in_uris() -> None:
    octets = message(
        """
REGISTER sip:example.com SIP/2.0
To: sip:null-%00-null@example.com
From: sip:null-%00-null@example.com;tag=839923423
Max-Forwards: 70
Call-ID: escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd
CSeq: 14398234 REGISTER
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw
Contact: <sip:%00@host5.example.com>
Contact: <sip:%00%00@host5.example.com>
L:0
"""
    )
    found = request(octets)
    assert found.to.uri.user == "null-%00-null"
    one, two = found.contacts
    assert not one.uri.equivalent(two.uri)
    assert receive(octets).status == 405


def test_esc02_percent_where_it_is_no_escape() -> None:
    octets = message(
        """
RE%47IST%45R sip:registrar.example.com SIP/2.0
To: "%Z%45" <sip:resource@example.com>
From: "%Z%45" <sip:resource@example.com>;tag=f232jadfj23
Call-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf
Via: SIP/2.0/TCP host.example.com;branch=z9hG4bK209%fzsnel234
CSeq: 29344 RE%47IST%45R
Max-Forwards: 70
Contact: <sip:alias1@host1.example.com>
C%6Fntact: <sip:alias2@host2.example.com>
Contact: <sip:alias3@host3.example.com>
l: 0
"""
    )
    found = request(octets)
    assert found.method == "RE%47IST%45R"
    assert found.to.display_name == "%Z%45"
    assert [contact.uri.user for contact in found.contacts] == ["alias1", "alias3"]
    assert receive(octets).status == 501


def test_lwsdisp_no_space_before_the_bracket() -> None:
    octets = message(
        """
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: caller<sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID: lwsdisp.1234abcd@funky.example.com
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP funky.example.com;branch=z9hG4bKkdjuw
l: 0
"""
    )
    assert request(octets).from_.display_name == "caller"
    assert receive(octets).status == 200


def test_longreq_long_values() -> None:
    many = "\n".join(f"Via: SIP/2.0/TCP sip{n}.example.com" for n in range(33, 0, -1))
    octets = message(
        f"""
INVITE sip:user@example.com SIP/2.0
To: "I have a user name of {"extreme" * 10} proportion"<sip:user@example.com:6000;unknownparam1=very{"long" * 20}value;longparam{"name" * 25}=shortvalue;very{"long" * 25}ParameterNameWithNoValue>
F: sip:{"amazinglylongcallername" * 5}@example.net;tag=12{"982" * 50}424;unknownheaderparam{"name" * 20}=unknowheaderparam{"value" * 15};unknownValueless{"paramname" * 10}
Call-ID: longreq.one{"really" * 20}longcallid
CSeq: 3882340 INVITE
Unknown-{"Long" * 20}-Name: unknown-{"long" * 20}-value; unknown-{"long" * 20}-parameter-name = unknown-{"long" * 20}-parameter-value
{many}
Via: SIP/2.0/TCP host.example.com;received=192.0.2.5;branch=very{"long" * 50}branchvalue
Max-Forwards: 70
Contact: <sip:{"amazinglylongcallername" * 5}@host5.example.net>
Content-Type: application/sdp
l: {{length}}
""",
        SDP,
    )
    found = request(octets)
    assert len(found.vias) == 34
    assert found.vias[-1].branch == f"very{'long' * 50}branchvalue"
    assert found.to.uri.port == 6000
    assert found.to.uri.param(f"longparam{'name' * 25}") == "shortvalue"
    assert found.from_.tag == f"12{'982' * 50}424"
    assert len(receive(octets).calls) == 1


def test_dblreq_two_requests_in_one_datagram() -> None:
    first = message(
        """
REGISTER sip:example.com SIP/2.0
To: sip:j.user@example.com
From: sip:j.user@example.com;tag=43251j3j324
Max-Forwards: 8
I: dblreq.0ha0isndaksdj99sdfafnl3lk233412
Contact: sip:j.user@host.example.com
CSeq: 8 REGISTER
Via: SIP/2.0/UDP 192.0.2.125;branch=z9hG4bKkdjuw23492
Content-Length: 0
"""
    )
    second = message(
        """
INVITE sip:joe@example.com SIP/2.0
t: sip:joe@example.com
From: sip:caller@example.net;tag=141334
Max-Forwards: 8
Call-ID: dblreq.0ha0isnda977644900765@192.0.2.15
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw380234
Content-Type: application/sdp
Content-Length: {length}
""",
        SDP,
    )
    found = request(first + b"\r\n" + second)
    assert (found.method, found.body) == ("REGISTER", b"")
    outcome = receive(first + b"\r\n" + second)
    assert [r.cseq.method for r in outcome.responses] == ["REGISTER"]


def test_semiuri_semicolon_in_the_user_part() -> None:
    octets = message(
        """
OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0
To: sip:j_user@example.com
From: sip:caller@example.org;tag=33242
Max-Forwards: 3
Call-ID: semiuri.0ha0isndaksdj
CSeq: 8 OPTIONS
Accept: application/sdp, application/pkcs7-mime,
        multipart/mixed, multipart/signed,
        message/sip, message/sipfrag
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw
l: 0
"""
    )
    found = request(octets)
    assert (found.uri.user, found.uri.host) == ("user;par=u%40example.net", "example.com")
    assert len(found.values("Accept")) == 6
    assert receive(octets).status == 200


def test_transports_varied_and_unknown_transports() -> None:
    octets = message(
        """
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: <sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID:  transports.kijh4akdnaqjkwendsasfdj
Accept: application/sdp
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw
Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf
Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj
Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en
Via: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee
l: 0
"""
    )
    transports = [via.transport for via in request(octets).vias]
    assert transports == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]
    assert receive(octets).status == 200


def test_mpart01_multipart_with_binary() -> None:
    body = (
        b"--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\nHello\r\n"
        b"--7a9cbec02ceef655\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\n0\x82\x01R\x06\t*\x86H\x86\xf7\r\x01\x07\x02\xa0"
        b"\x00\x00\xff\xfe\r\n\r\n\x00--\r\n--7a9cbec02ceef655--\r\n"
    )
    octets = message(
        """
MESSAGE sip:kumiko@example.org SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-;rport
Max-Forwards: 70
Route: <sip:127.0.0.1:5080>
Identity: r5mwreLuyDRYBi/0TiPwEsY3rEVsk/G2WxhgTV1PF7hHuLIK0YWVKZhKv9Mj8UeXqkMVbnVq37CD=
Contact: <sip:fluffy@127.0.0.1:5070>
To: <sip:kumiko@example.org>
From: <sip:fluffy@example.com>;tag=2fb0dcc9
Call-ID: 3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..
CSeq: 1 MESSAGE
Content-Transfer-Encoding: binary
Content-Type: multipart/mixed;boundary=7a9cbec02ceef655
Date: Sat, 15 Oct 2005 04:44:56 GMT
User-Agent: SIPimp.org/0.2.5 (curses)
Content-Length: {length}
""",
        body,
    )
    found = request(octets)
    assert found.body == body
    assert found.content_type == "multipart/mixed;boundary=7a9cbec02ceef655"
    assert receive(octets).status == 405


def test_unreason_unusual_reason_phrase() -> None:
    phrase = "= 2**3 * 5**2 но сто девяносто девять - простое"
    found = response(
        message(
            f"""
SIP/2.0 200 {phrase}
Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923
Call-ID: unreason.1234ksdfak3j2erwedfsASdf
CSeq: 35 INVITE
From: sip:user@example.com;tag=11141343
To: sip:user@example.edu;tag=2229
Content-Length: {{length}}
Content-Type: application/sdp
Contact: <sip:user@host198.example.com>
""",
            SDP,
        )
    )
    assert (found.status, found.reason) == (200, phrase)
    assert found.serialize().startswith(f"SIP/2.0 200 {phrase}\r\n".encode())


def test_noreason_empty_reason_phrase() -> None:
    found = response(
        message(
            """
SIP/2.0 100 \nVia: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe
Call-ID: noreason.asndj203insdf99223ndf
CSeq: 35 INVITE
From: <sip:user@example.com>;tag=39ansfi3
To: <sip:user@example.edu>;tag=902jndnke3
Content-Length: 0
Contact: <sip:user@host105.example.com>
"""
        )
    )
    assert (found.status, found.reason) == (100, "")


# -- 3.1.2: invalid messages ---------------------------------------------------------------------


def test_badinv01_extraneous_separators() -> None:
    octets = message(
        """
INVITE sip:user@example.com SIP/2.0
To: sip:j.user@example.com
From: sip:caller@example.net;tag=134161461246
Max-Forwards: 7
Call-ID: badinv01.0ha0isndaksdjasdf3234nas
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.15;;,;,,
Contact: "Joe" <sip:joe@example.org>;;;;
Content-Length: {length}
Content-Type: application/sdp
""",
        SDP,
    )
    assert receive(octets).status == 400


def _invite(start: str, more: str = "", **headers: str) -> bytes:
    lines = {
        "Max-Forwards": "80",
        "To": "sip:j.user@example.com",
        "From": "sip:caller@example.net;tag=93942939o2",
        "Contact": "<sip:caller@hungry.example.net>",
        "Call-ID": "torture.0ha0isndaksdjweiafasdk3",
        "CSeq": "8 INVITE",
        "Via": "SIP/2.0/UDP host5.example.com;branch=z9hG4bK-39234-23523",
        "Content-Type": "application/sdp",
        "Content-Length": "{length}",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    text = "\n".join([start, *(f"{name}: {value}" for name, value in lines.items())])
    return message(text + more, SDP)


START = "INVITE sip:user@example.com SIP/2.0"


def test_clerr_content_length_larger_than_the_message() -> None:
    assert receive(_invite(START, Content_Length="9999")).status == 400


def test_ncl_negative_content_length() -> None:
    assert receive(_invite(START, Content_Length="-999")).status == 400


def test_scalar02_request_scalar_fields_with_overlarge_values() -> None:
    octets = message(
        """
REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/TCP host129.example.com;branch=z9hG4bK342sdfoi3
To: <sip:user@example.com>
From: <sip:user@example.com>;tag=239232jh3
CSeq: 36893488147419103232 REGISTER
Call-ID: scalar02.23o0pd9vanlq3wnrlnewofjas9ui32
Max-Forwards: 300
Expires: 10000000000000000000000000000000000000000000000000000000000000000000000000000000
Contact: <sip:user@host129.example.com>
  ;expires=280297596632815
Content-Length: 0
"""
    )
    assert receive(octets).status == 400


def test_scalarlg_response_scalar_fields_with_overlarge_values() -> None:
    octets = message(
        """
SIP/2.0 503 Service Unavailable
Via: SIP/2.0/TCP host129.example.com;branch=z9hG4bKzzxdiwo34sw;received=192.0.2.129
To: <sip:user@example.com>
From: <sip:other@example.net>;tag=2easdjfejw
CSeq: 9292394834772304023312 OPTIONS
Call-ID: scalarlg.noase0of0234hn2qofoaf0232aewf2394r
Retry-After: 949302838503028349304023988
Warning: 1812 overture "In Progress"
Content-Length: 0
"""
    )
    with pytest.raises(ParseError):
        assert response(octets).cseq
    assert receive(octets).responses == []


def test_quotbal_unterminated_quoted_string() -> None:
    assert receive(_invite(START, To='"Mr. J. User <sip:j.user@example.com>')).status == 400


def test_ltgtruri_brackets_around_the_request_uri() -> None:
    assert receive(_invite("INVITE <sip:user@example.com> SIP/2.0")).status == 400


def test_lwsruri_space_in_the_request_uri() -> None:
    assert receive(_invite("INVITE sip:user@example.com; lr SIP/2.0")).status == 400


def test_lwsstart_several_spaces_in_the_request_line() -> None:
    assert receive(_invite("INVITE  sip:user@example.com  SIP/2.0")).status == 400


def _options(start: str = "OPTIONS sip:user@example.com SIP/2.0", **headers: str) -> bytes:
    method = start.split()[0]
    lines = {
        "Via": "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw",
        "Max-Forwards": "70",
        "From": "sip:caller@example.org;tag=33242",
        "To": "sip:user@example.com",
        "Call-ID": "torture.sadonfo23i420jv0as0derf3j3n",
        "CSeq": f"8 {method}",
        "Accept": "application/sdp",
        "l": "0",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    return message("\n".join([start, *(f"{name}: {value}" for name, value in lines.items())]))


def test_trws_spaces_at_the_end_of_the_request_line() -> None:
    octets = _options("OPTIONS sip:remote-target@example.com SIP/2.0").replace(
        b"SIP/2.0\r\nVia", b"SIP/2.0  \r\nVia"
    )
    assert receive(octets).status == 400


def test_escruri_headers_in_the_request_uri() -> None:
    start = "INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"
    assert receive(_invite(start)).status == 400


def test_baddate_a_date_of_another_zone_is_ignored() -> None:
    octets = _invite(START, Date="Fri, 01 Jan 2010 16:00:00 EST")
    assert len(receive(octets).calls) == 1


def test_regbadct_contact_with_headers_and_no_brackets() -> None:
    octets = _options(
        "REGISTER sip:example.com SIP/2.0",
        Contact="sip:user@example.com?Route=%3Csip:sip.example.com%3E",
    )
    assert receive(octets).status == 400


def test_badaspec_spaces_within_the_address_are_forgiven() -> None:
    octets = _options(To='"Watson, Thomas" < sip:t.watson@example.org >')
    assert request(octets).to.uri.user == "t.watson"
    assert receive(octets).status == 200


def test_baddn_a_display_name_without_the_quotes_it_needs_is_forgiven() -> None:
    octets = _options(From="Bell, Alexander <sip:a.g.bell@example.com>;tag=43")
    assert request(octets).from_.display_name == "Bell, Alexander"
    assert receive(octets).status == 200


def test_badvers_unknown_version() -> None:
    octets = _options(
        "OPTIONS sip:t.watson@example.org SIP/7.0",
        Via="SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw",
    )
    outcome = receive(octets)
    assert outcome.status == 505
    assert outcome.destinations == [SOURCE], "where it came from: its Via cannot be read"


def test_mismatch01_the_cseq_names_another_method() -> None:
    assert receive(_options(CSeq="8 INVITE")).status == 400


def test_mismatch02_the_cseq_names_another_method_than_an_unknown_one() -> None:
    assert receive(_options("NEWMETHOD sip:user@example.com SIP/2.0", CSeq="8 INVITE")).status in (
        400,
        501,
    )


def test_bigcode_overlarge_status() -> None:
    octets = message(
        """
SIP/2.0 4294967301 better not break the receiver
Via: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe
Call-ID: bigcode.asdof3uj203asdnf3429uasdhfas3ehjasdfas9i
CSeq: 353494 INVITE
From: <sip:user@example.com>;tag=39ansfi3
To: <sip:user@example.edu>;tag=902jndnke3
Content-Length: 0
Contact: <sip:user@host105.example.com>
"""
    )
    with pytest.raises(ParseError):
        parse_datagram(octets)
    assert receive(octets).responses == []


# -- 3.2: transaction layer ----------------------------------------------------------------------


def test_badbranch_a_branch_without_an_identifier() -> None:
    octets = _options(Via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK")
    outcome = receive(octets)
    assert outcome.status == 200
    assert outcome.responses[0].via.branch == "z9hG4bK"


# -- 3.3: application layer ----------------------------------------------------------------------


def test_insuf_missing_required_headers() -> None:
    octets = message(
        """
INVITE sip:user@example.com SIP/2.0
CSeq: 193942 INVITE
Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf
Content-Type: application/sdp
l: {length}
""",
        SDP,
    )
    outcome = receive(octets)
    assert outcome.status == 400
    assert "Missing" in outcome.responses[0].reason


def test_unkscm_request_uri_with_unknown_scheme() -> None:
    start = "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"
    assert receive(_options(start)).status == 416


def test_novelsc_request_uri_with_a_registered_scheme_of_no_use() -> None:
    assert receive(_options("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0")).status == 416


def test_unksm2_unknown_schemes_in_headers() -> None:
    octets = _options(
        "REGISTER sip:example.com SIP/2.0",
        To="isbn:2983792873",
        From="<http://www.example.com>;tag=3234233",
        Contact="<name:John_Smith>",
    )
    found = request(octets)
    assert (found.to.uri.scheme, found.to.uri.opaque) == ("isbn", "2983792873")
    assert found.contacts[0].uri.scheme == "name"
    assert receive(octets).status == 405
    assert 400 <= _registrar().receive(found, SOURCE, 0.0).status < 500


def test_bext01_unknown_required_extensions() -> None:
    octets = _options(
        Require="nothingSupportsThis, nothingSupportsThisEither",
        Proxy_Require="noProxiesSupportThis, norDoAnyProxiesSupportThis",
    )
    outcome = receive(octets)
    assert outcome.status == 420
    assert outcome.responses[0].values("Unsupported") == [
        "nothingSupportsThis",
        "nothingSupportsThisEither",
    ]


def test_invut_unknown_content_type() -> None:
    outcome = receive(_invite(START, Content_Type="application/unknownformat"))
    assert outcome.status == 415
    assert outcome.responses[-1].get("Accept") == "application/sdp"


def _registrar() -> Registrar:
    return Registrar(DigestServer("example.com", b"s"), {"j.user": "pw"}.get, new_tag=lambda: "t")


def test_regaut01_unknown_authorization_scheme() -> None:
    octets = _options(
        "REGISTER sip:example.com SIP/2.0",
        To="sip:j.user@example.com",
        From="sip:j.user@example.com;tag=87321hj23128",
        Authorization="NoOneKnowsThisScheme opaque-data=here",
    )
    found = request(octets)
    assert found.get("Authorization") == "NoOneKnowsThisScheme opaque-data=here"
    answer = _registrar().receive(found, SOURCE, 0.0)
    assert answer.status == 401
    assert answer.get("WWW-Authenticate")


def test_multi01_several_values_where_there_may_be_one() -> None:
    octets = message(
        """
INVITE sip:user@company.com SIP/2.0
Contact: <sip:caller@host25.example.net>
Via: SIP/2.0/UDP 192.0.2.25;branch=z9hG4bKkdjuw
Max-Forwards: 70
CSeq: 5 INVITE
Call-ID: multi01.98asdh@192.0.2.1
CSeq: 59 INVITE
Call-ID: multi01.98asdh@192.0.2.2
From: sip:caller@example.com;tag=3413415
To: sip:user@example.com
To: sip:other@example.net
From: sip:caller@example.net;tag=2923420123
Content-Type: application/sdp
l: {length}
Contact: <sip:caller@host36.example.net>
Max-Forwards: 5
""",
        SDP,
    )
    assert receive(octets).status == 400


def test_mcl01_several_content_lengths() -> None:
    octets = message(
        """
OPTIONS sip:user@example.com SIP/2.0
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bK293423
To: sip:user@example.com
From: sip:other@example.net;tag=3923942
Call-ID: mcl01.fhn2323orihawfdoa3o4r52o3irsdf
CSeq: 15932 OPTIONS
Content-Length: 13
Max-Forwards: 60
Content-Length: 5
Content-Type: text/plain
""",
        "There's no way to know how many octets are supposed to be here.",
    )
    assert receive(octets).status == 400


def test_bcast_a_response_with_a_broadcast_address_in_its_via_goes_nowhere() -> None:
    octets = message(
        """
SIP/2.0 200 OK
Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923
Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23
Call-ID: bcast.0384840201234ksdfak3j2erwedfsASdf
CSeq: 35 INVITE
From: sip:user@example.com;tag=11141343
To: sip:user@example.edu;tag=2229
Content-Length: {length}
Content-Type: application/sdp
Contact: <sip:user@host28.example.com>
""",
        SDP,
    )
    assert response(octets).vias[1].host == "255.255.255.255"
    assert receive(octets).responses == []


def test_zeromf_no_hops_left_is_no_fault_at_the_end_of_the_way() -> None:
    assert receive(_options(Max_Forwards="0")).status == 200


def test_cparam01_a_parameter_without_brackets_is_the_header_s() -> None:
    octets = _options(
        "REGISTER sip:example.com SIP/2.0",
        Contact="sip:+19725552222@gw1.example.net;unknownparam",
    )
    (contact,) = request(octets).contacts
    assert contact.params == (("unknownparam", None),)
    assert contact.uri.params == ()


def test_cparam02_a_parameter_in_brackets_is_the_uri_s() -> None:
    octets = _options(
        "REGISTER sip:example.com SIP/2.0",
        Contact="<sip:+19725552222@gw1.example.net;unknownparam>",
    )
    (contact,) = request(octets).contacts
    assert contact.params == ()
    assert contact.uri.params == (("unknownparam", None),)


def test_regescrt_headers_in_a_registered_contact() -> None:
    octets = _options(
        "REGISTER sip:example.com SIP/2.0",
        Contact="<sip:user@example.com?Route=%3Csip:sip.example.com%3E>",
    )
    (contact,) = request(octets).contacts
    assert contact.uri.headers == (("Route", "%3Csip:sip.example.com%3E"),)


def test_sdp01_an_accept_that_takes_no_answer() -> None:
    assert receive(_invite(START, Accept="text/nobodyKnowsThis")).status == 406


# -- 3.4: backward compatibility -----------------------------------------------------------------


def test_inv2543_an_invite_of_the_old_kind() -> None:
    octets = message(
        """
INVITE sip:UserB@example.com SIP/2.0
Via: SIP/2.0/UDP iftgw.example.com
From: <sip:+13035551111@ift.client.example.net;user=phone>
Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>
To: sip:+16505552222@ss1.example.net;user=phone
Call-ID: inv2543.1717@ift.client.example.com
CSeq: 56 INVITE
Content-Type: application/sdp
""",
        SDP,
    )
    outcome = receive(octets)
    assert len(outcome.calls) == 1
    assert outcome.calls[0].invite.from_.tag is None
    assert outcome.status is None
