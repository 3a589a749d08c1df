"""The command line. Results go to stdout, messages to stderr; 0 is success, 1 failure, 2 bad usage."""

import importlib

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


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="c2c-sip")
def main() -> None:
    """Click-to-call without a PBX: one POST makes two phones talk."""
