"""How c2c-sip is packaged."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "c2c_sip" / "__init__.py").read_text())
assert VERSION is not None

setup(
    name="c2c-sip",
    version=VERSION.group(1),
    description="Click-to-call without a PBX: one POST makes two phones talk",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="GPL-3.0-or-later",
    packages=find_packages(include=["c2c_sip", "c2c_sip.*", "sipstack", "sipstack.*"]),
    package_data={
        "c2c_sip": ["py.typed", "web/*.js", "web/*.json", "web/console/*"],
        "sipstack": ["py.typed"],
    },
    python_requires=">=3.11",
    install_requires=[
        "falcon>=4.0,<5",
        "waitress>=3.0.1,<4",
        "peewee>=3.17,<5",
        "cerberus>=1.3.5,<2",
        "pyVoIP>=1.6.8,<2",
        # pyVoIP needs audioop, which Python 3.13 no longer brings.
        "audioop-lts; python_version >= '3.13'",
        "phonenumbers>=8.13",
        "dnspython>=2.6,<3",
        "click>=8.1,<9",
        # Only imported by commands that print to a terminal.
        "rich>=13.7,<16",
        "prometheus-client>=0.20,<1",
        # The time zones of `hours`, where the system has none, as in Ubuntu's images.
        "tzdata>=2024.1",
    ],
    extras_require={
        "postgres": ["psycopg[binary]>=3.1,<4"],
        "srtp": ["pylibsrtp>=0.12,<2"],
        "bench": ["sipmessage>=0.7", "aiosipua>=0.7", "sippy>=2.1"],
        "fuzz": ["atheris>=2.3"],
        "test": [
            "pylibsrtp>=0.12,<2",
            "psycopg[binary]>=3.1,<4",
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "pytest-rerunfailures>=15",
            "hypothesis>=6.100",
            "schemathesis>=4.20,<5",
            "trustme>=1.1",
            "playwright>=1.45,<2",
            "axe-playwright-python>=0.1.4,<1",
            "mypy>=1.11",
            "ruff>=0.6",
            "import-linter>=2.0",
            "coverage>=7.10",
        ],
    },
    entry_points={"console_scripts": ["c2c-sip=c2c_sip.cli:main"]},
)
