"""Single records on the wire: by id, by external id, by relationship, and under conditions."""

from datetime import timedelta

import pytest

from holdfast.orgsim.schema.fields import make_field

V = "/services/data/v62.0"


async def make(api, name: str, **values) -> str:
    answer = await api.http.post(f"{V}/sobjects/{name}", json=values)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{V}/sobjects/{name}/{answer.json()['id']}"
    return answer.json()["id"]


@pytest.fixture
def keyed(api) -> None:
    """Contacts with an external id that several may share, accounts with a unique one."""
    schema = api.org.schema
    schema.add_field(schema.objects["Contact"], make_field("Key__c", externalId=True, idLookup=True))
    schema.add_field(schema.objects["Account"], make_field("Key__c", externalId=True, idLookup=True, unique=True))


def error(answer) -> tuple[int, str, str]:
    return answer.status_code, answer.json()[0]["errorCode"], answer.json()[0]["message"]


async def test_errors_of_ids(api) -> None:
    url, gone = f"{V}/sobjects/Account", await make(api, "Account", Name="gone")
    contact = await make(api, "Contact", LastName="c")
    await api.http.delete(f"{url}/{gone}")
    unknown = "001000000000000AAA"
    missing = (404, "NOT_FOUND", "The requested resource does not exist")
    nowhere = (404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
    deleted = (404, "ENTITY_IS_DELETED", "entity is deleted")
    no_id = (404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: nope")
    for name, expected in ((unknown, missing), (gone, deleted), ("nope", no_id), (contact, missing)):
        assert error(await api.http.get(f"{url}/{name}")) == expected
    for name, expected in ((unknown, nowhere), (gone, deleted), ("nope", no_id), (contact, nowhere)):
        assert error(await api.http.patch(f"{url}/{name}", json={"Name": "x"})) == expected
        assert error(await api.http.delete(f"{url}/{name}")) == expected
    assert (await api.http.get(f"{url}/{gone[:15]}")).status_code == 404
    assert error(await api.http.get(f"{V}/sobjects/Nope/{unknown}")) == missing


async def test_bodies_that_name_what_the_path_names(api, keyed) -> None:
    row = await make(api, "Account", Name="n")
    answer = await api.http.patch(f"{V}/sobjects/Account/{row}", json={"Id": row, "Name": "x"})
    assert error(answer) == (400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.")
    answer = await api.http.patch(f"{V}/sobjects/Account/Key__c/1", json={"key__c": "1", "Name": "x"})
    assert error(answer) == (400, "INVALID_FIELD", "The Key__c field should not be specified in the sobject data.")
    answer = await api.http.post(f"{V}/sobjects/Account", json={"Id": row, "Name": "x"})
    assert error(answer) == (400, "INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call")
    answer = await api.http.post(f"{V}/sobjects/Account", content=b"")
    assert error(answer)[1:] == ("JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no "
                                                      "entity body.")  # fmt: skip
    answer = await api.http.post(f"{V}/sobjects/Account", content=b'{"Name":\n  x}')
    assert error(answer)[1] == "JSON_PARSER_ERROR" and "[line:2, column:3]" in error(answer)[2]


async def test_chosen_fields(api) -> None:
    row = await make(api, "Account", Name="n")
    url = f"{V}/sobjects/Account/{row[:15]}"
    record = (await api.http.get(url, params={"fields": "name, Id"})).json()
    assert record == {"attributes": {"type": "Account", "url": f"{V}/sobjects/Account/{row}"}, "Name": "n", "Id": row}
    assert list((await api.http.get(url, params={"fields": "Name"})).json()) == ["attributes", "Name", "Id"]
    answer = await api.http.get(url, params={"fields": "Name,Nope"})
    assert error(answer) == (400, "INVALID_FIELD", "No such column 'Nope' on sobject of type Account")


async def test_upsert_by_external_id(api, keyed) -> None:
    url = f"{V}/sobjects/Account/Key__c/a%2Fb%20c"
    answer = await api.http.patch(url, json={"Name": "new"})
    row = answer.json()["id"]
    assert (answer.status_code, answer.json()["created"]) == (201, True)
    assert answer.headers["Location"] == f"{V}/sobjects/Account/{row}"
    answer = await api.http.patch(url, json={"Name": "newer"})
    assert (answer.status_code, answer.json()) == (200, {"id": row, "success": True, "errors": [], "created": False})
    old = await api.http.patch(url.replace("v62.0", "v45.0"), json={"Name": "newest"})
    assert (old.status_code, old.content) == (204, b"")
    record = (await api.http.get(url, params={"fields": "Name,Key__c"})).json()
    assert (record["Name"], record["Key__c"]) == ("newest", "a/b c")
    answer = await api.http.patch(f"{V}/sobjects/Account/Key__c/none?updateOnly=true", json={"Name": "x"})
    assert answer.status_code == 404
    answer = await api.http.patch(f"{V}/sobjects/Account/Fax/1", json={"Name": "x"})
    assert error(answer)[2] == "Provided external ID field does not exist or is not accessible: Fax"
    assert (await api.http.delete(url)).status_code == 204
    assert (await api.http.delete(url)).status_code == 404
    assert (await api.http.get(url)).status_code == 404
    answer = await api.http.post(f"{V}/sobjects/Account/Id", json={"Name": "by Id"})
    assert answer.status_code == 201
    assert (await api.http.post(f"{V}/sobjects/Account/Key__c", json={"Name": "x"})).status_code == 404


async def test_an_ambiguous_external_id_answers_300_with_the_candidates(api, keyed) -> None:
    rows = [await make(api, "Contact", LastName=n, Key__c="same") for n in "ab"]
    url = f"{V}/sobjects/Contact/Key__c/same"
    for answer in (await api.http.get(url), await api.http.patch(url, json={"LastName": "x"}),
                   await api.http.delete(url)):  # fmt: skip
        assert (answer.status_code, answer.json()) == (300, [f"{V}/sobjects/Contact/{row}" for row in rows])


async def test_lookups_by_external_id_in_a_body(api, keyed) -> None:
    account = await make(api, "Account", Name="a", Key__c="k1")
    contact = await make(api, "Contact", LastName="c", Account={"Key__c": "k1"})
    record = (await api.http.get(f"{V}/sobjects/Contact/{contact}?fields=AccountId")).json()
    assert record["AccountId"] == account
    answer = await api.http.post(f"{V}/sobjects/Contact", json={"LastName": "c", "Account": {"Key__c": "nope"}})
    assert error(answer) == (
        400, "INVALID_FIELD", "Foreign key external ID: nope not found for field Key__c in entity Account",
    )  # fmt: skip


async def test_relationships_lead_up_and_down(api) -> None:
    parent = await make(api, "Account", Name="parent")
    account = await make(api, "Account", Name="account", ParentId=parent)
    contact = await make(api, "Contact", LastName="c", AccountId=account)
    other = await make(api, "Contact", LastName="alone")
    url = f"{V}/sobjects/Contact/{contact}"
    assert (await api.http.get(f"{url}/Account?fields=Name")).json()["Name"] == "account"
    assert (await api.http.get(f"{url}/Account/Parent?fields=Name")).json()["Name"] == "parent"
    children = (await api.http.get(f"{V}/sobjects/Account/{account}/Contacts?fields=Id,LastName")).json()
    assert (children["totalSize"], children["done"]) == (1, True)
    assert children["records"][0]["LastName"] == "c"
    assert (await api.http.get(f"{V}/sobjects/Account/{parent}/Contacts")).json()["totalSize"] == 0
    assert (await api.http.patch(f"{url}/Account/Parent", json={"Name": "renamed"})).status_code == 204
    assert (await api.http.get(f"{V}/sobjects/Account/{parent}?fields=Name")).json()["Name"] == "renamed"
    assert (await api.http.delete(f"{url}/Account/Parent")).status_code == 204
    assert error(await api.http.get(f"{V}/sobjects/Account/{parent}"))[1] == "ENTITY_IS_DELETED"
    for path in (f"Contact/{other}/Account", f"Contact/{contact}/Nope", f"Account/{account}/Contacts/Owner"):
        assert (await api.http.get(f"{V}/sobjects/{path}")).status_code == 404, path
    assert (await api.http.delete(f"{V}/sobjects/Account/{account}/Contacts")).status_code == 405


async def test_conditions(api) -> None:
    row = await make(api, "Account", Name="n")
    url = f"{V}/sobjects/Account/{row}"
    stamp = (await api.http.get(url)).headers["Last-Modified"]
    same = await api.http.get(url, headers={"If-Modified-Since": stamp})
    assert (same.status_code, same.content) == (304, b"")
    assert (await api.http.patch(url, json={"Name": "m"}, headers={"If-Unmodified-Since": stamp})).status_code == 204
    api.org.clock.advance(timedelta(seconds=5))
    await api.http.patch(url, json={"Name": "o"})
    assert (await api.http.get(url, headers={"If-Modified-Since": stamp})).status_code == 200
    late = {"If-Unmodified-Since": stamp}
    for answer in (await api.http.get(url, headers=late), await api.http.patch(url, json={"Name": "p"}, headers=late),
                   await api.http.delete(url, headers=late)):  # fmt: skip
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (412, "PRECONDITION_FAILED")
    assert (await api.http.get(url)).json()["Name"] == "o"


async def test_head_has_the_headers_of_get(api) -> None:
    row = await make(api, "Account", Name="n")
    full, head = await api.http.get(f"{V}/sobjects/Account/{row}"), await api.http.head(f"{V}/sobjects/Account/{row}")
    assert head.content == b"" and head.headers["content-length"] == full.headers["content-length"]


async def test_numbers_in_bodies_keep_every_digit(api) -> None:
    api.org.schema.add_field(api.org.schema.objects["Account"], make_field("Big__c", "double", precision=25, scale=3))
    body = b'{"Name":"n","Big__c":12345678901234567.125}'
    row = (await api.http.post(f"{V}/sobjects/Account", content=body)).json()["id"]
    assert '"Big__c":12345678901234567.125' in (await api.http.get(f"{V}/sobjects/Account/{row}")).text
    body = b'{"records":[{"attributes":{"type":"Account"},"id":"%s","Big__c":98765432109876543210}]}' % row.encode()
    assert (await api.http.patch(f"{V}/composite/sobjects", content=body)).json()[0]["success"]
    assert '"Big__c":98765432109876543210.0' in (await api.http.get(f"{V}/sobjects/Account/{row}")).text


async def test_big_objects_know_no_recycle_bin_and_do_not_hinder_the_records_that_they_point_at(api) -> None:
    fields = [{"name": "T__c", "type": "string"}, {"name": "A__c", "type": "reference", "referenceTo": ["Account"]}]
    await api.http.post("/_org/schema", json={"objects": [{"name": "Big__b", "fields": fields}]})
    account = (await api.http.post(f"{V}/sobjects/Account", json={"Name": "a"})).json()["id"]
    big = (await api.http.post(f"{V}/sobjects/Big__b", json={"T__c": "x", "A__c": account})).json()["id"]
    strange = await api.http.post(f"{V}/sobjects/Account", json={"Name": "b", "ParentId": big})
    changed = await api.http.patch(f"{V}/sobjects/Big__b/{big}", json={"T__c": "y"})
    deleted = await api.http.delete(f"{V}/sobjects/Big__b/{big}")
    assert error(strange)[1] == "FIELD_INTEGRITY_EXCEPTION"
    assert error(changed)[1] == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
    assert error(deleted)[1] == "INSUFFICIENT_ACCESS_OR_READONLY"
    assert (await api.http.delete(f"{V}/sobjects/Account/{account}")).status_code == 204
    assert (await api.query("SELECT T__c, A__c FROM Big__b")).json()["records"][0]["A__c"] == account
