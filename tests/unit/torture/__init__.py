"""Messages that were made to break SIP implementations, each a test of its own."""
