"""Every form of the language, and the queries that published clients send, over one small org."""

from datetime import UTC, datetime

import pytest

from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.soql.evaluate import run
from holdfast.orgsim.soql.parse import parse

NOW = datetime(2024, 5, 15, 12, tzinfo=UTC)  # a Wednesday
V = "/services/data/v62.0"


@pytest.fixture
def sales(org, writer):
    """Two accounts, three contacts, five opportunities over two years; the clock stands still."""
    org.clock.set(NOW, frozen=True)
    objects = org.schema.objects
    objects["Account"].add(make_field("Tags__c", "multipicklist"))
    north = writer.insert(objects["Account"], {"Name": "North", "Industry": "Energy", "AnnualRevenue": 1000,
                                               "BillingLatitude": 52.5, "BillingLongitude": 13.4,
                                               "Tags__c": "a;b"})  # fmt: skip
    south = writer.insert(objects["Account"], {"Name": "South", "ParentId": north, "AnnualRevenue": 250.5})
    for last, account in (("Ames", north), ("Bell", south), ("Cole", None)):
        writer.insert(objects["Contact"], {"LastName": last, "AccountId": account})
    for name, account, amount, close, stage in (
        ("o1", north, 10, "2023-01-10", "Prospecting"), ("o2", north, 20, "2023-07-01", "Closed Won"),
        ("o3", south, 30, "2024-04-30", "Prospecting"), ("o4", south, None, "2024-05-14", "Closed Won"),
        ("o5", south, 5.5, "2024-05-15", "Prospecting"),
    ):  # fmt: skip
        values = {"Name": name, "AccountId": account, "Amount": amount, "CloseDate": close, "StageName": stage}
        writer.insert(objects["Opportunity"], values)
    return north, south


@pytest.mark.parametrize(
    ("soql", "rows"),
    [
        # literals for dates; today is Wednesday, 2024-05-15
        ("SELECT Name FROM Opportunity WHERE CloseDate = TODAY", [("o5",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate = YESTERDAY", [("o4",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate = THIS_WEEK", [("o4",), ("o5",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate = LAST_MONTH", [("o3",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate = THIS_QUARTER", [("o3",), ("o4",), ("o5",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate = THIS_FISCAL_QUARTER", [("o3",), ("o4",), ("o5",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate = LAST_FISCAL_YEAR", [("o1",), ("o2",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate = LAST_N_QUARTERS:4", [("o2",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate = N_DAYS_AGO:15", [("o3",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate = LAST_N_DAYS:1", [("o4",), ("o5",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate = N_YEARS_AGO:1 AND Amount < 15", [("o1",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate < LAST_90_DAYS", [("o1",), ("o2",)]),
        ("SELECT Name FROM Opportunity WHERE CloseDate IN (TODAY, N_DAYS_AGO:15)", [("o3",), ("o5",)]),
        # functions of dates
        ("SELECT Name FROM Opportunity WHERE CALENDAR_YEAR(CloseDate) = 2023", [("o1",), ("o2",)]),
        ("SELECT Name FROM Opportunity WHERE DAY_IN_WEEK(CloseDate) = 4 AND FISCAL_QUARTER(CloseDate) = 2", [("o5",)]),
        ("SELECT CALENDAR_YEAR(CloseDate), COUNT(Id) FROM Opportunity GROUP BY CALENDAR_YEAR(CloseDate) "
         "ORDER BY CALENDAR_YEAR(CloseDate) DESC", [("2024", "3"), ("2023", "2")]),
        ("SELECT CALENDAR_MONTH(CloseDate) m, SUM(Amount) FROM Opportunity GROUP BY CALENDAR_MONTH(CloseDate) "
         "HAVING SUM(Amount) > 10 ORDER BY SUM(Amount)", [("7", "20.0"), ("4", "30.0")]),
        ("SELECT HOUR_IN_DAY(CreatedDate) h, DAY_ONLY(CreatedDate) d, COUNT(Id) FROM Opportunity "
         "GROUP BY HOUR_IN_DAY(CreatedDate), DAY_ONLY(CreatedDate)", [("12", "2024-05-15", "5")]),
        ("SELECT WEEK_IN_YEAR(CloseDate) w, DAY_IN_YEAR(CloseDate) d FROM Opportunity WHERE Name = 'o1' "
         "GROUP BY WEEK_IN_YEAR(CloseDate), DAY_IN_YEAR(CloseDate)", [("2", "10")]),
        # aggregates
        ("SELECT COUNT(Amount), COUNT_DISTINCT(StageName), MIN(CloseDate), MAX(Name), AVG(Amount) FROM Opportunity",
         [("4", "2", "2023-01-10", "o5", "16.375")]),
        ("SELECT AccountId a, COUNT(Id) FROM Contact WHERE AccountId != null GROUP BY AccountId HAVING COUNT(Id) > 1",
         []),
        ("SELECT Account.Name, SUM(Amount) FROM Opportunity GROUP BY Account.Name ORDER BY Account.Name",
         [("North", "30.0"), ("South", "35.5")]),
        ("SELECT StageName s, COUNT(Id) FROM Opportunity GROUP BY StageName HAVING StageName LIKE 'Closed%'",
         [("Closed Won", "2")]),
        ("SELECT Account.Name n, StageName, GROUPING(StageName) g, COUNT(Id) FROM Opportunity "
         "GROUP BY ROLLUP(Account.Name, StageName) ORDER BY Account.Name, StageName",
         [(None, None, "1", "5"), ("North", None, "1", "2"), ("North", "Closed Won", "0", "1"),
          ("North", "Prospecting", "0", "1"), ("South", None, "1", "3"), ("South", "Closed Won", "0", "1"),
          ("South", "Prospecting", "0", "2")]),
        ("SELECT StageName, CALENDAR_YEAR(CloseDate) y, COUNT(Id) n FROM Opportunity "
         "GROUP BY CUBE(StageName, CALENDAR_YEAR(CloseDate)) HAVING COUNT(Id) > 2 ORDER BY COUNT(Id) DESC",
         [(None, None, "5"), ("Prospecting", None, "3"), (None, "2024", "3")]),
        ("SELECT SUM(Amount) FROM Opportunity WHERE Name = 'none'", [(None,)]),
        # relationships, semi-joins, aliases
        ("SELECT c.LastName, c.Account.Name FROM Contact c WHERE c.Account.Parent.Name = 'North'", [("Bell", "South")]),
        ("SELECT Contact.LastName FROM Contact, Contact.Account a WHERE a.Name = 'North'", [("Ames",)]),
        ("SELECT Name FROM Account WHERE Id IN (SELECT AccountId FROM Opportunity WHERE StageName = 'Closed Won' "
         "AND (Amount = null OR Amount > 100)) AND Id NOT IN (SELECT AccountId FROM Contact WHERE LastName = 'Ames')",
         [("South",)]),
        ("SELECT LastName FROM Contact WHERE AccountId NOT IN (SELECT Id FROM Account)", [("Cole",)]),
        ("SELECT Name FROM Account WHERE Tags__c INCLUDES ('b;a', 'x') AND Tags__c = 'a;b'", [("North",)]),
        ("SELECT Name FROM Account WHERE DISTANCE(BillingAddress, GEOLOCATION(52.4, 13.1), 'km') < 25 "
         "ORDER BY DISTANCE(BillingAddress, GEOLOCATION(52.4, 13.1), 'km')", [("North",)]),
        ("SELECT Name FROM Account WHERE AnnualRevenue > USD250.49 AND AnnualRevenue <= 250.5", [("South",)]),
        # clauses without an effect on the rows, and the order of several keys
        ("SELECT Name FROM Account USING SCOPE everything WHERE Name != 'x' WITH SECURITY_ENFORCED "
         "ORDER BY Industry DESC NULLS LAST, Name LIMIT 1 OFFSET 0 FOR VIEW", [("North",)]),
        ("SELECT Name FROM Account USING SCOPE mine WITH USER_MODE LIMIT 1 ALL ROWS", [("North",)]),
        ("SELECT Name FROM Account WITH DATA CATEGORY Geography__c ABOVE_OR_BELOW (usa__c, uk__c) AND Product__c "
         "AT x__c ORDER BY Name DESC FOR REFERENCE UPDATE TRACKING", [("South",), ("North",)]),
        ("SELECT toLabel(StageName), convertCurrency(Amount) worth FROM Opportunity WHERE Name = 'o5'",
         [("Prospecting", "5.5")]),
        ("SELECT FORMAT(Amount) FROM Opportunity WHERE Name = 'o5'", [("5.5",)]),
        ("SELECT StageName, Name FROM Opportunity ORDER BY StageName DESC, Amount ASC NULLS LAST, Name LIMIT 3",
         [("Prospecting", "o5"), ("Prospecting", "o1"), ("Prospecting", "o3")]),
    ],
)  # fmt: skip
def test_forms(sales, ask, soql: str, rows: list[tuple[str | None, ...]]) -> None:
    assert ask(soql) == rows


def test_fields_of_a_kind(sales, org, ask) -> None:
    custom = ask("SELECT FIELDS(CUSTOM) FROM Account WHERE Name = 'North' LIMIT 200")
    assert custom == [("a;b",)]
    outputs = [
        [o.written for o in run(org, parse(f"SELECT FIELDS({kind}) FROM Account LIMIT 1"), org.admin).outputs]
        for kind in ("ALL", "STANDARD", "CUSTOM")
    ]
    assert set(outputs[0]) == set(org.schema.objects["Account"].fields) == {*outputs[1], *outputs[2]}
    assert "BillingAddress" in outputs[1]


def test_numbers_compare_with_every_digit(org, ask, writer) -> None:
    obj = org.schema.define("Exact__c")
    obj.add(make_field("N__c", "double"))
    for text in ("9007199254740993", "9007199254740992", "0.30000000000000001"):
        writer.insert(obj, {"Name": text, "N__c": text})
    assert ask("SELECT Name FROM Exact__c WHERE N__c > 9007199254740992") == [("9007199254740993",)]
    assert ask("SELECT Name FROM Exact__c WHERE N__c = 9007199254740993.0") == [("9007199254740993",)]
    assert ask("SELECT Name FROM Exact__c WHERE N__c != 0.3 ORDER BY N__c") == [
        ("0.30000000000000001",), ("9007199254740992",), ("9007199254740993",)]  # fmt: skip
    assert ask("SELECT SUM(N__c) FROM Exact__c WHERE N__c > 1") == [("18014398509481985.0",)]


CLIENT_QUERIES = [
    ("tap-salesforce",
     "SELECT Id,Name FROM Account WHERE SystemModstamp >= 2024-01-01T00:00:00Z  ORDER BY SystemModstamp "
     "ASC", 2),
    ("tap-salesforce, window", "SELECT Id,Name FROM Account WHERE SystemModstamp >= 2024-01-01T00:00:00.000000Z AND "
     "SystemModstamp < 2025-01-01T00:00:00.000000Z ORDER BY SystemModstamp ASC", 2),
    ("sf CLI, org",
     "SELECT Name, InstanceName, IsSandbox, TrialExpirationDate, NamespacePrefix, OrganizationType FROM "
     "Organization", 1),
    ("sf CLI, dev hub probe", "SELECT Id FROM ScratchOrgInfo limit 1", "INVALID_TYPE"),
    ("sf CLI, user", "SELECT Id FROM User WHERE Username='integration@holdfast.test'", 1),
    ("sf CLI, record type", "SELECT Id, Name FROM RecordType WHERE SobjectType = 'Nothing' AND IsActive = true", 0),
    ("SFDMU, org", "SELECT Id, OrganizationType, IsSandbox FROM Organization LIMIT 1", 1),
    ("SFDMU, person accounts probe", "SELECT IsPersonAccount FROM Account LIMIT 1", "INVALID_FIELD"),
    ("SFDMU, by ids",
     "SELECT Id, Name, Account.Name FROM Contact WHERE Account.Name IN ('North','South') ORDER BY Name "
     "ASC", 2),
    ("CumulusCI, counts", "SELECT count() FROM Opportunity", 5),
    ("CumulusCI, polymorphic",
     "SELECT Id, TYPEOF Who WHEN Contact THEN LastName WHEN Lead THEN Company ELSE Id END FROM "
     "Event", 0),
    ("CumulusCI, record types", "SELECT Id, DeveloperName FROM RecordType WHERE SObjectType='Nothing'", 0),
    ("simple-salesforce", "SELECT Id, LastName FROM Contact WHERE LastName = 'Ames' AND Account.Industry != null", 1),
    ("simple-salesforce, format_soql",
     "SELECT Id FROM Contact WHERE LastName IN ('A\\'mes', 'Bell') AND Name LIKE "
     "'%\\_x%'", 0),
    ("jsforce, find", "SELECT Id, Name, CreatedDate FROM Contact WHERE CreatedDate >= 2020-01-01T00:00:00-07:00 AND "
     "LastName LIKE '%e%' ORDER BY CreatedDate DESC, Name ASC LIMIT 5 OFFSET 0", 3),
    ("jsforce, children", "SELECT Id, Name, (SELECT Id, LastName FROM Contacts ORDER BY LastName) FROM Account", 2),
    ("aiosalesforce", "SELECT FIELDS(ALL) FROM Account ORDER BY Id LIMIT 200", 2),
    ("Airbyte", "SELECT Id, SystemModstamp FROM Account WHERE SystemModstamp >= 2024-05-15T00:00:00.000+00:00 AND "
     "SystemModstamp < 2024-05-16T00:00:00.000+00:00 ORDER BY SystemModstamp, Id ASC", 2),
    ("salesforce-bulk", "select Id,LastName from Contact", 3),
    ("Data Loader", "Select Id, Name FROM Account WHERE CreatedDate > LAST_N_DAYS:30 and (not Name like 'X%')", 2),
    ("max modstamp", "SELECT MAX(SystemModstamp) newest, MIN(SystemModstamp), COUNT(Id) c FROM Account", 1),
    ("owner's name", "SELECT Id, Owner.Name, Owner.Type FROM Lead", 0),
    ("polymorphic names", "SELECT Id, Who.Name, Who.Type, What.Name FROM Event WHERE What.Type = 'Account'", 0),
    ("duplicates", "SELECT Name, COUNT(Id) FROM Account GROUP BY Name HAVING COUNT(Id) > 1", 0),
]  # fmt: skip


@pytest.mark.parametrize(("client", "soql", "answer"), CLIENT_QUERIES, ids=[q[0] for q in CLIENT_QUERIES])
async def test_queries_that_clients_send(sales, api, client: str, soql: str, answer: int | str) -> None:
    reply = await api.http.get(f"{V}/query/", params={"q": soql})
    if isinstance(answer, str):
        assert (reply.status_code, reply.json()[0]["errorCode"]) == (400, answer)
    else:
        assert reply.status_code == 200, reply.text
        assert (reply.json()["totalSize"], reply.json()["done"]) == (answer, True)
