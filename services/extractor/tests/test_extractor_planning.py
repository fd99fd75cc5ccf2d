"""Which objects a run takes and how it reads them: facts in, plan out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.extractor.classification import classify, in_bulk, namespace_of, walk_of
from holdfast.extractor.planning import (
    Known,
    ObjectPlan,
    bulk_page_rows,
    choose,
    even_pages,
    lost_fields,
    new_mark,
    plan_object,
    record_schema,
)
from holdfast.salesforce.models import Describe, FieldDescribe, ObjectSummary
from holdfast.vault.schema import FieldType, RecordSchema

MARK = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def entry(name: str, **flags: object) -> ObjectSummary:
    return ObjectSummary.model_validate({"name": name, "queryable": True, "retrieveable": True, **flags})


def describe(name: str = "Account", *extra: str, stamped: bool = True) -> Describe:
    types = {"Id": "id", "Name": "string", "BillingAddress": "address", "Body": "base64", "Where__c": "location"}
    if stamped:
        types["SystemModstamp"] = "datetime"
    types |= dict.fromkeys(extra, "string")
    return Describe(name=name, fields=tuple(FieldDescribe(name=n, type=t) for n, t in types.items()))


def plan(described: Describe, known: Known | None = None, *, full: bool = False, rows: int = 10) -> ObjectPlan:
    return plan_object(
        described,
        known=known,
        full=full,
        estimated_rows=rows,
        overlap=timedelta(minutes=15),
        bulk_threshold_rows=2000,
    )


@pytest.mark.parametrize("name", ["Account", "Invoice__c", "Change_Log__c", "npe01__OppPayment__c", "Log__c"])
def test_business_objects_are_recommended(name: str) -> None:
    assert classify(entry(name)).recommended


@pytest.mark.parametrize(
    ("name", "flags", "word"),
    [
        ("AccountHistory", {"associateEntityType": "History"}, "history"),
        ("Invoice__History", {}, "history"),
        ("AccountShare", {"associateEntityType": "Share"}, "Sharing"),
        ("Invoice__Share", {}, "Sharing"),
        ("AccountFeed", {"associateEntityType": "Feed"}, "FeedItem"),
        ("Setting__mdt", {}, "metadata"),
        ("Archive__b", {}, "index"),
        ("Order__x", {}, "another system"),
        ("UserProvisioningLog", {}, "Logs"),
        ("SetupAuditTrail", {}, "Logs"),
        ("WorkOrderStatus", {}, "set-up list"),
        ("UserAppMenuItem", {"retrieveable": False}, "view"),
        ("Old__c", {"deprecatedAndHidden": True}, "retired"),
        ("Sellable", {"isInterface": True}, "interface"),
    ],
)
def test_what_is_not_recommended_can_be_selected_and_says_why(name: str, flags: dict[str, object], word: str) -> None:
    verdict = classify(entry(name, **flags))
    assert verdict.readable and not verdict.recommended
    assert word in verdict.reason


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("AccountChangeEvent", {"associateEntityType": "ChangeEvent"}),
        ("Invoice__ChangeEvent", {}),
        ("Shipped__e", {}),
        ("LoginEventStream", {}),
        ("FieldDefinition", {}),
        ("ActivityHistory", {}),
        ("Secret__c", {"queryable": False}),
    ],
)
def test_what_cannot_be_queried_is_unreadable(name: str, flags: dict[str, object]) -> None:
    verdict = classify(entry(name, **flags))
    assert not verdict.readable and not verdict.recommended and verdict.reason


@pytest.mark.parametrize(
    ("name", "strategy", "detail"),
    [
        ("Account", "query", ""),
        ("Invoice__c", "query", ""),
        ("Attachment", "rest only", ""),
        ("CaseStatus", "rest only", ""),
        ("Archive__b", "big object keyset", ""),
        ("IdeaComment", "parent walk", "IdeaId of Idea, 200 at a time"),
        ("ContentFolderMember", "parent walk", "ParentContentFolderId of ContentFolder, 1 at a time"),
        ("Knowledge__kav", "filter", "PublishStatus = Archived | Draft | Online"),
        ("FieldDefinition", "cannot be read", ""),
    ],
)
def test_every_object_has_a_strategy(name: str, strategy: str, detail: str) -> None:
    verdict = classify(entry(name))
    assert (verdict.strategy, verdict.detail) == (strategy, detail)


def test_links_of_files_are_recommended_and_read_whole_where_the_user_may() -> None:
    verdict = classify(entry("ContentDocumentLink"))
    assert verdict.readable and verdict.recommended and verdict.strategy == "parent walk"
    assert verdict.detail.endswith("without a filter if the user has Query All Files")
    assert in_bulk("ContentDocumentLink") and not in_bulk("IdeaComment")
    assert walk_of("ContentDocument") is None


def test_objects_of_managed_packages_are_known_by_their_namespace() -> None:
    names = ["Account", "Fund__c", "npsp__Fund__c", "npsp__Fund__History", "npsp__Setting__mdt"]
    assert [namespace_of(name) for name in names] == ["", "", "npsp", "npsp", "npsp"]


def test_custom_status_objects_may_go_by_bulk() -> None:
    assert not in_bulk("CaseStatus")
    assert in_bulk("Delivery_Status__c")
    assert in_bulk("DeliveryStatus__c")


def test_an_empty_selection_takes_recommended_objects_with_rows() -> None:
    offered = [entry("Account"), entry("Lead"), entry("AccountShare", associateEntityType="Share")]
    chosen = choose([], offered, {"Account": 3, "AccountShare": 9}, [])
    assert chosen.readable == ("Account",)
    assert chosen.failed == {}


def test_an_object_read_before_is_read_again_though_its_rows_are_gone() -> None:
    chosen = choose([], [entry("Account"), entry("Lead")], {"Account": 3}, ["Lead"])
    assert chosen.readable == ("Account", "Lead")
    assert chosen.failed == {}


def test_an_object_read_before_does_not_go_missing_in_silence() -> None:
    offered = [entry("Account"), entry("Closed__c", queryable=False), entry("Old__c", deprecatedAndHidden=True)]
    chosen = choose([], offered, {"Account": 3}, ["Account", "Vanished__c", "Closed__c", "Old__c"])
    assert chosen.readable == ("Account", "Old__c")
    assert "no object Vanished__c" in chosen.failed["Vanished__c"]
    assert "queried" in chosen.failed["Closed__c"]


def test_selected_names_are_found_in_any_case_and_once() -> None:
    chosen = choose(["account", "ACCOUNT", " Lead "], [entry("Account"), entry("Lead")], {}, [])
    assert chosen.readable == ("Account", "Lead")


def test_a_selected_object_that_is_unknown_or_unreadable_fails_with_its_reason() -> None:
    chosen = choose(["Nope__c", "Shipped__e", "Account"], [entry("Account"), entry("Shipped__e")], {}, [])
    assert chosen.readable == ("Account",)
    assert "no object Nope__c" in chosen.failed["Nope__c"]
    assert "stream" in chosen.failed["Shipped__e"]


def test_compound_fields_and_bodies_are_not_read() -> None:
    names = [field.name for field in record_schema(describe()).fields]
    assert names == ["Id", "Name", "SystemModstamp"]


def test_the_first_reading_is_a_baseline() -> None:
    planned = plan(describe())
    assert (planned.mode, planned.since, planned.strategy) == ("baseline", None, "rest")


def test_later_readings_reach_back_before_the_mark() -> None:
    planned = plan(describe(), Known(MARK), rows=1_000_000)
    assert planned.mode == "incremental"
    assert planned.since == MARK - timedelta(minutes=15)
    assert planned.strategy == "rest", "how many changed is not known before asking"


@pytest.mark.parametrize(
    ("known", "full", "stamped"), [(Known(MARK), True, True), (Known(None), False, True), (Known(None), False, False)]
)
def test_everything_is_read_when_asked_for_or_without_a_mark(known: Known, full: bool, stamped: bool) -> None:
    planned = plan(describe(stamped=stamped), known, full=full)
    assert (planned.mode, planned.since) == ("full", None)


@pytest.mark.parametrize("before", [["Name"], ["Name", "New__c", "Old__c"]])
def test_an_object_with_a_field_that_was_not_read_before_is_read_whole(before: list[str]) -> None:
    known = Known(MARK, frozenset(record_schema(describe("Account", *before)).fields))
    assert plan(describe("Account", "Name", "New__c"), known).mode == ("full" if before == ["Name"] else "incremental")


def test_an_object_with_a_field_of_another_type_is_read_whole() -> None:
    fields = record_schema(describe()).fields
    known = Known(MARK, frozenset(FieldType(f.name, "double" if f.name == "Name" else f.type) for f in fields))
    assert plan(describe(), known).mode == "full"


def test_an_unstamped_object_never_becomes_incremental() -> None:
    assert plan(describe(stamped=False), Known(MARK)).mode == "full"


def test_large_objects_go_by_bulk_from_the_threshold_on() -> None:
    assert plan(describe(), rows=1999).strategy == "rest"
    assert plan(describe(), rows=2000).strategy == "bulk2"
    assert plan(describe("Attachment"), rows=5000).strategy == "rest"


def test_a_query_too_long_for_a_url_goes_by_bulk() -> None:
    wide = describe("Account", *(f"A_rather_long_field_name_{n:03}__c" for n in range(600)))
    assert plan(wide, rows=1).strategy == "bulk2"
    assert plan(wide, Known(MARK)).strategy == "bulk2"


def test_pages_hold_fewer_rows_the_wider_they_are() -> None:
    def fields(number: int, kind: str = "string") -> list[FieldType]:
        return [FieldType(f"F{n}", kind) for n in range(number)]

    assert bulk_page_rows(fields(5), 10_000_000) == 50_000
    assert bulk_page_rows(fields(40), 10_000_000) == 12_500
    assert bulk_page_rows(fields(40, "boolean"), 10_000_000) == 35_714
    assert bulk_page_rows(fields(900), 10_000_000) == 1_000


def test_a_few_rows_more_are_no_page_of_their_own() -> None:
    assert [even_pages(rows, 1000) for rows in (0, 1, 1000, 1499, 1500, 2499, 90_000)] == [1, 1, 1, 1, 2, 2, 90]


HOUR = timedelta(hours=1)


def test_the_mark_is_the_newest_stamp_when_the_org_did_not_tell_its_time() -> None:
    assert new_mark(MARK, None, HOUR) == MARK
    assert new_mark(None, None, HOUR) is None


def test_the_mark_never_passes_the_beginning_of_the_reading() -> None:
    assert new_mark(MARK + HOUR, MARK, HOUR) == MARK


def test_the_mark_follows_the_org_time_once_all_is_settled() -> None:
    assert new_mark(MARK, MARK + HOUR / 2, HOUR) == MARK
    assert new_mark(MARK, MARK + 48 * HOUR, HOUR) == MARK + 47 * HOUR
    assert new_mark(None, MARK, HOUR) == MARK - HOUR


def fields(*names: str) -> RecordSchema:
    return RecordSchema("Contact", tuple(FieldType(name, "string") for name in names))


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (("Id", "Fax"), ("Id",), ["Fax of Contact; its last known values are kept."]),
        (("Fax", "Id", "Phone"), ("Id",), ["Fax and Phone of Contact; their last known values are kept."]),
        (("A", "B", "C", "Id"), ("Id",), ["A, B and C of Contact; their last known values are kept."]),
        (("Id", "fax"), ("Id", "Fax", "Phone"), []),
    ],
)  # fmt: skip
def test_fields_that_went_are_named(before: tuple[str, ...], now: tuple[str, ...], said: list[str]) -> None:
    expected = [f"The user can no longer read {sentence}" for sentence in said]
    assert lost_fields(fields(*before), fields(*now)) == expected


def test_many_fields_that_went_are_counted_and_a_first_reading_lost_none() -> None:
    (sentence,) = lost_fields(fields(*(f"F{n:03}" for n in range(300))), fields())
    assert "F018 and 281 more of Contact" in sentence
    assert lost_fields(None, fields("Id")) == []
