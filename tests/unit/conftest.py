"""A store on a file of its own, and the API on it with a door that dials nothing."""

import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import falcon.testing
import psycopg
import pytest

from c2c_sip.api import create_app
from c2c_sip.calling import policy
from c2c_sip.calling.door import Readiness
from c2c_sip.calling.policy import Refusal
from c2c_sip.config import Config
from c2c_sip.store import Store
from c2c_sip.store import secrets as store_secrets
from tests.postgres import Postgres


class FakeCalling:
    """The door of ``c2c_sip.calling``, with the real policy and a real record, but nobody behind it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        #: What ``activate`` was called with, one entry a call that got past the policy.
        self.dialled: list[dict[str, Any]] = []
        #: Raised instead of dialling.
        self.refusal: Refusal | None = None
        #: What becomes of an activation while somebody waits for it.
        self.outcome: dict[str, Any] = {}
        self.live: list[dict[str, Any]] = []
        self.hung_up: list[str] = []
        self.state = Readiness((), False)
        self.waited: list[float] = []
        #: Set by a test that wants waiting requests to stay.
        self.hold: threading.Event | None = None
        self.waiting = threading.Event()

    def activate(
        self,
        account: Mapping[str, Any],
        clicktocall: Mapping[str, Any],
        contact: Any,
        *,
        authenticated: bool,
        client: str,
        local: bool = False,
        link: str = "",
        brought: Any = None,
        parameter: Any = None,
    ) -> dict[str, Any]:
        checked = policy.check(
            clicktocall, contact, account, authenticated=authenticated, rules=policy.Rules()
        )
        if self.refusal is not None:
            raise self.refusal
        row: dict[str, Any] = {
            "id": secrets.token_hex(16),
            "account_id": account["id"],
            "clicktocall_id": clicktocall["id"],
            "contact": checked.text,
            "created": time.time(),
            "state": "initiated",
            "call_id": secrets.token_hex(12),
            "extension_call_id": secrets.token_hex(12),
        }
        self.store.create_activation(row).result()
        self.dialled.append(
            {
                "account": dict(account),
                "clicktocall": dict(clicktocall),
                "contact": contact,
                "authenticated": authenticated,
                "client": client,
                "local": local,
            }
        )
        return row

    def get_dials(self, account: Mapping[str, Any], clicktocall: Mapping[str, Any]) -> bool:
        return True

    def region(self, account: Mapping[str, Any]) -> str:
        return "US"

    def wait(self, activation_id: str, timeout: float) -> None:
        self.waited.append(timeout)
        self.waiting.set()
        if self.hold is not None:
            self.hold.wait(20)
        if self.outcome:
            self.store.update_activation(activation_id, **self.outcome)
            self.store.flush()
        self.store.flush()

    def channels(self, account_id: str) -> list[dict[str, Any]]:
        legs = [leg for leg in self.live if leg["account_id"] == account_id]
        return [{"created": 1000.0, "activation_id": "0" * 32} | leg for leg in legs]

    def channel(self, account_id: str, call_id: str) -> dict[str, Any] | None:
        for leg in self.channels(account_id):
            if leg["call_id"] == call_id:
                return leg
        return None

    def hangup(self, account_id: str, call_id: str) -> dict[str, Any] | None:
        found = self.channel(account_id, call_id)
        if found is not None:
            self.hung_up.append(call_id)
        return found

    def readiness(self) -> Readiness:
        return self.state


@dataclass
class Api:
    """The API of one account, called without a socket."""

    store: Store
    calling: FakeCalling
    account: dict[str, Any]
    config: Config = field(default_factory=Config)
    version: str = "v1"

    def __post_init__(self) -> None:
        self.app = create_app(
            store=self.store,
            calling=self.calling,  # type: ignore[arg-type]
            config=self.config,
            version="9.9.9",
            node="here",
        )
        self.client = falcon.testing.TestClient(self.app)
        self.token = self.store.create_token(self.account["id"], None, "test")

    def with_http(self, **settings: Any) -> "Api":
        """The same with other settings of the ``[http]`` section."""
        config = replace(self.config, http=replace(self.config.http, **settings))
        return Api(self.store, self.calling, self.account, config, self.version)

    @property
    def path(self) -> str:
        return f"/{self.version}/accounts/{self.account['id']}"

    def request(self, method: str, path: str, **more: Any) -> falcon.testing.Result:
        """With the account's token, unless ``token`` says otherwise; ``path`` below the account's."""
        headers = dict(more.pop("headers", {}))
        token = more.pop("token", self.token)
        if token is not None:
            headers["X-Auth-Token"] = token
        where = (
            path if path.startswith("/v") or path in ("/healthz", "/readyz") else self.path + path
        )
        return self.client.simulate_request(method, where, headers=headers, **more)

    def get(self, path: str, **more: Any) -> falcon.testing.Result:
        return self.request("GET", path, **more)

    def put(self, path: str, data: Any, **more: Any) -> falcon.testing.Result:
        return self.request("PUT", path, json={"data": data}, **more)

    def post(self, path: str, data: Any, **more: Any) -> falcon.testing.Result:
        return self.request("POST", path, json={"data": data}, **more)

    def patch(self, path: str, data: Any, **more: Any) -> falcon.testing.Result:
        return self.request("PATCH", path, json={"data": data}, **more)

    def delete(self, path: str, **more: Any) -> falcon.testing.Result:
        return self.request("DELETE", path, **more)

    def create(self, **fields: Any) -> dict[str, Any]:
        """A click-to-call; its document."""
        document = {"name": "Sales", "extension": "100"} | fields
        made: dict[str, Any] = self.put("/clicktocall", document).json["data"]
        return made


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A database with one account, and the account's secrets: hashing them is slow, so it is done once."""
    path = tmp_path_factory.mktemp("template") / "c2c.db"
    store = Store.open(f"sqlite:///{path}")
    account = store.create_account("Acme", realm="acme.example", username="jo", password="secret")
    store.close()
    return path, account


@pytest.fixture(scope="session")
def server_template(postgres: Postgres, template: tuple[Path, dict[str, Any]]) -> str:
    """The name of the same database on a server."""
    name = postgres.make()
    Store.open(postgres.url(name)).close()
    with sqlite3.connect(template[0]) as source, psycopg.connect(postgres.url(name)) as target:
        for table in ("account", "user_", "api_key", "audit"):
            rows = source.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in rows.description]
            marks = ", ".join(["%s"] * len(columns))
            statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
            target.cursor().executemany(statement.encode(), rows.fetchall())
    return name


@pytest.fixture
def kept_in() -> str:
    """Which kind of database a test has; see :mod:`tests.unit.databases`."""
    return "sqlite"


@pytest.fixture
def account(template: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    """``id``, ``realm``, ``api_key``, ``username``, ``password`` of the account there is."""
    return dict(template[1])


@pytest.fixture
def url(
    kept_in: str,
    request: pytest.FixtureRequest,
    template: tuple[Path, dict[str, Any]],
    tmp_path: Path,
) -> Iterator[str]:
    """A database with that account."""
    if kept_in == "sqlite":
        shutil.copy(template[0], tmp_path / "c2c.db")
        yield f"sqlite:///{tmp_path}/c2c.db"
        return
    name = request.getfixturevalue("server_template")
    with request.getfixturevalue("postgres").database(name) as made:
        yield made


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A store on it."""
    store = Store.open(url)
    yield store
    store.close()


@pytest.fixture
def calling(store: Store) -> FakeCalling:
    return FakeCalling(store)


@pytest.fixture
def api(store: Store, calling: FakeCalling, account: dict[str, Any]) -> Api:
    return Api(store, calling, account)


# --- the store, for who tests nothing else


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/fresh.db"
        return
    with request.getfixturevalue("postgres").database() as made:
        yield made


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost nothing, where they are not what is tested."""
    monkeypatch.setattr(store_secrets, "N", 2)


@pytest.fixture
def fresh(database_url: str, cheap: None) -> Iterator[Store]:
    store = Store.open(database_url)
    yield store
    store.close()
