"""What the language itself forbids, whatever the object: limits, and where inner queries may stand."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.columns import Column, Columns
from holdfast.orgsim.soql.functions import is_aggregate
from holdfast.orgsim.soql.messages import located, malformed
from holdfast.orgsim.soql.parse import too_complicated

MAX_OFFSET = 2_000
MAX_FIELDS_ROWS = 200
MAX_SUBQUERIES = 20
MAX_PARENTS = 55
MAX_SEMI_JOINS = 2
MAX_CONDITIONS = 20_000
DEEP_SUBQUERIES_FROM = Decimal(58)
MAX_LEVELS = 5
UNFILTERABLE = frozenset({"base64", "address", "location"})


def check(query: ast.Query, version: str) -> None:
    """Refuse a query that the language does not allow.

    Raises:
        ApiError: 400.
    """
    if query.offset > MAX_OFFSET:
        raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
    if sum(_weight(leaf) for leaf in ast.leaves(query.where)) > MAX_CONDITIONS:
        raise too_complicated()
    _check_fields(query)
    _check_semi_joins(query)
    subqueries = list(_subqueries(query))
    if len(subqueries) > MAX_SUBQUERIES:
        raise malformed(f"SOQL queries can have at most {MAX_SUBQUERIES} parent-to-child relationships")
    levels = 1 + max((_depth(q) for q in subqueries), default=0)
    if levels > (MAX_LEVELS if Decimal(version) >= DEEP_SUBQUERIES_FROM else 2):
        raise malformed("Only root queries support nested aggregate relationships")
    for inner in subqueries:
        _check_fields(inner)
        if any(isinstance(i, ast.CallItem) and is_aggregate(i.call) for i in inner.items) or inner.group_by:
            raise malformed("Only root queries support aggregate expressions")


def check_parents(columns: Columns) -> None:
    """Refuse a query that names too many parents.

    Raises:
        ApiError: 400.
    """
    if len(columns.joins) > MAX_PARENTS:
        raise malformed(f"SOQL queries can have at most {MAX_PARENTS} child-to-parent relationships")


def semi_join_column(inner: ast.Query, columns: Columns, outer: Column, condition: ast.Membership) -> Column:
    """The id column that a semi-join selects.

    Raises:
        ApiError: 400 MALFORMED_QUERY if it selects anything else, or ids of other objects.
    """
    item = inner.items[0]
    if len(inner.items) != 1 or not isinstance(item, ast.FieldItem):
        raise malformed("Semi join sub-selects can only query one field")
    column = columns.resolve(item.path)
    if column.kind not in ("id", "reference"):
        message = f"Semi join sub-selects can only query id fields, cannot use: '{item.path}'"
        raise located(malformed(message), columns.query.text, item.path.at)
    chosen = {columns.obj.name} if column.name == "Id" else set(column.field["referenceTo"])
    wanted = set(outer.field["referenceTo"])
    if outer.kind == "reference" and wanted and chosen and not chosen & wanted:
        raise malformed(
            f"The selected field '{item.path}' in the subquery and the left operand field in the where expression in "
            f"the outer query '{condition.operand}' should point to the same object type"
        )
    return column


def _weight(leaf: ast.Comparison | ast.Membership) -> int:
    return max(1, len(leaf.values)) if isinstance(leaf, ast.Membership) else 1


def _subqueries(query: ast.Query) -> Iterator[ast.Query]:
    return (item.query for item in query.items if isinstance(item, ast.SubqueryItem))


def _depth(query: ast.Query) -> int:
    return 1 + max((_depth(inner) for inner in _subqueries(query)), default=0)


def _check_fields(query: ast.Query) -> None:
    for item in query.items:
        unbounded = query.limit is None or query.limit > MAX_FIELDS_ROWS
        if isinstance(item, ast.FieldsItem) and item.kind != "STANDARD" and unbounded:
            raise malformed("The SOQL FIELDS function must have a LIMIT of at most 200")
        if isinstance(item, ast.FieldItem) and item.alias is not None and not query.group_by:
            error = malformed("only aggregate expressions use field aliasing")
            aggregated = any(isinstance(i, ast.CallItem) and is_aggregate(i.call) for i in query.items)
            if not aggregated:
                raise located(error, query.text, item.path.at)


def _check_semi_joins(query: ast.Query) -> None:
    joins = [leaf for leaf in ast.leaves(query.where) if isinstance(leaf, ast.Membership) and leaf.query is not None]
    if len(joins) > MAX_SEMI_JOINS:
        raise malformed(f"Maximum {MAX_SEMI_JOINS} semi join sub-selects are allowed")
    for join in joins:
        assert join.query is not None
        if any(isinstance(leaf, ast.Membership) and leaf.query is not None for leaf in ast.leaves(join.query.where)):
            raise malformed("Nesting of semi join sub-selects is not supported")
        if join not in ast.conjuncts(query.where):
            raise malformed(_misplaced(query.where, join))


def _misplaced(condition: ast.Condition | None, join: ast.Membership) -> str:
    if isinstance(condition, ast.Junction) and condition.operator == "or" and join in condition.parts:
        return "Semi join sub-selects are not allowed with the 'OR' operator"
    parts = condition.parts if isinstance(condition, ast.Junction) else ()
    inner = next((p for p in parts if join in tuple(ast.leaves(p))), None)
    if inner is not None and inner is not join:
        return _misplaced(inner, join)
    return "Semi join sub-selects are only allowed at the top level WHERE expressions."
