"""The HTTP API: one file a resource, around them the envelope, access and errors."""

from c2c_sip.api.app import create_app

__all__ = ["create_app"]
