"""Big objects answer queries over their index only, in its order.

Source: Salesforce, Big Objects Implementation Guide, "SOQL with Big Objects".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.schema.traits import IndexedField
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.columns import Columns
from holdfast.orgsim.soql.functions import is_aggregate
from holdfast.orgsim.soql.messages import located, malformed

SUFFIX = "__b"
# What a query for `Id` gets: the records have none.
NO_ID = "000000000000000AAA"
_RANGES = frozenset({"<", "<=", ">", ">="})


def index_of(obj: SObject) -> Sequence[IndexedField]:
    """The index: the one that was defined, else the custom fields as they are listed."""
    return obj.traits.index or tuple(IndexedField(name) for name, field in obj.fields.items() if field["custom"])


def as_answered(query: ast.Query, obj: SObject) -> ast.Query:
    """The query as the org takes it: white space around texts is cut off, and rows come in the order of the index."""
    if not obj.name.endswith(SUFFIX):
        return query
    order = query.order_by or tuple(
        ast.Ordering(ast.Path((each.name,)), each.descending, nulls_last=False) for each in index_of(obj)
    )
    where = None if query.where is None else _trimmed(query.where)
    return replace(query, where=where, order_by=() if query.group_by or _aggregates(query) else order)


def check(query: ast.Query, columns: Columns) -> None:
    """Refuse what a big object cannot answer.

    Raises:
        ApiError: 400 MALFORMED_QUERY.
    """
    if query.group_by or _aggregates(query):
        raise malformed("Aggregate functions not supported")
    if any(isinstance(i, ast.SubqueryItem | ast.TypeofItem) for i in query.items):
        raise malformed("Aggregate relationships are not supported on big objects")
    _check_order(query, index_of(columns.obj))
    index = [each.name.lower() for each in index_of(columns.obj)]
    parts = ast.conjuncts(query.where)
    compared: dict[str, str] = {}
    for part in parts:
        if not isinstance(part, ast.Comparison | ast.Membership) or not isinstance(part.operand, ast.Path):
            raise malformed("Big objects can be filtered by index fields joined with AND only")
        name, operator = part.operand[-1].lower(), part.operator
        if name not in index or operator not in _RANGES | {"=", "in"} or _semi_join(part):
            error = malformed(f"{columns.obj.name}: filter on '{part.operand}' with '{operator}' is not supported")
            raise located(error, query.text, part.operand.at)
        compared.setdefault(name, operator)
    _check_prefix(index, compared)


def _check_prefix(index: Sequence[str], compared: dict[str, str]) -> None:
    for number, name in enumerate(index[: len(compared)]):
        if name not in compared:
            raise malformed(
                f"Big objects must be filtered from the first index field on, without gaps: {name} is missing"
            )
        if compared[name] in _RANGES and number + 1 < len(compared):
            raise malformed(f"Only the last filtered index field may be compared by '{compared[name]}': {name} is not")
    if list(compared.values()).count("in") > 1:
        raise malformed("Only one filter of a big object may use IN")


def _check_order(query: ast.Query, index: Sequence[IndexedField]) -> None:
    turned = set()
    for number, order in enumerate(query.order_by):
        named = order.operand[-1].lower() if isinstance(order.operand, ast.Path) else ""
        if number >= len(index) or named != index[number].name.lower():
            raise malformed("Big objects can be ordered by their index only")
        turned.add(order.descending != index[number].descending)
    if len(turned) > 1:
        raise malformed("Big objects can be ordered in the directions of their index, or against all of them")


def _trimmed(condition: ast.Condition) -> ast.Condition:
    if isinstance(condition, ast.Junction):
        return replace(condition, parts=tuple(_trimmed(part) for part in condition.parts))
    if isinstance(condition, ast.Negation):
        return replace(condition, condition=_trimmed(condition.condition))
    if isinstance(condition, ast.Comparison):
        return replace(condition, literal=_without_space(condition.literal))
    return replace(condition, values=tuple(_without_space(value) for value in condition.values))


def _without_space(literal: ast.Literal) -> ast.Literal:
    return replace(literal, text=literal.text.strip()) if literal.kind == "string" else literal


def _aggregates(query: ast.Query) -> bool:
    return any(isinstance(item, ast.CallItem) and is_aggregate(item.call) for item in query.items)


def _semi_join(part: ast.Comparison | ast.Membership) -> bool:
    return isinstance(part, ast.Membership) and part.query is not None
