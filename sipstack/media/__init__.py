"""RTP: ports, relay and tones. The only sockets for media."""

from sipstack.media.plane import MediaLeg, MediaPlane
from sipstack.media.ports import NoPortsLeft
from sipstack.media.relay import LegCounters
from sipstack.media.tones import Tone

__all__ = ["LegCounters", "MediaLeg", "MediaPlane", "NoPortsLeft", "Tone"]
