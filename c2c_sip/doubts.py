"""What is doubtful in settings that are right as such: for the log, ``check-config`` and ``doctor``. Pure."""

from dataclasses import dataclass

from c2c_sip.calling.numbering import ANYWHERE
from c2c_sip.config import Config, Trunk
from sipstack.sdes import Mode

#: Digits in the name of a provider's account, at the least; the extensions of a PBX have fewer.
ACCOUNT_DIGITS = 6
#: What a listening address begins with that only this machine reaches.
_HERE = ("127.", "localhost:", "[::1]:")
#: What we can say something in ourselves.
_SPOKEN = frozenset({"PCMU", "PCMA"})


@dataclass(frozen=True, slots=True)
class Doubt:
    """What may not be meant, and what to do if it is not."""

    text: str
    remedy: str


def doubts_of(config: Config) -> list[Doubt]:
    """All of them; none where nothing is doubtful."""
    found = []
    guard = config.guard
    if config.trunks and not any(
        (guard.per_address, guard.per_account, guard.per_service, guard.daily_minutes)
    ):
        found.append(
            Doubt(
                "nothing limits how often the public may call",
                "set guard.per_address, guard.per_contact, guard.per_account and guard.daily_minutes, or auth_required",
            )
        )
    if ANYWHERE in guard.countries:
        found.append(
            Doubt(
                "numbers of all countries are called, whatever they cost",
                "list those that are meant: guard.countries",
            )
        )
    if not config.http.listen.startswith(_HERE):
        found.append(
            Doubt(
                f"http.listen is {config.http.listen}: tokens and keys come over the network without TLS",
                "listen on 127.0.0.1, and have a reverse proxy that does TLS before it",
            )
        )
    offered = {"media.codecs": config.media.codecs} | {
        f"trunk[{number}].codecs": trunk.codecs for number, trunk in enumerate(config.trunks)
    }
    for setting, codecs in offered.items():
        if codecs and not _SPOKEN.intersection(codecs):
            found.append(
                Doubt(
                    f"{setting} has neither PCMU nor PCMA: phones hear no ringback, music or announcement, which we send in these",
                    f"put one at its end: {setting} = [{', '.join(map(_quoted, (*codecs, 'PCMU')))}]",
                )
            )
    for number, trunk in enumerate(config.trunks):
        if trunk.srtp != Mode.OFF and trunk.transport != "tls":
            found.append(
                Doubt(
                    f"trunk {trunk.name}: the keys of srtp are sent in the clear without tls",
                    f'set trunk[{number}].transport = "tls", or trunk[{number}].srtp = "off"',
                )
            )
        if _shows_extensions(trunk):
            found.append(
                Doubt(
                    f"trunk {trunk.name}: who is called sees the extension as the caller, which providers mostly refuse (403) or "
                    "replace",
                    f'set trunk[{number}].caller_id to a number of the account, as "+12025550100"; or '
                    f'trunk[{number}].from_user = "account"',
                )
            )
        if trunk.register and not trunk.password:
            found.append(
                Doubt(
                    f"trunk {trunk.name} registers without a password",
                    f"set trunk[{number}].password or trunk[{number}].password_file",
                )
            )
    return found


def _shows_extensions(trunk: Trunk) -> bool:
    """Whether a provider is shown extensions, which mean nothing there; a PBX knows them.

    Providers name an account by its number, or have so many that their names are long ones.
    """
    is_provider = sum(character.isdigit() for character in trunk.username) >= ACCOUNT_DIGITS
    shows_number = trunk.from_user == "number" or tuple(trunk.identity) != ("from",)
    return is_provider and shows_number and not trunk.caller_id


def _quoted(text: str) -> str:
    return f'"{text}"'
