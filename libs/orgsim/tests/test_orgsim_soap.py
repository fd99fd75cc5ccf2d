"""SOAP partner and enterprise calls, in the shapes that clients match."""

import re
from datetime import timedelta
from xml.etree import ElementTree

import pytest

P = "{urn:partner.soap.sforce.com}"
SF = "{urn:sobject.partner.soap.sforce.com}"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"


class Soap:
    """A client that speaks as jsforce does: everything in the default namespace."""

    def __init__(self, api) -> None:
        self.api = api
        self.token = api.http.headers["Authorization"].partition(" ")[2]

    async def raw(self, body: str, *, header: str = "", api: str = "u", version: str = "59.0"):
        namespace = f"urn:{'partner' if api == 'u' else 'enterprise'}.soap.sforce.com"
        envelope = (
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            f'<soapenv:Header xmlns="{namespace}"><SessionHeader><sessionId>{self.token}</sessionId></SessionHeader>'
            f'{header}</soapenv:Header><soapenv:Body xmlns="{namespace}">{body}</soapenv:Body></soapenv:Envelope>'
        )
        return await self.api.http.post(
            f"/services/Soap/{api}/{version}", content=envelope, headers={"Content-Type": "text/xml"}
        )

    async def ask(self, body: str, **more: str) -> list[ElementTree.Element]:
        answer = await self.raw(body, **more)
        assert answer.status_code == 200, answer.text
        return list(ElementTree.fromstring(answer.content).find("{*}Body")[0])

    async def create(self, *records: str, header: str = "") -> list[ElementTree.Element]:
        body = "".join(f"<ns1:sObjects>{r}</ns1:sObjects>" for r in records)
        return await self.ask(f'<create xmlns:ns1="sobject.partner.soap.sforce.com">{body}</create>', header=header)


@pytest.fixture
def soap(api) -> Soap:
    return Soap(api)


async def test_create_update_and_upsert_answer_per_record(soap) -> None:
    good, bad = await soap.create(
        "<type>Account</type><Name>Soap &amp; co</Name>", "<type>Account</type><Phone>1</Phone>"
    )
    record_id = good.findtext(f"{P}id")
    assert good.findtext(f"{P}success") == "true"
    assert [bad.findtext(f"{P}errors/{P}{n}") for n in ("fields", "statusCode")] == ["Name", "REQUIRED_FIELD_MISSING"]
    assert bad.find(f"{P}id").get(f"{XSI}nil") == "true"
    body = (
        f"<update><sObjects><type>Account</type><fieldsToNull>Fax</fieldsToNull><Id>{record_id[:15]}</Id>"
        "<Phone>7</Phone></sObjects><sObjects><type>Account</type><Phone>7</Phone></sObjects></update>"
    )
    good, bad = await soap.ask(body)
    assert good.findtext(f"{P}id") == record_id
    assert bad.findtext(f"{P}errors/{P}statusCode") == "MISSING_ARGUMENT"
    row = soap.api.org.table(soap.api.org.schema.objects["Account"]).get(record_id)
    assert (row["Name"], row["Phone"]) == ("Soap & co", "7")
    fields = [{"name": "Key__c", "externalId": True, "idLookup": True}]
    await soap.api.http.post("/_org/objects", json={"name": "T__c", "fields": fields, "rows": [{"Name": "a"}]})
    body = (
        "<upsert><externalIDFieldName>Key__c</externalIDFieldName><sObjects><type>T__c</type><Key__c>k</Key__c>"
        "<Name>x</Name></sObjects></upsert>"
    )
    assert [(await soap.ask(body))[0].findtext(f"{P}created") for _ in "ab"] == ["true", "false"]


async def test_all_or_none_takes_good_records_back(soap) -> None:
    header = "<AllOrNoneHeader><allOrNone>true</allOrNone></AllOrNoneHeader>"
    results = await soap.create("<type>Account</type><Name>a</Name>", "<type>Account</type>", header=header)
    codes = [r.findtext(f"{P}errors/{P}statusCode") for r in results]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert len(soap.api.org.table(soap.api.org.schema.objects["Account"])) == 0


async def test_query_results_say_the_id_twice_and_nest(soap) -> None:
    (account,) = await soap.create("<type>Account</type><Name>a</Name>")
    account_id = account.findtext(f"{P}id")
    await soap.create(f"<type>Contact</type><LastName>b</LastName><AccountId>{account_id}</AccountId>")
    soql = "SELECT Id, Name, Fax, CreatedDate, Owner.Name, Parent.Name, (SELECT LastName FROM Contacts) FROM Account"
    (result,) = await soap.ask(f"<query><queryString>{soql}</queryString></query>")
    assert [result.findtext(f"{P}{n}") for n in ("done", "size")] == ["true", "1"]
    assert result.find(f"{P}queryLocator").get(f"{XSI}nil") == "true"
    record = result.find(f"{P}records")
    assert record.get(f"{XSI}type") == "sf:sObject"
    assert [e.tag.removeprefix(SF) for e in record] == [
        "type", "Id", "Id", "Name", "Fax", "CreatedDate", "Owner", "Parent", "Contacts",
    ]  # fmt: skip
    assert [e.text for e in record.findall(f"{SF}Id")] == [account_id] * 2
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", record.findtext(f"{SF}CreatedDate"))
    assert record.find(f"{SF}Fax").get(f"{XSI}nil") == "true"
    assert [record.findtext(f"{SF}Owner/{SF}{n}") for n in ("type", "Name")] == ["User", "Integration User"]
    assert record.find(f"{SF}Owner/{SF}Id").get(f"{XSI}nil") == "true"
    assert record.find(f"{SF}Parent").get(f"{XSI}nil") == "true"
    children = record.find(f"{SF}Contacts")
    assert children.findtext(f"{P}records/{SF}LastName") == "b"
    assert children.findtext(f"{P}size") == "1"


async def test_queries_go_on_by_locator(soap, writer) -> None:
    account = soap.api.org.schema.objects["Account"]
    made = [writer.insert(account, {"Name": f"n{i}"}) for i in range(450)]
    writer.delete(made[0])
    header = "<QueryOptions><batchSize>200</batchSize></QueryOptions>"
    (page,) = await soap.ask("<queryAll><queryString>SELECT Name FROM Account</queryString></queryAll>", header=header)
    names = []
    while True:
        names += [e.findtext(f"{SF}Name") for e in page.findall(f"{P}records")]
        if page.findtext(f"{P}done") == "true":
            break
        locator = page.findtext(f"{P}queryLocator")
        (page,) = await soap.ask(f"<queryMore><queryLocator>{locator}</queryLocator></queryMore>", header=header)
    assert sorted(names) == sorted(f"n{i}" for i in range(450))
    wrong = await soap.raw("<queryMore><queryLocator>x-1</queryLocator></queryMore>")
    assert "<sf:InvalidQueryLocatorFault" in wrong.text


async def test_faults_name_row_and_column(soap) -> None:
    answer = await soap.raw("<query><queryString>SELECT Nope__c FROM Account</queryString></query>")
    assert answer.status_code == 500
    assert "<faultcode>sf:INVALID_FIELD</faultcode>" in answer.text
    assert re.search(r"<sf:InvalidFieldFault.*<sf:row>-?\d+</sf:row><sf:column>-?\d+</sf:column>", answer.text, re.S)
    answer = await soap.raw("<query><queryString>SELEKT</queryString></query>")
    assert "<sf:MalformedQueryFault" in answer.text
    assert "No operation available for request" in (await soap.raw("<fly/>")).text
    answer = await soap.raw("<getUserInfo/>", version="22.0")
    assert (answer.status_code, "sf:UNSUPPORTED_API_VERSION" in answer.text) == (500, True)
    soap.token = "00D!nope"
    answer = await soap.raw("<getUserInfo/>")
    assert "<faultcode>sf:INVALID_SESSION_ID</faultcode>" in answer.text
    assert "<sf:UnexpectedErrorFault" in answer.text
    empty = await soap.api.http.post("/services/Soap/u/59.0", content=b"<a")
    assert (empty.status_code, "UNKNOWN_EXCEPTION" in empty.text) == (500, True)


async def test_enterprise_records_carry_their_type(soap) -> None:
    ns = "{urn:enterprise.soap.sforce.com}"
    body = '<create><sObjects xsi:type="urn:Account"><Name>e</Name><Fax xsi:nil="true"/></sObjects></create>'
    (made,) = await soap.ask(body, api="c")
    assert made.findtext(f"{ns}success") == "true"
    (result,) = await soap.ask("<query><queryString>SELECT Name FROM Account</queryString></query>", api="c")
    record = result.find(f"{ns}records")
    assert record.get(f"{XSI}type") == "sf:Account"
    assert [(e.tag, e.text) for e in record] == [("{urn:sobject.enterprise.soap.sforce.com}Name", "e")]


async def test_retrieve_keeps_the_order_asked_for(soap) -> None:
    ids = [r.findtext(f"{P}id") for r in await soap.create(*(f"<type>Account</type><Name>{n}</Name>" for n in "ab"))]
    asked = "".join(f"<ids>{i}</ids>" for i in (ids[1], "001000000000000AAA", ids[0][:15]))
    body = f"<retrieve><fieldList>Id, Name</fieldList><sObjectType>Account</sObjectType>{asked}</retrieve>"
    results = await soap.ask(body)
    assert [r.findtext(f"{SF}Name") for r in results] == ["b", None, "a"]
    assert results[1].get(f"{XSI}nil") == "true"


async def test_search_finds_words(soap) -> None:
    await soap.create("<type>Account</type><Name>Needle Inc</Name>", "<type>Account</type><Name>Hay</Name>")
    (result,) = await soap.ask(
        "<search><searchString>FIND {needle} IN ALL FIELDS RETURNING Account(Name)</searchString></search>"
    )
    assert [e.text for e in result.iterfind(f"{P}searchRecords/{P}record/{SF}Name")] == ["Needle Inc"]


async def test_describes_are_the_rest_describes(soap) -> None:
    (result,) = await soap.ask("<describeGlobal/>")
    assert "Account" in [e.findtext(f"{P}name") for e in result.findall(f"{P}sobjects")]
    body = "<describeSObjects><sObjectType>Account</sObjectType><sObjectType>Contact</sObjectType></describeSObjects>"
    account, contact = await soap.ask(body)
    described = (await soap.api.http.get("/services/data/v59.0/sobjects/Contact/describe")).json()
    assert account.findtext(f"{P}keyPrefix") == "001"
    assert [e.findtext(f"{P}name") for e in contact.findall(f"{P}fields")] == [f["name"] for f in described["fields"]]
    (one,) = await soap.ask("<describeSObject><sObjectType>Lead</sObjectType></describeSObject>")
    assert one.findtext(f"{P}name") == "Lead"
    assert "INVALID_TYPE" in (await soap.raw("<describeSObject><sObjectType>Nope</sObjectType></describeSObject>")).text
    (layout,) = await soap.ask("<describeLayout><sObjectType>Account</sObjectType></describeLayout>")
    masters = [e.findtext(f"{P}recordTypeId") for e in layout.findall(f"{P}recordTypeMappings")]
    assert masters == [info["recordTypeId"] for info in (await global_account(soap))["recordTypeInfos"]]


async def global_account(soap) -> dict:
    return (await soap.api.http.get("/services/data/v59.0/sobjects/Account/describe")).json()


async def test_deletes_are_reported_and_the_bin_is_emptied(soap) -> None:
    kept, gone = [
        r.findtext(f"{P}id") for r in await soap.create(*(f"<type>Account</type><Name>{n}</Name>" for n in "ab"))
    ]
    assert (await soap.ask(f"<delete><ids>{gone}</ids></delete>"))[0].findtext(f"{P}success") == "true"
    now = soap.api.org.clock.now()
    soap.api.org.clock.advance(timedelta(minutes=2))
    span = (
        f"<sObjectType>Account</sObjectType><startDate>{(now - timedelta(hours=1)).isoformat()}</startDate>"
        f"<endDate>{(now + timedelta(hours=1)).isoformat()}</endDate>"
    )
    (deleted,) = await soap.ask(f"<getDeleted>{span}</getDeleted>")
    assert [e.findtext(f"{P}id") for e in deleted.findall(f"{P}deletedRecords")] == [gone]
    assert deleted.findtext(f"{P}earliestDateAvailable").endswith(".000Z")
    (updated,) = await soap.ask(f"<getUpdated>{span}</getUpdated>")
    assert [e.text for e in updated.findall(f"{P}ids")] == [kept]
    (emptied,) = await soap.ask(f"<emptyRecycleBin><ids>{gone}</ids></emptyRecycleBin>")
    assert emptied.findtext(f"{P}success") == "true"
    (bad,) = await soap.ask(f"<undelete><ids>{gone}</ids></undelete>")
    assert bad.findtext(f"{P}errors/{P}statusCode") == "UNDELETE_FAILED"


async def test_calls_count_and_say_so(soap) -> None:
    used = soap.api.org.accounting.used(soap.api.org.clock.now())
    answer = await soap.raw("<getServerTimestamp/>")
    info = ElementTree.fromstring(answer.content).find(f"{{*}}Header/{P}LimitInfoHeader/{P}limitInfo")
    assert [e.text for e in info] == [str(used + 1), "100000", "API REQUESTS"]
    assert await soap.ask("<logout/>") == []
    assert "INVALID_SESSION_ID" in (await soap.raw("<getUserInfo/>")).text
