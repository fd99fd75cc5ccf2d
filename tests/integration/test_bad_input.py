"""Bad input to the running product: a clear problem, one sentence that says what to do, nothing half-made.

That a store which does not honour create-if-absent is refused is shown where such a store can be made, in
`libs/common/tests/test_common_objectstore.py`.
"""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, free_port, installed
from .tables import files_at

pytestmark = pytest.mark.integration
OBJECTS = ["Thing__c", "Other__c"]
# No resolver takes a label of more than 63 characters: no name server is asked.
NO_HOST = f"{'x' * 64}.my.salesforce.com"
SECRET = "wrong-secret-4711"


@pytest.fixture(scope="module")
def org() -> Iterator[RunningOrg]:
    with start_org() as running:
        for name in OBJECTS:
            running.define(name, [], [{"Name": f"{n}"} for n in range(40)])
        yield running


@pytest.fixture(scope="module")
def holdfast(
    tmp_path_factory: pytest.TempPathFactory, kafka_servers: str, postgres_server: Any, org: RunningOrg
) -> Iterator[Installation]:
    folder, dsn = tmp_path_factory.mktemp("holdfast"), postgres_server.ensure_database("bad_input")
    with installed(folder, kafka=kafka_servers, dsn=dsn) as running:
        running.create_job(running.connect(org), ["Thing__c"], name="first")
        yield running


@contextmanager
def nothing_new(holdfast: Installation) -> Iterator[None]:
    """What can be listed is the same after the block."""

    def lists() -> list[Any]:
        return [[each["id"] for each in holdfast.get(path)["items"]] for path in ("/connections", "/jobs", "/runs")]

    before = lists()
    yield
    assert lists() == before


def refused(answer: httpx.Response, status: int, code: str, *words: str) -> dict[str, Any]:
    """The problem, having checked that it is one that a person can act on."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code, problem
    assert problem["detail"].endswith((".", "…")) and "Traceback" not in problem["detail"]
    for word in words:
        assert word in problem["detail"], problem
    assert SECRET not in answer.text
    return problem


def connecting(holdfast: Installation, login_url: str, **changes: str) -> httpx.Response:
    body = {"name": "other", "login_url": login_url, "client_id": "id", "secret": SECRET, **changes}
    return holdfast.http.post("/connections", json=body)


def creating(holdfast: Installation, **changes: Any) -> httpx.Response:
    return holdfast.http.post("/jobs", json={"name": "second", "connection": "org", **changes})


@contextmanager
def web_server(body: bytes) -> Iterator[str]:
    """A web server that knows nothing of Salesforce."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module", autouse=True)
def asked_in_vain(holdfast: Installation) -> Iterator[Future[httpx.Response]]:
    """A sign-in at a server that never answers, under way while the other tests run: it takes 20 s."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent, ThreadPoolExecutor(1) as pool:
        body = {"name": "silent", "login_url": f"http://127.0.0.1:{silent.getsockname()[1]}", "client_id": "id"}
        url, headers = f"{holdfast.api}/v1/connections", dict(holdfast.http.headers)
        yield pool.submit(httpx.post, url, json={**body, "secret": SECRET}, headers=headers, timeout=60)


def test_a_connection_that_cannot_be(holdfast: Installation, org: RunningOrg) -> None:
    ours = {"client_id": org.client_id, "secret": org.client_secret}
    with nothing_new(holdfast), web_server(b"<html>Welcome to nginx</html>") as other:
        answer = connecting(holdfast, org.url, client_id=org.client_id)
        assert refused(answer, 422, "salesforce-invalid-client", "secret")["errors"][0]["field"] == "secret"
        answer = connecting(holdfast, org.url, client_id="unknown")
        assert refused(answer, 422, "salesforce-invalid-client-id", "client id")["errors"][0]["field"] == "client_id"
        refused(connecting(holdfast, "https://no-such-org.invalid"), 422, "address-refused", "My Domain")
        refused(connecting(holdfast, f"https://{NO_HOST}"), 503, "host-not-found", NO_HOST, "Check the address")
        refused(connecting(holdfast, f"http://127.0.0.1:{free_port()}"), 503, "connection-refused", "127.0.0.1")
        refused(connecting(holdfast, other), 422, "not-salesforce", other, "Check the address")
        refused(connecting(holdfast, "http://example.com"), 422, "address-refused", "https://")
        refused(connecting(holdfast, org.url, name="org", **ours), 409, "connection-name-taken", "Choose another")


def test_a_job_that_cannot_be(holdfast: Installation, org: RunningOrg) -> None:
    with nothing_new(holdfast):
        answer = creating(holdfast, objects=["Thing__c", "Thingg__c"])
        assert refused(answer, 422, "unknown-object", "'Thingg__c'")["errors"][0]["field"] == "objects.1"
        refused(creating(holdfast, objects=[]), 422, "empty-selection", "name an object")
        answer = creating(holdfast, name="first", objects=["Thing__c"])
        refused(answer, 409, "job-name-taken", "'first'", "Choose another")
        refused(creating(holdfast, name="x" * 81), 422, "invalid", "'name'", "80 characters")
        refused(creating(holdfast, connection="nobody"), 404, "unknown-connection", "nobody")
        refused(creating(holdfast, cron="every day", objects=["Thing__c"]), 422, "bad-schedule", "five fields")
        org.restrict(hidden_objects=["Other__c"])
        try:
            answer = creating(holdfast, objects=["Other__c"])
        finally:
            org.restrict()
        refused(answer, 422, "unknown-object", "'Other__c'", "may not see it")


def test_requests_that_make_no_sense(holdfast: Installation) -> None:
    http, json_type = holdfast.http, {"Content-Type": "application/json"}
    with nothing_new(holdfast):
        refused(http.post("/jobs", content=b'{"name": ', headers=json_type), 400, "malformed-json", "not valid JSON")
        body = b'{"name": "' + b"x" * 50_000_000 + b'"}'
        refused(http.post("/jobs", content=body, headers=json_type), 413, "too-large", "bytes")
        refused(http.get("/jobs", params={"cursor": "gibberish"}), 422, "bad-cursor", "start again without a cursor")
        run = str(uuid4())
        for path in (f"/runs/{run}", f"/runs/{run}/changes", f"/runs/{run}/changes/Thing__c"):
            refused(http.get(path), 404, "unknown-run", run)
        refused(http.get("/runs/yesterday"), 404, "run-not-found", "yesterday")
        refused(http.post(f"/jobs/{uuid4()}/runs", json={}), 404, "unknown-job", "There is no job")
        refused(httpx.get(f"{holdfast.api}/v1/jobs"), 401, "token-missing")
    assert holdfast.alive


def test_damage_to_the_vault_is_named(holdfast: Installation, org: RunningOrg) -> None:
    table = holdfast.vault / holdfast.get("/jobs/first")["id"] / "records" / "Thing__c"
    assert holdfast.run("first")["state"] == "completed"
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        session.insert("Thing__c", [{"Name": "later"}])
    assert holdfast.run("first")["counts"]["created"] == 1
    assert verified(holdfast) == ("intact", [])
    file = Path(files_at(table)[0])
    content = file.read_bytes()
    middle = len(content) // 2

    file.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    named(verified(holdfast), file.name)
    file.unlink()
    named(verified(holdfast), file.name)
    file.write_bytes(content)
    assert verified(holdfast) == ("intact", [])

    newest = max((table / "_delta_log").glob("*.json"))
    newest.unlink()
    named(verified(holdfast), "Thing__c")


def test_a_server_that_never_answers(holdfast: Installation, asked_in_vain: Future[httpx.Response]) -> None:
    with nothing_new(holdfast):
        refused(asked_in_vain.result(), 504, "answer-timeout", "127.0.0.1", "did not answer in time")


def named(verdict: tuple[str, list[dict[str, str]]], name: str) -> None:
    state, damage = verdict
    assert state == "damaged"
    assert any(name in each["path"] for each in damage), damage
    assert all(each["reason"] for each in damage)


def verified(holdfast: Installation) -> tuple[str, list[dict[str, str]]]:
    verification = holdfast.post("/jobs/first/verifications", {})
    while verification["state"] == "running":
        verification = holdfast.get(f"/verifications/{verification['id']}")
    return verification["state"], verification["damage"]
