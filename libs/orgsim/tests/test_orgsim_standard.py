"""Standard objects without a recording: their describes, and that rows of them behave."""

import pytest

from holdfast.orgsim.schema.fields import FIELD_DEFAULTS
from holdfast.orgsim.schema.objects import custom_lookup
from holdfast.orgsim.schema.standard import standard_names

V = "/services/data/v62.0"
NAMED = ("Task", "Campaign", "CampaignMember", "CampaignMemberStatus", "Product2", "Pricebook2", "PricebookEntry",
         "OpportunityLineItem", "Order", "OrderItem", "Contract", "Asset", "Quote", "QuoteLineItem", "Note",
         "CaseComment", "Solution", "EventRelation", "TaskRelation", "AccountContactRelation", "AccountContactRole",
         "Partner", "Individual", "EmailMessage", "FeedItem", "FeedComment", "CollaborationGroup", "Topic",
         "LoginHistory")  # fmt: skip


async def make(api, name: str, **values: object) -> str:
    answer = await api.http.post(f"{V}/sobjects/{name}", json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def rows(api, query: str) -> list[dict]:
    answer = await api.http.get(f"{V}/query", params={"q": query})
    assert answer.status_code == 200, answer.text
    return answer.json()["records"]


async def test_describe_global_lists_them_and_each_can_be_described(api) -> None:
    assert set(NAMED) <= set(standard_names())
    listed = {entry["name"]: entry for entry in (await api.http.get(f"{V}/sobjects")).json()["sobjects"]}
    prefixes = [listed[name]["keyPrefix"] for name in standard_names()]
    assert len(set(prefixes)) == len(prefixes)
    for name in standard_names():
        describe = (await api.http.get(f"{V}/sobjects/{name}/describe")).json()
        assert (describe["name"], describe["custom"]) == (name, False)
        assert describe["keyPrefix"] == listed[name]["keyPrefix"]
        for field in describe["fields"]:
            assert set(field) == set(FIELD_DEFAULTS), (name, field["name"])
            assert field["type"] != "reference" or field["referenceTo"], (name, field["name"])
            assert len([v for v in field["picklistValues"] if v["defaultValue"]]) <= 1
        for child in describe["childRelationships"]:
            parents = api.org.schema.find(child["childSObject"]).fields[child["field"]]["referenceTo"]
            assert name in parents, (name, child)


def test_nothing_is_made_before_somebody_asks(org) -> None:
    assert not set(standard_names()) & set(org.schema.objects)
    assert org.schema.find("pricebookentry").name == "PricebookEntry"
    assert set(standard_names()) & set(org.schema.objects) == {"PricebookEntry"}


def test_a_lookup_to_one_shows_among_its_children(org) -> None:
    thing = org.schema.define("Thing__c")
    org.schema.add_field(thing, custom_lookup("Product__c", ["Product2"]))
    names = {c["relationshipName"]: c["childSObject"] for c in org.schema.find("Product2").child_relationships}
    assert (names["Things__r"], names["PricebookEntries"], names["Tasks"]) == ("Thing__c", "PricebookEntry", "Task")


async def test_a_task_knows_who_and_what(api) -> None:
    contact = await make(api, "Contact", LastName="Lee", FirstName="Ann")
    product = await make(api, "Product2", Name="Pump")
    first = await make(api, "Task", Subject="Call", WhoId=contact, WhatId=product, ActivityDate="2026-05-04")
    account = await make(api, "Account", Name="Acme")
    await make(api, "Task", Subject="Write", WhatId=account, Status="Completed", Priority="High")
    found = await rows(
        api,
        "SELECT Subject, Status, Priority, IsClosed, IsHighPriority, TYPEOF Who WHEN Contact THEN LastName END, "
        "TYPEOF What WHEN Product2 THEN Name, IsActive WHEN Account THEN Phone ELSE Id END FROM Task ORDER BY Subject",
    )
    call, write = ({k: v for k, v in row.items() if k != "attributes"} for row in found)
    assert (call["Status"], call["Priority"], call["IsClosed"], call["IsHighPriority"]) == (
        "Not Started", "Normal", False, False)  # fmt: skip
    assert (call["Who"]["LastName"], call["What"]["Name"], call["What"]["IsActive"]) == ("Lee", "Pump", False)
    assert (write["IsClosed"], write["IsHighPriority"], write["Who"]) == (True, True, None)
    assert write["What"]["attributes"]["type"] == "Account"
    await api.http.patch(f"{V}/sobjects/Task/{first}", json={"Status": "Completed"})
    assert [row["IsClosed"] for row in await rows(api, "SELECT IsClosed FROM Task")] == [True, True]
    children = await rows(api, f"SELECT (SELECT Subject FROM Tasks) FROM Product2 WHERE Id = '{product}'")
    assert [row["Subject"] for row in children[0]["Tasks"]["records"]] == ["Call"]


async def test_an_opportunity_with_products_through_tree(api) -> None:
    book = await make(api, "Pricebook2", Name="Standard", IsActive=True)
    product = await make(api, "Product2", Name="Pump", ProductCode="P-1", IsActive=True)
    entry = await make(api, "PricebookEntry", Pricebook2Id=book, Product2Id=product, UnitPrice=12.5, IsActive=True)
    line = {"attributes": {"type": "OpportunityLineItem", "referenceId": "line"}, "PricebookEntryId": entry,
            "Quantity": 4, "UnitPrice": 12.5}  # fmt: skip
    deal = {"attributes": {"type": "Opportunity", "referenceId": "deal"}, "Name": "Pumps", "StageName": "Prospecting",
            "CloseDate": "2026-12-31", "Pricebook2Id": book, "OpportunityLineItems": {"records": [line]}}  # fmt: skip
    answer = await api.http.post(f"{V}/composite/tree/Opportunity", json={"records": [deal]})
    assert (answer.status_code, answer.json()["hasErrors"]) == (201, False), answer.text
    found = await rows(
        api,
        "SELECT Quantity, UnitPrice, Opportunity.Name, PricebookEntry.Product2.ProductCode FROM OpportunityLineItem",
    )
    assert (found[0]["Quantity"], found[0]["UnitPrice"], found[0]["Opportunity"]["Name"]) == (4.0, 12.5, "Pumps")
    assert found[0]["PricebookEntry"]["Product2"]["ProductCode"] == "P-1"
    await api.http.delete(f"{V}/sobjects/Opportunity/{found[0]['Opportunity']['attributes']['url'][-18:]}")
    assert await rows(api, "SELECT Id FROM OpportunityLineItem") == []


async def test_orders_and_contracts_are_numbered_and_coded(api) -> None:
    account = await make(api, "Account", Name="Acme")
    await make(api, "Contract", AccountId=account, Status="In Approval Process", BillingCity="Rome")
    await make(api, "Order", AccountId=account, EffectiveDate="2026-01-01", Status="Draft")
    contract = (await rows(api, "SELECT ContractNumber, StatusCode, BillingAddress FROM Contract"))[0]
    assert (contract["ContractNumber"], contract["StatusCode"]) == ("00000001", "InApproval")
    assert contract["BillingAddress"]["city"] == "Rome"
    order = (await rows(api, "SELECT OrderNumber, StatusCode FROM Order"))[0]
    assert (order["OrderNumber"], order["StatusCode"]) == ("00000001", "Draft")


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [("PricebookEntry", {"IsActive": True}, "REQUIRED_FIELD_MISSING"),
     ("Task", {"IsClosed": True}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
     ("Order", {"Status": "Lost", "EffectiveDate": "2026-01-01"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")],
)  # fmt: skip
async def test_what_the_describe_forbids_is_refused(api, name: str, values: dict, code: str) -> None:
    answer = await api.http.post(f"{V}/sobjects/{name}", json=values)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)
