"""Patterns of whitelists: the same answers as Python's own, and never more work than states times characters."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c2c_sip.calling.pattern import LONGEST, MOST_STATES, Pattern, PatternError

CHARS = st.sampled_from(["a", "b", "A", "1", "+", "-", " ", "\n", "_", "é", "٣"])
ITEMS = st.sampled_from(
    ["a", "b", "A", "1", "a-b", "0-9", r"\d", r"\w", r"\S", r"\n", r"\x61", r"\-", "é"]
)


@st.composite
def classes(draw: st.DrawFn) -> str:
    return f"[{draw(st.sampled_from(['', '^']))}{''.join(draw(st.lists(ITEMS, min_size=1, max_size=3)))}]"


ATOMS = st.one_of(
    st.sampled_from(
        ["a", "b", "A", "1", "é", r"\+", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", ".", " "]
    ),
    classes(),
)
PLACES = st.sampled_from(["^", "$", r"\A", r"\Z", r"\b"])
REPEATS = st.sampled_from(
    ["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{,2}", "{1,}", "{0,3}?", "{0}"]
)


def grouped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    opens = st.sampled_from(["(", "(?:", "(?i:", "(?s:", "(?m:", "(?-i:"])
    group = st.builds(lambda mark, text: f"{mark}{text})", opens, inner)
    return st.one_of(
        group,
        st.builds(lambda text, repeat: text + repeat, st.one_of(ATOMS, group), REPEATS),
        st.builds("".join, st.lists(st.one_of(inner, PLACES), min_size=1, max_size=3)),
        st.builds("|".join, st.lists(inner, min_size=2, max_size=3)).map(
            lambda text: f"(?:{text})"
        ),
    )


PATTERNS = st.builds(
    str.__add__,
    st.sampled_from(["", "", "(?i)", "(?m)", "(?s)", "(?im)"]),
    st.recursive(ATOMS, grouped, max_leaves=8),
)


@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PATTERNS, st.lists(st.text(CHARS, max_size=7), min_size=1, max_size=6))
def test_a_pattern_is_found_where_pythons_own_matcher_finds_it(
    pattern: str, texts: list[str]
) -> None:
    known = re.compile(pattern)
    ours = Pattern(pattern)
    for text in texts:
        assert ours.search(text) == (known.search(text) is not None), (pattern, text)


@settings(max_examples=600, deadline=None)
@given(
    st.text(st.sampled_from("ab1\\()[]{}|*+?.^$-,:=!<>P#i \n"), max_size=12),
    st.text(CHARS, max_size=6),
)
def test_whatever_is_no_pattern_for_python_is_none_here_and_the_others_agree(
    pattern: str, text: str
) -> None:
    try:
        ours = Pattern(pattern)
    except PatternError:
        return
    assert ours.search(text) == (re.search(pattern, text) is not None)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("", "", None),
        ("101", "x101y", "11"),
        (r"^\+?1?[2-9]\d{2}[2-9]\d{6}$", "+14155550123", "+141555501234"),
        (r"^(?:\+?1[-. ]?)?\(?([0-9]{3})\)?[-. ]?([0-9]{3})[-. ]?([0-9]{4})$", "(415) 555-0123", "(415) 555-012"),
        (r"@example\.net$", "sip:bob@example.net", "sip:bob@example.network"),
        (r"^(\d{3}){2,4}$", "123456", "1234567"),
        ("(?i)^SIP:", "sip:bob@example.net", "tel:1"),
        (r"(?P<area>415|628)\d", "+14155", "+1414"),
        (r"\x2b1|\u00e9|\053", "+1", "1"),
        (r"a{1}b{,}c{x}", "abbc{x}", "abbcx"),
        (r"[]^-]", "-", "a"),
        (r"[^]a]", "b", "]a"),
        ("(?#only the office)^1", "12", "21"),
        ("(?i)straße", "STRAßE", "STRASSE"),
        ("(?i)[A-Z]", "k", "ß"),
    ],
)  # fmt: skip
def test_ordinary_patterns(pattern: str, matching: str, other: str | None) -> None:
    assert Pattern(pattern).search(matching)
    assert other is None or not Pattern(pattern).search(other)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"(a)\1", "backreferences"),
        (r"(?P<n>a)(?P=n)", "backreferences"),
        ("(?=a)", "lookahead"),
        ("(?!a)b", "lookahead"),
        ("(?<=a)b", "lookbehind"),
        ("(?<!a)b", "lookbehind"),
        ("(?>a)", "atomic"),
        ("a++", "possessive"),
        ("(a)(?(1)b|c)", "conditionals"),
        ("[[:digit:]]", "POSIX"),
        ("(?x) a", "flag x"),
        (r"\pL", "not known"),
        (r"\Qa\E", "not known"),
        ("(", "not closed"),
        ("[", "not closed"),
        ("[]", "not closed"),
        ("a)", "not opened"),
        ("*", "nothing to repeat"),
        ("^*", "nothing to repeat"),
        ("a**", "repeat of a repeat"),
        ("a{2,1}", "at least"),
        ("[b-a]", "range"),
        (r"[\d-a]", "range"),
        ("\\", "backslash"),
        (r"\xg", "hexadecimal"),
        (r"\U00110000", "no such character"),
        (r"\777", "octal"),
        ("(?P<1>a)", "name"),
        ("(?#a", "comment"),
        ("(?", "kind"),
        ("(" * 200 + ")" * 200, "nested"),
        ("a" * (LONGEST + 1), "at most"),
        ("a{99999}", "more than"),
        ("(a{100}){100}", "states"),
        ("((((a{9}){9}){9}){9}){9}", "states"),
        ("(?:){0,9999}", "states"),
    ],
)
def test_what_takes_more_than_an_automaton_is_refused_with_the_reason(
    pattern: str, why: str
) -> None:
    with pytest.raises(PatternError, match=why):
        Pattern(pattern)


CATASTROPHES = [
    r"(a+)+$",
    r"(a*)*$",
    r"(a|a)*$",
    r"(a|aa)+$",
    r"(.*a){12}$",
    r"(\d+)+x",
    r"^(\d+-?)+$",
    r"(a?){64}a{64}",
    r"a?" * 30 + "a" * 30,
    r"(x+x+)+y",
    r".*.*.*.*=",
    r"([a-z]+)*\d",
    r"(?:a+){2,}b",
    r"((a+)(b|c)?)*d",
    r"(\w+\s?)+$",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$",
    r"(a|b|ab)*c",
    r"(.+)+@(.+)+\.(.+)+x",
    r"^(a?b?a?b?)*(a?b?)*c$",
]
SUBJECTS = ["a" * 255 + "!", "1" * 255 + "!", "x" * 256, "ab" * 128, "sip:" + "a" * 240 + "@x"]


@pytest.mark.parametrize("pattern", CATASTROPHES)
def test_catastrophic_patterns_take_no_more_steps_than_states_times_characters(
    pattern: str,
) -> None:
    ours = Pattern(pattern)
    for subject in SUBJECTS:
        run = ours.run(subject)
        assert 0 < run.steps <= ours.states * (len(subject) + 1)
    assert ours.states <= MOST_STATES


def test_twenty_catastrophes_together_are_little_work() -> None:
    assert len(CATASTROPHES) == 20
    steps = sum(Pattern(p).run(subject).steps for p in CATASTROPHES for subject in SUBJECTS)
    assert steps < 500_000
