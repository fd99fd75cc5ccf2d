"""Saves: insert, update, upsert. Each accepted change gets its stamp and its ledger entry here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.clock import stamp
from holdfast.orgsim.errors import ApiError, not_found
from holdfast.orgsim.org import Org
from holdfast.orgsim.rules.platform import BEFORE_SAVE, Change
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.schema.values import canonical
from holdfast.orgsim.store.loading import auto_number
from holdfast.orgsim.store.table import Row


class AmbiguousKeyError(Exception):
    """An external id that more than one record carries."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__(f"{len(ids)} records")
        self.ids = ids


class Writer:
    """Saves records on behalf of a user. `api` names the way in, for the ledger."""

    def __init__(self, org: Org, user: User, api: str) -> None:
        self.org = org
        self.user = user
        self.api = api

    def insert(self, obj: SObject, values: Mapping[str, Any]) -> str:
        """Save a new record; its id.

        Raises:
            ApiError: a rule refused it; nothing was saved.
        """
        given = self._given(obj, values)
        self._refuse(not obj.describe["createable"], obj, "create")
        row: Row = dict.fromkeys(obj.stored())
        row.update(given)
        row["Id"] = self.org.new_id(obj)
        self._defaults(obj, row)
        self._check(Change(self.org, obj, self.user, None, row, frozenset(given)))
        self._store(obj, "insert", None, row)
        return str(row["Id"])

    def update(self, record_id: str, values: Mapping[str, Any], obj: SObject | None = None) -> None:
        """Change a living record. Its stamp moves even if no value does.

        Raises:
            ApiError: 404 for an unknown or deleted record, or a rule refused it.
        """
        found_obj, before = self.living(record_id, obj)
        given = self._given(found_obj, values)
        self._refuse(not found_obj.describe["updateable"], found_obj, "update")
        after = {**before, **given}
        self._check(Change(self.org, found_obj, self.user, before, after, frozenset(given)))
        self.touch(after)
        self._store(found_obj, "update", before, after)

    def upsert(self, obj: SObject, field_name: str, key: str, values: Mapping[str, Any]) -> tuple[str, bool]:
        """Save by external id: (id, whether it was created).

        Raises:
            AmbiguousKeyError: several records carry the key.
            ApiError: the field is no key, or a rule refused the record.
        """
        field = obj.find(field_name)
        if field is None or not (field["externalId"] or field["idLookup"] or field["name"] == "Id"):
            raise not_found(f"Provided external ID field does not exist or is not accessible: {field_name}")
        if field["name"] == "Id":
            if not key:
                return self.insert(obj, values), True
            self.update(key, values, obj)
            return key, False
        ids = self.ids_by(obj, field, key)
        if len(ids) > 1:
            raise AmbiguousKeyError(ids)
        if ids:
            self.update(ids[0], values, obj)
            return ids[0], False
        return self.insert(obj, {**values, field["name"]: key}), True

    def ids_by(self, obj: SObject, field: Mapping[str, Any], key: str) -> list[str]:
        """Living records whose field holds `key`."""
        wanted = canonical(field, key)
        column = pl.col(field["name"])
        if field["soapType"] == "xsd:string" and not field["caseSensitive"]:
            column, wanted = column.str.to_lowercase(), (wanted or "").lower()
        frame = self.org.table(obj).frame()
        return frame.filter((column == wanted) & (pl.col("IsDeleted") == "false"))["Id"].to_list()

    def living(self, record_id: str, obj: SObject | None = None) -> tuple[SObject, Row]:
        """A record that exists and is not deleted.

        Raises:
            ApiError: 404 NOT_FOUND or ENTITY_IS_DELETED.
        """
        found = self.org.find(record_id)
        if found is None or (obj is not None and found[0] is not obj) or not self.user.reads(found[0].name):
            raise not_found(f"Provided external ID field does not exist or is not accessible: {record_id}")
        if found[1].get("IsDeleted") == "true":
            raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", [])
        return found

    def touch(self, row: Row) -> None:
        """Move the stamps of a row that a user changed."""
        now = stamp(self.org.clock.now())
        row.update(SystemModstamp=now, LastModifiedDate=now, LastModifiedById=self.user.id)

    def _store(self, obj: SObject, operation: str, before: Row | None, after: Row, note: str | None = None) -> None:
        record_id = str(after["Id"])
        self.org.table(obj).put(record_id, after)
        now, who = self.org.clock.now(), self.user.id
        self.org.ledger.record(
            now, obj.name, record_id, operation, before=before, after=after, who=who, api=self.api, note=note
        )

    def _given(self, obj: SObject, values: Mapping[str, Any]) -> dict[str, str | None]:
        given: dict[str, str | None] = {}
        for name, value in values.items():
            if name == "attributes":
                continue
            field = obj.find(name)
            if field is not None and self.user.reads_field(obj.name, field["name"]):
                if isinstance(value, list | dict):
                    raise ApiError(400, "JSON_PARSER_ERROR", f"Cannot deserialize a value of {field['name']}", [])
                given[field["name"]] = canonical(field, value)
            elif isinstance(value, dict) or "." in name:
                lookup, parent_id = self._by_external_id(obj, name, value)
                given[lookup] = parent_id
            else:
                raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {obj.name}")
        return given

    def _by_external_id(self, obj: SObject, name: str, value: Any) -> tuple[str, str | None]:
        """A lookup given as `{"Owner": {"Email": "x"}}` or as the column `Owner.Email`."""
        relationship, _, key_field = name.partition(".")
        relationship = relationship.rpartition(":")[2]
        if isinstance(value, dict):
            pairs = [(k, v) for k, v in value.items() if k != "attributes"]
            key_field, value = pairs[0] if len(pairs) == 1 else ("", None)
        field = next((f for f in obj.references() if f["relationshipName"] == relationship), None)
        if field is None or not key_field:
            raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {obj.name}")
        if value is None or value == "":
            return field["name"], None
        for parent_name in field["referenceTo"]:
            parent = self.org.schema.find(parent_name)
            key = None if parent is None else parent.find(key_field)
            ids = [] if parent is None or key is None else self.ids_by(parent, key, str(value))
            if len(ids) == 1:
                return field["name"], ids[0]
        entity = field["referenceTo"][0]
        message = f"Foreign key external ID: {value} not found for field {key_field} in entity {entity}"
        raise ApiError(400, "INVALID_FIELD", message)

    def _defaults(self, obj: SObject, row: Row) -> None:
        now = stamp(self.org.clock.now())
        row.update(CreatedDate=now, CreatedById=self.user.id)
        self.touch(row)
        if "OwnerId" in obj.fields and row.get("OwnerId") is None:
            row["OwnerId"] = self.user.id
        for name, field in obj.fields.items():
            if field["type"] == "boolean" and row.get(name) is None:
                row[name] = "true" if field["defaultValue"] is True else "false"
        if "Name" in obj.fields and obj.fields["Name"]["autoNumber"]:
            number = self.org.auto_numbers[obj.name] = self.org.auto_numbers.get(obj.name, 0) + 1
            row["Name"] = auto_number(obj.name, number)

    def _check(self, change: Change) -> None:
        for rule in BEFORE_SAVE:
            rule(change)

    def _refuse(self, refused: bool, obj: SObject, what: str) -> None:
        if refused:
            message = f"entity type {obj.name} does not support {what}"
            raise ApiError(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message)
