"""The settings: a TOML file, overridden by environment variables, checked as a whole before anything starts.

``checks`` says what a value may be, ``sections`` which settings there are, ``loading`` where they come from.
"""

from c2c_sip.config.checks import AUTO, LEVELS
from c2c_sip.config.loading import (
    DEFAULT_PATH,
    ENVIRONMENT_PREFIX,
    NOT_SETTINGS,
    ConfigError,
    check_setting,
    load,
)
from c2c_sip.config.sections import (
    Calling,
    Config,
    Database,
    Guard,
    Http,
    Log,
    Media,
    Metrics,
    Origin,
    Recording,
    Sip,
    Trace,
    Trunk,
    Webhooks,
    accepted,
)

__all__ = [
    "AUTO",
    "DEFAULT_PATH",
    "ENVIRONMENT_PREFIX",
    "LEVELS",
    "NOT_SETTINGS",
    "Calling",
    "Config",
    "ConfigError",
    "Database",
    "Guard",
    "Http",
    "Log",
    "Media",
    "Metrics",
    "Origin",
    "Recording",
    "Sip",
    "Trace",
    "Trunk",
    "Webhooks",
    "accepted",
    "check_setting",
    "load",
]
