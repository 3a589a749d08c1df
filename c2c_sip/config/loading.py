"""From a file and the environment to a :class:`~c2c_sip.config.sections.Config`, with all that is wrong at once."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

from c2c_sip.config.checks import Wrong, host_of
from c2c_sip.config.sections import SECTIONS, Config, Guard, Origin, Sip, Trunk
from sipstack.transport import tls

DEFAULT_PATH = "/etc/c2c-sip/c2c_sip.toml"
ENVIRONMENT_PREFIX = "C2C_SIP_"
#: What of it is no setting, but for the command line.
NOT_SETTINGS = frozenset({"C2C_SIP_CONFIG", "C2C_SIP_URL", "C2C_SIP_API_KEY"})


#: How many trunks the environment may have.
MOST_TRUNKS = 64
_TRUNK_VARIABLE = re.compile(ENVIRONMENT_PREFIX + r"TRUNK__([0-9]{1,4})__")


class ConfigError(Exception):
    """All that is wrong with a configuration, one line each in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load(path: str | None, environ: Mapping[str, str]) -> Config:
    """The configuration: of ``path``, else of ``$C2C_SIP_CONFIG``, else of the usual file, else the defaults.

    ``C2C_SIP_SECTION__KEY`` in ``environ`` overrides a setting, ``C2C_SIP_TRUNK__0__KEY`` one of the first trunk;
    lists are written with commas.

    :raises ConfigError: with every mistake at once.
    """
    named = path or environ.get("C2C_SIP_CONFIG")
    chosen = Path(named or DEFAULT_PATH)
    document: dict[str, Any] = {}
    if named or chosen.exists():
        try:
            document = tomllib.loads(_read_file(chosen))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"{chosen}: cannot be read: {_why(error)}"]) from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([f"{chosen}: not TOML: {error}"]) from error
        except RecursionError as error:
            raise ConfigError([f"{chosen}: not TOML: nested too deeply"]) from error
    problems: list[str] = []
    variables = _override(document, environ, problems)
    config = _read(document, problems)
    if problems:
        raise ConfigError(problems)
    return replace(config, origins=_origins(document, variables, str(chosen)))


def _why(error: Exception) -> str:
    """Why a file cannot be read, without its name, which is told already."""
    return str(getattr(error, "strerror", None) or error)


def _read_file(path: Path) -> str:
    # Editors on Windows put a mark of byte order before the text.
    return path.read_text("utf-8").removeprefix("\ufeff")


def check_setting(name: str, value: Any) -> Any:
    """One setting's value as it is taken, of ``http.listen`` for instance; of any trunk, ``trunk.domain``.

    :raises ConfigError: it is not accepted.
    """
    section, _, key = name.partition(".")
    kind = Trunk if section == "trunk" else SECTIONS[section]
    (entry,) = (each for each in fields(kind) if each.name == key)
    try:
        return entry.metadata["check"](value)
    except Wrong as error:
        raise ConfigError([f"{name}: got {value!r}, accepted: {error}"]) from error


def _override(
    document: dict[str, Any], environ: Mapping[str, str], problems: list[str]
) -> dict[str, str]:
    """Put what the environment says over what the file says; the variables, by the full names of what they set."""
    variables: dict[str, str] = {}
    # Trunks may come from the environment alone: one that does is there for each of its variables.
    in_environment = {int(found[1]) for name in environ if (found := _TRUNK_VARIABLE.match(name))}
    for name in sorted(environ):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in NOT_SETTINGS:
            continue
        keys = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        match keys:
            case [section, key] if isinstance(document.setdefault(section, {}), dict):
                _override_one(document[section], key, environ[name])
                variables[f"{section}.{key}"] = name
            case ["trunk", index, key] if index.isdecimal() and int(index) < MOST_TRUNKS:
                trunks = document.setdefault("trunk", [])
                if not isinstance(trunks, list):
                    continue
                while len(trunks) <= int(index) and len(trunks) in in_environment:
                    trunks.append({})
                if len(trunks) <= int(index):
                    problems.append(
                        f"{name}: got trunk {int(index)}, accepted: 0 to {len(trunks)}, as there are {len(trunks)} before it"
                    )
                elif isinstance(trunks[int(index)], dict):
                    _override_one(trunks[int(index)], key, environ[name])
                    variables[f"trunk[{int(index)}].{key}"] = name
            case _:
                problems.append(
                    f"{name}: accepted: {ENVIRONMENT_PREFIX}SECTION__KEY or {ENVIRONMENT_PREFIX}TRUNK__NUMBER__KEY"
                )
    return variables


def _override_one(section: dict[str, Any], key: str, value: str) -> None:
    # What the file gives in the other way, KEY or KEY_file, is overridden with it.
    section.pop(key.removesuffix("_file") if key.endswith("_file") else f"{key}_file", None)
    section[key] = value


def _origins(
    document: Mapping[str, Any], variables: Mapping[str, str], path: str
) -> Mapping[str, Origin]:
    """Where each setting of a document comes from in which nothing is wrong."""
    sections = {name: document[name] for name in SECTIONS if name in document}
    sections |= {f"trunk[{index}]": one for index, one in enumerate(document.get("trunk", []))}
    found: dict[str, Origin] = {}
    for where, given in sections.items():
        known = {entry.name for entry in fields(SECTIONS.get(where, Trunk))}
        for key, value in given.items():
            if key not in known:
                name = key.removesuffix("_file")
                found[f"{where}.{name}"] = Origin("file", str(value), is_secret=True)
            elif variable := variables.get(f"{where}.{key}"):
                found[f"{where}.{key}"] = Origin("environment", variable)
            else:
                found[f"{where}.{key}"] = Origin("file", path)
    return found


def _read(document: Mapping[str, Any], problems: list[str]) -> Config:
    sections: dict[str, Any] = {}
    for name, given in document.items():
        if name == "trunk":
            continue
        if name not in SECTIONS:
            known = ", ".join([*SECTIONS, "trunk"])
            problems.append(f"{name}: unknown section; accepted: {known}")
        elif not isinstance(given, dict):
            problems.append(f"{name}: got {given!r}, accepted: a section [{name}]")
        else:
            sections[name] = _section(name, SECTIONS[name], given, problems)
    trunks = document.get("trunk", [])
    if not isinstance(trunks, list) or not all(isinstance(trunk, dict) for trunk in trunks):
        problems.append("trunk: accepted: sections [[trunk]]")
        trunks = []
    read = tuple(
        _section(f"trunk[{index}]", Trunk, trunk, problems) for index, trunk in enumerate(trunks)
    )
    names = [trunk.name for trunk in read]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            problems.append(f"trunk[{index}].name: got {name!r}, accepted: a name of its own")
    for index, trunk in enumerate(read):
        if trunk.register and not trunk.username:
            problems.append(
                f"trunk[{index}].username: got '', accepted: the account to register, or register = false"
            )
        if trunk.keepalive_by == "stun" and trunk.transport != "udp":
            problems.append(
                f"trunk[{index}].keepalive_by: got 'stun', accepted: options or crlf where transport is not udp"
            )
    sip = sections.get("sip", Sip())
    problems += _tls_faults("sip", sip)
    for index, trunk in enumerate(read):
        problems += _tls_faults(f"trunk[{index}]", trunk)
    problems += _tls_clashes(read, sip)
    guard = sections.get("guard", Guard())
    if guard.challenge == "captcha" and not guard.captcha_url:
        problems.append("guard.captcha_url: got '', accepted: the URL that verifies a captcha")
    return replace(Config(), **sections, trunks=read)


def _tls_faults(where: str, given: Sip | Trunk) -> list[str]:
    """Which TLS files cannot be used."""
    found: list[str] = []
    for key, accepted, files in (
        ("tls_ca", "a PEM file of authorities", (given.tls_ca, "", "")),
        (
            "tls_certificate",
            "a PEM file of a certificate, with its key in it or in tls_key",
            ("", given.tls_certificate, given.tls_key),
        ),
    ):
        if value := getattr(given, key):
            try:
                tls.client_context(*files)
            except OSError as error:
                found.append(f"{where}.{key}: got {value!r}, accepted: {accepted}: {error}")
    return found


def _tls_clashes(trunks: tuple[Trunk, ...], sip: Sip) -> list[str]:
    """Which trunks want other TLS files for a server than those before them: connections know a server by its name."""
    found: list[str] = []
    known: dict[str, tuple[int, dict[str, str]]] = {}
    for index, trunk in enumerate(trunks):
        name = trunk.tls_server_name.lower() or host_of(trunk.domain)
        if not name or trunk.transport != "tls":
            continue
        own = trunk if trunk.tls_certificate else sip
        files = {
            "tls_ca": trunk.tls_ca or sip.tls_ca,
            "tls_certificate": own.tls_certificate,
            "tls_key": own.tls_key,
        }
        first, others = known.setdefault(name, (index, files))
        found += [
            f"trunk[{index}].{key}: got {files[key]!r}, accepted: {others[key]!r} as trunk[{first}] "
            f"({trunks[first].name!r}), whose server is {name} too, or a tls_server_name of its own"
            for key in files
            if files[key] != others[key]
        ]
    return found


def _section(where: str, kind: type[Any], given: Mapping[str, Any], problems: list[str]) -> Any:
    known: dict[str, Field[Any]] = {entry.name: entry for entry in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = key
        if key.endswith("_file") and key.removesuffix("_file") in known:
            name = key.removesuffix("_file")
            if name in given:
                problems.append(f"{where}.{key}: got {name} too, accepted: one of the two")
                continue
            try:
                value = _read_file(Path(str(value))).rstrip("\r\n")
            except (OSError, ValueError) as error:
                problems.append(
                    f"{where}.{key}: got {value!r}, which cannot be read: {_why(error)}"
                )
                continue
        if name not in known:
            accepted = ", ".join(known)
            problems.append(f"{where}.{key}: unknown setting; accepted: {accepted}")
            continue
        try:
            values[name] = known[name].metadata["check"](value)
        except Wrong as error:
            # What may be a secret is not repeated: neither one by its nature nor one that came from a file of its own.
            secret = known[name].metadata["secret"] or name != key
            shown = "..." if secret else repr(value)
            problems.append(f"{where}.{key}: got {shown}, accepted: {error}")
    if kind is Trunk:
        for name in ("name", "domain"):
            if name not in given:
                problems.append(f"{where}.{name}: missing")
    return kind(**values)
