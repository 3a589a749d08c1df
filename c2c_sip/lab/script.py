"""What the lab's phones do, as a TOML file says it, checked as a whole before anything starts.

Each key of ``[[phone]]`` is a field of :class:`PhoneScript` with its default and its check; ``conf/examples/lab.toml`` has
all of them with a comment.
"""

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sipstack.media.tones import RINGBACK, Playback, Source, Tone
from sipstack.media.wav import WavError, load
from sipstack.message import ParseError, Uri

#: Seconds that anything may last.
LONGEST = 3600.0
_USER = re.compile(r"[A-Za-z0-9_.+*#-]{1,32}\Z")
_KEYS = re.compile(r"[0-9A-D*#]{1,64}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ScriptError(Exception):
    """All that is wrong with a script, one line each in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Wrong(Exception):
    """A value that is not accepted; the text says what is."""


Check = Callable[[Any], Any]


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _number(least: float, most: float, what: str) -> Check:
    accepted = f"{what}, {least:g} to {most:g}"

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _Wrong(accepted)
        if not math.isfinite(value) or not least <= value <= most:
            raise _Wrong(accepted)
        return float(value)

    return check


_SECONDS = _number(0, LONGEST, "seconds")


def _whole(least: int, most: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _Wrong(f"a whole number, {least} to {most}")
        return value

    return check


def _text(accepted: str, pattern: re.Pattern[str] | None = None) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > 200 or _CONTROL.search(value):
            raise _Wrong(accepted)
        if pattern is not None and not pattern.match(value):
            raise _Wrong(accepted)
        return value

    return check


_USER_NAME = _text("1 to 32 letters, digits and . _ + * # -", _USER)


def _each(check: Check, accepted: str) -> Check:
    def check_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > 100:
            raise _Wrong(accepted)
        return tuple(check(one) for one in value)

    return check_all


def _status(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 300 <= value <= 699:
        raise _Wrong("a SIP status that refuses, 300 to 699, as 486")
    return value


def _uri_or_user(value: Any) -> str:
    """Where a call is to go: a SIP URI, or a user of the lab."""
    accepted = "a SIP URI, or a user of the lab"
    if not isinstance(value, str) or not value:
        raise _Wrong(accepted)
    if not value.lower().startswith(("sip:", "sips:")):
        return str(_text(accepted, _USER)(value))
    try:
        uri = Uri.parse(value)
    except ParseError:
        raise _Wrong(accepted) from None
    if not uri.host:
        raise _Wrong(accepted)
    return value


_SOUND = 'a frequency in Hz from 50 to 3500, a WAV file, "ringback", "echo" or "silence"'


def _sound(value: Any) -> Any:
    """A frequency as a number, all else as text; a file is read once its place is known."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return _number(50, 3500, "Hz")(value)
        except _Wrong:
            raise _Wrong(_SOUND) from None
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise _Wrong(_SOUND)
    return value


def _key(default: Any, check: Check) -> Any:
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True, slots=True)
class PhoneScript:
    """One phone: what it does with each call, in the order of the fields. Times in seconds, 0 where it does not."""

    user: str = _key("", _USER_NAME)
    #: Numbers that ring it, beside its user.
    numbers: tuple[str, ...] = _key(
        (), _each(_text("a number: digits, + * #", re.compile(r"[0-9+*#]{1,32}\Z")), "a list")
    )
    #: Before it says anything.
    delay: float = _key(0.0, _SECONDS)
    #: That it rings, with 180, before what is next.
    ringing: float = _key(1.0, _SECONDS)
    #: What it plays before the answer, after a 183 with SDP; empty: it rings without.
    early_media: Any = _key("", _sound)
    #: It refuses with this status, reason and Retry-After.
    status: int = _key(0, _status)
    reason: str = _key("", _text("text"))
    retry_after: int = _key(0, _whole(0, 86400))
    #: It sends the caller there, with 302.
    redirect: str = _key("", _uri_or_user)
    #: It rings until the caller gives up.
    never_answers: bool = _key(False, _flag)
    #: ACKs that it pretends not to have got: its 200 comes again after each, and after 32 s it hangs up.
    drop_acks: int = _key(0, _whole(0, 100))
    #: What it plays once it has answered.
    plays: Any = _key(440.0, _sound)
    #: Percent of the RTP that is lost, either way.
    loses: float = _key(0.0, _number(0, 100, "percent"))
    #: Keys that it presses so long after the answer.
    keys: str = _key("", _text("keys: 0-9 A-D * #", _KEYS))
    keys_after: float = _key(1.0, _SECONDS)
    #: After which it holds the call, by re-INVITE, and for how long; 0: for good.
    hold_after: float = _key(0.0, _SECONDS)
    hold_for: float = _key(0.0, _SECONDS)
    #: After the answer.
    hang_up_after: float = _key(0.0, _SECONDS)
    #: Whom it calls by itself: a user of the lab, so long after that one is there, or a URI, so long after the start.
    calls: str = _key("", _uri_or_user)
    calls_after: float = _key(2.0, _SECONDS)

    def describe(self) -> str:
        """In a few words."""
        words = [f"after {self.delay:g} s of nothing"] if self.delay else []
        if self.early_media:
            words.append(f"plays {_named(self.early_media)} early for {self.ringing:g} s")
        elif self.ringing:
            words.append(f"rings for {self.ringing:g} s" if not self.never_answers else "rings")
        if self.status:
            after = f" and Retry-After {self.retry_after}" if self.retry_after else ""
            words.append(f"refuses with {self.status}{after}")
        elif self.redirect:
            words.append(f"redirects to {self.redirect}")
        elif self.never_answers:
            words.append("never answers")
        else:
            words.append(f"answers, plays {_named(self.plays)}")
            words += self._later()
        if self.calls:
            since = "the start" if ":" in self.calls else "that one has registered"
            words.append(f"calls {self.calls} {self.calls_after:g} s after {since}")
        return ", ".join(words)

    def _later(self) -> list[str]:
        words = []
        if self.drop_acks:
            words.append(f"drops {self.drop_acks} ACKs")
        if self.loses:
            words.append(f"loses {self.loses:g} % of RTP")
        if self.keys:
            words.append(f"presses {self.keys}")
        if self.hold_after:
            resumed = f" for {self.hold_for:g} s" if self.hold_for else ""
            words.append(f"holds after {self.hold_after:g} s{resumed}")
        if self.hang_up_after:
            words.append(f"hangs up after {self.hang_up_after:g} s")
        return words


@dataclass(frozen=True, slots=True)
class LabScript:
    """``[lab]`` and the phones. An empty ``password`` is made up at each start."""

    realm: str = _key(
        "lab", _text("1 to 64 letters, digits, . and -", re.compile(r"[\w.-]{1,64}\Z"))
    )
    users: tuple[str, ...] = _key(("guest",), _each(_USER_NAME, "a list of users"))
    password: str = _key("", _text("text"))
    challenge: bool = _key(True, _flag)
    phones: tuple[PhoneScript, ...] = ()


#: What there is without a script: one phone for each thing that is tried out most.
USUAL = LabScript(
    phones=(
        PhoneScript("101", plays=1000.0),
        PhoneScript("102", numbers=("+12025550102",), plays=1400.0),
        PhoneScript("busy", ringing=0.0, status=486),
        PhoneScript("early", early_media="ringback", ringing=3.0),
        PhoneScript("echo", ringing=0.0, plays="echo"),
        PhoneScript("hold", hold_after=2.0, hold_for=2.0),
        PhoneScript("lossy", loses=10.0),
        PhoneScript("moved", ringing=0.0, redirect="101"),
        PhoneScript("never", never_answers=True),
        PhoneScript("short", hang_up_after=2.0),
        PhoneScript("slow", ringing=8.0),
        PhoneScript("throttled", ringing=0.0, status=503, retry_after=30),
    )
)


def read(path: str | Path, taken: Sequence[str] = ()) -> LabScript:
    """The script in a file; ``taken`` are users and numbers that it cannot have.

    :raises ScriptError: with every mistake at once.
    """
    path = Path(path)
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ScriptError([f"{path}: cannot be read: {why}"]) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ScriptError([f"{path}: not TOML: {error}"]) from error
    problems: list[str] = []
    script = _script(document, path.parent, taken, problems)
    if problems:
        raise ScriptError(problems)
    return script


def _script(
    document: Mapping[str, Any], folder: Path, others: Sequence[str], problems: list[str]
) -> LabScript:
    for name in document:
        if name not in ("lab", "phone"):
            problems.append(f"{name}: unknown section; accepted: lab, phone")
    general = document.get("lab", {})
    if not isinstance(general, dict):
        problems.append(f"lab: got {general!r}, accepted: a section [lab]")
        general = {}
    script: LabScript = _section("lab", LabScript, general, problems)
    given = document.get("phone", [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        problems.append("phone: accepted: sections [[phone]]")
        given = []
    elif len(given) > 100:
        problems.append(f"phone: got {len(given)} sections, accepted: 100 at most")
        given = []
    phones = []
    taken = {*others, *script.users}
    for index, one in enumerate(given):
        where = f"phone[{index}]"
        phone: PhoneScript = _section(where, PhoneScript, one, problems)
        if "user" not in one:
            problems.append(f"{where}.user: missing")
        for key, name in (("user", phone.user), *(("numbers", number) for number in phone.numbers)):
            if name and name in taken:
                problems.append(f"{where}.{key}: got {name!r}, accepted: one that is nobody else's")
            taken.add(name)
        phones.append(_with_sounds(where, phone, folder, problems))
        _contradictions(where, phone, problems)
    return replace(script, phones=tuple(phones))


def _contradictions(where: str, phone: PhoneScript, problems: list[str]) -> None:
    ends = {
        "status": phone.status,
        "redirect": phone.redirect,
        "never_answers": phone.never_answers,
    }
    said = [name for name, value in ends.items() if value]
    for name in said[1:]:
        problems.append(f"{where}.{name}: got {ends[name]!r}, accepted: not beside {said[0]}")
    answered = ("drop_acks", "loses", "keys", "hold_after", "hang_up_after")
    for name in answered if said else ():
        if getattr(phone, name):
            value = getattr(phone, name)
            problems.append(
                f"{where}.{name}: got {value!r}, accepted: only where it answers, not with {said[0]}"
            )
    needs = (
        ("retry_after", "status"),
        ("reason", "status"),
        ("hold_for", "hold_after"),
    )
    for name, other in needs:
        if getattr(phone, name) and not getattr(phone, other):
            value = getattr(phone, name)
            problems.append(f"{where}.{name}: got {value!r}, accepted: only beside {other}")
    if phone.early_media == "echo":
        problems.append(f"{where}.early_media: got 'echo', accepted: {_SOUND} but echo")


def _with_sounds(where: str, phone: PhoneScript, folder: Path, problems: list[str]) -> PhoneScript:
    """With each WAV file's path from the script's folder, once it is sure that it can be played."""
    return replace(
        phone,
        early_media=_found(f"{where}.early_media", phone.early_media, folder, problems),
        plays=_found(f"{where}.plays", phone.plays, folder, problems),
    )


def _found(where: str, sound: Any, folder: Path, problems: list[str]) -> Any:
    if not isinstance(sound, str) or sound in ("", "ringback", "echo", "silence"):
        return sound
    path = folder / sound
    try:
        load(path)
    except (OSError, WavError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        problems.append(f"{where}: got {sound!r} ({why}), accepted: {_SOUND}")
    return str(path)


def _section(where: str, kind: type[Any], given: Mapping[str, Any], problems: list[str]) -> Any:
    known: dict[str, Field[Any]] = {one.name: one for one in fields(kind) if one.metadata}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            problems.append(f"{where}.{key}: unknown key; accepted: {', '.join(known)}")
            continue
        default = known[key].default
        if key != "user" and type(value) is type(default) and value == default:
            continue  # also what says "does not", and would be no value where it does
        try:
            values[key] = known[key].metadata["check"](value)
        except _Wrong as error:
            shown = "..." if key == "password" else repr(value)
            problems.append(f"{where}.{key}: got {shown}, accepted: {error}")
    return kind(**values)


def _named(sound: Any) -> str:
    return f"{sound:g} Hz" if isinstance(sound, float) else str(sound)


def source_of(sound: Any) -> Source | None:
    """What is to be played; ``None`` for silence and echo.

    :raises OSError: a file cannot be read.
    :raises WavError: it cannot be played.
    """
    if isinstance(sound, float):
        # Whole periods a second: no click where it begins anew.
        return Tone((float(round(sound)),), ((1.0, 0.0),))
    if sound == "ringback":
        return RINGBACK["us"]
    if sound in ("", "silence", "echo"):
        return None
    return Playback(load(sound), repeats=True)
