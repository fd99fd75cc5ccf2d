"""Big objects: no ids, a key that is written over, answers in the order of the index, an index that is told."""

from __future__ import annotations

from holdfast.launcher.demo.org_session import ENVELOPE

V = "/services/data/v62.0"
RIDE = "Ride__b"
DOCUMENT = {
    "objects": [
        {
            "name": RIDE,
            "index": ["Rider__c", "Start__c DESC"],
            "fields": [
                {"name": "Rider__c", "type": "string", "length": 40, "required": True},
                {"name": "Start__c", "type": "datetime", "required": True},
                {"name": "Note__c", "type": "string", "length": 80},
                {"name": "Cost__c", "type": "double", "scale": 2},
            ],
        }
    ]
}


async def defined(api) -> None:
    answer = await api.http.post("/_org/schema", json=DOCUMENT)
    assert answer.status_code == 200, answer.text


async def put(api, *rows: dict[str, object]) -> None:
    records = [{"attributes": {"type": RIDE}, **row} for row in rows]
    answer = await api.http.post(f"{V}/composite/sobjects", json={"records": records})
    assert all(each["success"] for each in answer.json()), answer.text


async def found(api, soql: str) -> list[list[object]]:
    answer = (await api.query(soql)).json()
    return [[value for name, value in row.items() if name != "attributes"] for row in answer["records"]]


def ride(rider: str, hour: int, **more: object) -> dict[str, object]:
    return {"Rider__c": rider, "Start__c": f"2026-01-01T{hour:02}:00:00.000Z", **more}


async def test_a_key_that_is_written_again_replaces_the_record_but_not_by_nothing(api) -> None:
    await defined(api)
    await put(api, ride("a", 1, Note__c="old", Cost__c=1), ride("b", 1), ride("a", 2))
    await put(api, ride("a", 1, Note__c="new", Cost__c=None), ride("c", 1, Note__c="1"), ride("c", 1, Note__c="2"))
    rows = await found(api, f"SELECT Rider__c, Note__c, Cost__c FROM {RIDE}")
    assert rows == [["a", None, None], ["a", "new", 1.0], ["b", None, None], ["c", "2", None]]
    assert [entry.operation for entry in api.org.ledger.since(0, RIDE)].count("update") == 2


async def test_rows_come_in_the_order_of_the_index_and_nothing_else_orders_them(api) -> None:
    await defined(api)
    await put(api, ride("b", 3), ride("a", 1), ride("a", 5), ride("b", 9))
    whole = [["a", "T05"], ["a", "T01"], ["b", "T09"], ["b", "T03"]]
    for order in ("", " ORDER BY Rider__c ASC, Start__c DESC"):
        rows = await found(api, f"SELECT Rider__c, Start__c FROM {RIDE}{order}")
        assert [[rider, start[10:13]] for rider, start in rows] == whole, order
    for order in ("Start__c", "Rider__c, Start__c", "Rider__c, Start__c DESC, Note__c"):
        assert (await api.query(f"SELECT Rider__c FROM {RIDE} ORDER BY {order}")).status_code == 400, order
    assert await found(
        api, f"SELECT Rider__c FROM {RIDE} WHERE Rider__c = 'a' AND Start__c < 2026-01-01T05:00:00Z"
    ) == [["a"]]


async def test_the_records_have_no_id_and_white_space_around_a_key_finds_nothing(api) -> None:
    await defined(api)
    await put(api, ride(" a", 1), ride("b", 1))
    assert await found(api, f"SELECT Id FROM {RIDE}") == [["000000000000000AAA"]] * 2
    assert await found(api, f"SELECT Rider__c FROM {RIDE} WHERE Rider__c = ' a'") == []
    assert await found(api, f"SELECT Rider__c FROM {RIDE} WHERE Rider__c = ' b '") == [["b"]]


async def test_the_tooling_api_tells_the_index_to_who_may_see_the_setup(api) -> None:
    await defined(api)

    async def asked(soql: str) -> list[dict[str, object]]:
        answer = await api.http.get(f"{V}/tooling/query", params={"q": soql})
        return answer.json()["records"] if answer.status_code == 200 else []

    (index,) = await asked("SELECT Id, SobjectType FROM Index WHERE Type = 'PRIMARY'")
    fields = await asked("SELECT IndexId, FieldId, Ordinal, SortDirection FROM IndexField ORDER BY Ordinal")
    particles = await asked(
        f"SELECT QualifiedApiName, DurableId FROM EntityParticle WHERE EntityDefinition.QualifiedApiName = '{RIDE}'"
    )
    names = {row["DurableId"].split(".")[1][:15]: row["QualifiedApiName"] for row in particles}
    assert index["SobjectType"] == RIDE and {row["IndexId"] for row in fields} == {index["Id"]}
    told = [(names[row["FieldId"][:15]], row["SortDirection"]) for row in fields]
    assert told == [("Rider__c", "ASC"), ("Start__c", "DESC")]
    await api.http.post("/_org/users", json={"permissions": {"ViewSetup": False}})
    assert await asked("SELECT Id FROM Index") == []


async def test_delete_by_example_takes_the_whole_key_and_nothing_else(api) -> None:
    await defined(api)
    await put(api, ride("a", 1), ride("a", 2))

    async def delete(fields: str) -> str:
        session = api.http.headers["Authorization"].removeprefix("Bearer ")
        body = f"<urn:deleteByExample><urn:sObjects><sobj:type>{RIDE}</sobj:type>{fields}</urn:sObjects>"
        envelope = ENVELOPE.format(session=session, body=body + "</urn:deleteByExample>")
        answer = await api.http.post("/services/Soap/u/59.0", content=envelope, headers={"Content-Type": "text/xml"})
        return answer.text

    assert "<success>false" in await delete("<Rider__c>a</Rider__c>")
    assert "<success>true" in await delete("<Rider__c>a</Rider__c><Start__c>2026-01-01T01:00:00.000Z</Start__c>")
    (left,) = await found(api, f"SELECT Start__c FROM {RIDE}")
    assert left[0].startswith("2026-01-01T02")
