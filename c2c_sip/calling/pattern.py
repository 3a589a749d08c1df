"""Regular expressions in linear time: what a whitelist is made of. Pure.

Python's ``re`` tries one way through a pattern after another, all the while holding the interpreter's lock, so that 27
characters against ``(a+)+$`` stop every SIP timer for seconds. Here a pattern becomes an automaton, and all the states
that it can be in are followed at once (Thompson 1968): each is entered at most once a character, whatever the pattern,
so that a match takes at most states × (characters + 1) steps.

The syntax is the common part of Python's ``re`` and PCRE: literals, escapes, classes, ``.``, ``^ $ \\A \\Z \\b \\B``,
groups, alternation, ``* + ? {m,n}`` greedy or lazy, and the flags ``i``, ``m`` and ``s``. It only says whether there is
a match, so groups capture nothing. What takes more than an automaton is refused by name: backreferences, lookaround,
conditionals, atomic groups and possessive repeats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

LONGEST = 512
"""Characters that a pattern may have."""

MOST_STATES = 1000
"""States that a pattern may have; a repeat has those of its body once for each time it may be."""

_DEEPEST = 64
_REMEMBERED = 512


class PatternError(ValueError):
    """A pattern that cannot be used; the text says why, and where in it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a search found, and how many states it entered."""

    found: bool
    steps: int


# -- the syntax tree -----------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Set:
    """One character out of a set. The same object stands for all its copies in a repeat."""

    ranges: tuple[tuple[str, str], ...]
    categories: tuple[Callable[[str], bool], ...] = ()
    negated: bool = False
    fold: bool = False
    _known: dict[str, bool] = field(default_factory=dict)

    def has(self, char: str) -> bool:
        known = self._known.get(char)
        if known is None:
            forms = {char, *_cases(char)} if self.fold else {char}
            known = self.negated != any(
                any(low <= form <= high for low, high in self.ranges)
                or any(category(form) for category in self.categories)
                for form in forms
            )
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[char] = known
        return known


@dataclass(frozen=True, slots=True)
class _At:
    """A place that must be of a kind, without taking a character."""

    holds: Callable[[str, int], bool]


@dataclass(frozen=True, slots=True)
class _Row:
    """One after another."""

    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    """One or another."""

    ways: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    """A part some times over; ``most`` is ``None`` for any number."""

    body: _Node
    least: int
    most: int | None


_Node: TypeAlias = _Set | _At | _Row | _Choice | _Repeat


# -- classes and places --------------------------------------------------------------------------


def _cases(char: str) -> list[str]:
    return [form for form in (char.lower(), char.upper()) if len(form) == 1]


def _digit(char: str) -> bool:
    return char.isdecimal()


def _space(char: str) -> bool:
    return char.isspace()


def _word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _no(category: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda char: not category(char)


_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "d": _digit,
    "D": _no(_digit),
    "s": _space,
    "S": _no(_space),
    "w": _word,
    "W": _no(_word),
}
_CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_HEX = {"x": 2, "u": 4, "U": 8}


def _is_boundary(text: str, at: int) -> bool:
    before = at > 0 and _word(text[at - 1])
    return before != (at < len(text) and _word(text[at]))


def _is_begin(text: str, at: int) -> bool:
    return at == 0


def _is_end(text: str, at: int) -> bool:
    return at == len(text)


def _is_last(text: str, at: int) -> bool:
    return at == len(text) or (at == len(text) - 1 and text[at] == "\n")


def _is_line_begin(text: str, at: int) -> bool:
    return at == 0 or text[at - 1] == "\n"


def _is_line_end(text: str, at: int) -> bool:
    return at == len(text) or text[at] == "\n"


_PLACES: dict[str, Callable[[str, int], bool]] = {
    "A": _is_begin,
    "Z": _is_end,
    "b": _is_boundary,
    # Python's \B is nowhere in the empty text, before version 3.14.
    "B": lambda text, at: bool(text) and not _is_boundary(text, at),
}


# -- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Flags:
    fold: bool = False
    lines: bool = False
    dot_all: bool = False


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> _Node:
        node = self._choice(self._global_flags())
        if self._at < len(self._text):
            raise self._wrong("a parenthesis is closed that was not opened")
        return node

    def _wrong(self, why: str) -> PatternError:
        return PatternError(f"{why}, at character {self._at + 1}")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _skip(self, expected: str) -> bool:
        if self._text.startswith(expected, self._at):
            self._at += len(expected)
            return True
        return False

    def _global_flags(self) -> _Flags:
        """``(?i)`` and the like, which stand at the beginning only."""
        flags = _Flags()
        while self._text.startswith("(?", self._at):
            end = self._text.find(")", self._at)
            letters = self._text[self._at + 2 : end]
            if end < 0 or not letters or not letters.isalpha():
                break
            flags = self._flags(flags, letters, on=True)
            self._at = end + 1
        return flags

    def _flags(self, flags: _Flags, letters: str, *, on: bool) -> _Flags:
        fold, lines, dot_all = flags.fold, flags.lines, flags.dot_all
        for letter in letters:
            match letter:
                case "i":
                    fold = on
                case "m":
                    lines = on
                case "s":
                    dot_all = on
                case _:
                    raise self._wrong(f"the flag {letter} is not known here: i, m and s are")
        return _Flags(fold, lines, dot_all)

    def _choice(self, flags: _Flags) -> _Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong(f"groups are nested more than {_DEEPEST} deep")
        ways = [self._row(flags)]
        while self._skip("|"):
            ways.append(self._row(flags))
        self._depth -= 1
        return ways[0] if len(ways) == 1 else _Choice(tuple(ways))

    def _row(self, flags: _Flags) -> _Node:
        parts: list[_Node] = []
        while self._at < len(self._text) and self._peek() not in "|)":
            if self._skip("(?#"):
                end = self._text.find(")", self._at)
                if end < 0:
                    raise self._wrong("a comment is not closed")
                self._at = end + 1
                continue
            repeated = self._repeat()
            if repeated is None:
                parts.append(self._one(flags))
                continue
            if not parts or isinstance(parts[-1], _At):
                raise self._wrong("nothing to repeat")
            if isinstance(parts[-1], _Repeat):
                raise self._wrong("a repeat of a repeat")
            parts[-1] = _Repeat(parts[-1], *repeated)
        return _Row(tuple(parts))

    def _repeat(self) -> tuple[int, int | None] | None:
        """(least, most) of a repeat that stands here, ``None`` where there is none."""
        match self._peek():
            case "*":
                bounds: tuple[int, int | None] = (0, None)
                self._at += 1
            case "+":
                bounds = (1, None)
                self._at += 1
            case "?":
                bounds = (0, 1)
                self._at += 1
            case "{":
                found = self._bounds()
                if found is None:
                    return None
                bounds = found
            case _:
                return None
        if self._peek() == "+":
            raise self._wrong("possessive repeats are not to be had")
        self._skip("?")  # lazy: makes no difference to whether there is a match
        return bounds

    def _bounds(self) -> tuple[int, int | None] | None:
        """What ``{m}``, ``{m,}``, ``{,n}`` or ``{m,n}`` says; any other brace is a character like others."""
        end = self._text.find("}", self._at)
        inner = self._text[self._at + 1 : end] if end > 0 else ""
        low, comma, high = inner.partition(",")
        if not inner or not all(not n or (n.isascii() and n.isdigit()) for n in (low, high)):
            return None
        if max(len(low), len(high)) > 4:
            raise self._wrong(f"a repeat of more than {MOST_STATES} times")
        least = int(low or 0)
        most = (int(high) if high else None) if comma else least
        if most is not None and most < least:
            raise self._wrong("a repeat of at least more than at most")
        self._at = end + 1
        return least, most

    def _one(self, flags: _Flags) -> _Node:
        char = self._take()
        match char:
            case "(":
                return self._group(flags)
            case "[":
                return self._class(flags)
            case "\\":
                return self._escape(flags)
            case ".":
                return _Set(() if flags.dot_all else (("\n", "\n"),), negated=True)
            case "^":
                return _At(_is_line_begin if flags.lines else _is_begin)
            case "$":
                return _At(_is_line_end if flags.lines else _is_last)
            case _:
                return _Set(((char, char),), fold=flags.fold)

    def _group(self, flags: _Flags) -> _Node:
        if self._skip("?"):
            flags = self._group_kind(flags)
        node = self._choice(flags)
        if not self._skip(")"):
            raise self._wrong("a parenthesis is not closed")
        return node

    def _group_kind(self, flags: _Flags) -> _Flags:
        if self._skip(":"):
            return flags
        for mark in ("=", "!", "<=", "<!"):
            if self._skip(mark):
                raise self._wrong("lookahead and lookbehind are not to be had")
        if self._skip(">"):
            raise self._wrong("atomic groups are not to be had")
        if self._skip("("):
            raise self._wrong("conditionals are not to be had")
        if self._skip("P="):
            raise self._wrong("backreferences are not to be had")
        if self._skip("P<"):
            end = self._text.find(">", self._at)
            if end < 0 or not self._text[self._at : end].isidentifier():
                raise self._wrong("a group's name is not one")
            self._at = end + 1
            return flags
        end = self._text.find(":", self._at)
        on, _, off = self._text[self._at : end].partition("-")
        letters = on + off
        if end < 0 or not letters or not letters.isalpha() or not letters.isascii():
            raise self._wrong("a group of a kind that is not known here")
        flags = self._flags(self._flags(flags, on, on=True), off, on=False)
        self._at = end + 1
        return flags

    def _escape(self, flags: _Flags) -> _Node:
        char = self._peek()
        if char in _PLACES and char:
            self._at += 1
            return _At(_PLACES[char])
        if char in _CATEGORIES and char:
            self._at += 1
            return _Set((), (_CATEGORIES[char],))
        literal = self._character()
        return _Set(((literal, literal),), fold=flags.fold)

    def _character(self) -> str:
        """The character that an escape stands for; the backslash is read already."""
        char = self._take()
        if not char:
            self._at -= 1
            raise self._wrong("a backslash at the end")
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in _HEX:
            digits = self._text[self._at : self._at + _HEX[char]]
            if len(digits) < _HEX[char] or not all(c in "0123456789abcdefABCDEF" for c in digits):
                raise self._wrong(f"\\{char} takes {_HEX[char]} hexadecimal digits")
            self._at += len(digits)
            if int(digits, 16) > 0x10FFFF:
                raise self._wrong("no such character")
            return chr(int(digits, 16))
        if char in "01234567":
            return self._octal(char)
        if char in "89":
            raise self._wrong("backreferences are not to be had")
        if char.isascii() and char.isalpha():
            raise self._wrong(f"the escape \\{char} is not known here")
        return char

    def _octal(self, first: str) -> str:
        digits = first
        while len(digits) < 3 and self._peek() and self._peek() in "01234567":
            digits += self._take()
        if first != "0" and len(digits) < 3:
            raise self._wrong("backreferences are not to be had")
        if int(digits, 8) > 0o377:
            raise self._wrong("an octal escape above 377")
        return chr(int(digits, 8))

    def _class(self, flags: _Flags) -> _Node:
        negated = self._skip("^")
        ranges: list[tuple[str, str]] = []
        categories: list[Callable[[str], bool]] = []
        first = True
        while first or self._peek() != "]":
            first = False
            if self._text.startswith(("[:", "[.", "[="), self._at):
                raise self._wrong("POSIX classes are not to be had, write \\d for digits")
            low = self._class_item()
            if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
                if isinstance(low, str):
                    ranges.append((low, low))
                else:
                    categories.append(low)
                continue
            self._at += 1
            high = self._class_item()
            if not isinstance(low, str) or not isinstance(high, str) or high < low:
                raise self._wrong("a range from more to less, or of more than characters")
            ranges.append((low, high))
        self._at += 1
        return _Set(tuple(ranges), tuple(categories), negated, flags.fold)

    def _class_item(self) -> str | Callable[[str], bool]:
        char = self._take()
        if not char:
            self._at -= 1
            raise self._wrong("a class is not closed")
        if char != "\\":
            return char
        if self._peek() in _CATEGORIES and self._peek():
            return _CATEGORIES[self._take()]
        return self._character()


# -- the automaton -------------------------------------------------------------------------------

_Action: TypeAlias = _Set | _At | Literal["split", "match"]


class Pattern:
    """A pattern, ready to be searched for in texts.

    :raises PatternError: it is not one, or has too many states
    """

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise PatternError(f"a pattern has at most {LONGEST} characters")
        self._actions: list[_Action] = []
        # Where each state leads to; a split leads on to two.
        self._next: list[int] = []
        self._other: list[int] = []
        tree = _Reader(text).read()
        end = self._state("match")
        self._start = self._build(tree, end)

    @property
    def states(self) -> int:
        """How many states it has."""
        return len(self._actions)

    def search(self, text: str) -> bool:
        """Whether the pattern is somewhere in ``text``."""
        return self.run(text).found

    def run(self, text: str) -> Run:
        """The same, with the work that it took: at most :attr:`states` × (length of ``text`` + 1) steps."""
        actions, following, other = self._actions, self._next, self._other
        entered = [-1] * len(actions)
        steps = 0
        waiting: list[int] = []
        for at in range(len(text) + 1):
            waiting.append(self._start)
            taking: list[tuple[_Set, int]] = []
            while waiting:
                state = waiting.pop()
                if entered[state] == at:
                    continue
                entered[state] = at
                steps += 1
                action = actions[state]
                if isinstance(action, _Set):
                    taking.append((action, following[state]))
                elif isinstance(action, _At):
                    if action.holds(text, at):
                        waiting.append(following[state])
                elif action == "split":
                    waiting.append(following[state])
                    waiting.append(other[state])
                else:
                    return Run(True, steps)
            if at < len(text):
                char = text[at]
                waiting = [state for accepted, state in taking if accepted.has(char)]
        return Run(False, steps)

    # -- building, from the end to the beginning

    def _state(self, action: _Action, following: int = 0, other: int = 0) -> int:
        if len(self._actions) >= MOST_STATES:
            raise PatternError(f"the pattern takes more than {MOST_STATES} states, for its repeats")
        self._actions.append(action)
        self._next.append(following)
        self._other.append(other)
        return len(self._actions) - 1

    def _build(self, node: _Node, after: int) -> int:
        """States for ``node`` that lead on to the state ``after``; the first of them."""
        match node:
            case _Set() | _At():
                return self._state(node, after)
            case _Row(parts):
                for part in reversed(parts):
                    after = self._build(part, after)
                return after
            case _Choice(ways):
                first = self._build(ways[-1], after)
                for way in reversed(ways[:-1]):
                    first = self._state("split", self._build(way, after), first)
                return first
            case _Repeat(body, least, most):
                return self._repeated(body, least, most, after)

    def _repeated(self, body: _Node, least: int, most: int | None, after: int) -> int:
        if most is None:
            loop = self._state("split", 0, after)
            self._next[loop] = self._build(body, loop)
            first = loop
        else:
            first = after
            for _ in range(most - least):
                first = self._state("split", self._build(body, first), after)
        for _ in range(least):
            before = len(self._actions)
            first = self._build(body, first)
            if len(self._actions) == before:
                break  # an empty body, as often as one likes
        return first


__all__ = ["LONGEST", "MOST_STATES", "Pattern", "PatternError", "Run"]
