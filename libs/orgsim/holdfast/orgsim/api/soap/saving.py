"""create, update, upsert, delete, undelete, merge, emptyRecycleBin: one result per record, in its order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element

from holdfast.orgsim import ids
from holdfast.orgsim.api.soap.envelope import NIL, SoapCall, children
from holdfast.orgsim.api.soap.sobjects import read
from holdfast.orgsim.api.xmltext import text
from holdfast.orgsim.errors import ApiError, rolled_back
from holdfast.orgsim.saving import keyed
from holdfast.orgsim.saving.recyclebin import purge
from holdfast.orgsim.saving.saver import Saver
from holdfast.orgsim.saving.transaction import all_or_none
from holdfast.orgsim.saving.writing import AmbiguousKeyError

MOST_RECORDS = 200


class _RefusedError(Exception):
    """Some record of an all-or-none call was refused."""


def _each(soap: SoapCall, saves: Sequence[Callable[[Saver], str]]) -> str:
    """The results of `saves`, each the inside of one result or an ApiError; all or none if the header says so."""
    if len(saves) > MOST_RECORDS:
        message = f"record limit reached. cannot submit more than {MOST_RECORDS} records in this call"
        raise ApiError(500, "EXCEEDED_ID_LIMIT", message)
    writer = Saver(soap.org, soap.user, "SOAP")
    outcomes: list[str | ApiError] = []
    if (soap.option("AllOrNoneHeader", "allOrNone") or "").lower() not in ("true", "1"):
        outcomes = [_outcome(writer, save) for save in saves]
    else:
        try:
            with all_or_none(soap.org):
                outcomes = [_outcome(writer, save) for save in saves]
                if any(isinstance(outcome, ApiError) for outcome in outcomes):
                    raise _RefusedError
        except _RefusedError:
            outcomes = [o if isinstance(o, ApiError) else rolled_back() for o in outcomes]
    return "".join(f"<result>{_failure(o) if isinstance(o, ApiError) else o}</result>" for o in outcomes)


def _outcome(writer: Saver, save: Callable[[Saver], str]) -> str | ApiError:
    try:
        return save(writer)
    except ApiError as error:
        return error


def _failure(error: ApiError) -> str:
    fields = "".join(f"<fields>{text(f)}</fields>" for f in error.fields or [])
    message = f"<message>{text(error.message)}</message><statusCode>{error.code}</statusCode>"
    return f"<errors>{fields}{message}</errors><id{NIL}/><success>false</success>"


async def create(soap: SoapCall) -> str:
    """Insert records."""

    def one(element: Element) -> Callable[[Saver], str]:
        def save(writer: Saver) -> str:
            obj, given, values = read(soap.org, element)
            if given:
                raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", ["Id"])
            return f"<id>{writer.insert(obj, values)}</id><success>true</success>"

        return save

    return _each(soap, [one(element) for element in children(soap.element, "sObjects")])


async def update(soap: SoapCall) -> str:
    """Change records by id."""

    def one(element: Element) -> Callable[[Saver], str]:
        def save(writer: Saver) -> str:
            obj, given, values = read(soap.org, element)
            if not given:
                raise ApiError(400, "MISSING_ARGUMENT", "Id not specified in an update call", [])
            writer.update(given, values, obj)
            return f"<id>{given}</id><success>true</success>"

        return save

    return _each(soap, [one(element) for element in children(soap.element, "sObjects")])


async def upsert(soap: SoapCall) -> str:
    """Insert or change records by an external id."""
    key_field = soap.argument("externalIDFieldName")

    def one(element: Element) -> Callable[[Saver], str]:
        def save(writer: Saver) -> str:
            obj, given, values = read(soap.org, element)
            key = given
            if key_field.lower() != "id":
                name = next((n for n in values if n.lower() == key_field.lower()), "")
                key = str(values.pop(name, None) or "")
                if not key:
                    raise ApiError(400, "MISSING_ARGUMENT", f"{key_field} not specified", [])
            try:
                record_id, created = writer.upsert(obj, key_field, key, values)
            except AmbiguousKeyError as several:
                message = f"{key_field}: more than one record found for external id field: {several.ids}"
                raise ApiError(400, "DUPLICATE_EXTERNAL_ID", message, []) from several
            return f"<created>{'true' if created else 'false'}</created><id>{record_id}</id><success>true</success>"

        return save

    return _each(soap, [one(element) for element in children(soap.element, "sObjects")])


def _by_id(soap: SoapCall, act: Callable[[Saver, str], object]) -> str:
    def one(given: str) -> Callable[[Saver], str]:
        def save(writer: Saver) -> str:
            record_id = ids.normalise(given)
            if record_id is None:
                raise ApiError(400, "MALFORMED_ID", f"malformed id {given}", [])
            act(writer, record_id)
            return f"<id>{record_id}</id><success>true</success>"

        return save

    return _each(soap, [one(given) for given in soap.arguments("ids")])


async def delete(soap: SoapCall) -> str:
    """Move records to the recycle bin."""
    return _by_id(soap, lambda writer, record_id: writer.delete(record_id))


async def delete_by_example(soap: SoapCall) -> str:
    """Delete records of big objects by their keys."""

    def one(element: Element) -> Callable[[Saver], str]:
        def save(writer: Saver) -> str:
            obj, _, values = read(soap.org, element)
            keyed.delete_by_example(soap.org, obj, values, who=writer.user.id, api=writer.api)
            return f"<entityType>{obj.name}</entityType><rowCount>1</rowCount><success>true</success>"

        return save

    return _each(soap, [one(element) for element in children(soap.element, "sObjects")])


async def undelete(soap: SoapCall) -> str:
    """Take records out of the recycle bin."""
    return _by_id(soap, lambda writer, record_id: writer.undelete(record_id))


async def empty_recycle_bin(soap: SoapCall) -> str:
    """Forget deleted records for good."""
    return _by_id(soap, lambda writer, record_id: purge(writer, record_id, "recycle bin emptied"))


async def merge(soap: SoapCall) -> str:
    """Fold records into a master. The WSDL names each request `request`; jsforce says `mergeRequests`."""

    def one(request: Element) -> Callable[[Saver], str]:
        def save(writer: Saver) -> str:
            master = next(children(request, "masterRecord"), None)
            if master is None:
                raise ApiError(400, "MISSING_ARGUMENT", "masterRecord not specified", [])
            obj, winner, values = read(soap.org, master)
            losers = [ids.normalise((e.text or "").strip()) or "" for e in children(request, "recordToMergeIds")]
            moved = writer.merge(obj, winner, losers, values)
            merged = "".join(f"<mergedRecordIds>{i}</mergedRecordIds>" for i in losers)
            related = "".join(f"<updatedRelatedIds>{i}</updatedRelatedIds>" for i in moved)
            return f"<id>{winner}</id>{merged}<success>true</success>{related}"

        return save

    requests = [e for name in ("request", "mergeRequests") for e in children(soap.element, name)]
    return _each(soap, [one(request) for request in requests])
