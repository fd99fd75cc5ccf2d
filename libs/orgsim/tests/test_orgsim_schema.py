"""Schema files, the kinds of objects they can define, the features they switch on, and what setup objects tell."""

from importlib import resources
from pathlib import Path

import orjson
import polars as pl
import pytest

from holdfast.orgsim.auth.permissions import restricted
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org, OrgSettings
from holdfast.orgsim.schema.document import SchemaError, parse_document, read_document
from holdfast.orgsim.schema.fields import FIELD_DEFAULTS
from holdfast.orgsim.setup.switches import apply_document
from holdfast.orgsim.store.loading import load_path

V = "/services/data/v62.0"


def made(document) -> Org:
    return Org(OrgSettings(client_secret="secret", document=parse_document(document)))


def one(**plan):
    return {"objects": [{"name": "Thing__c", **plan}]}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "the document: expected an object"),
        ({"objekts": []}, "the document: unknown key 'objekts'"),
        ({"objects": [{}]}, "objects[0]: `name` is missing"),
        (one(fields=[{"name": "A__c", "type": "strng"}]), "(A__c).type: 'strng' is none of id, string"),
        (one(fields=[{"name": "A__c"}]), "(A__c): `type` is missing, and Thing__c has no such field"),
        (one(fields=[{"name": "A__c", "typo": 1}]), "fields[0]: unknown key 'typo'"),
        (one(fields=[{"name": "A__c"}, {"name": "a__c"}]), "named more than once: a__c"),
        (one(fields=[{"name": "A__c", "type": "reference"}]), "referenceTo: is missing"),
        (one(fields=[{"name": "A__c", "type": "reference", "referenceTo": "No__c"}]), "no object 'No__c'"),
        (one(fields=[{"name": "A__c", "formula": "1 +"}]), "(A__c).formula: not understood"),
        (one(fields=[{"name": "A__c", "formula": "Nope__c"}]), "formula: no field Nope__c"),
        (one(fields=[{"name": "A__c", "formula": "LOG(1)"}]), "LOG is not among the functions"),
        (one(fields=[{"name": "A__c", "formula": "1 + 1"}]), "gives number, but the field is string"),
        (one(fields=[{"name": "A__c", "formula": "IF(1, 2, 3)"}]), "found number where boolean is needed"),
        (one(fields=[{"name": "A__c", "type": "base64", "formula": "1"}]), "cannot be of type 'base64'"),
        (one(fields=[{"name": "A__c", "rollUp": {"object": "No", "field": "x", "function": "COUNT"}}]), "no object"),
        (one(fields=[{"name": "A__c", "rollUp": {"object": "Case", "field": "x", "function": "AVG"}}]),
         "'AVG' is none"),
        (one(fields=[{"name": "A__c", "rollUp": {"object": "Case", "field": "AccountId", "function": "COUNT"}}]),
         "Case.AccountId is no lookup here"),
        (one(nameField={"type": "auto", "autoNumberFormat": "N-"}), "has no digits"),
        (one(sharing="Open"), "sharing: 'Open' is none of ReadWrite"),
        (one(history=["No__c"]), "history: no field 'No__c'"),
        (one(describe={"colour": 1}), "describe: unknown key 'colour'"),
        ({"settings": {"currencies": [{"isoCode": "EUR"}]}}, "exactly one of them must have `corporate: true`"),
        ({"objects": [{"name": "Account", "fields": [{"name": "Fax", "type": "int"}]}]}, "has it as phone, not int"),
    ],
)  # fmt: skip
def test_a_wrong_schema_says_where_and_what(document, complaint) -> None:
    with pytest.raises(SchemaError) as error:
        made(document)
    assert complaint in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(SchemaError, match=r"no\.json: No such file"):
        read_document(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(SchemaError, match=r"bad\.json: not JSON"):
        read_document(tmp_path / "bad.json")


def test_the_documented_example_is_a_schema() -> None:
    org = Org(OrgSettings(document=read_document(Path(__file__).parents[1] / "docs" / "schema-example.json")))
    assert {"Fund__History", "Fund__Share", "Fund__Feed", "Visit__b", "CurrencyType"} <= org.schema.objects.keys()
    assert "IsPersonAccount" in org.schema.objects["Account"].fields


async def test_a_wrong_schema_over_the_admin_api_is_a_client_error(api) -> None:
    answer = await api.http.post("/_org/schema", json={"objects": [{"name": "A__c", "x": 1}]})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_SCHEMA")


def test_a_recorded_describe_is_a_schema(tmp_path) -> None:
    recorded = orjson.loads((resources.files("holdfast.orgsim.schema") / "recorded" / "Lead.json").read_bytes())
    fields = [f for f in recorded["fields"] if not f["referenceTo"] and f["type"] != "address"]
    org = made({"objects": [{"name": "Copy__c", "fields": fields}]})
    copy = org.schema.objects["Copy__c"]
    assert copy.fields["AnnualRevenue"] == org.schema.objects["Lead"].fields["AnnualRevenue"]
    assert copy.fields["Status"]["picklistValues"] == org.schema.objects["Lead"].fields["Status"]["picklistValues"]


@pytest.mark.parametrize(
    ("plan", "flags", "fields"),
    [
        ({"name": "Level__mdt"},
         {"createable": False, "queryable": True, "customSetting": False, "layoutable": True},
         {"DeveloperName", "MasterLabel", "QualifiedApiName"}),
        ({"name": "Ping__e"},
         {"createable": True, "queryable": False, "retrieveable": False, "replicateable": False},
         {"ReplayId", "EventUuid", "CreatedDate"}),
        ({"name": "Log__b", "index": ["At__c"], "fields": [{"name": "At__c", "type": "datetime"}]},
         {"createable": True, "queryable": True, "deletable": False, "replicateable": False, "triggerable": False},
         {"CreatedDate", "At__c"}),
        ({"name": "Prefs__c", "customSetting": "Hierarchy"},
         {"customSetting": True, "custom": True, "layoutable": False, "undeletable": False},
         {"SetupOwnerId", "Name", "SystemModstamp"}),
    ],
)  # fmt: skip
def test_kinds_of_objects_have_their_describe_flags(plan, flags, fields) -> None:
    obj = made({"objects": [plan]}).schema.objects[plan["name"]]
    assert {key: obj.describe[key] for key in flags} == flags
    assert fields <= obj.fields.keys()
    assert "OwnerId" not in obj.fields
    assert obj.describe["keyPrefix"][0] == {"mdt": "m", "e": "e", "b": "x", "c": "a"}[plan["name"].rpartition("__")[2]]


async def test_describes_of_a_defined_object(api) -> None:
    fields = [
        {"name": "Key__c", "type": "string", "length": 20, "externalId": True, "unique": True},
        {"name": "Up__c", "type": "reference", "referenceTo": "Account", "masterDetail": 0,
         "childRelationshipName": "Things"},
        {"name": "Loud__c", "formula": "UPPER(Key__c)"},
        {"name": "Number__c", "autoNumberFormat": "T-{000}"},
        {"name": "Hush__c", "type": "encryptedstring"},
        {"name": "Shield__c", "type": "string", "shielded": True},
    ]  # fmt: skip
    assert (await api.http.post("/_org/schema", json=one(fields=fields, history=["Key__c"]))).status_code == 200
    describe = (await api.http.get(f"{V}/sobjects/Thing__c/describe")).json()
    by_name = {f["name"]: f for f in describe["fields"]}
    assert {f["name"]: len(f) for f in describe["fields"]} == dict.fromkeys(by_name, len(FIELD_DEFAULTS))
    expected = {
        "Key__c": {"externalId": True, "unique": True, "idLookup": True, "byteLength": 60},
        "Up__c": {"cascadeDelete": True, "relationshipOrder": 0, "updateable": False, "nillable": False},
        "Loud__c": {"calculated": True, "calculatedFormula": "UPPER(Key__c)", "length": 1300, "createable": False},
        "Number__c": {"autoNumber": True, "createable": False, "nillable": False},
        "Hush__c": {"mask": "*", "maskType": "all", "filterable": False},
        "Shield__c": {"encrypted": True, "filterable": False, "sortable": False},
    }
    assert {n: {k: by_name[n][k] for k in keys} for n, keys in expected.items()} == expected
    parent = (await api.http.get(f"{V}/sobjects/Account/describe")).json()["childRelationships"]
    assert [c["relationshipName"] for c in parent if c["childSObject"] == "Thing__c"] == ["Things"]
    entries = {e["name"]: e for e in (await api.http.get(f"{V}/sobjects")).json()["sobjects"]}
    history = entries["Thing__History"]
    assert (history["associateEntityType"], history["associateParentEntity"], history["keyPrefix"]) == (
        "History", "Thing__c", None)  # fmt: skip
    assert [i["developerName"] for i in describe["recordTypeInfos"]] == ["Master"]


async def test_describe_global_of_a_pristine_org_has_the_recorded_entries(api) -> None:
    recorded = orjson.loads((resources.files("holdfast.orgsim.schema") / "recorded" / "Global.json").read_bytes())
    entries = {e["name"]: e for e in (await api.http.get("/services/data/v52.0/sobjects")).json()["sobjects"]}
    for entry in recorded["sobjects"]:
        mine = entries[entry["name"]]
        assert {k: v for k, v in mine.items() if k != "urls"} == {k: v for k, v in entry.items() if k != "urls"}


def test_roll_ups_and_formulas_of_loaded_rows_are_there_without_a_stamp(tmp_path) -> None:
    (tmp_path / "_references.json").write_text('{"Contact": {"AccountId": ["Account"]}}')
    (tmp_path / "Account.csv").write_text("Id,Name\n1,Top\n2,Empty\n")
    (tmp_path / "Contact.csv").write_text("Id,LastName,AccountId\n1,Ada,1\n2,Bob,1\n")
    org = made({"objects": [
        {"name": "Account", "fields": [
            {"name": "People__c", "rollUp": {"object": "Contact", "field": "AccountId", "function": "COUNT"}}]},
        {"name": "Contact", "fields": [{"name": "Of__c", "formula": "Account.Name & TEXT(Account.People__c)"}]},
    ]})  # fmt: skip
    load_path(org, tmp_path)
    accounts = org.table(org.schema.objects["Account"]).frame()
    assert accounts["People__c"].to_list() == ["2.0", "0.0"]
    assert org.table(org.schema.objects["Contact"]).frame()["Of__c"].to_list() == ["Top2", "Top2"]
    assert set(accounts["SystemModstamp"]) == set(accounts["CreatedDate"])
    assert org.ledger.state_at(org.clock.now(), "Account")[accounts["Id"][0]]["People__c"] == "2.0"


async def test_feature_probes_of_a_plain_org(api) -> None:
    for soql, code in (
        ("SELECT IsPersonAccount FROM Account LIMIT 1", "INVALID_FIELD"),
        ("SELECT CurrencyIsoCode FROM Account LIMIT 1", "INVALID_FIELD"),
        ("SELECT Id FROM CurrencyType", "INVALID_TYPE"),
        ("SELECT Id FROM ScratchOrgInfo limit 1", "INVALID_TYPE"),
    ):
        answer = await api.query(soql)
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_currencies_are_on_every_record(org, writer, ask) -> None:
    account = org.schema.objects["Account"]
    early = writer.insert(account, {"Name": "Early"})
    currencies = [{"isoCode": "EUR", "corporate": True}, {"isoCode": "USD", "conversionRate": 1.1}]
    apply_document(org, parse_document({"settings": {"currencies": currencies}}))
    later = writer.insert(account, {"Name": "Later", "CurrencyIsoCode": "USD"})
    assert ask("SELECT Id, CurrencyIsoCode FROM Account ORDER BY Id") == [(early, "EUR"), (later, "USD")]
    assert ask("SELECT IsoCode, ConversionRate, IsCorporate FROM CurrencyType ORDER BY IsoCode") == [
        ("EUR", "1.0", "true"), ("USD", "1.1", "false")]  # fmt: skip
    assert "CurrencyIsoCode" in org.schema.define("New__c").fields
    with pytest.raises(ApiError) as error:
        writer.insert(account, {"Name": "x", "CurrencyIsoCode": "XXX"})
    assert error.value.code == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"


@pytest.fixture
def persons(org):
    fields = [{"name": "Score__c", "type": "double"}]
    document = {"settings": {"personAccounts": True}, "objects": [{"name": "Contact", "fields": fields}]}
    apply_document(org, parse_document(document))
    return org.schema.objects["Account"]


def test_a_person_account_has_a_contact_that_follows_it(org, writer, persons, ask) -> None:
    values = {"FirstName": "Ada", "LastName": "Lovelace", "PersonEmail": "ada@x.org", "Score__pc": 7}
    account_id = writer.insert(persons, values)
    account = org.find(account_id)[1]
    assert (account["IsPersonAccount"], account["Name"]) == ("true", "Ada Lovelace")
    contact_id = account["PersonContactId"]
    soql = "SELECT Id, AccountId, Name, Email, Score__c, IsPersonAccount FROM Contact"
    assert ask(soql) == [(contact_id, account_id, "Ada Lovelace", "ada@x.org", "7.0", "true")]
    assert ask("SELECT RecordType.DeveloperName, PersonContact.Name FROM Account") == [
        ("PersonAccount", "Ada Lovelace")]  # fmt: skip
    writer.update(account_id, {"LastName": "King", "PersonEmail": "king@x.org"})
    assert ask("SELECT Name, Email FROM Contact") == [("Ada King", "king@x.org")]
    with pytest.raises(ApiError) as error:
        writer.update(contact_id, {"Email": "other@x.org"})
    assert error.value.code == "INSUFFICIENT_ACCESS_OR_READONLY"
    writer.delete(account_id)
    assert ask("SELECT Id FROM Contact") == []
    writer.undelete(account_id)
    assert ask("SELECT Id FROM Contact") == [(contact_id,)]


@pytest.mark.parametrize(
    ("values", "code", "field"),
    [
        ({"Name": "Acme", "PersonEmail": "a@b.co"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "PersonEmail"),
        ({"LastName": "L", "Name": "N"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "Name"),
        ({"Phone": "1"}, "REQUIRED_FIELD_MISSING", "Name"),
    ],
)
def test_persons_and_businesses_keep_to_their_fields(writer, persons, values, code, field) -> None:
    with pytest.raises(ApiError) as error:
        writer.insert(persons, values)
    assert (error.value.code, error.value.fields) == (code, [field])


def test_a_business_account_has_no_contact(writer, persons, ask) -> None:
    writer.insert(persons, {"Name": "Acme"})
    assert ask("SELECT IsPersonAccount, PersonContactId FROM Account") == [("false", None)]
    assert ask("SELECT Id FROM Contact") == []


async def test_the_organization_tells_what_clients_ask(api) -> None:
    names = "Name, InstanceName, IsSandbox, TrialExpirationDate, NamespacePrefix, OrganizationType"
    (row,) = (await api.query(f"SELECT {names} FROM Organization")).json()["records"]
    assert row["IsSandbox"] is False
    assert (row["OrganizationType"], row["TrialExpirationDate"], row["NamespacePrefix"]) == (
        "Developer Edition", None, None)  # fmt: skip


async def test_the_schema_can_be_queried(api) -> None:
    async def rows(soql):
        answer = await api.query(soql)
        assert answer.status_code == 200, answer.text
        return answer.json()["records"]

    (entity,) = await rows(
        "SELECT Label, KeyPrefix, IsQueryable FROM EntityDefinition WHERE QualifiedApiName='Account'"
    )
    assert (entity["Label"], entity["KeyPrefix"], entity["IsQueryable"]) == ("Account", "001", True)
    where = "EntityDefinition.QualifiedApiName = 'Account' AND QualifiedApiName = 'AnnualRevenue'"
    (field,) = await rows(f"SELECT DurableId, DataType, Precision FROM FieldDefinition WHERE {where}")
    assert (field["DurableId"], field["DataType"], field["Precision"]) == (
        "Account.AnnualRevenue", "Currency(18, 0)", 18)  # fmt: skip
    particle = "SELECT Name, IsUpdatable FROM EntityParticle WHERE EntityDefinitionId = 'Account' AND Name = 'PhotoUrl'"
    assert [(r["Name"], r["IsUpdatable"]) for r in await rows(particle)] == [("PhotoUrl", False)]
    new = "SELECT QualifiedApiName FROM EntityDefinition WHERE QualifiedApiName = 'New__c'"
    assert await rows(new) == []
    api.org.schema.define("New__c")
    assert len(await rows(new)) == 1
    packages = "SELECT SubscriberPackage.Id, SubscriberPackage.NamespacePrefix FROM InstalledSubscriberPackage"
    assert (await api.http.get(f"{V}/tooling/query/", params={"q": packages})).json()["records"] == []
    assert (await api.query(packages)).json()[0]["errorCode"] == "INVALID_TYPE"
    for name in ("ApexClass", "ApexTrigger", "UserRole"):
        assert await rows(f"SELECT Id FROM {name}") == []


def test_a_schema_over_many_rows_stays_in_columns(org) -> None:
    thing = org.schema.define("Thing__c")
    ids = org.new_ids(thing, 20_000)
    org.load(thing, pl.DataFrame({"Id": ids, "Name": [f"n{i}" for i in range(20_000)]}).with_columns(
        IsDeleted=pl.lit("false")))  # fmt: skip
    apply_document(org, parse_document(one(fields=[{"name": "Up__c", "formula": "UPPER(Name)"}])))
    assert org.table(thing).frame()["Up__c"].to_list()[-1] == "N19999"


async def test_definitions_show_hidden_fields_to_those_who_see_the_setup(api) -> None:
    org = api.org
    fields = [{"name": "A__c", "type": "string"}, {"name": "B__c", "type": "int"}]
    apply_document(org, parse_document({"objects": [{"name": "Def__c", "fields": fields}]}))
    org.add_user(org.admin.username, hidden_fields=[("Def__c", "B__c")])
    columns = "EntityDefinition.QualifiedApiName, QualifiedApiName, DurableId"
    soql = f"SELECT {columns} FROM EntityParticle WHERE EntityDefinition.QualifiedApiName IN ('Def__c')"

    async def ids():
        answer = await api.http.get(f"{V}/tooling/query", params={"q": soql})
        return answer, {row["QualifiedApiName"]: row["DurableId"] for row in answer.json()["records"]}

    _, before = await ids()
    assert {"Id", "A__c", "B__c"} <= before.keys() and before["B__c"].startswith("Def__c.00N")
    org.schema.objects["Def__c"].rename("A__c", "A2__c")
    assert (await ids())[1]["A2__c"] == before["A__c"]
    nothing = {"objects": {}, "read_only": [], "hidden": []}
    org.give_permissions(org.admin, restricted(org.admin.profile, permissions={"ViewSetup": False}, **nothing))
    refused = await api.http.get(f"{V}/tooling/query", params={"q": soql})
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "INVALID_TYPE")
