"""Click-to-call without a PBX: one POST makes two phones talk."""

__version__ = "0.1.0"
