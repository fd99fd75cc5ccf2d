"""The service over gRPC: what it keeps, what it refuses, and what it tells the others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from holdfast.common.contracts.connections import (
    BudgetObserved,
    ConnectionAdded,
    ConnectionBroken,
    ConnectionRecovered,
)
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.connections.v1 import connections_pb2 as pb

pytestmark = pytest.mark.integration

WRONG_SECRET = {"status": 400, "body": {"error": "invalid_client", "error_description": "invalid client credentials"}}
MISTAKEN_SECRET = "canary-5f2c9e-secret"


async def refused(asked: Any) -> HoldfastError:
    with pytest.raises(HoldfastError) as caught:
        await asked
    return caught.value


async def kept(service: Any) -> int:
    """Rows of every table that adding writes to."""
    tables = ("connection", "credential", "events", "outbox", "command_result")
    return sum([await service.db.fetchval(f"SELECT count(*) FROM {table}") for table in tables])


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_connection_is_added_found_tested_and_announced(service: Any) -> None:
    added = await service.add()
    assert added.status == "ok"
    assert added.organization_id == service.org.org_id
    assert added.username == service.org.username
    assert added.organization_name
    assert added.api_calls_limit > 0
    for wanted in (added.id, "Production", "production"):
        assert (await service.ask("GetConnection", id=wanted)).connection.id == added.id
    assert (await service.ask("TestConnection", id="Production")).connection.status == "ok"
    event = await service.listener.hears(lambda e: isinstance(e, ConnectionAdded))
    assert (str(event.connection_id), event.organization_id) == (added.id, service.org.org_id)


async def test_what_the_user_cannot_see_is_said_at_the_first_sign_in_and_at_each_test(service: Any) -> None:
    service.org.define("Payroll__c", [], [{"Name": "x"}])
    assert list((await service.add()).warnings) == []
    service.org.permit(permissions={"ModifyAllData": False, "ViewAllData": False})
    service.org.restrict(hidden_objects=["Payroll__c"])
    try:
        records, objects = (await service.ask("TestConnection", id="Production")).connection.warnings
        service.org.permit(permissions={"ViewSetup": False, "ViewAllData": True})
        restores, unchecked = (await service.add(name="Other")).warnings
    finally:
        service.org.permit(permissions={"ModifyAllData": True, "ViewAllData": True, "ViewSetup": True})
        service.org.restrict()
    assert "View All Data and Modify All Data" in records and "are not backed up" in records
    assert objects == "The user cannot see 1 object of the org, which will not be backed up: Payroll__c."
    assert "a restore writes only" in restores
    assert "could not be checked" in unchecked and "View Setup and Configuration" in unchecked
    assert list((await service.ask("TestConnection", id="Production")).connection.warnings) == []


async def test_access_is_held_and_renewed_once_when_refused(service: Any) -> None:
    added = await service.add()
    first = await service.access(added.id)
    assert first.access_token.startswith(service.org.org_id[:15] + "!")
    assert (first.instance_url, first.organization_id) == (service.org.url, service.org.org_id)
    assert first.api_version == "66.0"
    assert (await service.access(added.id)).access_token == first.access_token

    renewed = await asyncio.gather(*(service.access(added.id, first.access_token) for _ in range(8)))
    (token,) = {access.access_token for access in renewed}
    assert token != first.access_token
    assert (await service.access(added.id, first.access_token)).access_token == token


async def test_jwt_bearer_signs_in_with_the_apps_key(service: Any, app_key: Any) -> None:
    jwt = {"flow": pb.FLOW_JWT_BEARER, "secret": app_key.private_pem, "username": service.org.username}
    error = await refused(service.add(**(jwt | {"username": "nobody@example.com"})))
    assert (error.kind, error.code) == (Kind.INVALID, "salesforce-invalid-grant")
    assert "approved" in error.message
    added = await service.add(**jwt)
    assert (added.flow, added.organization_id) == (pb.FLOW_JWT_BEARER, service.org.org_id)
    first = (await service.access(added.id)).access_token
    assert (await service.access(added.id, first)).access_token != first


async def test_add_is_carried_out_once_per_idempotency_key(service: Any) -> None:
    first = await service.add(idempotency_key="k1")
    again = await service.add(idempotency_key="k1")
    assert again.id == first.id
    assert len((await service.ask("ListConnections")).connections) == 1
    error = await refused(service.add(idempotency_key="k1", name="Other"))
    assert error.code == "idempotency-key-reused"


async def test_name_taken(service: Any) -> None:
    await service.add()
    before = await kept(service)
    error = await refused(service.add(name="PRODUCTION"))
    assert (error.kind, error.code, error.field) == (Kind.CONFLICT, "connection-name-taken", "name")
    assert "PRODUCTION" in error.message
    assert await kept(service) == before


BAD_INPUT: list[tuple[dict[str, Any], str, str, str]] = [
    ({"secret": MISTAKEN_SECRET}, "secret", "salesforce-invalid-client", "client secret"),
    ({"client_id": "nobody"}, "client_id", "salesforce-invalid-client-id", "client id"),
    ({"name": "x" * 121}, "name", "bad-name", "120 characters"),
    ({"name": ""}, "name", "bad-name", "name"),
    ({"login_url": "http://example.my.salesforce.com"}, "login_url", "address-refused", "https://"),
    ({"login_url": "https://example.com"}, "login_url", "address-refused", "not a Salesforce address"),
    ({"login_url": "not an address"}, "login_url", "address-refused", "address"),
    ({"flow": 0}, "flow", "bad-input", "sign in"),
    ({"secret": ""}, "secret", "bad-input", "secret"),
    ({"flow": 2, "username": "ann@example.com", "secret": "no key"}, "secret", "private-key-invalid", "PEM"),
]


async def test_bad_input_gets_a_sentence_and_leaves_nothing(service: Any) -> None:
    for values, field, code, words in BAD_INPUT:
        error = await refused(service.add(**values))
        assert (error.kind, error.code, error.field) == (Kind.INVALID, code, field), values
        assert words in error.message
        assert MISTAKEN_SECRET not in error.message + error.detail
        assert await kept(service) == 0, values


async def test_name_that_cannot_be_found(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    error = await refused(service.add(login_url="https://no-such-org.my.salesforce.com"))
    assert (error.kind, error.code) == (Kind.UNAVAILABLE, "host-not-found")
    assert "no-such-org.my.salesforce.com" in error.message
    assert await kept(service) == 0


async def test_org_that_refuses_connections(service: Any) -> None:
    error = await refused(service.add(login_url=f"http://127.0.0.1:{closed_port()}"))
    assert (error.kind, error.code) == (Kind.UNAVAILABLE, "connection-refused")
    assert await kept(service) == 0


async def test_org_that_says_nothing(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.salesforce.auth._SIGN_IN_TIMEOUT", timedelta(milliseconds=300))
    with silent_port() as port:
        error = await refused(service.add(login_url=f"http://127.0.0.1:{port}"))
    assert (error.kind, error.code) == (Kind.TIMEOUT, "answer-timeout")
    assert await kept(service) == 0


async def test_something_else_than_salesforce(service: Any) -> None:
    service.sign_ins_meet({"html": True, "status": 200}, count=1)
    error = await refused(service.add())
    assert (error.kind, error.code) == (Kind.INVALID, "not-salesforce")
    assert await kept(service) == 0


async def test_org_that_fails_after_the_sign_in_leaves_nothing(service: Any) -> None:
    service.org.faults({"path": "/query", "count": None, "effect": {"status": 403, "body": []}})
    added = await service.add()
    assert added.organization_name == ""
    service.org.clear_faults()
    service.org.faults({"path": "/userinfo", "count": None, "effect": {"status": 403, "body": "Bad_OAuth_Token"}})
    before = await kept(service)
    await refused(service.add(name="Second"))
    assert await kept(service) == before


async def test_refused_credentials_break_the_connection_without_a_storm(service: Any) -> None:
    added = await service.add()
    held = (await service.access(added.id)).access_token
    service.sign_ins_meet(WRONG_SECRET)

    assert (await refused(service.access(added.id, held))).kind is Kind.INVALID
    for _ in range(5):
        error = await refused(service.access(added.id, held))
        assert error.code == "connection-broken"
        assert "client secret" in error.message
    assert service.sign_ins_that_met_trouble() == 1
    shown = (await service.ask("GetConnection", id=added.id)).connection
    assert shown.status == "broken"
    assert "client secret" in shown.status_reason
    event = await service.listener.hears(lambda e: isinstance(e, ConnectionBroken))
    assert str(event.connection_id) == added.id


async def test_broken_connection_recovers_by_a_test(service: Any) -> None:
    added = await service.add()
    service.sign_ins_meet(WRONG_SECRET)
    assert (await refused(service.ask("TestConnection", id=added.id))).kind is Kind.INVALID
    assert (await refused(service.ask("TestConnection", id=added.id))).kind is Kind.INVALID
    service.org.clear_faults()
    assert (await service.ask("TestConnection", id=added.id)).connection.status == "ok"
    assert (await service.access(added.id)).access_token
    await service.listener.hears(lambda e: isinstance(e, ConnectionRecovered))
    assert sum(isinstance(event, ConnectionBroken) for event in service.listener.heard) == 1


async def test_broken_connection_is_tried_again_after_its_pause(service: Any) -> None:
    added = await service.add()
    service.sign_ins_meet(WRONG_SECRET)
    await refused(service.access(added.id, (await service.access(added.id)).access_token))
    service.clock.ahead = timedelta(minutes=16)
    assert (await refused(service.access(added.id))).code == "salesforce-invalid-client"
    assert (await refused(service.access(added.id))).code == "connection-broken"
    service.org.clear_faults()
    service.clock.ahead = timedelta(minutes=32)
    assert (await service.access(added.id)).access_token
    assert (await service.ask("GetConnection", id=added.id)).connection.status == "ok"


async def test_org_that_is_down_does_not_break_the_connection(service: Any) -> None:
    added = await service.add()
    held = (await service.access(added.id)).access_token
    service.sign_ins_meet({"status": 503}, count=1)
    error = await refused(service.access(added.id, held))
    assert error.kind is Kind.UNAVAILABLE
    assert (await service.ask("GetConnection", id=added.id)).connection.status == "ok"
    assert (await service.access(added.id, held)).access_token != held


async def test_connection_never_changes_its_org(service: Any) -> None:
    added = await service.add()
    held = (await service.access(added.id)).access_token
    token = {
        "access_token": "00D000000000009!x",
        "instance_url": service.org.url,
        "id": f"{service.org.url}/id/00D000000000009AAA/005000000000001AAA",
    }
    service.sign_ins_meet({"status": 200, "body": token})
    error = await refused(service.access(added.id, held))
    assert (error.kind, error.code) == (Kind.CONFLICT, "other-org")
    assert "00D000000000009AAA" in error.message
    shown = (await service.ask("GetConnection", id=added.id)).connection
    assert (shown.status, shown.organization_id) == ("broken", service.org.org_id)
    assert "00D000000000009AAA" in shown.status_reason
    assert (await refused(service.access(added.id))).code == "other-org", "asked again: nothing was refused"
    service.org.clear_faults()
    assert (await service.access(added.id)).organization_id == service.org.org_id
    assert (await service.ask("GetConnection", id=added.id)).connection.status == "ok"


async def test_usage_is_added_up_and_announced_once_a_minute(service: Any) -> None:
    added = await service.add()
    first = await service.listener.hears(lambda e: isinstance(e, BudgetObserved))
    for used in range(100, 110):
        await service.ask("ReportUsage", connection_id=added.id, calls=3, used=used, limit=5000)
    await service.ask("ReportUsage", connection_id=added.id, calls=1)
    shown = (await service.ask("GetConnection", id=added.id)).connection
    assert (shown.api_calls_used, shown.api_calls_limit) == (110, 5000), (
        "the last call counts although its answer told nothing"
    )
    service.clock.ahead = timedelta(seconds=61)
    await service.ask("ReportUsage", connection_id=added.id, calls=0, used=200, limit=5000)
    later = await service.listener.hears(lambda e: isinstance(e, BudgetObserved) and e.used_calls == 200)
    announced = [event for event in service.listener.heard if isinstance(event, BudgetObserved)]
    assert announced == [first, later]
    counted = await service.db.fetchval("SELECT sum(calls) FROM usage_ledger")
    assert counted >= 31
    error = await refused(service.ask("ReportUsage", connection_id=added.id, calls=-1))
    assert error.kind is Kind.INVALID


async def test_list_goes_page_by_page(service: Any) -> None:
    names = ["alpha", "Beta", "gamma"]
    for name in reversed(names):
        await service.add(name=name)
    first = await service.ask("ListConnections", page_size=2)
    rest = await service.ask("ListConnections", page_size=2, page_token=first.next_page_token)
    assert [one.name for one in [*first.connections, *rest.connections]] == names
    assert rest.next_page_token == ""
    assert (await refused(service.ask("ListConnections", page_token="junk"))).code == "bad-cursor"
    assert (await refused(service.ask("ListConnections", page_size=501))).code == "bad-page-size"


async def test_unknown_connection(service: Any) -> None:
    for wanted in ("nothing", str(uuid4()), ""):
        for method in ("GetConnection", "TestConnection"):
            error = await refused(service.ask(method, id=wanted))
            assert (error.kind, error.code) == (Kind.NOT_FOUND, "unknown-connection")
        assert (await refused(service.access(wanted))).kind is Kind.NOT_FOUND


async def test_secret_is_nowhere_to_be_read(service: Any, capfd: pytest.CaptureFixture[str]) -> None:
    added = await service.add(idempotency_key="k")
    token = (await service.access(added.id)).access_token
    assert service.org.client_secret not in str(added)
    tables = await service.db.fetch(
        "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables "
        "WHERE table_schema IN ('connections', 'listener')"
    )
    await service.listener.hears(lambda e: isinstance(e, ConnectionAdded))
    secrets = [service.org.client_secret, token]
    hexed = [secret.encode().hex() for secret in secrets]
    for table in tables:
        rows = await service.db.fetch(f"SELECT row_to_json(t)::text AS text FROM {table['name']} t")
        text = "\n".join(row["text"] for row in rows)
        assert not [secret for secret in (*secrets, *hexed) if secret in text], table["name"]
    written = "".join(capfd.readouterr())
    assert not [secret for secret in secrets if secret in written]
