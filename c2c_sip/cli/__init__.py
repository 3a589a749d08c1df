"""The command line. Results go to stdout, messages to stderr; 0 is success, 1 failure, 2 bad usage."""

import click

from c2c_sip import __version__
from c2c_sip.cli.accounts import account
from c2c_sip.cli.agent import uac, uas
from c2c_sip.cli.backing import backup, restore
from c2c_sip.cli.calls import call, channels, hangup
from c2c_sip.cli.checking import check_config
from c2c_sip.cli.clicktocalls import clicktocall
from c2c_sip.cli.completion import completion
from c2c_sip.cli.doctor import doctor
from c2c_sip.cli.lab import lab
from c2c_sip.cli.never_call import never_call
from c2c_sip.cli.records import history, trace
from c2c_sip.cli.serving import demo, serve
from c2c_sip.cli.starting import init
from c2c_sip.cli.trunks import trunk


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="c2c-sip")
def main() -> None:
    """Click-to-call without a PBX: one POST makes two phones talk."""


for command in (
    demo,
    serve,
    init,
    doctor,
    check_config,
    account,
    never_call,
    clicktocall,
    call,
    history,
    trace,
    channels,
    hangup,
    trunk,
    lab,
    uac,
    uas,
    backup,
    restore,
    completion,
):
    main.add_command(command)
