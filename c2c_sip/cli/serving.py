"""``serve``, and ``demo``: the whole service at work."""

import logging
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING

import click

from c2c_sip import config
from c2c_sip.cli.common import CONFIG, JSON, as_interrupt, fail, load
from c2c_sip.collecting import Collecting
from c2c_sip.config import ConfigError
from c2c_sip.logs import Logs
from c2c_sip.notify import notify
from c2c_sip.store import StoreError
from sipstack.media.wav import WavError
from sipstack.scheduling import OneProcessor, all_come_first

if TYPE_CHECKING:
    from c2c_sip.lab.script import LabScript
    from c2c_sip.service import Service

log = logging.getLogger(__name__)

#: Seconds between two looks at whether there is something to tidy up.
TIDY = 5.0


@click.command()
@JSON
def demo(as_json: bool) -> None:
    """Make a call between two built-in phones on this machine, with nothing configured."""
    # Only here: pyVoIP and the lab are of no use to a running service.
    from c2c_sip.lab.demo import run_demo

    with as_interrupt(signal.SIGTERM):
        sys.exit(run_demo(as_json))


@click.command()
@CONFIG
@click.option("--lab", is_flag=True, help="Add the built-in trunk with two phones.")
@click.option("--lab-script", metavar="FILE", help="Add phones that do as a script of `lab` says.")
@click.option("--verbose", "-v", is_flag=True, help="Log more.")
def serve(path: str | None, lab: bool, lab_script: str | None, verbose: bool) -> None:
    """Run the service until SIGTERM."""
    ending, reading, woken = threading.Event(), threading.Event(), threading.Event()

    def take(number: int, frame: FrameType | None) -> None:
        (reading if number == signal.SIGHUP else ending).set()
        woken.set()

    # Before anything else, which takes a second: a signal during the start must end it as properly as one later.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, take)
    # Only here: the other commands start faster without.
    from c2c_sip.service import Service

    settings = load(path)
    logs = Logs(verbose)
    logs.configure(settings.log)
    script = _script(lab_script) if lab_script is not None else None
    service = Service(settings, lab=lab or script is not None, script=script)
    if ending.is_set():
        return
    if settings.media.realtime and not settings.media.workers:
        all_come_first()
    processor = OneProcessor()
    gathered = settings.media.one_processor and processor.gather()
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
    try:
        while not ending.is_set():
            if woken.wait(TIDY):
                woken.clear()
            if reading.is_set():
                reading.clear()
                _read_again(service, logs, path)
            collecting.tidy()
            if gathered:
                processor.tidy()
    finally:
        # Also after a fault of ours: a process whose other threads went on could not be ended properly any more.
        notify("STOPPING=1")
        service.stop()


def _read_again(service: "Service", logs: Logs, path: str | None) -> None:
    """Heed the settings as they are now; where something is wrong with them, all stays as it is."""
    try:
        found = service.reload(config.load(path, os.environ))
    except ConfigError as error:
        for problem in error.problems:
            log.error("the settings stay as they are: %s", problem)
        return
    except (OSError, WavError) as error:
        log.error("the settings stay as they are: media.ringback: %s", error)
        return
    for change in found.applied:
        log.info("settings: %s", change)
    for change in found.waiting:
        log.warning("settings: only after a restart: %s", change)
    if not found.applied and not found.waiting:
        log.info("settings: nothing has changed")
    # Last, so that also a change to a quieter log is told of.
    logs.configure(service.config.log)


def _script(path: str) -> "LabScript":
    # Only here: the lab is of no use to a running service.
    from c2c_sip.lab import OWN
    from c2c_sip.lab.script import ScriptError, read

    try:
        return read(path, ("c2c", *OWN))
    except ScriptError as error:
        fail("\n".join(error.problems))
