"""Who may do what: system permissions, rights on objects and fields, and the rows that tell them."""

import pytest

from holdfast.orgsim.auth.permissions import Grants, closed, permission_name, restricted, rights_from


async def define_user(api, **body):
    answer = await api.http.post("/_org/users", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def test_more_rights_include_the_lesser_ones() -> None:
    assert rights_from("D") == {"read", "edit", "delete"}
    assert closed({"modifyAll"}) == {"read", "edit", "delete", "viewAll", "modifyAll"}
    assert rights_from("") == frozenset()
    with pytest.raises(ValueError, match="X is none of"):
        rights_from("RX")


def test_permissions_have_the_platforms_names_and_spoken_ones() -> None:
    assert permission_name("PermissionsViewAllData") == "ViewAllData"
    assert permission_name("SetAuditFields") == "CreateAuditFields"
    with pytest.raises(ValueError, match="no permission 'Fly'"):
        permission_name("Fly")


def test_a_profile_that_lacks_an_object_cannot_modify_all_data(org) -> None:
    cut = restricted(org.admin.profile, permissions={}, objects={"Contact": "R"}, read_only=[], hidden=[])
    assert "ModifyAllData" not in cut.system
    assert "ViewAllData" in cut.system
    assert cut.on("Contact") == {"read", "viewAll"}
    assert "modifyAll" not in cut.on("Account")
    blind = restricted(org.admin.profile, permissions={}, objects={"Contact": ""}, read_only=[], hidden=[])
    assert "ViewAllData" not in blind.system


def test_grants_of_several_sets_add_up(org) -> None:
    user = org.add_user("second@holdfast.test")
    user.profile = Grants(objects={"Account": rights_from("R")}, readable=frozenset({("Account", "Fax")}))
    assert (user.reads("Account"), user.creates("Account"), user.reads("Contact")) == (True, False, False)
    user.assigned = lambda: (Grants(objects={"Account": rights_from("C")}, system=frozenset({"ApiEnabled"})),)
    assert (user.creates("Account"), user.deletes("Account"), user.may("ApiEnabled")) == (True, False, True)
    assert (user.reads_field("Account", "Fax"), user.edits_field("Account", "Fax")) == (True, False)


async def test_the_integration_users_permissions_are_rows(api) -> None:
    soql = (
        "SELECT PermissionSet.PermissionsModifyAllData, PermissionSet.PermissionsQueryAllFiles, "
        f"PermissionSet.IsOwnedByProfile FROM PermissionSetAssignment WHERE AssigneeId = '{api.org.admin.id}'"
    )
    (row,) = (await api.query(soql)).json()["records"]
    assert row["PermissionSet"]["PermissionsModifyAllData"] is True
    assert row["PermissionSet"]["PermissionsQueryAllFiles"] is True
    assert row["PermissionSet"]["IsOwnedByProfile"] is True

    await define_user(api, permissions={"ModifyAllData": False, "QueryAllFiles": False})
    (row,) = (await api.query(soql)).json()["records"]
    assert row["PermissionSet"]["PermissionsModifyAllData"] is False
    assert row["PermissionSet"]["PermissionsQueryAllFiles"] is False
    assert not api.org.admin.may("ModifyAllData")


async def test_object_and_field_permissions_follow_profile_and_schema(api) -> None:
    await define_user(api, objects={"Contact": "R"}, read_only_fields=["Account.Fax"])

    async def rows(soql):
        return (await api.query(soql)).json()["records"]

    objects = "SELECT PermissionsEdit FROM ObjectPermissions WHERE SobjectType = 'Contact' AND Parent.ProfileId != null"
    assert sorted(r["PermissionsEdit"] for r in await rows(objects)) == [False, True]  # the user's profile, the usual
    fax = "SELECT PermissionsRead, PermissionsEdit FROM FieldPermissions WHERE Field = 'Account.Fax'"
    assert {(r["PermissionsRead"], r["PermissionsEdit"]) for r in await rows(fax)} == {(True, True), (True, False)}
    assert await rows("SELECT Id FROM ObjectPermissions WHERE SobjectType = 'New__c'") == []
    api.org.schema.define("New__c")
    assert len(await rows("SELECT Id FROM ObjectPermissions WHERE SobjectType = 'New__c'")) == 2


async def test_a_permission_set_saved_by_a_client_gives_what_its_rows_say(api) -> None:
    user_id = await define_user(api, username="second@holdfast.test", objects={"Account": "R"})
    user = api.org.users["second@holdfast.test"]
    assert not user.creates("Account")
    base = "/services/data/v62.0/sobjects/"

    async def create(name, values):
        answer = await api.http.post(base + name, json=values)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    made = await create("PermissionSet", {"Name": "Writers", "Label": "Writers", "PermissionsViewEncryptedData": True})
    rights = {"ParentId": made, "SobjectType": "Account", "PermissionsRead": True, "PermissionsCreate": True}
    await create("ObjectPermissions", rights)
    await create("PermissionSetAssignment", {"PermissionSetId": made, "AssigneeId": user_id})
    assert (user.creates("Account"), user.deletes("Account")) == (True, False)
    assert user.may("ViewEncryptedData")


async def test_the_status_of_a_user_is_in_its_row(api) -> None:
    user_id = await define_user(api, username="gone@holdfast.test", active=False)
    (row,) = (await api.query(f"SELECT IsActive, Profile.Name FROM User WHERE Id = '{user_id}'")).json()["records"]
    assert (row["IsActive"], row["Profile"]["Name"]) == (False, "System Administrator")


async def test_unknown_permissions_are_refused(api) -> None:
    answer = await api.http.post("/_org/users", json={"permissions": {"Fly": True}})
    assert answer.status_code == 400
    assert "no permission 'Fly'" in answer.text


async def test_hard_delete_needs_its_permission(api) -> None:
    job = {"object": "Account", "operation": "hardDelete", "contentType": "CSV"}
    assert (await api.http.post("/services/data/v62.0/jobs/ingest", json=job)).status_code == 200
    await define_user(api, permissions={"BulkApiHardDelete": False})
    answer = await api.http.post("/services/data/v62.0/jobs/ingest", json=job)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "FEATURENOTENABLED")
    token = api.http.headers["Authorization"].partition(" ")[2]
    old = await api.http.post("/services/async/62.0/job", json=job, headers={"X-SFDC-Session": token})
    assert (old.status_code, old.json()["exceptionCode"]) == (400, "FeatureNotEnabled")


async def test_a_user_without_api_access_is_told_so(api) -> None:
    await define_user(api, permissions={"ApiEnabled": False})
    answer = await api.query("SELECT Id FROM Account")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (403, "API_DISABLED_FOR_ORG")


async def test_rights_on_objects_and_fields_bind_saves(api) -> None:
    base = "/services/data/v62.0/sobjects/Account"
    made = (await api.http.post(base, json={"Name": "Acme", "Fax": "1"})).json()["id"]
    await define_user(api, objects={"Account": "R"})
    refused = [
        await api.http.post(base, json={"Name": "Other"}),
        await api.http.patch(f"{base}/{made}", json={"Name": "Other"}),
        await api.http.delete(f"{base}/{made}"),
    ]
    codes = [answer.json()[0]["errorCode"] for answer in refused]
    assert codes == ["CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", *["INSUFFICIENT_ACCESS_OR_READONLY"] * 2]
    await define_user(api, objects={"Account": "CRUD"}, read_only_fields=["Account.Fax"])
    answer = await api.http.patch(f"{base}/{made}", json={"Fax": "2"})
    assert (answer.json()[0]["errorCode"], answer.json()[0]["fields"]) == ("INVALID_FIELD_FOR_INSERT_UPDATE", ["Fax"])
    assert (await api.http.patch(f"{base}/{made}", json={"Name": "Other"})).status_code == 204
    assert (await api.http.get(f"{base}/{made}")).json()["Fax"] == "1"


PRIVATE = {
    "objects": [
        {"name": "Deal__c", "sharing": "Private", "fields": [{"name": "Pin__c", "type": "encryptedstring"}]},
        {
            "name": "Step__c",
            "sharing": "ControlledByParent",
            "fields": [{"name": "Deal__c", "type": "reference", "referenceTo": "Deal__c", "masterDetail": 0}],
        },
    ]
}


async def test_private_records_are_seen_by_owners_and_whom_they_are_shared_with(api, writer) -> None:
    assert (await api.http.post("/_org/schema", json=PRIVATE)).status_code == 200
    deal, step = (api.org.schema.objects[name] for name in ("Deal__c", "Step__c"))
    other_id = await define_user(api, username="other@holdfast.test")
    theirs = writer.insert(deal, {"Name": "Theirs", "OwnerId": other_id})
    writer.insert(step, {"Name": "Call", "Deal__c": theirs})
    mine = writer.insert(deal, {"Name": "Mine"})
    await define_user(api, objects={"Deal__c": "CRUD", "Step__c": "CRUD"}, permissions={"ViewAllData": False})

    async def names(name):
        return [r["Name"] for r in (await api.query(f"SELECT Name FROM {name} ORDER BY Name")).json()["records"]]

    base = "/services/data/v62.0/sobjects/Deal__c"
    assert (await names("Deal__c"), await names("Step__c")) == (["Mine"], [])
    assert (await api.http.get(f"{base}/{theirs}")).status_code == 404
    assert (await api.http.patch(f"{base}/{mine}", json={"Name": "Still mine"})).status_code == 204
    share = {"ParentId": theirs, "UserOrGroupId": api.org.admin.id, "AccessLevel": "Read", "RowCause": "Manual"}
    answer = await api.http.post("/services/data/v62.0/sobjects/Deal__Share", json=share)
    assert answer.status_code == 201, answer.text
    assert (await names("Deal__c"), await names("Step__c")) == (["Still mine", "Theirs"], ["Call"])
    answer = await api.http.patch(f"{base}/{theirs}", json={"Name": "Taken"})
    assert answer.json()[0]["errorCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"


async def test_a_new_owner_ends_what_the_old_one_shared(api, writer, ask) -> None:
    await api.http.post("/_org/schema", json=PRIVATE)
    other_id = await define_user(api, username="other@holdfast.test")
    deal, share = (api.org.schema.objects[name] for name in ("Deal__c", "Deal__Share"))
    made = writer.insert(deal, {"Name": "Deal"})
    writer.insert(share, {"ParentId": made, "UserOrGroupId": other_id, "AccessLevel": "Edit", "RowCause": "Manual"})
    rows = "SELECT UserOrGroupId, AccessLevel, RowCause FROM Deal__Share ORDER BY RowCause"
    assert ask(rows) == [(other_id, "Edit", "Manual"), (api.org.admin.id, "All", "Owner")]
    writer.update(made, {"OwnerId": other_id})
    assert ask(rows) == [(other_id, "All", "Owner")]


async def test_encrypted_text_is_masked_without_the_permission(api, writer) -> None:
    await api.http.post("/_org/schema", json=PRIVATE)
    writer.insert(api.org.schema.objects["Deal__c"], {"Name": "Deal", "Pin__c": "s3cret"})
    soql = "SELECT Pin__c FROM Deal__c"
    assert (await api.query(soql)).json()["records"][0]["Pin__c"] == "******"
    await define_user(api, permissions={"ViewEncryptedData": True})
    assert (await api.query(soql)).json()["records"][0]["Pin__c"] == "s3cret"


async def test_a_user_saved_by_a_client_is_one(api) -> None:
    users = "/services/data/v62.0/sobjects/User"
    values = {"Username": "new@holdfast.test", "LastName": "New", "Email": "n@x.org", "Alias": "new",
              "ProfileId": api.org.profile_id}  # fmt: skip
    answer = await api.http.post(users, json=values)
    assert answer.status_code == 201, answer.text
    user = api.org.users["new@holdfast.test"]
    assert (user.id, user.active, user.reads("Account")) == (answer.json()["id"], True, True)
    assert (await api.http.patch(f"{users}/{user.id}", json={"IsActive": False})).status_code == 204
    assert not user.active
