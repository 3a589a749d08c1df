"""Against Asterisk, which Debian 12 has no package of: not part of the test command, see docs/interop.md."""
