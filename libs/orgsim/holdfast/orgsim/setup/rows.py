"""The rows that an org is born with, and how more users and record types are added to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.permissions import SYSTEM_PERMISSIONS, Grants, administrator
from holdfast.orgsim.clock import stamp
from holdfast.orgsim.schema.building import build
from holdfast.orgsim.schema.document import parse_document
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.schema.objects import Schema, SObject
from holdfast.orgsim.store.table import Row

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

ADMINISTRATOR = "System Administrator"
USER_DEFAULTS = {"UserType": "Standard", "TimeZoneSidKey": "Europe/London", "LocaleSidKey": "en_GB",
                 "LanguageLocaleKey": "en_US", "EmailEncodingKey": "UTF-8"}  # fmt: skip
EVERYONE = (("AllInternalUsers", "Organization"),)


def define_system_objects(schema: Schema) -> None:
    """Users, permission sets, record types and what else every org has, as empty objects."""
    text = (resources.files("holdfast.orgsim.setup") / "system.json").read_bytes()
    build(schema, parse_document(orjson.loads(text)))
    for name in ("Profile", "PermissionSet"):
        for permission in SYSTEM_PERMISSIONS:
            schema.objects[name].add(make_field(f"Permissions{permission}", "boolean", custom=False))


class SystemRows:
    """Writes setup rows. Each is in the ledger as made by setup."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._profiles: dict[str, tuple[str, str]] = {}  # name → (profile id, permission set id)

    def make(self) -> User:
        """The first rows of the org; its administrator."""
        org = self._org
        admin_id = org.new_id(org.schema.objects["User"])
        self._who = admin_id
        self._profile(ADMINISTRATOR, administrator())
        admin = self.add_user(org.settings.username, "Integration User", admin_id)
        settings = org.settings
        values = {
            "Name": settings.name,
            "OrganizationType": settings.organization_type,
            "InstanceName": settings.instance_name,
            "NamespacePrefix": settings.namespace_prefix,
            "TrialExpirationDate": settings.trial_expiration,
            "IsSandbox": _flag(settings.kind == "sandbox"),
            "DefaultLocaleSidKey": "en_US",
            "LanguageLocaleKey": "en_US",
            "TimeZoneSidKey": "GMT",
            "FiscalYearStartMonth": "1",
        }
        self.put("Organization", values, org.id)
        for name, kind in EVERYONE:
            self.put("Group", {"Name": name, "DeveloperName": name, "Type": kind})
        self._recorded_record_types()
        return admin

    def _recorded_record_types(self) -> None:
        """Rows for the record types that recorded describes name."""
        for obj in self._org.schema.objects.values():
            for info in obj.describe["recordTypeInfos"]:
                if not info["master"]:
                    values = {"Name": info["name"], "DeveloperName": info["developerName"], "SobjectType": obj.name}
                    self.put("RecordType", {**values, "IsActive": _flag(info["active"])}, info["recordTypeId"])

    def add_user(self, username: str, name: str, user_id: str | None = None) -> User:
        """A new user with the administrator's profile."""
        org = self._org
        user = self.admit(user_id or org.new_id(org.schema.objects["User"]), username)
        user.name = name
        org.users[username] = user
        profile_id, set_id = self._profiles[ADMINISTRATOR]
        first, _, last = name.rpartition(" ")
        values = {**USER_DEFAULTS, "Username": username, "Name": name, "FirstName": first or None, "LastName": last,
                  "Email": username, "IsActive": "true", "Alias": username[:8], "ProfileId": profile_id}  # fmt: skip
        self.put("User", values, user.id)
        self.put("PermissionSetAssignment", {"PermissionSetId": set_id, "AssigneeId": user.id, "IsActive": "true"})
        return user

    def admit(self, user_id: str, username: str) -> User:
        """Somebody who can sign in, with the rights of the administrator's profile."""
        org = self._org
        return User(user_id, username, username, assigned=lambda: org.permission_sets.of(user_id))

    def give_profile(self, user: User, grants: Grants) -> None:
        """Give the user a profile of their own with these grants, as their earlier one is shared."""
        user.profile = grants
        profile_id, set_id = self._profile(f"Profile of {user.username}", grants)
        self.change("User", user.id, {"ProfileId": profile_id})
        for row in list(self._org.table(self._org.schema.objects["PermissionSetAssignment"]).rows()):
            owned = {ids[1] for ids in self._profiles.values()}
            if row["AssigneeId"] == user.id and row["PermissionSetId"] in owned:
                self.change("PermissionSetAssignment", str(row["Id"]), {"PermissionSetId": set_id})

    def profiles(self) -> Sequence[tuple[str, Grants]]:
        """(permission set id, grants) of each profile."""
        found = {self._profiles[ADMINISTRATOR][1]: administrator()}
        for user in self._org.users.values():
            own = self._profiles.get(f"Profile of {user.username}")
            if own is not None:
                found[own[1]] = user.profile
        return list(found.items())

    @property
    def administrator_profile(self) -> str:
        """The id of the profile System Administrator."""
        return self._profiles[ADMINISTRATOR][0]

    def _profile(self, name: str, grants: Grants) -> tuple[str, str]:
        permissions = {f"Permissions{p}": _flag(p in grants.system) for p in SYSTEM_PERMISSIONS}
        known = self._profiles.get(name)
        if known is not None:
            self.change("Profile", known[0], permissions)
            self.change("PermissionSet", known[1], permissions)
            return known
        profile_id = self.put("Profile", {"Name": name, "UserType": "Standard", **permissions})
        owned = {"Name": f"X{profile_id[:15]}", "Label": f"X{profile_id[:15]}", "ProfileId": profile_id,
                 "IsOwnedByProfile": "true", "IsCustom": "true", "Type": "Profile"}  # fmt: skip
        set_id = self.put("PermissionSet", {**owned, **permissions})
        self._profiles[name] = (profile_id, set_id)
        return self._profiles[name]

    def put(self, name: str, values: Mapping[str, str | None], record_id: str | None = None) -> str:
        """Write a new setup row; its id."""
        org = self._org
        obj = org.schema.objects[name]
        now = stamp(org.clock.now())
        row: Row = {n: "false" if obj.fields[n]["type"] == "boolean" else None for n in obj.stored()}
        row.update(Id=record_id or org.new_id(obj), CreatedDate=now, LastModifiedDate=now, SystemModstamp=now)
        row.update(CreatedById=self._who, LastModifiedById=self._who, **values)
        self._store(obj, "insert", None, {n: row.get(n) for n in obj.stored()})
        return str(row["Id"])

    def put_many(self, name: str, values: Sequence[Mapping[str, str]]) -> None:
        """Write many new setup rows; the ledger keeps them as one entry."""
        org = self._org
        obj = org.schema.objects[name]
        if not values:
            return
        now = stamp(org.clock.now())
        fixed = {"CreatedDate": now, "LastModifiedDate": now, "SystemModstamp": now, "CreatedById": self._who,
                 "LastModifiedById": self._who, "IsDeleted": "false"}  # fmt: skip
        rows = pl.DataFrame([dict(v) for v in values], schema_overrides=dict.fromkeys(values[0], pl.String))
        rows = rows.with_columns(pl.lit(v).alias(k) for k, v in fixed.items())
        org.load(obj, rows.with_columns(pl.Series("Id", org.new_ids(obj, rows.height), dtype=pl.String)))

    def drop(self, name: str, record_id: str) -> None:
        """Remove a setup row for good."""
        org = self._org
        obj = org.schema.objects[name]
        before = org.table(obj).get(record_id)
        org.table(obj).remove(record_id)
        org.ledger.record(org.clock.now(), name, record_id, "harddelete", before=before, after=None, who=self._who,
                          api="setup")  # fmt: skip

    def change(self, name: str, record_id: str, values: Mapping[str, str | None]) -> None:
        """Change a setup row; nothing happens if it holds the values already."""
        obj = self._org.schema.objects[name]
        before = self._org.table(obj).get(record_id)
        if before is None or all(before.get(key) == value for key, value in values.items()):
            return
        now = stamp(self._org.clock.now())
        self._store(obj, "update", before, {**before, **values, "SystemModstamp": now, "LastModifiedDate": now})

    def _store(self, obj: SObject, operation: str, before: Row | None, after: Row) -> None:
        org, record_id = self._org, str(after["Id"])
        org.table(obj).put(record_id, after)
        org.ledger.record(org.clock.now(), obj.name, record_id, operation, before=before, after=after, who=self._who,
                          api="setup")  # fmt: skip

    def add_record_type(self, object_name: str, developer_name: str, record_type_id: str | None = None, *,
                        label: str | None = None, active: bool = True, default: bool = False,
                        person: bool = False) -> str:  # fmt: skip
        """A record type of an object; its id."""
        org = self._org
        target = org.schema.define(object_name)
        label = label or developer_name.replace("_", " ")
        record_type_id = record_type_id or org.new_id(org.schema.objects["RecordType"])
        if org.table(org.schema.objects["RecordType"]).get(record_type_id) is not None:
            return record_type_id
        self.put("RecordType", {"Name": label, "DeveloperName": developer_name, "SobjectType": object_name,
                                "IsActive": _flag(active), "IsPersonType": _flag(person)}, record_type_id)  # fmt: skip
        if "RecordTypeId" not in target.fields:
            org.schema.add_field(target, make_field("RecordTypeId", "reference", referenceTo=["RecordType"],
                                                    permissionable=False, label="Record Type ID"))  # fmt: skip
        infos = target.describe["recordTypeInfos"]
        if default:
            for info in infos:
                info["defaultRecordTypeMapping"] = False
        infos.insert(0, _record_type_info(object_name, record_type_id, developer_name, label, active, default))
        target.version += 1
        return record_type_id


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _record_type_info(
    object_name: str, record_type_id: str, developer_name: str, label: str, active: bool, default: bool
) -> dict[str, Any]:
    return {
        "active": active,
        "available": active,
        "defaultRecordTypeMapping": default,
        "developerName": developer_name,
        "master": False,
        "name": label,
        "recordTypeId": record_type_id,
        "urls": {"layout": f"/services/data/v67.0/sobjects/{object_name}/describe/layouts/{record_type_id}"},
    }
