"""A parsed query as plain objects."""

from __future__ import annotations

from dataclasses import dataclass, field

Path = tuple[str, ...]


@dataclass(frozen=True)
class Literal:
    """A value in a condition; `kind`: string, datetime, date, number, boolean, null, word (a date literal)."""

    kind: str
    text: str


@dataclass(frozen=True)
class Operand:
    """A field, or a function of one."""

    path: Path
    function: str | None = None


@dataclass(frozen=True)
class Comparison:
    """`operand operator literal`; the operator is lower case."""

    operand: Operand
    operator: str
    literal: Literal


@dataclass(frozen=True)
class Membership:
    """`operand IN|NOT IN|INCLUDES|EXCLUDES (…)` over literals or a query."""

    operand: Operand
    operator: str
    values: tuple[Literal, ...]
    query: Query | None = None


@dataclass(frozen=True)
class Negation:
    """`NOT condition`."""

    condition: Condition


@dataclass(frozen=True)
class Junction:
    """Conditions joined by `and` or `or`."""

    operator: str
    parts: tuple[Condition, ...]


Condition = Comparison | Membership | Negation | Junction


@dataclass(frozen=True)
class FieldItem:
    """A selected field; `alias` only with GROUP BY."""

    path: Path
    alias: str | None = None


@dataclass(frozen=True)
class CallItem:
    """A selected function: an aggregate, toLabel(), FORMAT() or convertCurrency()."""

    function: str
    path: Path | None
    alias: str | None = None


@dataclass(frozen=True)
class FieldsItem:
    """`FIELDS(ALL|STANDARD|CUSTOM)`."""

    kind: str


@dataclass(frozen=True)
class SubqueryItem:
    """A query over child records."""

    query: Query


@dataclass(frozen=True)
class TypeofItem:
    """`TYPEOF rel WHEN Type THEN fields … ELSE fields END`."""

    relationship: str
    cases: tuple[tuple[str, tuple[Path, ...]], ...]
    otherwise: tuple[Path, ...]


Item = FieldItem | CallItem | FieldsItem | SubqueryItem | TypeofItem


@dataclass(frozen=True)
class Ordering:
    """One ORDER BY term. Nulls come first unless told otherwise, in both directions."""

    operand: Operand
    descending: bool
    nulls_last: bool


@dataclass(frozen=True)
class Query:
    """One SELECT."""

    items: tuple[Item, ...]
    object: str
    alias: str | None = None
    scope: str | None = None
    where: Condition | None = None
    group_by: tuple[Path, ...] = ()
    having: Condition | None = None
    order_by: tuple[Ordering, ...] = field(default=())
    limit: int | None = None
    offset: int = 0
    all_rows: bool = False
