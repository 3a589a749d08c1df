"""The command line. Results go to stdout, messages to stderr; 0 is success, 1 failure, 2 bad usage."""

import errno
import importlib
import os
import sys
from typing import Any, NoReturn

import click

from c2c_sip import __version__

#: The commands in the order of the help, and the module here that each is in.
COMMANDS = {
    "demo": "serving",
    "serve": "serving",
    "init": "starting",
    "doctor": "doctor",
    "check-config": "checking",
    "account": "accounts",
    "never-call": "never_call",
    "clicktocall": "clicktocalls",
    "call": "calls",
    "history": "records",
    "trace": "records",
    "channels": "calls",
    "hangup": "calls",
    "trunk": "trunks",
    "lab": "lab",
    "uac": "agent",
    "uas": "agent",
    "backup": "backing",
    "restore": "backing",
    "completion": "completion",
}


#: What a write fails with that is no fault of the program: the system names no file then.
_UNWRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE})


def _end_unwritten(error: OSError) -> NoReturn:
    """Exit with 1, in a line where somebody has to know that the disk is full."""
    # Else Python tries to write the rest once more at its end, and complains in its own words.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    if error.errno != errno.EPIPE:  # who reads no more, as `head`, needs no word
        click.echo(f"the output cannot be written: {error.strerror or error}", err=True)
    sys.exit(1)


class Commands(click.Group):
    """Loads a command when it is wanted: a service that runs for months need not carry all the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, if there is one."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name]}")
        found: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return found

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command, and see to it that its result was written: a full disk is a failure of one line."""
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
        except OSError as error:
            if error.errno not in _UNWRITTEN or error.filename is not None:
                raise
            _end_unwritten(error)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="c2c-sip")
def main() -> None:
    """Click-to-call without a PBX: one POST makes two phones talk."""
