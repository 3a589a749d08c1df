"""The session description among several parts."""

from __future__ import annotations

import pytest

from sipstack.message.multipart import find_part

SDP = b"v=0\r\ns=-\r\n"


def parts(*bodies: tuple[str, bytes], boundary: str = "b1") -> bytes:
    made = [f"--{boundary}\r\n{head}\r\n\r\n".encode() + body for head, body in bodies]
    return b"\r\n".join([*made, f"--{boundary}--\r\n".encode()])


@pytest.mark.parametrize("head", ["Content-Type: application/sdp", "c:\r\n  APPLICATION/SDP;x=y"])
@pytest.mark.parametrize("boundary", ["b1", '"b1"'])
def test_the_description_is_found_among_others(head: str, boundary: str) -> None:
    body = parts(("Content-Type: application/isup", b"\x00\x01--b2"), (head, SDP))
    assert find_part(f"multipart/mixed; boundary={boundary}", body, "application/sdp") == SDP


def test_a_body_that_is_one_needs_no_parts_and_another_has_none() -> None:
    assert find_part("Application/SDP; charset=utf-8", SDP, "application/sdp") == SDP
    assert find_part("text/plain", SDP, "application/sdp") is None
    assert find_part(None, SDP, "application/sdp") is None
    assert find_part("application/sdp", b"", "application/sdp") is None
    assert (
        find_part("multipart/mixed", parts(("c: application/sdp", SDP)), "application/sdp") is None
    )


def test_parts_in_parts_are_followed_but_not_for_ever() -> None:
    body, kind = SDP, "application/sdp"
    for level in range(5):
        body = parts((f"Content-Type: {kind}", body), boundary=f"l{level}")
        kind = f"multipart/related;boundary=l{level}"
        found = find_part(kind, body, "application/sdp")
        assert found == (SDP if level < 3 else None)


def test_what_comes_after_the_last_boundary_or_the_most_parts_is_not_looked_at() -> None:
    body = parts(("c: text/plain", b"x")) + parts(("c: application/sdp", SDP))
    assert find_part("multipart/mixed;boundary=b1", body, "application/sdp") is None
    many = parts(*[("c: text/plain", b"x")] * 100, ("c: application/sdp", SDP))
    assert find_part("multipart/mixed;boundary=b1", many, "application/sdp") is None


def test_a_boundary_that_begins_as_another_is_another() -> None:
    inner = parts(("c: text/plain", b"x"), ("c: application/sdp", SDP), boundary="b11")
    outer = parts(("c: multipart/alternative;boundary=b11", inner), ("c: application/sdp", b"no"))
    assert find_part("multipart/mixed;boundary=b1", outer, "application/sdp") == SDP
    text = parts(("c: text/plain", b"--b1 is no boundary here"), ("c: application/sdp", SDP))
    assert find_part("multipart/mixed;boundary=b1", text, "application/sdp") == SDP


def test_a_part_needs_no_headers_and_may_be_the_last_without_an_end() -> None:
    body = b"preamble\r\n--b1\r\n\r\nplain\r\n--b1  \r\nc: application/sdp\r\n\r\nv=0\r\n--b1--"
    assert find_part("multipart/mixed;boundary=b1", body, "application/sdp") == b"v=0"
    cut = b"--b1\r\nc: application/sdp\r\n\r\nv=0\r\n"
    assert find_part("multipart/mixed;boundary=b1", cut, "application/sdp") is None
