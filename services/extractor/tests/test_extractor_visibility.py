"""What the user cannot see is found out before the first run, and what was found helps the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from holdfast.common.rpc.extractor.v1 import extractor_pb2 as messages
from holdfast.orgsim.testing import RunningOrg, start_org

pytestmark = pytest.mark.integration
Make = Callable[..., Any]
Own = Callable[[str], str]
FIELDS = [{"name": "Open__c", "type": "string"}, {"name": "Secret__c", "type": "string"}]


@pytest.fixture(scope="module")
def one_org() -> Iterator[RunningOrg]:
    """An org of its own: permissions are taken away."""
    with start_org() as running:
        running.define("Account", [], [{"Name": "x"}])
        yield running


async def asked(one: Any, *objects: str) -> messages.CheckVisibilityResponse:
    service = one.service
    request = messages.CheckVisibilityRequest(connection_id=str(one.connection_id), objects=objects)
    answer: messages.CheckVisibilityResponse = await service.CheckVisibility(request, None)
    return answer


async def test_hidden_fields_and_objects_are_named(org: RunningOrg, harness: Make, own: Own) -> None:
    org.define(own("Thing"), FIELDS, [{"Name": "x"}])
    org.define(own("Hidden"), FIELDS, [{"Name": "x"}])
    org.restrict(hidden_objects=[own("Hidden")], hidden_fields=[f"{own('Thing')}.Secret__c"])
    answer = await asked(harness())
    hidden = f"The user cannot see 1 object of the org, which will not be backed up: {own('Hidden')}."
    fields = f"The user cannot see 1 field of {own('Thing')}, which will not be backed up: Secret__c."
    assert list(answer.warnings) == [hidden, fields]
    # Describe global, counts, all describes in one call, all fields in one, all objects in one.
    assert answer.api_calls == org.calls()["total"] == 5


async def test_only_the_objects_of_the_job_are_looked_at(org: RunningOrg, harness: Make, own: Own) -> None:
    org.define(own("Thing"), FIELDS, [{"Name": "x"}])
    org.restrict(hidden_fields=[f"{own('Thing')}.Secret__c"])
    assert list((await asked(harness(), "Account")).warnings) == []


async def test_who_may_not_see_the_setup_is_told_so(org: RunningOrg, harness: Make, own: Own) -> None:
    org.permit(permissions={"ViewSetup": False})
    try:
        answer = await asked(harness(), "Account")
    finally:
        org.permit(permissions={"ViewSetup": True})
    (warning,) = answer.warnings
    assert "could not be checked" in warning and "View Setup and Configuration" in warning


async def test_a_renaming_after_the_check_is_known_as_one(org: RunningOrg, harness: Make, own: Own) -> None:
    org.define(own("Thing"), FIELDS, [{"Name": "x", "Secret__c": "s"}])
    one = harness()
    await asked(one, own("Thing"))
    org.reset_calls()
    await one.run(own("Thing"))
    assert not [route for route in org.calls()["routes"] if "tooling" in route["route"]]
    rename = {"name": "Secret__c", "to": "Known__c"}
    org.faults({"path": "/sobjects$", "count": 1, "effect": {"describe": {"object": own("Thing"), "rename": rename}}})
    (second,) = [body for what, body in await one.run(own("Thing")) if what == "object.extracted"]
    assert second["gaps"] == []
    assert second["notes"] == [
        f"Secret__c of {own('Thing')} was renamed Known__c: its values until now stay under the old name."
    ]
    assert second["mode"] == "full"
