"""RTP: ports, relays and what is played. The only sockets for media."""

from sipstack.media.line import LegCounters
from sipstack.media.plane import MediaLeg, MediaPlane
from sipstack.media.ports import NoPortsLeft
from sipstack.media.tones import Source, Tone

__all__ = ["LegCounters", "MediaLeg", "MediaPlane", "NoPortsLeft", "Source", "Tone"]
