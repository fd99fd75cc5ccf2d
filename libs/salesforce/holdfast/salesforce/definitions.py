"""What an org says of its own objects and fields, whether or not the user may read them.

The Tooling API shows definitions to users with View Setup and Configuration, hidden objects and fields included; a
describe leaves those out. Queries on definitions know neither `queryMore` nor `NOT`, hence the batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from holdfast.common.errors import HoldfastError, Kind
from holdfast.salesforce.calls import is_refusal_of
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.models import RestPage

# Salesforce answers at most 2,000 rows and refuses to go on.
MOST_ROWS = 2_000
# Wide objects have several hundred fields; what does not fit is asked again in halves.
OBJECTS_PER_QUERY = 20
_NAMES_PER_QUERY = 200
_MOST_PAGES = 10
_SHORT_ID = 15

_NOT_TOLD = ("INVALID_TYPE", "INVALID_TYPE_FOR_OPERATION", "INVALID_FIELD", "INSUFFICIENT_ACCESS", "NOT_FOUND",
             "MALFORMED_QUERY", "FUNCTIONALITY_NOT_ENABLED")  # fmt: skip


class IndexField(NamedTuple):
    """A field of a big object's index."""

    name: str
    descending: bool


async def data_objects(client: SalesforceClient) -> frozenset[str] | None:
    """Every object of the org that people can put data in; None if the user may not know. One call in most orgs."""
    found: set[str] = set()
    for page_number in range(_MOST_PAGES):
        offset = f" OFFSET {page_number * MOST_ROWS}" if page_number else ""
        soql = (
            "SELECT QualifiedApiName FROM EntityDefinition WHERE IsCustomizable = true AND IsQueryable = true "  # noqa: S608
            f"ORDER BY QualifiedApiName LIMIT {MOST_ROWS}{offset}"
        )
        page = await _told(client, soql, ["QualifiedApiName"])
        if page is None:
            return None
        names = {name for name in page.table["QualifiedApiName"].to_pylist() if name}
        if names <= found:
            break  # LIMIT and OFFSET are documented as ignored: the same rows came again
        found |= names
        if page.table.num_rows < MOST_ROWS:
            break
    return frozenset(found)


async def still_defined(client: SalesforceClient, names: Sequence[str]) -> frozenset[str] | None:
    """Those of the objects that the org has, hidden ones included, in lower case; None if the user may not know."""
    found: set[str] = set()
    for start in range(0, len(names), _NAMES_PER_QUERY):
        asked = _listed(names[start : start + _NAMES_PER_QUERY])
        soql = f"SELECT QualifiedApiName FROM EntityDefinition WHERE QualifiedApiName IN ({asked})"  # noqa: S608
        page = await _told(client, soql, ["QualifiedApiName"])
        if page is None:
            return None
        found.update(str(name).lower() for name in page.table["QualifiedApiName"].to_pylist())
    return frozenset(found)


async def field_ids(client: SalesforceClient, objects: Sequence[str]) -> dict[str, dict[str, str]] | None:
    """Fields of the objects, hidden ones included: their names, and ids that stay when a field is renamed.

    Compound fields are there by their parts. One call for about twenty objects.

    Returns:
        By object as it was asked for, by field name; None if the user may not know.
    """
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(objects), OBJECTS_PER_QUERY):
        some = await _fields_of(client, objects[start : start + OBJECTS_PER_QUERY])
        if some is None:
            return None
        found |= some
    return found


async def big_object_indexes(
    client: SalesforceClient, objects: Sequence[str]
) -> dict[str, tuple[IndexField, ...]] | None:
    """The indexes of big objects, whose fields tell their records apart. Three calls for about twenty objects.

    Source: Tooling API, `Index` and `IndexField` ("Represents the fields in the index of a custom big object").

    Returns:
        By object as it was asked for, its index in order; without those whose index the org does not tell whole. None
        if the user may not know.
    """
    columns = ["IndexId", "FieldId", "Ordinal", "SortDirection"]
    primary = await _told(client, "SELECT Id FROM Index WHERE Type = 'PRIMARY'", ["Id"])
    listed = await _told(client, f"SELECT {', '.join(columns)} FROM IndexField", columns)  # noqa: S608 - our own names
    ids = await field_ids(client, objects)
    if primary is None or listed is None or ids is None:
        return None
    if any(page.next_url is not None or page.table.num_rows >= MOST_ROWS for page in (primary, listed)):
        return {}  # an index of which a field is left out would take different records for the same
    places = _by_id(ids)
    known = set(primary.table["Id"].to_pylist())
    indexes: dict[str, dict[int, tuple[str, IndexField] | None]] = {}
    for index, field_id, ordinal, direction in zip(*(c.to_pylist() for c in listed.table.columns), strict=True):
        place = places.get((field_id or "")[:_SHORT_ID])
        said = (place[0], IndexField(place[1], direction == "DESC")) if place else None
        if index in known:
            indexes.setdefault(index, {})[int(float(ordinal))] = said
    return dict(found for fields in indexes.values() if (found := _whole(fields)))


def _whole(fields: Mapping[int, tuple[str, IndexField] | None]) -> tuple[str, tuple[IndexField, ...]] | None:
    """The object and its index in order; None unless every field is known, each is of that object, and none is left
    out: a key without one of its fields would take different records for the same.
    """
    numbers = sorted(fields)
    said = [each for number in numbers if (each := fields[number])]
    objects = {name for name, _ in said}
    if len(said) < len(numbers) or len(objects) != 1 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    return objects.pop(), tuple(each for _, each in said)


def _by_id(ids: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, str]]:
    """Object and name of custom fields by their ids of 15 characters, which end their durable ids."""
    return {
        durable.rpartition(".")[2][:_SHORT_ID]: (owner, name)
        for owner, fields in ids.items()
        for name, durable in fields.items()
        if durable
    }


async def _fields_of(client: SalesforceClient, objects: Sequence[str]) -> dict[str, dict[str, str]] | None:
    columns = ["EntityDefinition.QualifiedApiName", "QualifiedApiName", "DurableId"]
    soql = (
        f"SELECT {', '.join(columns)} FROM EntityParticle "  # noqa: S608 - names come from the org
        f"WHERE EntityDefinition.QualifiedApiName IN ({_listed(objects)})"
    )
    try:
        page = await _told(client, soql, columns)
    except HoldfastError as error:
        if len(objects) == 1 or error.kind is not Kind.TOO_LARGE:
            raise
        return await _in_halves(client, objects)
    if page is None:
        return None
    if len(objects) > 1 and (page.next_url is not None or page.table.num_rows >= MOST_ROWS):
        return await _in_halves(client, objects)
    return _by_object(page, objects)


async def _in_halves(client: SalesforceClient, objects: Sequence[str]) -> dict[str, dict[str, str]] | None:
    middle = len(objects) // 2
    first, second = await _fields_of(client, objects[:middle]), await _fields_of(client, objects[middle:])
    return None if first is None or second is None else first | second


def _by_object(page: RestPage, objects: Sequence[str]) -> dict[str, dict[str, str]]:
    spelled: Mapping[str, str] = {name.lower(): name for name in objects}
    found: dict[str, dict[str, str]] = {name: {} for name in objects}
    for owner, name, durable in zip(*(column.to_pylist() for column in page.table.columns), strict=True):
        if owner and name and owner.lower() in spelled:
            found[spelled[owner.lower()]][name] = durable or ""
    return found


async def _told(client: SalesforceClient, soql: str, fields: Sequence[str]) -> RestPage | None:
    try:
        return await client.tooling_query(soql, fields)
    except HoldfastError as error:
        told = error.kind is Kind.TOO_LARGE  # the org would answer a smaller question
        if not told and (error.kind is Kind.FORBIDDEN or is_refusal_of(error, *_NOT_TOLD)):
            return None
        raise


def _listed(names: Sequence[str]) -> str:
    return ",".join("'" + name.replace("'", "") + "'" for name in names)
