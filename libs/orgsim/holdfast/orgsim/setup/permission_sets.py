"""Permission sets as rows: what they add to a user, and the rows that tell what profiles give.

A profile gives everything but what it names; its rows in ObjectPermissions and FieldPermissions are brought up to the
schema when somebody looks at them. Rows of other permission sets are whatever clients saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from holdfast.orgsim.auth.permissions import (
    CREATE,
    DELETE,
    EDIT,
    MODIFY_ALL,
    READ,
    SYSTEM_PERMISSIONS,
    VIEW_ALL,
    Grants,
    closed,
)
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.table import Row

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

SOURCES = ("PermissionSet", "PermissionSetAssignment", "ObjectPermissions", "FieldPermissions")
RIGHT_COLUMNS = {"PermissionsCreate": CREATE, "PermissionsRead": READ, "PermissionsEdit": EDIT,
                 "PermissionsDelete": DELETE, "PermissionsViewAllRecords": VIEW_ALL,
                 "PermissionsModifyAllRecords": MODIFY_ALL}  # fmt: skip
_KEYS = {"ObjectPermissions": ("ParentId", "SobjectType"), "FieldPermissions": ("ParentId", "Field")}


class PermissionSets:
    """Reads grants from rows, and writes the rows of profiles."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._versions: tuple[int, ...] = ()
        self._grants: dict[str, tuple[Grants, ...]] = {}
        self._shown: dict[str, int] = {}
        self.profiles_version = 0

    def of(self, user_id: str) -> tuple[Grants, ...]:
        """What the permission sets of a user add to the profile."""
        tables = self._org.tables
        versions = tuple(tables[name].version if name in tables else 0 for name in SOURCES)
        if versions != self._versions:
            self._versions, self._grants = versions, self._read()
        return self._grants.get(user_id, ())

    def _read(self) -> dict[str, tuple[Grants, ...]]:
        sets = {str(r["Id"]): r for r in self._rows("PermissionSet") if r["IsOwnedByProfile"] != "true"}
        if not sets:
            return {}
        grants = {set_id: self._grants_of(set_id, row) for set_id, row in sets.items()}
        found: dict[str, tuple[Grants, ...]] = {}
        for row in self._rows("PermissionSetAssignment"):
            if row["PermissionSetId"] in grants:
                assignee = str(row["AssigneeId"])
                found[assignee] = (*found.get(assignee, ()), grants[str(row["PermissionSetId"])])
        return found

    def _grants_of(self, set_id: str, row: Row) -> Grants:
        objects = {
            str(r["SobjectType"]): closed(right for column, right in RIGHT_COLUMNS.items() if r[column] == "true")
            for r in self._rows("ObjectPermissions")
            if r["ParentId"] == set_id
        }
        fields = [r for r in self._rows("FieldPermissions") if r["ParentId"] == set_id]
        readable, editable = (
            frozenset(_field_key(r) for r in fields if "true" in (r["PermissionsEdit"], r[column]))
            for column in ("PermissionsRead", "PermissionsEdit")
        )
        system = frozenset(p for p in SYSTEM_PERMISSIONS if row[f"Permissions{p}"] == "true")
        return Grants(system=system, objects=objects, readable=readable, editable=editable)

    def _rows(self, name: str) -> Iterator[Row]:
        table = self._org.tables.get(name)
        return (row for row in (table.rows() if table is not None else ()) if row["IsDeleted"] != "true")

    def show(self, name: str) -> None:
        """Bring the rows that profiles have in ObjectPermissions or FieldPermissions up to the schema."""
        org = self._org
        version = org.schema.version() * 1000 + self.profiles_version
        if self._shown.get(name) == version:
            return
        self._shown[name] = version
        obj = org.schema.objects[name]
        owned = dict(org.system_rows.profiles())
        wanted = {
            tuple(str(values[k]) for k in _KEYS[name]): values
            for set_id, grants in owned.items()
            for values in (self._object_rows if name == "ObjectPermissions" else self._field_rows)(set_id, grants)
        }
        present = {tuple(str(r[k]) for k in _KEYS[name]): r for r in org.table(obj).rows() if r["ParentId"] in owned}
        for key, row in present.items():
            if key not in wanted:
                org.system_rows.drop(name, str(row["Id"]))
            else:
                org.system_rows.change(name, str(row["Id"]), wanted[key])
        new = [values for key, values in wanted.items() if key not in present]
        org.system_rows.put_many(name, new)

    def _object_rows(self, set_id: str, grants: Grants) -> Iterator[Mapping[str, str]]:
        for obj in self._org.schema.objects.values():
            rights = grants.on(obj.name)
            if rights and _has_permissions(obj):
                flags = {column: "true" if right in rights else "false" for column, right in RIGHT_COLUMNS.items()}
                yield {"ParentId": set_id, "SobjectType": obj.name, **flags}

    def _field_rows(self, set_id: str, grants: Grants) -> Iterator[Mapping[str, str]]:
        for obj in self._org.schema.objects.values():
            if not _has_permissions(obj):
                continue
            for name, field in obj.fields.items():
                if field["permissionable"] and grants.reads_field((obj.name, name)):
                    edit = "true" if grants.edits_field((obj.name, name)) and not field["calculated"] else "false"
                    yield {"ParentId": set_id, "SobjectType": obj.name, "Field": f"{obj.name}.{name}",
                           "PermissionsRead": "true", "PermissionsEdit": edit}  # fmt: skip


def _has_permissions(obj: SObject) -> bool:
    """Whether an object has permissions of its own: records that users keep, not setup or derived objects."""
    return bool(obj.describe["layoutable"]) and not obj.describe["customSetting"] and obj.name not in _SETUP


_SETUP = frozenset({"User", "UserRole", "Group", "GroupMember", "Organization", "Profile", "RecordType", *SOURCES})


def _field_key(row: Row) -> tuple[str, str]:
    object_name, _, field = str(row["Field"]).partition(".")
    return object_name, field
