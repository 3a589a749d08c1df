"""The programs of others, each as a class: started on free ports of loopback in a folder of its own, stopped by pid."""

from tests.interop.programs.baresip import Baresip, read_samples
from tests.interop.programs.base import (
    HOST,
    WAYS,
    Certificate,
    Program,
    Way,
    free_port,
    free_rtp_range,
    stop_all,
    until,
)
from tests.interop.programs.dnsmasq import Dnsmasq
from tests.interop.programs.kamailio import Kamailio
from tests.interop.programs.linphone import Linphone
from tests.interop.programs.room import Room
from tests.interop.programs.service import Service, ServiceInRoom
from tests.interop.programs.sipp import SippUas, scenario
from tests.interop.programs.wire import Wire

__all__ = [
    "HOST",
    "WAYS",
    "Baresip",
    "Certificate",
    "Dnsmasq",
    "Kamailio",
    "Linphone",
    "Program",
    "Room",
    "Service",
    "ServiceInRoom",
    "SippUas",
    "Way",
    "Wire",
    "free_port",
    "free_rtp_range",
    "read_samples",
    "scenario",
    "stop_all",
    "until",
]
