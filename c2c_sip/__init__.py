"""Click-to-call over SIP: an HTTP request rings an extension, then a contact, and joins the two."""

__version__ = "0.1.0"
