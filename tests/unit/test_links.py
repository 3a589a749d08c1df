"""Signed links, and proofs of work."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c_sip.calling import links, proof
from c2c_sip.calling.links import Link, LinkError, read, sign

KEY = b"k" * 32
LINK = Link("a" * 32, "b" * 32, "+14155550123", None, 2_000, 1)


@pytest.mark.parametrize(
    "link",
    [
        LINK,
        replace(LINK, contact=None, pattern=r"^\+1415"),
        replace(LINK, contact="sip:" + "é" * 252),
        replace(LINK, contact=None, pattern="\U0001f600" * 512),
    ],
)
def test_a_link_says_what_was_signed(link: Link) -> None:
    token = sign(link, KEY)
    assert len(token) <= links.LONGEST
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert read(token, KEY, 1_999.9) == link


def test_a_link_that_is_too_old_or_of_another_key_does_not_serve() -> None:
    token = sign(LINK, KEY)
    with pytest.raises(LinkError) as caught:
        read(token, KEY, 2_000.0)
    assert caught.value.rule == "expired"
    with pytest.raises(LinkError) as caught:
        read(token, b"l" * 32, 0.0)
    assert caught.value.rule == "signature"


@given(st.data())
def test_no_change_of_a_link_serves(data: st.DataObject) -> None:
    token = sign(LINK, KEY)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("Aa0-_.=%\n é"))
    changed = token[:at] + other + token[at + 1 :]
    try:
        found = read(changed, KEY, 0.0)
    except LinkError:
        return
    # The last characters of base64 have bits that mean nothing.
    assert found == LINK


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b", "a.b.c", "é.é", "=.=", "A" * 5000, "e30.e30"]
)
def test_rubbish_is_no_link(token: str) -> None:
    with pytest.raises(LinkError):
        read(token, KEY, 0.0)


def test_a_content_of_one_s_own_is_not_believed() -> None:
    content, _, mac = sign(LINK, KEY).partition(".")
    fields = json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)))
    fields[5] = 1000
    forged = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
    with pytest.raises(LinkError):
        read(f"{forged}.{mac}", KEY, 0.0)


# --- proofs of work


def solve(challenge: str, contact: str, bits: int) -> str:
    number = next(n for n in range(1 << 24) if proof.has_zeros(challenge, contact, str(n), bits))
    return f"{challenge}.{number}"


def test_a_challenge_is_solved_by_search_and_only_for_its_contact_and_purpose() -> None:
    challenge = proof.challenge(8, "subject", "5a17", KEY, 1_000.0)
    solution = solve(challenge, "+1415", 8)

    def good(text: str = solution, contact: str = "+1415", bits: int = 8, subject: str = "subject", key: bytes = KEY, now: float = 1_010.0) -> bool:  # fmt: skip
        return proof.is_solved(text, contact, bits, subject, key, now)

    assert good()
    assert good(bits=4)
    assert good(now=1_000.0 + proof.LIFETIME)
    assert not good(now=1_001.0 + proof.LIFETIME)
    assert not good(now=999.0)
    assert not good(bits=9)
    assert not good(subject="other")
    assert not good(key=b"other")
    assert not all(good(contact=f"+1416{n}") for n in range(8))
    wrong = [challenge, "", ".", "8.1000.5a17.é.1", f"{challenge}.", f"{challenge}.-1", f"{challenge}.x", f"{challenge}.²", solution + "0" * 200]  # fmt: skip
    assert not any(good(text) for text in wrong)


def test_an_easier_challenge_of_one_s_own_is_not_believed() -> None:
    challenge = proof.challenge(8, "subject", "5a17", KEY, 1_000.0)
    easy = "0" + challenge[1:]
    assert not proof.is_solved(f"{easy}.1", "+1415", 0, "subject", KEY, 1_000.0)
