"""Another org at the same address is refused by its id: what it lacks never looks deleted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, assert_agree, installed
from .tables import assert_nothing_twice

pytestmark = pytest.mark.integration
THING, SECRET, ROWS = "Thing__c", "the same in both", 40
FIELDS = [{"name": "Note__c", "type": "string"}]


class Address:
    """A host that leads to one org, and then to another."""

    def __init__(self, target: str) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.lead_to(target)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def lead_to(self, url: str) -> None:
        """From now on; connections that are open end."""
        self._target = (urlsplit(url).hostname, urlsplit(url).port)
        for one in list(self._open):
            _end(one)

    def close(self) -> None:
        """End all connections, and wait until their sockets are closed."""
        _end(self._server)
        self._threads[0].join()
        self._server.close()
        self.lead_to(self.url)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._server.accept()
                self._threads.append(threading.Thread(target=self._carry, args=(here,)))
                self._threads[-1].start()

    def _carry(self, here: socket.socket) -> None:
        with here, suppress(OSError), socket.create_connection(self._target) as there:
            self._open |= {here, there}
            back = threading.Thread(target=_pipe, args=(there, here))
            back.start()
            _pipe(here, there)
            back.join()
            self._open -= {here, there}


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    _end(sink)


@pytest.fixture(scope="module")
def holdfast(
    kafka_servers: str, postgres_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    dsn = postgres_server.ensure_database(f"address_{uuid4().hex[:12]}")
    with installed(tmp_path_factory.mktemp("address"), kafka=kafka_servers, dsn=dsn) as running:
        yield running


@contextmanager
def org_of(folder: Path, kind: str, number: int, rows: int) -> Iterator[RunningOrg]:
    """An org with things, and with an id of its own; the secret and the connected app are those of all."""
    plan = folder / f"{number}.toml"
    plan.write_text(f'[[org]]\nname = "acme{number}"\nkind = "{kind}"\nnumber = {number}\n')
    with start_org(client_secret=SECRET, extra=["--config", str(plan)]) as org:
        org.define(THING, FIELDS, [{"Name": f"{n}", "Note__c": f"00{n}"} for n in range(rows)])
        yield org


@contextmanager
def two_orgs(folder: Path, kind: str, rows: int) -> Iterator[tuple[RunningOrg, RunningOrg, Address]]:
    """Two orgs that take the same credentials, and an address that leads to the first."""
    with org_of(folder, kind, 1, ROWS) as first, org_of(folder, kind, 2, rows) as second:
        assert first.org_id != second.org_id and first.client_id == second.client_id
        address = Address(first.url)
        try:
            yield first, second, address
        finally:
            address.close()


def job_of(holdfast: Installation, address: Address, org: RunningOrg) -> str:
    """A job of a new connection to whatever the address leads to."""
    name = uuid4().hex[:8]
    connection = {
        "name": name,
        "login_url": address.url,
        "flow": "client-credentials",
        "client_id": org.client_id,
        "secret": SECRET,
    }
    return holdfast.create_job(holdfast.post("/connections", connection)["id"], [THING], name=name)


def whole(holdfast: Installation, org: RunningOrg, job: str) -> None:
    """A run that is completed, proven and right."""
    run = holdfast.run(job)
    assert run["state"] == "completed" and run["objects"][0]["proof"]["state"] == "proven", (run, holdfast.log)
    assert_agree(holdfast.vault, job, org, [THING])
    assert_nothing_twice(holdfast.vault, job, [THING])


def refused(holdfast: Installation, job: str, pinned: RunningOrg, found: RunningOrg, *, full: bool) -> None:
    """A run that names both orgs and leaves the vault as it was: as the pinned org still is."""
    run = holdfast.run(job, full=full)
    assert run["state"] in ("failed", "partial"), (run, holdfast.log)
    said = " ".join([run["reason"] or "", *(gap["reason"] for gap in run["missing"])])
    assert "another org" in said and found.org_id in said and pinned.org_id in said, said
    assert not any(run["counts"].values()), run
    assert_agree(holdfast.vault, job, pinned, [THING])
    assert_nothing_twice(holdfast.vault, job, [THING])


def test_an_address_that_leads_to_another_org_deletes_nobody(holdfast: Installation, tmp_path: Path) -> None:
    """The other has an object of the same name with fewer records; led back, the next run goes on by itself."""
    with two_orgs(tmp_path, "production", 3) as (first, second, address):
        job = job_of(holdfast, address, first)
        whole(holdfast, first, job)
        address.lead_to(second.url)
        for full in (False, True):
            refused(holdfast, job, first, second, full=full)
        address.lead_to(first.url)
        with OrgSession(first.url, first.client_id, SECRET) as session:
            made = session.insert(THING, [{"Name": "since"}])
            session.update(THING, [{"Id": made[0], "Note__c": "x"}])
        whole(holdfast, first, job)


def test_a_refreshed_sandbox_deletes_nobody(holdfast: Installation, tmp_path: Path) -> None:
    """A copy under a new organization id, for good: a connection and a job of its own back it up from then on."""
    with two_orgs(tmp_path, "sandbox", ROWS - 10) as (before, after, address):
        job = job_of(holdfast, address, before)
        whole(holdfast, before, job)
        address.lead_to(after.url)
        for full in (False, True):
            refused(holdfast, job, before, after, full=full)
        whole(holdfast, after, job_of(holdfast, address, after))
        assert_agree(holdfast.vault, job, before, [THING])
