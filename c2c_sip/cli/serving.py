"""``serve``, and ``demo``: the whole service at work."""

import logging
import signal
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

import click

from c2c_sip.cli.common import CONFIG, JSON, fail, load
from c2c_sip.collecting import Collecting
from c2c_sip.notify import notify
from c2c_sip.store import StoreError

if TYPE_CHECKING:
    from c2c_sip.lab.script import LabScript

#: Seconds between two looks at whether there is something to tidy up.
TIDY = 5.0


@click.command()
@JSON
def demo(as_json: bool) -> None:
    """Make a call between two built-in phones on this machine, with nothing configured."""
    # Only here: pyVoIP and the lab are of no use to a running service.
    from c2c_sip.lab.demo import run_demo

    sys.exit(run_demo(as_json))


@click.command()
@CONFIG
@click.option("--lab", is_flag=True, help="Add the built-in trunk with two phones.")
@click.option("--lab-script", metavar="FILE", help="Add phones that do as a script of `lab` says.")
@click.option("--verbose", "-v", is_flag=True, help="Log more.")
def serve(path: str | None, lab: bool, lab_script: str | None, verbose: bool) -> None:
    """Run the service until SIGTERM."""
    # Only here: the other commands start faster without.
    from c2c_sip.service import Service

    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    script = _script(lab_script) if lab_script is not None else None
    service = Service(load(path), lab=lab or script is not None, script=script)
    ending = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ending.set()

    # Before anything is bound: a signal during the start must end it as properly as one later.
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        service.start()
    except (OSError, StoreError, ValueError) as error:
        fail(f"cannot start: {error}")
    collecting = Collecting(service.calling.live, time.monotonic)
    click.echo(f"ready {service.url}")
    sys.stdout.flush()
    notify("READY=1")
    for line in service.welcome():
        click.echo(line, err=True)
    while not ending.wait(TIDY):
        collecting.tidy()
    notify("STOPPING=1")
    service.stop()


def _script(path: str) -> "LabScript":
    # Only here: the lab is of no use to a running service.
    from c2c_sip.lab import OWN
    from c2c_sip.lab.script import ScriptError, read

    try:
        return read(path, ("c2c", *OWN))
    except ScriptError as error:
        fail("\n".join(error.problems))
