"""Real Kafka, Postgres and S3 for integration tests, from one of two providers.

Containers where a Docker engine answers, else the embedded stack. Each server starts when
the first test asks for it, once per test session, and unit tests pay nothing.
"""

# Throw-away servers on loopback need no secrets; testcontainers is imported where Docker is.
# ruff: noqa: S106, S608, PLC0415
from __future__ import annotations

import asyncio
import http.client
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import pytest
from pytest_socket import disable_socket, enable_socket

from holdfast.common.postgres import Database
from holdfast.launcher.stack import EmbeddedStack, S3Server
from holdfast.launcher.stack.buckets import ensure_bucket
from holdfast.launcher.stack.process import PORT_RANGE, PORT_RANGE_SETTING, free_ports

DOCKER_PING_TIMEOUT_S = 1.0
POSTGRES_IMAGE = "postgres:18.4"
KAFKA_IMAGE = "apache/kafka:4.3.1"
S3_IMAGE = "chrislusf/seaweedfs:4.48"
TEMPLATE = "empty_template"

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


# Workers choose ports at the same time, seconds before a server takes them: each has a share of its own.
_WORKER, _WORKERS = (
    int(os.environ.get(name, default).removeprefix("gw"))
    for name, default in (("PYTEST_XDIST_WORKER", "gw0"), ("PYTEST_XDIST_WORKER_COUNT", "1"))
)
_SHARE = (PORT_RANGE[1] - PORT_RANGE[0]) // _WORKERS
_FIRST = PORT_RANGE[0] + _WORKER * _SHARE
os.environ[PORT_RANGE_SETTING] = f"{_FIRST}-{_FIRST + _SHARE - 1}"


class PostgresServer(Protocol):
    """Makes and drops databases on one server."""

    def dsn(self, database: str) -> str: ...
    def ensure_database(self, name: str) -> str: ...
    def clone_database(self, template: str, name: str) -> str: ...
    def drop_database(self, name: str) -> None: ...


class Provider(Protocol):
    """Starts servers on demand; what it started ends with the session."""

    def kafka(self) -> str: ...
    def postgres(self) -> PostgresServer: ...
    def s3(self) -> S3Server: ...


class EmbeddedProvider:
    """Child processes of the test run, each with data in its own temporary folder."""

    def __init__(self, cleanup: ExitStack) -> None:
        self._cleanup = cleanup

    def kafka(self) -> str:
        return self._start(kafka=True).kafka_servers

    def postgres(self) -> PostgresServer:
        return self._start(postgres=True).postgres

    def s3(self) -> S3Server:
        return self._start(s3=True).s3

    def _start(self, *, kafka: bool = False, postgres: bool = False, s3: bool = False) -> EmbeddedStack:
        folder = tempfile.mkdtemp(prefix="holdfast-test-")
        self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        return self._cleanup.enter_context(
            EmbeddedStack(Path(folder), postgres=postgres, kafka=kafka, s3=s3, durable=False)
        )


class ContainerPostgres:
    """A Postgres container, administered through its own ``psql``."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self._url = urlsplit(container.get_connection_url(driver=None))

    def dsn(self, database: str) -> str:
        return str(urlunsplit(self._url._replace(scheme="postgresql", path=f"/{database}")))

    def ensure_database(self, name: str) -> str:
        if not self._run(f"select 1 from pg_database where datname = '{name}'"):
            self._run(f"create database {name}")
        return self.dsn(name)

    def clone_database(self, template: str, name: str) -> str:
        self._run(f"create database {name} template {template}")
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        self._run(f"drop database if exists {name} with (force)")

    def _run(self, statement: str) -> str:
        psql = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "holdfast", "-d", "postgres", "-c", statement]
        code, output = self._container.exec(psql)
        assert code == 0, output.decode()
        return str(output.decode()).strip()


class ContainerProvider:
    """Containers through testcontainers, which removes them even after a crash."""

    def __init__(self, cleanup: ExitStack) -> None:
        self._cleanup = cleanup

    def kafka(self) -> str:
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.waiting_utils import wait_for_logs

        port = free_ports([], 1)[0]  # the same inside and outside: the broker has to advertise it
        container = DockerContainer(KAFKA_IMAGE).with_bind_ports(port, port).with_envs(**_kafka_settings(port))
        self._cleanup.enter_context(container)
        wait_for_logs(container, "Kafka Server started", timeout=60)
        return f"{container.get_container_host_ip()}:{port}"

    def postgres(self) -> PostgresServer:
        from testcontainers.postgres import PostgresContainer

        container = PostgresContainer(POSTGRES_IMAGE, username="holdfast", password="holdfast", dbname="holdfast")
        container.with_command("-c max_connections=200 -c fsync=off")
        return ContainerPostgres(self._cleanup.enter_context(container))

    def s3(self) -> S3Server:
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.waiting_utils import wait_for_logs

        key, secret = "holdfast", "holdfast-secret"
        container = DockerContainer(S3_IMAGE).with_exposed_ports(8333)
        container.with_command("mini -dir=/data -master.telemetry=false -s3.port=8333")
        container.with_envs(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret)
        self._cleanup.enter_context(container)
        wait_for_logs(container, "Start Seaweed S3 API Server", timeout=60)
        endpoint = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8333)}"
        server = S3Server(endpoint, key, secret, "holdfast")
        ensure_bucket(server, server.bucket)
        return server


def _kafka_settings(port: int) -> dict[str, str]:
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:29093",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:29093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://localhost:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    }


def docker_answers() -> bool:
    """Whether a Docker engine answers a ping, within a second."""
    host = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    if host.scheme != "unix":
        return _remote_docker_answers()
    connection = http.client.HTTPConnection("docker", timeout=DOCKER_PING_TIMEOUT_S)
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(DOCKER_PING_TIMEOUT_S)
        try:
            raw.connect(host.path)
            connection.sock = raw
            connection.request("GET", "/_ping")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _remote_docker_answers() -> bool:
    try:
        done = subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=3)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


@pytest.fixture(autouse=True)
def no_sockets_in_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that opens a connection says so: it is marked ``integration`` or ``soak``."""
    if request.node.get_closest_marker("integration") or request.node.get_closest_marker("soak"):
        yield
        return
    disable_socket(allow_unix_socket=True)  # an event loop wakes itself through one
    yield
    enable_socket()


@pytest.fixture(scope="session")
def server_provider() -> Iterator[Provider]:
    """Where the servers of this test run come from."""
    with ExitStack() as cleanup:
        make: Callable[[ExitStack], Provider] = ContainerProvider if docker_answers() else EmbeddedProvider
        yield make(cleanup)


@pytest.fixture(scope="session")
def kafka_servers(server_provider: Provider) -> str:
    """Bootstrap servers of one broker for the whole session: name topics after the test."""
    return server_provider.kafka()


@pytest.fixture(scope="session")
def postgres_server(server_provider: Provider) -> PostgresServer:
    """One Postgres for the whole session, with an empty template database."""
    server = server_provider.postgres()
    server.ensure_database(TEMPLATE)
    return server


_database_numbers = itertools.count(1)
Migrations = Mapping[str, Sequence[str]]  # schema -> packages with migrations beside those of `holdfast.common`


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> Callable[[Migrations], str]:
    """Name of a database that has these migrations already: copying it costs a tenth of running them."""

    def make(schemas: Migrations) -> str:
        name = f"template_{'_'.join(schemas)}"
        dsn = postgres_server.ensure_database(name)
        with ThreadPoolExecutor(1) as aside:  # a fixture may be asked for while a loop runs here
            aside.submit(asyncio.run, _migrate(dsn, schemas)).result()
        return name

    return make


async def _migrate(dsn: str, schemas: Migrations) -> None:
    for schema, packages in schemas.items():
        db = await Database.open(dsn, schema)
        try:
            await db.migrate(*packages)
        finally:
            await db.close()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """What `postgres_dsn` is a copy of: nothing, unless a package's tests say otherwise."""
    return TEMPLATE


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A fresh database for one test: empty, or as migrated as `postgres_template` is."""
    name = f"test_{next(_database_numbers)}"
    yield postgres_server.clone_database(postgres_template, name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def s3(server_provider: Provider) -> S3Server:
    """One S3 server for the whole session, with an empty bucket: use keys named after the test."""
    return server_provider.s3()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that none is left over at the end; what shares an expensive part runs in one worker."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/"))
    for item in items:
        if "s3" in getattr(item, "fixturenames", ()) or "s3" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("s3"))  # its server costs more than all its tests
        elif _shares_a_part(item) and item.get_closest_marker("spread") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def _shares_a_part(item: pytest.Item) -> bool:
    """Whether the test uses a fixture that is made once for its module, such as an org or an installation."""
    known = getattr(item, "_fixtureinfo", None)
    fixtures = known.name2fixturedefs.values() if known else ()
    return any(each[-1].scope == "module" for each in fixtures if each)
