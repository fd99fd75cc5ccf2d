"""SOQL: what clients write, parsed and evaluated."""

from datetime import UTC, date, datetime

import pytest

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.dates import day_range
from holdfast.orgsim.soql.parse import parse, unescape


@pytest.fixture
def rows(org, writer):
    """Three accounts, two contacts with parents, one opportunity amount each."""
    account = org.schema.objects["Account"]
    contact = org.schema.objects["Contact"]
    a = writer.insert(account, {"Name": "Acme", "AnnualRevenue": 10, "Industry": "Energy"})
    b = writer.insert(account, {"Name": "beta", "AnnualRevenue": 9, "ParentId": a})
    c = writer.insert(account, {"Name": "O'Neil_1", "AnnualRevenue": 100.5})
    writer.insert(contact, {"FirstName": "Ann", "LastName": "Lee", "AccountId": a})
    writer.insert(contact, {"LastName": "Solo"})
    return a, b, c


def test_parse_of_a_query_with_every_clause() -> None:
    query = parse(
        "select Id, Owner.Name from Account a where (Name like 'A%' and x != null) or not Id in ('1')"
        " order by Name desc nulls last, Id limit 5 offset 2"
    )
    assert query.items == (ast.FieldItem(ast.Path(("Id",))), ast.FieldItem(ast.Path(("Owner", "Name"))))
    assert (query.object, query.alias, query.limit, query.offset) == ("Account", "a", 5, 2)
    assert isinstance(query.where, ast.Junction)
    assert query.where.operator == "or"
    assert query.order_by[0] == ast.Ordering(ast.Path(("Name",)), descending=True, nulls_last=True)


@pytest.mark.parametrize("name", ["Group", "Order", "Case", "Event"])
def test_objects_may_be_called_like_keywords(name: str) -> None:
    assert parse(f"SELECT Id, Limit, Order.First FROM {name} ORDER BY Last").object == name


def test_unescape() -> None:
    assert unescape(r"'a\'b\\c\nd\%'") == "a'b\\c\nd\\%"


@pytest.mark.parametrize(
    "text",
    ["", "SELECT", "SELECT Id FROM", "SELEC Id FROM A", "SELECT Id FROM A WHERE", "SELECT Id FROM A WHERE x = 1 AND",
     "SELECT Id FROM A WHERE a=1 AND b=2 OR c=3", "SELECT Id FROM A WHERE x = 'open", "SELECT Id FROM A LIMIT x",
     "SELECT Id,, Name FROM A", "DELETE FROM A", "SELECT Id FROM A; SELECT Id FROM B"],
)  # fmt: skip
def test_malformed_queries_are_refused(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse(text)
    assert (refused.value.status, refused.value.code) == (400, "MALFORMED_QUERY")


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("Name = 'acme'", ["Acme"]),
        ("Name = 'ACME' OR Name = 'Beta'", ["Acme", "beta"]),
        ("Name LIKE 'o\\'neil\\_%'", ["O'Neil_1"]),
        ("Name LIKE '_cme'", ["Acme"]),
        ("AnnualRevenue > 9.5", ["Acme", "O'Neil_1"]),
        ("AnnualRevenue IN (9, 100.50)", ["beta", "O'Neil_1"]),
        ("Industry = null", ["beta", "O'Neil_1"]),
        ("Industry = ''", ["beta", "O'Neil_1"]),
        ("Industry != 'Energy'", ["beta", "O'Neil_1"]),
        ("NOT Industry = 'Energy'", ["beta", "O'Neil_1"]),
        ("Industry NOT IN ('Energy')", ["beta", "O'Neil_1"]),
        ("Parent.Name = 'Acme'", ["beta"]),
        ("Parent.Owner.Username LIKE 'integration%'", ["beta"]),
        ("Id IN (SELECT AccountId FROM Contact WHERE LastName = 'Lee')", ["Acme"]),
        ("Id NOT IN (SELECT AccountId FROM Contact)", ["beta", "O'Neil_1"]),
        ("IsDeleted = false AND CreatedDate = TODAY", ["Acme", "beta", "O'Neil_1"]),
        ("CreatedDate < 2020-01-01T00:00:00Z", []),
        ("SystemModstamp >= 2020-01-01T01:00:00+01:00", ["Acme", "beta", "O'Neil_1"]),
    ],
)
def test_conditions(rows, ask, condition: str, names: list[str]) -> None:
    assert ask(f"SELECT Name FROM Account WHERE {condition} ORDER BY Id") == [(n,) for n in names]


def test_ids_compare_in_both_lengths(rows, ask) -> None:
    a, _, _ = rows
    assert ask(f"SELECT Name FROM Account WHERE Id = '{a[:15]}'") == [("Acme",)]
    assert ask(f"SELECT Name FROM Account WHERE ParentId IN ('{a}')") == [("beta",)]


def test_order_puts_nulls_first_and_numbers_by_value(rows, ask) -> None:
    assert ask("SELECT AnnualRevenue FROM Account ORDER BY AnnualRevenue") == [("9.0",), ("10.0",), ("100.5",)]
    assert ask("SELECT Industry FROM Account ORDER BY Industry DESC") == [(None,), (None,), ("Energy",)]
    assert ask("SELECT Industry FROM Account ORDER BY Industry NULLS LAST")[0] == ("Energy",)
    assert ask("SELECT Name FROM Account ORDER BY Name LIMIT 1 OFFSET 1") == [("beta",)]


def test_aggregates(rows, ask, org) -> None:
    assert ask("SELECT COUNT(Id) c, MAX(AnnualRevenue), SUM(AnnualRevenue) FROM Account") == [("3", "100.5", "119.5")]
    assert ask("SELECT Industry, COUNT(Id) FROM Account GROUP BY Industry") == [(None, "2"), ("Energy", "1")]
    by_count = "SELECT Industry, COUNT(Id) n FROM Account GROUP BY Industry ORDER BY"
    assert ask(f"{by_count} COUNT(Id)") == [("Energy", "1"), (None, "2")]
    assert ask(f"{by_count} n DESC LIMIT 1") == [(None, "2")]
    assert ask(f"{by_count} Industry DESC NULLS LAST") == [("Energy", "1"), (None, "2")]


def test_unknown_names_are_told_apart(rows, ask, org) -> None:
    for soql, code in [
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
        ("SELECT Nope.Name FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Nope__c", "INVALID_TYPE"),
        ("SELECT Id FROM Account WHERE Name > 5", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE IsDeleted > true", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY"),
        ("SELECT Name, COUNT(Id) FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
    ]:
        with pytest.raises(ApiError) as refused:
            ask(soql)
        assert refused.value.code == code, soql


def test_hidden_objects_and_fields_look_as_if_they_were_not_there(rows, ask, org) -> None:
    org.admin.hidden_fields = frozenset({("Account", "Industry")})
    org.admin.hidden_objects = frozenset({"Contact"})
    with pytest.raises(ApiError, match="No such column 'Industry'"):
        ask("SELECT Industry FROM Account")
    with pytest.raises(ApiError, match="sObject type 'Contact' is not supported"):
        ask("SELECT Id FROM Contact")


def test_date_literals() -> None:
    today = date(2024, 2, 29)
    assert day_range("LAST_N_DAYS:7", today) == (date(2024, 2, 22), date(2024, 3, 1))
    assert day_range("THIS_MONTH", today) == (date(2024, 2, 1), date(2024, 3, 1))
    assert day_range("LAST_YEAR", today) == (date(2023, 1, 1), date(2024, 1, 1))
    assert day_range("N_DAYS_AGO:1", today) == (date(2024, 2, 28), date(2024, 2, 29))
    assert day_range("NEXT_N_MONTHS:2", today) == (date(2024, 3, 1), date(2024, 5, 1))
    assert day_range("SOMEDAY", today) is None


def test_deleted_rows_need_query_all(rows, ask, writer) -> None:
    _, b, _ = rows
    writer.delete(b)
    assert ask("SELECT Name FROM Account") == [("Acme",), ("O'Neil_1",)]
    assert ask("SELECT IsDeleted FROM Account WHERE Name = 'beta'", all_rows=True) == [("true",)]
    assert ask("SELECT Id FROM Account WHERE IsDeleted = true ALL ROWS") == [(b,)]


def test_stamps_are_whole_seconds_of_the_orgs_clock(org, writer, ask) -> None:
    org.clock.set(datetime(2024, 5, 6, 7, 8, 9, 987654, tzinfo=UTC), frozen=True)
    writer.insert(org.schema.objects["Lead"], {"LastName": "L", "Company": "C", "Status": "Open - Not Contacted"})
    assert ask("SELECT SystemModstamp, Name FROM Lead") == [("2024-05-06T07:08:09.000Z", "L")]
