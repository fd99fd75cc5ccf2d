"""What the platform does of its own accord when records are saved: formulas, roll-ups, history, shares, refusals."""

from datetime import timedelta

import pytest

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.rules.formulas import today_formulas
from holdfast.orgsim.schema.document import parse_document
from holdfast.orgsim.setup.switches import apply_document

MINUTE = timedelta(minutes=1)
GIFTS = {
    "objects": [
        {
            "name": "Fund__c",
            "history": ["Name", "Account__c"],
            "feed": True,
            "fields": [
                {"name": "Account__c", "type": "reference", "referenceTo": "Account", "onDelete": "restrict"},
                {"name": "Gifts__c", "rollUp": {"object": "Gift__c", "field": "Fund__c", "function": "COUNT"}},
                {
                    "name": "Total__c",
                    "rollUp": {"object": "Gift__c", "field": "Fund__c", "function": "SUM", "of": "Amount__c"},
                },
                {
                    "name": "Latest__c",
                    "rollUp": {"object": "Gift__c", "field": "Fund__c", "function": "MAX", "of": "On__c"},
                },
                {"name": "Big__c", "type": "boolean", "formula": "Total__c > 100"},
            ],
        },
        {
            "name": "Gift__c",
            "nameField": {"type": "auto", "autoNumberFormat": "G-{0000}", "startNumber": 7},
            "sharing": "ControlledByParent",
            "recordTypes": [
                {"developerName": "Cash", "default": True},
                {"developerName": "Stamps", "active": False},
            ],
            "fields": [
                {"name": "Fund__c", "type": "reference", "referenceTo": "Fund__c", "masterDetail": 0},
                {"name": "Amount__c", "type": "currency", "precision": 8, "scale": 2},
                {"name": "On__c", "type": "date"},
                {"name": "Email__c", "type": "email"},
                {
                    "name": "Way__c",
                    "type": "picklist",
                    "restricted": True,
                    "picklistValues": ["Card", "Bank"],
                    "defaultValue": "Card",
                },
                {"name": "Label__c", "formula": "Fund__r.Name & ': ' & Fund__r.Account__r.Name"},
                {"name": "Age__c", "type": "double", "scale": 0, "formula": "TODAY() - On__c"},
            ],
        },
    ]
}


@pytest.fixture
def gifts(org):
    apply_document(org, parse_document(GIFTS))
    return org.schema.objects["Gift__c"], org.schema.objects["Fund__c"]


@pytest.fixture
def saved(org, writer, gifts):
    """An account, its fund, two gifts to it."""
    gift, fund = gifts
    account_id = writer.insert(org.schema.objects["Account"], {"Name": "Acme"})
    fund_id = writer.insert(fund, {"Name": "Roof", "Account__c": account_id})
    ids = [
        writer.insert(gift, {"Fund__c": fund_id, "Amount__c": amount, "On__c": on})
        for amount, on in ((70, "2026-01-05"), (40.5, "2026-02-01"))
    ]
    return account_id, fund_id, ids


def row(org, record_id):
    found = org.find(record_id)
    assert found is not None
    return found[1]


def refusal(save, *values) -> ApiError:
    with pytest.raises(ApiError) as caught:
        save(*values)
    return caught.value


def test_roll_ups_follow_their_children_and_move_the_parents_stamps(org, writer, saved) -> None:
    _, fund_id, (first, _) = saved
    fund = row(org, fund_id)
    assert (fund["Gifts__c"], fund["Total__c"], fund["Latest__c"]) == ("2.0", "110.5", "2026-02-01")
    assert fund["Big__c"] == "true"
    org.clock.advance(MINUTE)
    writer.update(first, {"Amount__c": 1})
    changed = row(org, fund_id)
    assert (changed["Total__c"], changed["Big__c"]) == ("41.5", "false")
    assert changed["SystemModstamp"] > fund["SystemModstamp"]
    (entry,) = [e for e in org.ledger.since(0, "Fund__c") if e.note == "roll-up of Gift__c"][-1:]
    assert (entry.operation, entry.after["Total__c"]) == ("update", "41.5")
    writer.delete(first)
    assert (row(org, fund_id)["Gifts__c"], row(org, fund_id)["Total__c"]) == ("1.0", "40.5")
    writer.undelete(first)
    assert row(org, fund_id)["Gifts__c"] == "2.0"


def test_roll_ups_of_a_record_in_the_bin_stand_still(org, writer, saved) -> None:
    fund_id = saved[1]
    writer.delete(fund_id)
    deleted = row(org, fund_id)
    assert (deleted["IsDeleted"], deleted["Gifts__c"]) == ("true", "2.0")
    writer.undelete(fund_id)
    assert (row(org, fund_id)["Gifts__c"], row(org, saved[2][0])["IsDeleted"]) == ("2.0", "false")


def test_a_roll_up_that_stays_leaves_its_parent_alone(org, writer, saved) -> None:
    _, fund_id, (first, _) = saved
    before = row(org, fund_id)
    org.clock.advance(MINUTE)
    writer.update(first, {"Email__c": "a@b.co"})
    assert row(org, fund_id) == before


def test_formulas_change_with_their_parents_and_grandparents_without_a_stamp(org, writer, saved) -> None:
    account_id, fund_id, (first, _) = saved
    before = row(org, first)
    assert before["Label__c"] == "Roof: Acme"
    org.clock.advance(MINUTE)
    writer.update(fund_id, {"Name": "Tower"})
    writer.update(account_id, {"Name": "Ace"})
    after = row(org, first)
    assert after["Label__c"] == "Tower: Ace"
    assert after["SystemModstamp"] == before["SystemModstamp"]
    notes = [e.note for e in org.ledger.since(0, "Gift__c") if e.id == first][1:]
    assert notes == ["formula: Fund__c changed", "formula: Account changed"]
    state = org.ledger.state_at(org.clock.now(), "Gift__c")[first]
    assert state["Label__c"] == "Tower: Ace"


def test_formulas_that_ask_for_today_change_with_the_day(org, writer, gifts, saved) -> None:
    first = saved[2][0]
    org.clock.set(org.clock.now().replace(year=2026, month=3, day=1), frozen=True)
    today_formulas(org)
    before = row(org, first)
    assert before["Age__c"] == "55.0"
    org.clock.advance(timedelta(days=1))
    today_formulas(org)
    assert row(org, first)["Age__c"] == "56.0"
    assert row(org, first)["SystemModstamp"] == before["SystemModstamp"]
    sequence = org.ledger.sequence
    today_formulas(org)
    assert org.ledger.sequence == sequence


def test_tracked_fields_leave_history_and_feed_items(org, writer, saved, ask) -> None:
    account_id, fund_id, _ = saved
    other = writer.insert(org.schema.objects["Account"], {"Name": "Other"})
    writer.update(fund_id, {"Name": "Tower", "Account__c": other})
    rows = ask(f"SELECT Field, OldValue, NewValue, DataType FROM Fund__History WHERE ParentId = '{fund_id}'")
    assert sorted(rows, key=str) == sorted(
        [
            ("created", None, None, "Text"),
            ("Name", "Roof", "Tower", "Text"),
            ("Account__c", account_id, other, "EntityId"),
        ],
        key=str,
    )
    kinds = [kind for (kind,) in ask(f"SELECT Type FROM Fund__Feed WHERE ParentId = '{fund_id}'")]
    assert kinds == ["CreateRecordEvent", "TrackedChange"]  # a roll-up is no tracked change
    history = org.schema.objects["Fund__History"]
    assert refusal(writer.insert, history, {}).code == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
    assert (history.describe["associateEntityType"], history.describe["associateParentEntity"]) == (
        "History",
        "Fund__c",
    )


def test_a_restricting_lookup_keeps_its_parent(org, writer, saved) -> None:
    account_id, fund_id, gifts = saved
    error = refusal(writer.delete, account_id)
    assert error.code == "DELETE_FAILED"
    assert error.message == (
        "Your attempt to delete Acme could not be completed because it is associated with the following funds.: Roof\n"
    )
    writer.delete(fund_id)
    assert row(org, gifts[0])["IsDeleted"] == "true"
    writer.delete(account_id)


def test_the_values_of_new_records(org, writer, gifts, saved) -> None:
    first, second = (row(org, i) for i in saved[2])
    assert (first["Name"], second["Name"]) == ("G-0007", "G-0008")
    assert first["Way__c"] == "Card"
    cash = next(i for i in gifts[0].describe["recordTypeInfos"] if i["developerName"] == "Cash")
    assert first["RecordTypeId"] == cash["recordTypeId"]
    assert cash["defaultRecordTypeMapping"] is True


@pytest.mark.parametrize(
    ("values", "code", "fields"),
    [
        ({"Email__c": "nobody"}, "INVALID_EMAIL_ADDRESS", ["Email__c"]),
        ({"Amount__c": 12345678}, "NUMBER_OUTSIDE_VALID_RANGE", ["Amount__c"]),
        ({"Way__c": "Coins"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ["Way__c"]),
        ({"Label__c": "mine"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Label__c"]),
        ({"Name": "G-1"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Name"]),
        ({"CreatedDate": "2020-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["CreatedDate"]),
    ],
)
def test_values_that_are_refused(writer, gifts, saved, values, code, fields) -> None:
    error = refusal(writer.insert, gifts[0], {"Fund__c": saved[1], **values})
    assert (error.code, error.fields) == (code, fields)


def test_inactive_and_foreign_record_types_are_refused(org, writer, gifts, saved) -> None:
    stamps = next(i for i in gifts[0].describe["recordTypeInfos"] if i["developerName"] == "Stamps")
    household = next(i for i in org.schema.objects["Account"].describe["recordTypeInfos"] if not i["master"])
    for info in (stamps, household):
        error = refusal(writer.insert, gifts[0], {"Fund__c": saved[1], "RecordTypeId": info["recordTypeId"]})
        assert (error.code, error.fields) == ("INVALID_CROSS_REFERENCE_KEY", ["RecordTypeId"])


def test_a_detail_keeps_its_master_unless_the_field_says_otherwise(org, writer, gifts, saved) -> None:
    other = writer.insert(gifts[1], {"Name": "Other"})
    error = refusal(writer.update, saved[2][0], {"Fund__c": other})
    assert (error.code, error.fields) == ("INVALID_FIELD_FOR_INSERT_UPDATE", ["Fund__c"])
    document = {"objects": [{"name": "Gift__c", "fields": [{"name": "Fund__c", "updateable": True}]}]}
    apply_document(org, parse_document(document))
    writer.update(saved[2][0], {"Fund__c": other})
    assert (row(org, other)["Gifts__c"], row(org, saved[1])["Gifts__c"]) == ("1.0", "1.0")


def test_audit_fields_are_settable_on_insert_with_the_permission(org, writer) -> None:
    account = org.schema.objects["Account"]
    org.give_permissions(org.admin, _with(org, "CreateAuditFields"))
    values = {"Name": "Old", "CreatedDate": "2020-01-01T00:00:00Z", "LastModifiedDate": "2021-01-01T00:00:00Z"}
    old = writer.insert(account, values)
    assert row(org, old)["CreatedDate"] == "2020-01-01T00:00:00.000Z"
    assert row(org, old)["LastModifiedDate"] == "2021-01-01T00:00:00.000Z"
    assert row(org, old)["SystemModstamp"] > "2025"
    assert (
        refusal(writer.update, old, {"CreatedDate": "2020-01-01T00:00:00Z"}).code == "INVALID_FIELD_FOR_INSERT_UPDATE"
    )


def test_inactive_owners_need_the_permission(org, writer) -> None:
    account = org.schema.objects["Account"]
    left = org.add_user("left@holdfast.test")
    org.set_active(left, False)
    error = refusal(writer.insert, account, {"Name": "n", "OwnerId": left.id})
    assert error.code == "INACTIVE_OWNER_OR_USER"
    assert error.message == f"operation performed with inactive user [{left.id[:15]}] as owner of account"
    org.give_permissions(org.admin, _with(org, "UpdateWithInactiveOwner"))
    writer.insert(account, {"Name": "n", "OwnerId": left.id})


def _with(org, permission):
    profile = org.admin.profile
    profile.system = profile.system | {permission}
    return profile
