"""CSV folders into the org."""

from pathlib import Path

import orjson
import polars as pl
import pytest

from holdfast.orgsim.ledger.entries import Loaded
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.inference import field_for
from holdfast.orgsim.schema.objects import custom_lookup
from holdfast.orgsim.store.loading import load_folder, load_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Account.csv").write_text("Id,Name,ParentId,RecordTypeId\n1,Top,,0122a000000PCxAAAW\n2,Sub,1,\n")
    (tmp_path / "Gift__c.csv").write_text(
        'Id,From__c,Batch__c,Zip__c,Amount__c,On__c,Paid__c,Text__c\n7,2,9,00123,10.50,2020-01-31,true,"a\nb"\n'
        "8,1,,1e3,,,,NA\n9,55,,null,0.0,1700-12-31,false,\n"
    )
    (tmp_path / "_recordtypes_Account.csv").write_text("record_type_id,developer_name\n0122a000000PCxAAAW,HH_Account\n")
    references = {"Account": {"ParentId": ["Account"]}, "Gift__c": {"From__c": ["Account"], "Batch__c": ["Batch__c"]}}
    (tmp_path / "_references.json").write_bytes(orjson.dumps(references))
    return tmp_path


def test_copies_have_their_own_ids_and_point_within_themselves(org, ask, folder: Path) -> None:
    assert load_folder(org, folder, multiply=2) == {"Account": 4, "Gift__c": 6}
    names = ask("SELECT Name, Parent.Name, Parent.Id FROM Account")
    ids = [row[0] for row in ask("SELECT Id FROM Account")]
    assert names == [("Top", None, None), ("Sub", "Top", ids[0]), ("Top", None, None), ("Sub", "Top", ids[2])]
    assert [r[0] for r in ask("SELECT From__c FROM Gift__c")] == [ids[1], ids[0], None, ids[3], ids[2], None]
    assert ask("SELECT RecordType.DeveloperName FROM Account LIMIT 1") == [("HH_Account",)]


def test_values_are_canonical_and_types_inferred(org, ask, folder: Path) -> None:
    load_path(org, folder)
    soql = "SELECT Name, Batch__c, Zip__c, Amount__c, On__c, Paid__c, Text__c FROM Gift__c"
    assert ask(soql) == [
        ("G-0000001", None, "00123", "10.5", "2020-01-31", "true", "a\nb"),
        ("G-0000002", None, "1e3", None, None, "false", "NA"),
        ("G-0000003", None, "null", "0.0", "1700-12-31", "false", None),
    ]
    types = {n: f["type"] for n, f in org.schema.objects["Gift__c"].fields.items() if f["custom"]}
    assert types == {"From__c": "reference", "Batch__c": "reference", "Zip__c": "string", "Amount__c": "currency",
                     "On__c": "date", "Paid__c": "boolean", "Text__c": "string"}  # fmt: skip
    assert any(c["childSObject"] == "Gift__c" for c in org.schema.objects["Account"].child_relationships)


def test_a_load_is_one_entry_per_object_and_can_be_followed_by_saves(org, ask, writer, folder: Path) -> None:
    load_path(org, folder)
    loads = [e for e in org.ledger.since(0) if isinstance(e, Loaded)]
    assert [(e.object, e.rows.height) for e in loads] == [("Account", 2), ("Gift__c", 3)]
    new_id = writer.insert(org.schema.objects["Gift__c"], {"Zip__c": "x"})
    assert new_id not in set(loads[1].rows["Id"])
    assert ask(f"SELECT Name FROM Gift__c WHERE Id = '{new_id}'") == [("G-0000004",)]
    state = org.ledger.state_at(org.clock.now(), "Gift__c")
    assert state == {row["Id"]: row for row in org.table(org.schema.objects["Gift__c"]).rows()}


def test_stamps_of_a_load_rise_with_the_ids_and_repeat(org, ask, tmp_path: Path) -> None:
    rows = "\n".join(f"{n},n{n}" for n in range(450))
    (tmp_path / "Thing__c.csv").write_text(f"Id,Name\n{rows}\n")
    (tmp_path / "_references.json").write_text("{}")
    load_path(org, tmp_path)
    stamps = [row[0] for row in ask("SELECT SystemModstamp FROM Thing__c ORDER BY Id")]
    assert stamps == sorted(stamps)
    assert [stamps.count(s) for s in dict.fromkeys(stamps)] == [200, 200, 50]


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [("A__c", ["x" * 256], "textarea"), ("A__c", ["1", "2"], "string"), ("A__c", ["1.0", "-2.5"], "double"),
     ("Percent__c", ["1.0"], "percent"), ("A__c", ["a@b.c"], "email"), ("A__c", ["2020-01-01T00:00:00Z"], "datetime"),
     ("Close_Date__c", [None], "date"), ("Amount__c", [None], "currency"), ("A__c", [None], "string")],
)  # fmt: skip
def test_inference(name: str, values: list[str | None], kind: str) -> None:
    assert field_for(name, pl.Series(values, dtype=pl.String))["type"] == kind


def test_the_relationship_of_a_custom_lookup_has_a_name_of_its_own(org: Org) -> None:
    contact, account = org.schema.objects["Contact"], org.schema.objects["Account"]
    for name in ("First__c", "Second__c"):
        org.schema.add_field(contact, custom_lookup(name, ["Account"]))
    names = {
        entry["field"]: entry["relationshipName"]
        for entry in account.child_relationships
        if entry["childSObject"] == "Contact"
    }
    assert names == {"AccountId": "Contacts", "First__c": "Contacts__r", "Second__c": "Contacts1__r"}
