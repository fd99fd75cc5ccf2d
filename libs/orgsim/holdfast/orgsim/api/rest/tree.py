"""`/composite/tree/{O}`: records with their children nested below them, all saved or none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from holdfast.orgsim.api.rest.collections import row_error
from holdfast.orgsim.api.rest.records import known_object, saver
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.saving.listed import insert_listed
from holdfast.orgsim.saving.transaction import all_or_none
from holdfast.orgsim.schema.objects import SObject

router = Router(DATA + "/composite/tree")
MOST_RECORDS = 200
MOST_LEVELS = 5
MOST_TYPES = 5


@dataclass
class Node:
    """One record of a tree: its values without its children, and how it hangs from its parent."""

    obj: SObject
    reference: str
    values: dict[str, Any]
    lookup: str | None
    children: list[Node] = field(default_factory=list)
    saved: str = ""


class _FailedError(Exception):
    """A record could not be saved, so none is."""


@router.add("POST", "/{object}")
async def create(call: Call) -> Reply:
    """Insert trees of records: 201 with every reference and id, or 400 with the errors and nothing saved."""
    obj = known_object(call, call.params["object"])
    levels = _levels(call, obj)
    failed: list[dict[str, Any]] = []
    try:
        with all_or_none(call.org):
            for level in levels:
                _save(call, level, failed)
    except _FailedError:
        return json_reply({"hasErrors": True, "results": failed}, 400)
    results = [{"referenceId": node.reference, "id": node.saved} for level in levels for node in level]
    return json_reply({"hasErrors": False, "results": results}, 201)


def _save(call: Call, level: list[Node], failed: list[dict[str, Any]]) -> None:
    writer = saver(call)
    for name in dict.fromkeys(node.obj.name for node in level):
        nodes = [node for node in level if node.obj.name == name]
        outcomes = insert_listed(writer, nodes[0].obj, [node.values for node in nodes])
        for node, (saved, _, error) in zip(nodes, outcomes, strict=True):
            if error is not None:
                failed.append({"referenceId": node.reference, "errors": [row_error(error)]})
            node.saved = saved or ""
            for child in node.children:
                assert child.lookup is not None
                child.values[child.lookup] = saved
    if failed:
        raise _FailedError


def _levels(call: Call, obj: SObject) -> list[list[Node]]:
    """The records of the request, level by level.

    Raises:
        ApiError: 400 for a body out of shape or beyond the limits.
    """
    seen: set[str] = set()
    levels = [_nodes(call, obj, None, call.json_object().get("records"), seen)]
    while levels[-1]:
        levels.append([child for node in levels[-1] for child in node.children])
    levels.pop()
    nodes = [node for level in levels for node in level]
    if not nodes:
        raise _invalid("The request holds no records")
    if len(nodes) > MOST_RECORDS:
        raise _invalid(f"A tree request can hold at most {MOST_RECORDS} records")
    if len(levels) > MOST_LEVELS:
        raise _invalid(f"A tree can be at most {MOST_LEVELS} levels deep")
    if len({node.obj.name for node in nodes}) > MOST_TYPES:
        raise _invalid(f"A tree request can hold records of at most {MOST_TYPES} types")
    return levels


def _nodes(call: Call, obj: SObject, lookup: str | None, records: Any, seen: set[str]) -> list[Node]:
    if not isinstance(records, list):
        raise _invalid("records must be a list")
    return [_node(call, obj, lookup, record, seen) for record in records]


def _node(call: Call, obj: SObject, lookup: str | None, record: Any, seen: set[str]) -> Node:
    attributes = record.get("attributes") if isinstance(record, dict) else None
    if not isinstance(attributes, dict) or not attributes.get("type") or not attributes.get("referenceId"):
        raise _invalid("Each record needs attributes with type and referenceId")
    if str(attributes["type"]).lower() != obj.name.lower():
        raise _invalid(f"Record of type {attributes['type']} where {obj.name} is expected")
    reference = str(attributes["referenceId"])
    if reference in seen:
        raise _invalid(f"Duplicate ReferenceId provided in the request: {reference}")
    seen.add(reference)
    node = Node(obj, reference, {}, lookup)
    relationships = {c["relationshipName"]: c for c in obj.child_relationships if c["relationshipName"]}
    for name, value in record.items():
        if name in relationships and isinstance(value, dict) and "records" in value:
            entry = relationships[name]
            child = known_object(call, entry["childSObject"])
            node.children += _nodes(call, child, entry["field"], value["records"], seen)
        elif name != "attributes":
            node.values[name] = value
    return node


def _invalid(message: str) -> ApiError:
    return ApiError(400, "INVALID_INPUT", message)
