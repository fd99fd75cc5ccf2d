"""PK chunking: one query becomes many, each over a range of ids."""

from __future__ import annotations

import re

from holdfast.orgsim.api.bulk1.model import Batch, Chunking, Job
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.parse import parse


def split(org: Org, user: User, job: Job, original: Batch) -> list[Batch]:
    """The chunk batches of a query; the original becomes NotProcessed, or Failed if it cannot be chunked.

    Chunks hold `chunkSize` rows of the whole id space, soft-deleted rows included, and together cover it once.
    """
    assert job.chunking is not None
    now = org.clock.now()
    try:
        text = original.request.decode("utf-8", "replace").strip()
        _refuse(parse(text))
        key, ids = _id_space(org, user, job.object, job.chunking)
        bounds = ids[:: job.chunking.size] or [""]
        org.accounting.charge_batches(len(bounds), now)
    except ApiError as error:
        original.fail(f"InvalidBatch : Failed to process query: {error.code}: {error.message}", now)
        return []
    original.state, original.changed = "NotProcessed", now
    chunks = []
    for first, after in zip(bounds, [*bounds[1:], None], strict=True):
        query = _with_range(text, key, first, after) if first else text
        chunks.append(org.bulk1_jobs.new_batch(job, query.encode(), now))
    return chunks


def _refuse(query: ast.Query) -> None:
    subquery = any(not isinstance(item, ast.FieldItem) for item in query.items)
    if subquery or query.order_by or query.group_by or query.limit is not None or query.offset:
        message = "PK chunking supports only queries of fields without subqueries, and no clause but WHERE"
        raise ApiError(400, "MALFORMED_QUERY", message)


def _id_space(org: Org, user: User, name: str, chunking: Chunking) -> tuple[str, list[str]]:
    """The field whose ranges make the chunks, and every id of the object it points at, in order."""
    obj = org.readable(name, user)
    key, target = "Id", obj
    if chunking.parent is not None:
        target = org.readable(chunking.parent, user)
        key = _lookup(obj, target)
    ids = org.table(target).scan().select("Id").collect()["Id"]
    start = chunking.start_row
    return key, (ids if start is None else ids.filter(ids >= start)).to_list()


def _lookup(obj: SObject, parent: SObject) -> str:
    for name in (f"{parent.name.removesuffix('__c')}Id", "ParentId"):
        if obj.find(name) is not None:
            return name
    raise ApiError(400, "INVALID_FIELD", f"parent={parent.name} does not fit {obj.name}")


def _with_range(text: str, key: str, first: str, after: str | None) -> str:
    bounds = f"{key} >= '{first[:15]}'" + (f" AND {key} < '{after[:15]}'" if after else "")
    found = re.search(r"\swhere\s", text, re.IGNORECASE)
    if found is None:
        return f"{text} WHERE {bounds}"
    return f"{text[: found.end()]}({text[found.end() :]}) AND {bounds}"
