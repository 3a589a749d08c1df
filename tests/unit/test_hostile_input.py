"""Whatever a stranger sends is read, or refused with a ParseError; what can be written can be read again.

The targets are those of the fuzzer (``python -m tests.fuzz``).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack.message import CSeq, NameAddr, Request, Response, Uri, Via, parse_datagram
from sipstack.message.headers import quote_string, split_values, unquote_string
from sipstack.transport.framing import Framing
from tests.fuzz import TARGETS, seeds
from tests.fuzz.__main__ import PIECES, mutated


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds_hold(target: str) -> None:
    for octets in seeds(target):
        TARGETS[target](octets)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_broken_in_many_ways_holds(target: str) -> None:
    rng, beginnings = random.Random(f"{target} 1"), seeds(target)
    for _ in range(400):
        TARGETS[target](mutated(rng.choice(beginnings), beginnings, rng))


@pytest.mark.parametrize("target", TARGETS)
@given(data=st.data())
def test_any_damage_holds(target: str, data: st.DataObject) -> None:
    octets = data.draw(st.sampled_from(seeds(target)))
    at = data.draw(st.integers(0, len(octets)))
    cut = data.draw(st.integers(0, 40))
    noise = data.draw(st.binary(max_size=20) | st.sampled_from(PIECES))
    TARGETS[target](octets[:at] + noise + octets[at + cut :])


@pytest.mark.parametrize("target", TARGETS)
@given(noise=st.binary(max_size=300))
def test_any_noise_holds(target: str, noise: bytes) -> None:
    TARGETS[target](noise)


# --- what is written is read as it was

tokens = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
users = st.text("abcXYZ019-_.!~*'()&=+$,;?/", min_size=1, max_size=12)
hosts = st.sampled_from(["example.com", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "a-b.c"])
ports = st.none() | st.integers(1, 65535)
uri_words = st.text("abcXYZ019-_.!~*'()[]/:&+$%", min_size=1, max_size=8)
uri_params = st.lists(st.tuples(uri_words, st.none() | uri_words), max_size=3).map(tuple)
uri_headers = st.lists(st.tuples(tokens, st.none() | tokens), max_size=2).map(tuple)
uris = st.builds(
    Uri,
    scheme=st.sampled_from(["sip", "sips"]),
    user=st.none() | users,
    password=st.none(),
    host=hosts,
    port=ports,
    params=uri_params,
    headers=uri_headers,
)
foreign = st.builds(
    Uri,
    scheme=st.sampled_from(["tel", "urn", "http"]),
    opaque=st.text("abcXYZ019-_.:/;=+", min_size=1),
)
params = st.lists(st.tuples(tokens, st.none() | tokens), max_size=3).map(tuple)
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\x85\u2028\u2029"), max_size=20
)
addresses = st.builds(NameAddr, names, uris | foreign, params)
vias = st.builds(Via, st.sampled_from(["UDP", "TCP", "TLS", "X-Y"]), hosts, ports, params)


@given(uris | foreign)
def test_a_uri_is_read_as_it_was_written(uri: Uri) -> None:
    assert Uri.parse(str(uri)) == uri
    assert uri.equivalent(Uri.parse(str(uri)))


@given(addresses)
def test_an_address_is_read_as_it_was_written(address: NameAddr) -> None:
    assert NameAddr.parse(str(address)) == address


@given(vias)
def test_a_via_is_read_as_it_was_written(via: Via) -> None:
    assert Via.parse(str(via)) == via


@given(st.lists(addresses, min_size=1, max_size=5))
def test_values_are_cut_where_they_were_joined(values: list[NameAddr]) -> None:
    texts = [str(value) for value in values]
    assert split_values(", ".join(texts)) == texts


@given(names)
def test_a_quoted_string_is_read_as_it_was_written(text: str) -> None:
    assert unquote_string(quote_string(text)) == text


lines = st.tuples(
    tokens.filter(lambda name: name.lower() not in ("content-length", "l")),
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs"]), max_size=30),
)


@given(st.lists(lines, max_size=8), st.binary(max_size=60), st.sampled_from([0, 200, 603]))
def test_a_message_is_read_as_it_was_written(
    headers: list[tuple[str, str]], body: bytes, status: int
) -> None:
    message = (
        Response(status, "Any", headers, body) if status else Request("X", "sip:y", headers, body)
    )
    read = parse_datagram(message.serialize())
    assert read.start_line() == message.start_line()
    assert read.headers == [*headers, ("Content-Length", str(len(body)))]
    assert read.body == body


@given(addresses, addresses, vias, st.integers(0, 2**31 - 1))
def test_a_request_keeps_its_typed_values(
    caller: NameAddr, callee: NameAddr, via: Via, number: int
) -> None:
    request = Request("INVITE", "sip:x@y")
    for name, value in (("Via", via), ("From", caller), ("To", callee), ("Contact", caller)):
        request.add(name, str(value))
    request.add("CSeq", str(CSeq(number, "INVITE")))
    read = parse_datagram(request.serialize())
    assert (read.via, read.from_, read.to, read.contacts) == (via, caller, callee, [caller])
    assert read.cseq == CSeq(number, "INVITE")


@given(st.lists(st.binary(max_size=40), max_size=5), st.lists(st.integers(1, 50), min_size=1))
def test_a_stream_is_cut_into_what_it_was_made_of(bodies: list[bytes], sizes: list[int]) -> None:
    messages = [Request("X", "sip:y", [], body).serialize() for body in bodies]
    stream = b"".join(messages)
    found: list[bytes] = []
    framing, at, turn = Framing(), 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        found += framing.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert found == messages
