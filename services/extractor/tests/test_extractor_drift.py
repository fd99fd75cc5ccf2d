"""What became of the org's schema between runs: said in words, nothing failed, nothing hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

from holdfast.extractor.drift import FieldShape, Shape, compare, lost
from holdfast.extractor.drifting import under_known_names
from holdfast.orgsim.testing import RunningOrg
from holdfast.salesforce.models import Describe

Make = Callable[..., Any]
Own = Callable[[str], str]
FIELDS = [
    {"name": "Number__c", "type": "double"},
    {"name": "Text__c", "type": "string", "length": 255},
    {"name": "Kind__c", "type": "picklist", "picklistValues": [{"value": v, "active": True} for v in ("A", "B")]},
]


def shape(**fields: str) -> Shape:
    return Shape({name: FieldShape(kind) for name, kind in fields.items()})


def test_what_did_not_change_needs_no_words() -> None:
    before = Shape({"Id": FieldShape("id"), "P__c": FieldShape("picklist", ("A",), "00N1")})
    assert compare("O", before, Shape.from_json(before.to_json()), None).notes == ()


def test_a_field_that_the_org_no_longer_has_is_gone_and_one_that_is_hidden_is_not() -> None:
    before, now = shape(Id="id", A__c="string", B__c="string"), shape(Id="id")
    assert lost(before, now) == ["A__c", "B__c"]
    drift = compare("O", before, now, {"Id": "", "B__c": "00N2"})
    assert drift.gone == {"a__c"}
    assert drift.notes == ("A__c of O no longer exists in the org; its last values are kept.",)
    assert compare("O", before, now, None).gone == frozenset()
    assert compare("O", before, now, {"B__c": "00N2"}).gone == frozenset()  # without Id it is no list of all fields


def test_a_renamed_field_is_told_by_its_id() -> None:
    before = Shape({"Old__c": FieldShape("string", None, "00N1")})
    drift = compare("O", before, shape(New__c="string"), {"New__c": "00N1"})
    assert drift.notes == ("Old__c of O was renamed New__c: its values until now stay under the old name.",)
    assert drift.gone == {"old__c"}


def test_without_ids_a_renaming_is_not_claimed_and_not_denied() -> None:
    drift = compare("O", shape(Old__c="string"), shape(New__c="string"), {"New__c": "00N1"})
    assert "no longer exists" in drift.notes[0] and "New__c" in drift.notes[1]
    assert "did not tell whether a field was renamed" in drift.notes[2]


def test_types_values_and_spellings_are_compared() -> None:
    before = Shape(
        {"N__c": FieldShape("double"), "P__c": FieldShape("picklist", ("A", "B")), "Up__c": FieldShape("int")}
    )
    now = Shape({"N__c": FieldShape("string"), "P__c": FieldShape("picklist", ("B", "C")), "UP__c": FieldShape("int")})
    assert compare("O", before, now, None).notes == (
        "N__c of O changed its type from double to string; older values stay.",
        "Values of P__c of O changed: “C” added; “A” no longer offered.",
        "Up__c of O is now written UP__c.",
    )


def of(events: list[tuple[str, dict[str, Any]]], kind: str) -> list[dict[str, Any]]:
    return [body for what, body in events if what == kind]


def change(org: RunningOrg, **changes: Any) -> None:
    """Change the schema as the next describe global is asked for."""
    org.faults({"path": "/sobjects$", "count": 1, "effect": {"describe": changes}})


def test_an_object_whose_name_changed_its_case_keeps_the_name_of_its_backup() -> None:
    found, notes = under_known_names([Describe(name="INVOICE__c", fields=()), Describe(name="New__c", fields=())],
                                     ["Invoice__c"])  # fmt: skip
    assert [one.name for one in found] == ["Invoice__c", "New__c"]
    assert notes == {"Invoice__c": "Invoice__c is now written INVOICE__c in the org; the backup keeps its name."}


@pytest.mark.integration
async def test_a_large_object_with_a_field_in_another_case_is_read_by_bulk(
    org: RunningOrg, harness: Make, own: Own
) -> None:
    org.define(own("Thing"), FIELDS, [{"Name": f"{n}", "Text__c": "a"} for n in range(30)])
    one = harness(extractor_bulk_threshold_rows=20)
    await one.run(own("Thing"))
    change(org, object=own("Thing"), rename={"name": "Text__c", "to": "TEXT__c"})
    events = await one.run(own("Thing"), full=True)
    assert of(events, "extraction.planned")[0]["objects"][0]["strategy"] == "bulk2"
    (page,) = of(events, "page.staged")
    rows = pq.read_table(one.objects.local_path(page["path"])).to_pylist()
    assert {row["Text__c"] for row in rows} == {"a"} and "TEXT__c" not in rows[0]


@pytest.mark.integration
async def test_a_removed_field_is_a_note_and_no_gap(org: RunningOrg, harness: Make, own: Own) -> None:
    org.define(own("Thing"), FIELDS, [{"Name": "x", "Text__c": "a"}])
    one = harness()
    (first,) = of(await one.run(own("Thing")), "object.extracted")
    assert first["notes"] == [] and first["gaps"] == []
    change(org, object=own("Thing"), remove="Text__c")
    org.reset_calls()
    (second,) = of(await one.run(own("Thing")), "object.extracted")
    assert second["gaps"] == []
    assert second["notes"] == [f"Text__c of {own('Thing')} no longer exists in the org; its last values are kept."]
    assert sum(route["calls"] for route in org.calls()["routes"] if "tooling" in route["route"]) == 1
    (third,) = of(await one.run(own("Thing")), "object.extracted")
    assert third["notes"] == [] and third["gaps"] == []


@pytest.mark.integration
async def test_a_hidden_field_is_a_gap(org: RunningOrg, harness: Make, own: Own) -> None:
    org.define(own("Thing"), FIELDS, [{"Name": "x", "Text__c": "a"}])
    one = harness()
    await one.run(own("Thing"))
    org.restrict(hidden_fields=[f"{own('Thing')}.Text__c"])
    (second,) = of(await one.run(own("Thing")), "object.extracted")
    assert second["notes"] == []
    assert second["gaps"] == [f"The user can no longer read Text__c of {own('Thing')}; its last known values are kept."]


@pytest.mark.integration
async def test_who_may_not_see_the_setup_is_told_of_a_gap(org: RunningOrg, harness: Make, own: Own) -> None:
    org.define(own("Thing"), FIELDS, [{"Name": "x", "Text__c": "a"}])
    one = harness()
    await one.run(own("Thing"))
    change(org, object=own("Thing"), remove="Text__c")
    org.permit(permissions={"ViewSetup": False})
    try:
        (second,) = of(await one.run(own("Thing")), "object.extracted")
    finally:
        org.permit(permissions={"ViewSetup": True})
    assert second["notes"] == [] and len(second["gaps"]) == 1


@pytest.mark.integration
async def test_new_retyped_and_renamed_fields_and_values_are_said(org: RunningOrg, harness: Make, own: Own) -> None:
    name = own("Thing")
    org.define(name, FIELDS, [{"Name": "x", "Text__c": "a"}])
    one = harness()
    await one.run(name)
    change(org, object=name, add={"name": "More__c", "type": "string"}, retype={"name": "Number__c", "type": "string"})
    org.schema({"objects": [{"name": name, "fields": [{"name": "Kind__c", "picklistValues": ["B", "C"]}]}]})
    (second,) = of(await one.run(name), "object.extracted")
    assert second["gaps"] == []
    assert second["mode"] == "full"  # values of the new field are in records that no stamp will bring
    assert second["notes"] == [
        f"More__c of {name} is backed up from now on: new, or visible for the first time.",
        f"Number__c of {name} changed its type from double to string; older values stay.",
        f"Values of Kind__c of {name} changed: “C” added; “A” no longer offered.",
    ]


@pytest.mark.integration
async def test_a_vanished_object_is_said_once_and_fails_nothing(org: RunningOrg, harness: Make, own: Own) -> None:
    org.define("Account", [], [{"Name": "x"}])
    org.define(own("Gone"), FIELDS, [{"Name": "x"}])
    one = harness()
    first = await one.run()
    assert own("Gone") in [event["object"] for event in of(first, "object.extracted")]
    change(org, object=own("Gone"), drop=True)
    second = await one.run()
    assert of(second, "object.failed") == []
    assert of(second, "extraction.planned")[0]["notes"] == [
        f"The org no longer has the object {own('Gone')}; its records stay in the backup as they were."
    ]
    assert of(await one.run(), "extraction.planned")[0]["notes"] == []


@pytest.mark.integration
async def test_a_hidden_object_still_fails(org: RunningOrg, harness: Make, own: Own) -> None:
    org.define(own("Hidden"), FIELDS, [{"Name": "x"}])
    one = harness()
    await one.run(own("Hidden"))
    org.restrict(hidden_objects=[own("Hidden")])
    events = await one.run(own("Hidden"))
    assert [event["object"] for event in of(events, "object.failed")] == [own("Hidden")]


@pytest.mark.integration
async def test_a_new_object_joins_by_itself_and_the_run_says_so(org: RunningOrg, harness: Make, own: Own) -> None:
    org.define("Account", [], [{"Name": "x"}])
    one = harness()
    await one.run()
    org.define(own("New"), FIELDS, [{"Name": "x"}])
    events = of(await one.run(), "object.extracted")
    (joined,) = [event for event in events if event["object"] == own("New")]
    assert joined["notes"] == [
        f"{own('New')} is backed up from now on: it is new in the org, or had no records until now."
    ]
