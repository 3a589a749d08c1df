"""The settings: what is read, what is refused, and that the file that ships lists them all."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import trustme

from c2c_sip.config import Config, ConfigError, Origin, Trunk, load
from c2c_sip.settings import shown

CONF = Path(__file__).parents[2] / "conf" / "c2c_sip.toml"


@pytest.fixture
def pems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``a.pem`` and ``b.pem``: a certificate with its key each; ``other.pem``: another key."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.pem", "b.pem"):
        made = trustme.CA().issue_cert("sip.example.net")
        made.private_key_and_cert_chain_pem.write_to_path(name)
    trustme.CA().issue_cert("x.test").private_key_pem.write_to_path("other.pem")


def problems(text: str, tmp_path: Path, environ: dict[str, str] | None = None) -> list[str]:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(str(path), environ or {})
    return caught.value.problems


def test_the_shipped_file_is_the_defaults() -> None:
    assert load(str(CONF), {}) == Config()


def test_the_shipped_file_lists_every_setting() -> None:
    document = tomllib.loads(CONF.read_text())
    for section in fields(Config):
        if section.name not in ("trunks", "origins"):
            known = {entry.name for entry in fields(type(getattr(Config(), section.name)))}
            assert set(document[section.name]) == known
    commented = set(re.findall(r"^# (\w+) = ", CONF.read_text(), re.MULTILINE))
    assert commented == {entry.name for entry in fields(Trunk)}


def test_all_mistakes_are_told_at_once_with_their_full_names(tmp_path: Path) -> None:
    found = problems(
        '[http]\nlisten = "nowhere"\nthreads = 0\n[media]\nports = [9, 3]\nspeed = 1\n[nonsense]\n'
        '[[trunk]]\nname = "a"\ndomain = "x y"\nusername = "u"\nexpires = "soon"\n',
        tmp_path,
    )
    for start in (
        "http.listen: got 'nowhere', accepted: ADDRESS:PORT",
        "http.threads: got 0, accepted: a whole number from 1 to 256",
        "media.ports: got [9, 3]",
        "media.speed: unknown setting",
        "nonsense: unknown section",
        "trunk[0].domain: got 'x y'",
        "trunk[0].expires: got 'soon'",
    ):
        assert any(problem.startswith(start) for problem in found), start
    assert len(found) == 7


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[http]\nlisten = "127.0.0.1:1"\n')
    config = load(
        str(path),
        {
            "C2C_SIP_HTTP__LISTEN": "127.0.0.1:9000",
            "C2C_SIP_MEDIA__PORTS": "30000,30010",
            "C2C_SIP_SIP__LISTEN": "udp:127.0.0.1:0, tcp:127.0.0.1:0",
            "C2C_SIP_TRUNK__0__NAME": "t",
            "C2C_SIP_TRUNK__0__DOMAIN": "sip.example.net",
            "C2C_SIP_TRUNK__0__REGISTER": "false",
        },
    )
    assert config.http.listen == "127.0.0.1:9000"
    assert config.media.ports == (30000, 30010)
    assert config.sip.listen == ("udp:127.0.0.1:0", "tcp:127.0.0.1:0")
    assert config.trunks[0] == Trunk(name="t", domain="sip.example.net", register=False)


def test_a_secret_comes_from_its_file_and_is_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    path = tmp_path / "c.toml"
    trunk = '[[trunk]]\nname = "t"\ndomain = "d"\nusername = "u"\n'
    path.write_text(f'{trunk}password_file = "{secret}"\n')
    config = load(str(path), {})
    assert config.trunks[0].password == "s3cret"
    assert "s3cret" not in repr(config)
    assert not any(
        "s3cret" in p for p in problems(trunk + 'password = "s3cret\\u0007"\n', tmp_path)
    )


@pytest.mark.parametrize(
    "line",
    [
        'listen = ["udp:0.0.0.0:99999"]',
        'listen = ["sctp:0.0.0.0:5060"]',
        "listen = []",
        'user_agent = "a\\r\\nb"',
    ],
)
def test_what_could_not_be_bound_or_would_forge_a_header_is_refused(
    line: str, tmp_path: Path
) -> None:
    assert problems(f"[sip]\n{line}\n", tmp_path)[0].startswith("sip.")


def test_a_registering_trunk_needs_its_account(tmp_path: Path) -> None:
    found = problems('[[trunk]]\nname = "t"\ndomain = "d"\n', tmp_path)
    assert found[0].startswith("trunk[0].username:")


def test_stun_is_for_udp(tmp_path: Path) -> None:
    trunk = f'{TRUNK}keepalive_by = "stun"\ntransport = '
    assert problems(f'{trunk}"tls"', tmp_path)[0].startswith("trunk[0].keepalive_by:")
    file = tmp_path / "good.toml"
    file.write_text(f'{trunk}"udp"')
    assert load(str(file), {}).trunks[0].keepalive_by == "stun"


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml"):
        load(str(tmp_path / "nothing.toml"), {})


TRUNK = '[[trunk]]\nname = "t"\ndomain = "d"\nusername = "u"\n'


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ('[sip]\nlisten = ["udp:999.1.1.1:5060"]\n', "sip.listen: got "),
        ('[sip]\nlisten = ["udp:[::::]:5060"]\n', "sip.listen: got "),
        ('[sip]\nlisten = ["udp:0.0.0.0:\u0665\u0660\u0666\u0660"]\n', "sip.listen: got "),
        ('[sip]\nlisten = ["udp:0.0.0.0:5060", "udp:0.0.0.0:5060"]\n', "sip.listen: got "),
        ('[sip]\npublic_address = "999.1.1.1"\n', "sip.public_address: got "),
        ('[sip]\npublic_address = "0.0.0.0"\n', "sip.public_address: got "),
        ('[media]\naddress = "::::"\n', "media.address: got "),
        ('[media]\naddress = "0.0.0.0"\n', "media.address: got "),
        ('[http]\nlisten = "999.0.0.1:80"\n', "http.listen: got "),
        ('[http]\nlisten = "127.0.0.1:\u0668\u0660"\n', "http.listen: got "),
        ('[http]\nallowed_origins = ["nonsense"]\n', "http.allowed_origins: got "),
        ('[http]\nallowed_origins = ["https://a.example/path"]\n', "http.allowed_origins: got "),
        (TRUNK.replace('"d"', '"d:99999"'), "trunk[0].domain: got "),
        (TRUNK.replace('"d"', '"d:0"'), "trunk[0].domain: got "),
        (TRUNK + 'from_domain = "d:99999"\n', "trunk[0].from_domain: got "),
    ],
)
def test_an_address_that_cannot_be_one_is_refused(text: str, start: str, tmp_path: Path) -> None:
    (problem,) = problems(text, tmp_path)
    assert problem.startswith(start)


@pytest.mark.parametrize("given", ["x30000y30010", "-30000,30010", "30000", "30000,30010,30020"])
def test_a_port_range_from_the_environment_is_two_ports_and_nothing_else(
    given: str, tmp_path: Path
) -> None:
    (problem,) = problems("", tmp_path, {"C2C_SIP_MEDIA__PORTS": given})
    assert problem.startswith(f"media.ports: got {given!r}, accepted: ")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[sip]\nlisten = ["udp:[::1]:5060", "udp:127.0.0.1:0", "udp:127.0.0.1:0"]\n', "sip"),
        ('[sip]\npublic_address = "2001:db8::1"\n', "sip"),
        ('[http]\nlisten = "localhost:8000"\n', "http"),
        ('[http]\nlisten = "[::1]:0"\n', "http"),
        ('[http]\nallowed_origins = ["*", "https://a.example", "http://[::1]:8080"]\n', "http"),
    ],
)
def test_addresses_that_can_be_bound_are_accepted(text: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    assert getattr(load(str(path), {}), name) != getattr(Config(), name)


def test_control_characters_beyond_ascii_are_refused(tmp_path: Path) -> None:
    for escape in ("\\u0085", "\\u009f", "\\u2028"):
        assert problems(f'[sip]\nuser_agent = "a{escape}b"\n', tmp_path)


def test_a_file_that_nests_without_end_is_refused(tmp_path: Path) -> None:
    (problem,) = problems("a = " + "[" * 5000 + "]" * 5000 + "\n", tmp_path)
    assert "nested too deeply" in problem


def test_a_secret_file_whose_name_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(TRUNK + 'password_file = "a\\u0000b"\n', tmp_path)
    assert problem.startswith("trunk[0].password_file: got ")


def test_a_secret_given_in_two_ways_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one")
    (problem,) = problems(TRUNK + f'password = "two"\npassword_file = "{secret}"\n', tmp_path)
    assert problem == "trunk[0].password_file: got password too, accepted: one of the two"


def test_a_secret_of_the_environment_wins_over_the_files_of_the_file(tmp_path: Path) -> None:
    secret, other, path = tmp_path / "secret", tmp_path / "other", tmp_path / "c.toml"
    secret.write_text("from the file")
    other.write_text("from the other")
    path.write_text(f'{TRUNK}password_file = "{secret}"\n')
    overridden = load(str(path), {"C2C_SIP_TRUNK__0__PASSWORD": "from the environment"})
    assert overridden.trunks[0].password == "from the environment"
    path.write_text(f'{TRUNK}password = "written"\n')
    overridden = load(str(path), {"C2C_SIP_TRUNK__0__PASSWORD_FILE": str(other)})
    assert overridden.trunks[0].password == "from the other"


def test_the_databases_password_is_never_shown(tmp_path: Path) -> None:
    (problem,) = problems('[database]\nurl = "mysql://u:s3cret@h/n"\n', tmp_path)
    assert problem.startswith("database.url: got ") and "s3cret" not in problem
    config = load(None, {"C2C_SIP_DATABASE__URL": "postgresql://u:s3cret@h/n"})
    assert config.database.url == "postgresql://u:s3cret@h/n"
    assert "s3cret" not in repr(config)


def test_each_setting_knows_where_it_comes_from(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "c.toml"
    secret.write_text("s3cret\n")
    path.write_text(f'[http]\nthreads = 4\nlisten = "127.0.0.1:1"\n{TRUNK}expires = 600\n')
    config = load(
        str(path),
        {
            "C2C_SIP_HTTP__LISTEN": "127.0.0.1:2",
            "C2C_SIP_TRUNK__0__PASSWORD_FILE": str(secret),
            "C2C_SIP_TRUNK__0__TRANSPORT": "tcp",
        },
    )
    assert config.origins == {
        "http.threads": Origin("file", str(path)),
        "http.listen": Origin("environment", "C2C_SIP_HTTP__LISTEN"),
        "trunk[0].name": Origin("file", str(path)),
        "trunk[0].domain": Origin("file", str(path)),
        "trunk[0].username": Origin("file", str(path)),
        "trunk[0].expires": Origin("file", str(path)),
        "trunk[0].password": Origin("file", str(secret), is_secret=True),
        "trunk[0].transport": Origin("environment", "C2C_SIP_TRUNK__0__TRANSPORT"),
    }


def test_the_settings_are_shown_with_all_but_their_secrets(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "c.toml"
    secret.write_text("hush")
    path.write_text(f'{TRUNK}password = "hush"\ncaller_id_file = "{secret}"\n')
    listed = shown(load(str(path), {"C2C_SIP_DATABASE__URL": "postgresql://u:hush@h/n"}))
    found = {entry["name"]: entry for entry in listed}
    assert len(found) == len(listed)
    assert "hush" not in str(listed)
    assert found["database.url"]["value"] == "***"
    assert found["trunk.t.password"]["value"] == "***"
    # Whoever gives a file of its own to a setting means that it is secret.
    assert (found["trunk.t.caller_id"]["value"], found["trunk.t.caller_id"]["secret"]) == (
        "***",
        True,
    )
    assert found["trunk.t.domain"]["value"] == "d"
    assert found["media.ports"]["value"] == [20000, 29999]
    assert found["guard.captcha_secret"] == {
        "name": "guard.captcha_secret",
        "value": "",
        "default": "",
        "origin": "default",
        "source": "",
        "secret": True,
        "reload": False,
    }


def test_the_path_of_a_sqlite_database_is_no_secret() -> None:
    (entry,) = [one for one in shown(Config()) if one["name"] == "database.url"]
    assert (entry["value"], entry["secret"]) == ("sqlite:///c2c.db", False)


def test_one_server_name_has_one_set_of_tls_files(tmp_path: Path, pems: None) -> None:
    def trunks(first: str, second: str, sip: str = "") -> str:
        one = 'transport = "tls"\nregister = false\ndomain = '
        return (
            f'[sip]\n{sip}\n[[trunk]]\nname = "a"\n{one}"SIP.example.net"\n{first}\n'
            f'[[trunk]]\nname = "b"\n{one}"sip.example.net:5071"\n{second}\n'
        )

    for first, second, named in (
        ('tls_ca = "a.pem"', 'tls_ca = "b.pem"', "tls_ca: got 'b.pem', accepted: 'a.pem'"),
        ('tls_ca = "a.pem"', "", "tls_ca: got '', accepted: 'a.pem'"),
        ("", 'tls_certificate = "b.pem"', "tls_certificate: got 'b.pem', accepted: ''"),
        (
            'tls_server_name = "x.test"\ntls_ca = "a.pem"',
            'tls_server_name = "x.test"\ntls_ca = "b.pem"',
            "tls_ca: got 'b.pem', accepted: 'a.pem'",
        ),
    ):
        (found,) = problems(trunks(first, second), tmp_path)
        assert found.startswith(f"trunk[1].{named}"), found
        assert "trunk[0]" in found and "tls_server_name" in found

    for first, second, sip in (
        ("", "", ""),
        ('tls_ca = "a.pem"', 'tls_ca = "a.pem"', ""),
        ('tls_ca = "a.pem"', "", 'tls_ca = "a.pem"'),
        ('tls_ca = "a.pem"', 'tls_ca = "b.pem"\ntls_server_name = "b.example.net"', ""),
    ):
        file = tmp_path / "good.toml"
        file.write_text(trunks(first, second, sip))
        assert len(load(str(file), {}).trunks) == 2
    file.write_text(trunks('tls_ca = "a.pem"', "").replace('"tls"', '"tcp"', 2))
    assert len(load(str(file), {}).trunks) == 2


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ('tls_ca = "/nowhere"', "tls_ca: got '/nowhere', accepted: a PEM file of authorities: "),
        ('tls_ca = "c.toml"', "tls_ca: got 'c.toml', accepted: a PEM file of authorities: "),
        (
            'tls_certificate = "/nowhere"',
            "tls_certificate: got '/nowhere', accepted: a PEM file of a",
        ),
        (
            'tls_certificate = "a.pem"\ntls_key = "/nowhere"',
            "tls_certificate: got 'a.pem', accepted: ",
        ),
        (
            'tls_certificate = "a.pem"\ntls_key = "other.pem"',
            "tls_certificate: got 'a.pem', accepted: ",
        ),
        (
            'tls_certificate = "other.pem"',
            "tls_certificate: got 'other.pem', accepted: a PEM file of a",
        ),
    ],
)
def test_a_tls_file_that_cannot_be_used_is_named_by_its_setting(
    tmp_path: Path, pems: None, given: str, named: str
) -> None:
    (found,) = problems(f"[sip]\n{given}\n", tmp_path)
    assert found.startswith(f"sip.{named}")
    trunk = '[[trunk]]\nname = "a"\ndomain = "sip.example.net"\nregister = false\n'
    (found,) = problems(f"{trunk}{given}\n", tmp_path)
    assert found.startswith(f"trunk[0].{named}")
    path = tmp_path / "good.toml"
    path.write_text(
        f'[sip]\ntls_ca = "a.pem"\ntls_certificate = "a.pem"\n{trunk}tls_certificate = "b.pem"\n'
    )
    assert load(str(path), {}).trunks[0].tls_certificate == "b.pem"


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///file::memory:?cache=shared"])
def test_a_database_that_each_thread_would_have_for_itself_is_refused(
    tmp_path: Path, url: str
) -> None:
    (found,) = problems(f'[database]\nurl = "{url}"\n', tmp_path)
    assert found.startswith("database.url: got ..., accepted: sqlite:///FILE")


def test_a_variable_of_a_trunk_that_is_not_there_is_named(tmp_path: Path) -> None:
    trunk = '[[trunk]]\nname = "a"\ndomain = "sip.example.net"\nregister = false\n'
    (found,) = problems(trunk, tmp_path, {"C2C_SIP_TRUNK__7__PASSWORD": "s3cret"})
    assert found.startswith("C2C_SIP_TRUNK__7__PASSWORD: got trunk 7, accepted: 0 to 1")
    path = tmp_path / "c.toml"
    more = {
        f"C2C_SIP_TRUNK__{n}__{key}": value
        for n in range(1, 12)
        for key, value in (("NAME", f"t{n}"), ("DOMAIN", "x.test"), ("REGISTER", "false"))
    }
    names = [trunk.name for trunk in load(str(path), more).trunks]
    assert names == ["a", *(f"t{n}" for n in range(1, 12))]


def test_a_mark_of_byte_order_is_no_setting(tmp_path: Path) -> None:
    path, secret = tmp_path / "c.toml", tmp_path / "secret"
    secret.write_text("\ufeffs3cret\r\n", "utf-8")
    path.write_text(
        '\ufeff[[trunk]]\nname = "a"\ndomain = "sip.example.net"\nusername = "u"\n'
        f'password_file = "{secret}"\n',
        "utf-8",
    )
    assert load(str(path), {}).trunks[0].password == "s3cret"


@pytest.mark.parametrize("given", ["5", "true", "[]"])
def test_what_is_no_list_is_told_what_may_be_in_one(tmp_path: Path, given: str) -> None:
    (found,) = problems(f"[media]\ncodecs = {given}\n", tmp_path)
    assert found.endswith(
        "accepted: a list of codecs, at least one, each one of PCMU, PCMA, G722, opus"
    )


@pytest.mark.parametrize("name", ["log.levels", "http.allowed_origins", "guard.sip_hosts"])
def test_an_empty_text_in_a_list_is_no_entry_of_it(tmp_path: Path, name: str) -> None:
    """As of a variable that a template has not filled in; a level without a name ended the start with a traceback."""
    section, key = name.split(".")
    (found,) = problems(f'[{section}]\n{key} = [""]\n', tmp_path)
    assert found.startswith(f"{name}: got ['']")
