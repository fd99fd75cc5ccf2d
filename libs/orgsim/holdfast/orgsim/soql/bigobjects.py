"""Big objects answer queries over their index only."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.columns import Columns
from holdfast.orgsim.soql.functions import is_aggregate
from holdfast.orgsim.soql.messages import located, malformed

_RANGES = frozenset({"<", "<=", ">", ">="})


def index_of(obj: SObject) -> Sequence[str]:
    """The index fields in order: those the describe names, else the custom fields as they are listed."""
    named = obj.describe.get("bigObjectIndex")
    return named if named else [name for name, field in obj.fields.items() if field["custom"]]


def check(query: ast.Query, columns: Columns) -> None:
    """Refuse what a big object cannot answer.

    Raises:
        ApiError: 400 MALFORMED_QUERY.
    """
    if query.group_by or any(isinstance(i, ast.CallItem) and is_aggregate(i.call) for i in query.items):
        raise malformed("Aggregate functions not supported")
    if any(isinstance(i, ast.SubqueryItem | ast.TypeofItem) for i in query.items):
        raise malformed("Aggregate relationships are not supported on big objects")
    index = [name.lower() for name in index_of(columns.obj)]
    _check_order(query, index)
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
        if compared[name] in _RANGES | {"in"} and number + 1 < len(compared):
            raise malformed(f"Only the last filtered index field may be compared by '{compared[name]}': {name} is not")


def _check_order(query: ast.Query, index: Sequence[str]) -> None:
    for order, name in zip(query.order_by, index, strict=False):
        if not isinstance(order.operand, ast.Path) or order.operand[-1].lower() != name:
            raise malformed("Big objects can be ordered by their index only")


def _semi_join(part: ast.Comparison | ast.Membership) -> bool:
    return isinstance(part, ast.Membership) and part.query is not None
