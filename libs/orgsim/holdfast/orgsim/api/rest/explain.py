"""The query plan that `?explain=` answers with."""

from __future__ import annotations

from typing import Any

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql import ast, restrictions
from holdfast.orgsim.soql.evaluate import run
from holdfast.orgsim.soql.parse import parse

_INDEXED = frozenset({"Id", "Name", "OwnerId", "CreatedDate", "SystemModstamp", "RecordTypeId"})
_SELECTIVE = 0.1  # of the rows: above it an index is not considered


def plans(org: Org, text: str, user: User, version: str) -> dict[str, Any]:
    """The plans for a query, the cheapest first.

    Raises:
        ApiError: 400, as the query itself would answer.
    """
    query = parse(text)
    obj = restrictions.queried(org, user, query)
    total = len(org.table(obj))
    found = run(org, query, user, version=version).total
    made = [_plan(obj, "TableScan", [], found, total, 1.0 if total else 0.0)]
    for name in dict.fromkeys(_indexed(query, obj)):
        cost = round(found / (total * _SELECTIVE), 3) if total else 0.0
        made.append(_plan(obj, "Index", [name], found, total, cost))
    made.sort(key=lambda plan: plan["relativeCost"])
    return {"plans": made, "sourceQuery": text}


def _indexed(query: ast.Query, obj: SObject) -> list[str]:
    names = []
    for part in ast.conjuncts(query.where):
        if isinstance(part, ast.Comparison | ast.Membership) and isinstance(part.operand, ast.Path):
            field = obj.find(part.operand[-1]) if len(part.operand) == 1 else None
            if field is not None and (field["name"] in _INDEXED or field["externalId"] or field["type"] == "reference"):
                names.append(field["name"])
    return names


def _plan(obj: SObject, operation: str, fields: list[str], found: int, total: int, cost: float) -> dict[str, Any]:
    notes = []
    if "IsDeleted" in obj.fields:
        note = "Not considering filter for optimization because unindexed"
        notes.append({"description": note, "fields": ["IsDeleted"], "tableEnumOrId": obj.name})
    return {
        "cardinality": found,
        "fields": fields,
        "leadingOperationType": operation,
        "notes": notes,
        "relativeCost": cost,
        "sobjectCardinality": total,
        "sobjectType": obj.name,
    }
