"""Records that the platform itself makes, past the rules that hold users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org
from holdfast.orgsim.rules.contents import SIZE_FIELDS
from holdfast.orgsim.saving.given import given_records
from holdfast.orgsim.saving.newrows import new_rows
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.blobs import size_of


def insert_as_platform(org: Org, obj: SObject, values: Mapping[str, Any]) -> str:
    """Save one new record as the platform; its id. File fields hold references of kept contents.

    Raises:
        ApiError: a field does not exist, or a value does not fit its type.
    """
    sized = dict(values)
    for name, field in obj.fields.items():
        if field["type"] == "base64" and values.get(name) and obj.name in SIZE_FIELDS:
            sized.setdefault(SIZE_FIELDS[obj.name], size_of(str(values[name])))
    given = given_records(org, org.admin, obj, [sized])
    for line in given.refusals.frame().rows(named=True):
        raise ApiError(line["status"], line["code"], line["message"])
    rows = new_rows(org, org.admin, obj, given)
    org.transactions.save(obj, "insert", None, rows, who=org.admin.id, api="platform")
    return str(rows["Id"][0])
