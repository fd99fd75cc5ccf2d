"""The org's own OpenAPI document is true, and no request that can be made from it breaks the org."""

import os
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings

from holdfast.orgsim.api.app import OrgApp, make_router
from holdfast.orgsim.api.openapi import document
from holdfast.orgsim.org import Org

EXAMPLES = 4  # of each operation
SOAK_EXAMPLES = 200
SEED = int(os.environ.get("ORGSIM_FUZZ_SEED", "4"))


async def test_the_org_hands_out_its_routes_as_openapi(org: Org) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(OrgApp(org)), base_url="http://org") as http:
        answer = await http.get("/_org/openapi.json")
    described = answer.json()
    assert described == document(make_router()) and described["openapi"] == "3.1.0"
    routes = {(route.method, route.template.replace("*}", "}")) for route in make_router().routes}
    listed = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert listed == {route for route in routes if not route[1].startswith("/_org")}


def test_random_requests_break_nothing(org: Org, caplog: pytest.LogCaptureFixture) -> None:
    assert_unbreakable(org, EXAMPLES, caplog)


@pytest.mark.soak
def test_many_random_requests_break_nothing(org: Org, caplog: pytest.LogCaptureFixture) -> None:
    assert_unbreakable(org, SOAK_EXAMPLES, caplog)


def assert_unbreakable(org: Org, examples: int, caplog: pytest.LogCaptureFixture) -> None:
    """Send random requests to every operation; SOAP's faults, which are answers with status 500, are no breakage."""
    caplog.set_level("ERROR")
    schema = schemathesis.openapi.from_asgi("/_org/openapi.json", OrgApp(org))
    statuses: dict[str, set[int]] = {}
    broken: dict[str, str] = {}
    for found in schema.get_all_operations():
        operation = found.ok()

        @seed(SEED)
        @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            token = org.sessions.open(org.admin, org.clock.now()).token
            answer = case.call(headers={"Authorization": f"Bearer {token}", "X-SFDC-Session": token})
            statuses.setdefault(case.operation.label, set()).add(answer.status_code)
            fault = "<soapenv:Fault>" in answer.text and not caplog.records
            caplog.clear()
            if answer.status_code >= 500 and not fault:
                broken.setdefault(case.operation.label, case.as_curl_command())

        send()
    assert not broken, "\n".join(f"{label}: {command[:1500]}" for label, command in broken.items())
    through = [label for label, codes in statuses.items() if "/services/data" in label and codes - {401, 404, 405}]
    assert len(through) > 40, "the requests must get past the door to mean anything"


async def test_a_number_of_more_than_64_bits_is_carried_through_a_composite_request(org: Org) -> None:
    part = {
        "method": "POST",
        "url": "/services/data/v62.0/sobjects/Account",
        "referenceId": "a",
        "body": {"Name": 10**30},
    }
    token = org.sessions.open(org.admin, org.clock.now()).token
    async with httpx.AsyncClient(transport=httpx.ASGITransport(OrgApp(org)), base_url="http://org") as http:
        answer = await http.post(
            "/services/data/v62.0/composite",
            json={"compositeRequest": [part]},
            headers={"Authorization": f"Bearer {token}"},
        )
    assert answer.status_code == 200 and answer.json()["compositeResponse"][0]["httpStatusCode"] == 201
