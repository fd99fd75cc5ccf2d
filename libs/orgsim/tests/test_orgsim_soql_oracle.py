"""Random conditions against a second reading of them in plain Python, and random text against the parser."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.soql.evaluate import run
from holdfast.orgsim.soql.parse import parse

Row = dict[str, str | None]
Check = Callable[[Row], bool]
NAMES = ["Acme", "acme", "ACME Corp", "100%", "a_b", "O'Neil", "Zürich", "", "x\ny"]
NUMBERS = ["0.0", "1.0", "-1.5", "100.0", "9007199254740993.0", "9007199254740992.0", "0.1", "123456789.25"]
STAMPS = [
    "2024-01-31T00:00:00.000Z",
    "2024-01-31T23:59:59.000Z",
    "1999-12-31T12:00:00.000Z",
    "2024-02-29T06:30:00.000Z",
]
CHOICES = ["a", "b", "a;b", "b;c;a"]


class Table:
    """An object with every combination of some values, and its rows; too long to be printed with a failure."""

    def __init__(self, org: Org, rows: list[Row]) -> None:
        self.org = org
        self.rows = rows


@pytest.fixture(scope="module")
def table() -> Table:
    org = Org()
    obj = org.schema.define("Thing__c")
    kinds = {"T__c": "string", "N__c": "double", "D__c": "datetime", "F__c": "boolean", "M__c": "multipicklist"}
    for name, kind in kinds.items():
        obj.add(make_field(name, kind))
    rows: list[Row] = []
    for number in range(400):
        rows.append({"T__c": pick(NAMES, number), "N__c": pick(NUMBERS, number * 2), "D__c": pick(STAMPS, number * 3),
                     "M__c": pick(CHOICES, number * 7), "F__c": "true" if number % 3 else "false"})  # fmt: skip
    ids = list(org.new_ids(obj, len(rows)))
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    org.table(obj).load(pl.DataFrame({"Id": ids, "IsDeleted": ["false"] * len(ids), **columns}))
    return Table(org, [{"Id": i, **row} for i, row in zip(ids, rows, strict=True)])


def pick(values: list[str], number: int) -> str | None:
    return [*values, None][number % (len(values) + 1)] or None


def quoted(text: str) -> str:
    escapes = {"\\": "\\\\", "'": "\\'", "\n": "\\n"}
    return "'" + "".join(escapes.get(c, c) for c in text) + "'"


def compared(name: str, operator: str, left: Callable[[str], Any], right: Any) -> Check:
    tests: dict[str, Callable[[Any], bool]] = {
        "=": lambda v: v == right, "!=": lambda v: v != right, "<": lambda v: v < right,
        "<=": lambda v: v <= right, ">": lambda v: v > right, ">=": lambda v: v >= right}  # fmt: skip

    def check(row: Row) -> bool:
        value = row[name]
        return operator == "!=" if value is None else tests[operator](left(value))

    return check


OPERATORS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


@st.composite
def leaf(draw: st.DrawFn) -> tuple[str, Check]:
    kind = draw(st.sampled_from(["text", "number", "stamp", "flag", "null", "in", "like", "picks"]))
    operator = draw(OPERATORS)
    if kind == "text":
        value = draw(st.sampled_from([n for n in NAMES if n]))
        return f"T__c {operator} {quoted(value)}", compared("T__c", operator, str.lower, value.lower())
    if kind == "number":
        value = draw(st.sampled_from([*NUMBERS, "5", ".5", "1e3", "99999999999999999999999"]))
        return f"N__c {operator} {value}", compared("N__c", operator, Decimal, Decimal(value))
    if kind == "stamp":
        value = draw(st.sampled_from(STAMPS))
        return f"D__c {operator} {value}", compared("D__c", operator, str, value)
    if kind == "flag":
        value, operator = draw(st.sampled_from(["true", "false"])), draw(st.sampled_from(["=", "!="]))
        return f"F__c {operator} {value}", compared("F__c", operator, str, value)
    if kind == "null":
        name, operator = draw(st.sampled_from(["T__c", "N__c", "D__c", "M__c"])), draw(st.sampled_from(["=", "!="]))
        return f"{name} {operator} null", lambda row: (row[name] is None) == (operator == "=")
    return draw({"in": listed(), "like": like(), "picks": picks()}[kind])


@st.composite
def listed(draw: st.DrawFn) -> tuple[str, Check]:
    values = draw(st.lists(st.sampled_from([*[n for n in NAMES if n], None]), min_size=1, max_size=4))
    word = draw(st.sampled_from(["IN", "NOT IN"]))
    texts = ", ".join("null" if v is None else quoted(v) for v in values)
    wanted = {None if v is None else v.lower() for v in values}

    def check(row: Row) -> bool:
        value = row["T__c"]
        return ((None if value is None else value.lower()) in wanted) == (word == "IN")

    return f"T__c {word} ({texts})", check


@st.composite
def like(draw: st.DrawFn) -> tuple[str, Check]:
    parts = draw(st.lists(st.sampled_from(["%", "_", "\\%", "\\_", "a", "C", "me", "'", "ü", "\n"]), max_size=5))
    pattern = "".join({"%": ".*", "_": ".", "\\%": "%", "\\_": "_"}.get(p) or re.escape(p) for p in parts)
    text = "".join({"'": "\\'", "\n": "\\n"}.get(p, p) for p in parts)

    def check(row: Row) -> bool:
        value = row["T__c"]
        return value is not None and re.fullmatch(pattern, value, re.IGNORECASE | re.DOTALL) is not None

    return f"T__c LIKE '{text}'", check


@st.composite
def picks(draw: st.DrawFn) -> tuple[str, Check]:
    values = draw(st.lists(st.sampled_from(["a", "b;c", "A;b", "d"]), min_size=1, max_size=3))
    word = draw(st.sampled_from(["INCLUDES", "EXCLUDES"]))

    def check(row: Row) -> bool:
        chosen = set((row["M__c"] or "").split(";"))
        return any(set(v.lower().split(";")) <= chosen for v in values) == (word == "INCLUDES")

    return f"M__c {word} ({', '.join(quoted(v) for v in values)})", check


def joined(children: st.SearchStrategy[tuple[str, Check]]) -> st.SearchStrategy[tuple[str, Check]]:
    def negated(child: tuple[str, Check]) -> tuple[str, Check]:
        return f"(NOT {child[0]})", lambda row: not child[1](row)

    def together(word: str, parts: list[tuple[str, Check]]) -> tuple[str, Check]:
        holds = all if word == "AND" else any
        return "(" + f" {word} ".join(p[0] for p in parts) + ")", lambda row: holds(p[1](row) for p in parts)

    several = st.lists(children, min_size=2, max_size=3)
    return children.map(negated) | st.builds(together, st.sampled_from(["AND", "OR"]), several)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(condition=st.recursive(leaf(), joined, max_leaves=6))
def test_conditions_agree_with_a_plain_reading(table: Table, condition: tuple[str, Check]) -> None:
    found = run(table.org, parse(f"SELECT Id FROM Thing__c WHERE {condition[0]}"), table.org.admin)
    assert found.frame["Id"].to_list() == [row["Id"] for row in table.rows if condition[1](row)]


WORDS = ["SELECT", "FROM", "WHERE", "Id", "Account", "Name", "AND", "OR", "NOT", "(", ")", ",", "=", "'x'", "IN", "1",
         "LIMIT", "ORDER", "BY", "GROUP", "COUNT(", "null", "TODAY", "LIKE", "TYPEOF", "END", "WHEN", ".", "'", "\\",
         ":x", "2024-01-01", "FIELDS(ALL)", "HAVING", "ROLLUP(", "Contacts", "USING SCOPE", "WITH", "FOR", "OFFSET",
         "-1", "DISTANCE(", "GEOLOCATION(", "CALENDAR_YEAR(", "CreatedDate", "Owner.Name", "LAST_N_DAYS:3",
         "\u2028"]  # fmt: skip


@settings(max_examples=300)
@given(
    words=st.lists(st.sampled_from(WORDS), max_size=14) | st.lists(st.text(max_size=6), max_size=5),
    started=st.booleans(),
)
def test_whatever_is_asked_only_the_platforms_errors_come_back(table: Table, words: list[str], started: bool) -> None:
    org = table.org
    try:
        run(org, parse(("SELECT Id FROM Account WHERE " if started else "SELECT ") + " ".join(words)), org.admin)
    except ApiError as error:
        assert (error.status, bool(error.message)) == (400, True)


@settings(max_examples=200)
@given(operand=st.sampled_from(["Id", "Name", "CreatedDate", "IsDeleted", "AnnualRevenue", "OwnerId", "BillingAddress",
                                "Owner.Name", "CALENDAR_YEAR(CreatedDate)", "DAY_ONLY(CreatedDate)", "COUNT(Id)",
                                "DISTANCE(BillingAddress, GEOLOCATION(1, 2), 'km')", "HOUR_IN_DAY(Name)"]),
       operator=st.sampled_from(["=", "!=", "<", ">=", "LIKE", "IN", "NOT IN", "INCLUDES"]),
       value=st.sampled_from(["'x'", "''", "null", "1", "-1.5e5", "TODAY", "NEXT_N_FISCAL_QUARTERS:999999999", "true",
                              "2024-02-30", "2024-01-01T25:00:00Z", "12:30", "USD5.5", ":x", "Name",
                              "'001Hs0000000001IAA'",
                              "(SELECT Id FROM Account)", "1e400", "9999-12-31",
                              "0001-01-01T00:00:00+14:00"]))  # fmt: skip
def test_no_comparison_crashes(table: Table, operand: str, operator: str, value: str) -> None:
    org = table.org
    right = value if value.startswith("(") or operator in ("=", "!=", "<", ">=", "LIKE") else f"({value})"
    for soql in (f"SELECT Id FROM Account WHERE {operand} {operator} {right}",
                 f"SELECT COUNT(Id) FROM Account GROUP BY Name HAVING {operand} {operator} {right}"):  # fmt: skip
        try:
            run(org, parse(soql), org.admin)
        except ApiError as error:
            assert error.status == 400
