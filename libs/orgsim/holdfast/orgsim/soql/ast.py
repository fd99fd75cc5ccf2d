"""A parsed query as plain objects. `at` is where a part begins in the query's text; it takes no part in equality."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


class Path(tuple[str, ...]):
    """A dotted name, e.g. ("Owner", "Name"), and where it stands in the text."""

    at: int | None

    def __new__(cls, parts: Iterable[str], at: int | None = None) -> Path:
        """A path of `parts`."""
        made = super().__new__(cls, parts)
        made.at = at
        return made

    def __str__(self) -> str:
        """The path as it is written."""
        return ".".join(self)


@dataclass(frozen=True)
class Literal:
    """A value; `kind`: string, datetime, date, time, number, currency, boolean, null, word (a date literal), bind."""

    kind: str
    text: str
    at: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Call:
    """A function of fields; the name is lower case, `written` is the whole call without blanks."""

    function: str
    args: tuple[Argument, ...] = ()
    at: int | None = field(default=None, compare=False)

    @property
    def path(self) -> Path | None:
        """The field that the function is about, also inside a nested call."""
        first = self.args[0] if self.args else None
        return first.path if isinstance(first, Call) else first if isinstance(first, Path) else None

    def __str__(self) -> str:
        """The call as it is written, blanks left out."""
        return f"{self.function}({','.join(a.text if isinstance(a, Literal) else str(a) for a in self.args)})"


Argument = Path | Call | Literal
Operand = Path | Call


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
    """A selected function: an aggregate, a date function, toLabel(), FORMAT(), convertCurrency(), DISTANCE()."""

    call: Call
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
    at: int | None = field(default=None, compare=False)


Item = FieldItem | CallItem | FieldsItem | SubqueryItem | TypeofItem


@dataclass(frozen=True)
class Ordering:
    """One ORDER BY term. Nulls come first unless told otherwise, in both directions."""

    operand: Operand
    descending: bool
    nulls_last: bool


@dataclass(frozen=True)
class Query:
    """One SELECT. `aliases` maps further FROM names to paths; `grouping`: plain, rollup or cube."""

    items: tuple[Item, ...]
    object: str
    alias: str | None = None
    aliases: tuple[tuple[str, Path], ...] = ()
    scope: str | None = None
    where: Condition | None = None
    withs: tuple[str, ...] = ()
    group_by: tuple[Operand, ...] = ()
    grouping: str = "plain"
    having: Condition | None = None
    order_by: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int = 0
    all_rows: bool = False
    at: int | None = field(default=None, compare=False)
    text: str = field(default="", compare=False)


def leaves(condition: Condition | None) -> Iterator[Comparison | Membership]:
    """The comparisons and memberships of a condition, in the order in which they are written."""
    stack: list[Condition] = [] if condition is None else [condition]
    while stack:
        current = stack.pop()
        if isinstance(current, Negation):
            stack.append(current.condition)
        elif isinstance(current, Junction):
            stack.extend(reversed(current.parts))
        else:
            yield current


def conjuncts(condition: Condition | None) -> tuple[Condition, ...]:
    """The parts that must all hold."""
    if condition is None:
        return ()
    if isinstance(condition, Junction) and condition.operator == "and":
        return tuple(part for whole in condition.parts for part in conjuncts(whole))
    return (condition,)
