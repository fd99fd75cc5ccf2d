"""What profiles and permission sets give: system permissions, rights on objects, rights on fields.

Grants only add up, as on the platform: a user may do what any of their sets allows. The set that a profile owns
starts from everything and names its exceptions; every other set starts from nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CREATE, READ, EDIT, DELETE = "create", "read", "edit", "delete"
VIEW_ALL, MODIFY_ALL = "viewAll", "modifyAll"
EVERY_RIGHT = frozenset({CREATE, READ, EDIT, DELETE, VIEW_ALL, MODIFY_ALL})
RIGHT_LETTERS = {"C": CREATE, "R": READ, "U": EDIT, "D": DELETE, "V": VIEW_ALL, "M": MODIFY_ALL}

# Names as in the columns of PermissionSet and Profile, without their prefix `Permissions`.
SYSTEM_PERMISSIONS = (
    "ApiEnabled", "ApiUserOnly", "AssignPermissionSets", "AuthorApex", "BulkApiHardDelete", "ContentAdministrator",
    "ConvertLeads", "CreateAuditFields", "CustomizeApplication", "EditEvent", "EditReadonlyFields", "EditTask",
    "ExportReport", "ImportLeads", "InstallPackaging", "LightningExperienceUser", "ManageCases",
    "ManageCssUsers", "ManageProfilesPermissionsets", "ManageRoles", "ManageSharing", "ManageUsers", "MassInlineEdit",
    "ModifyAllData", "ModifyMetadata", "PasswordNeverExpires", "QueryAllFiles", "RunReports", "TransferAnyCase",
    "TransferAnyEntity", "TransferAnyLead", "UpdateWithInactiveOwner", "ViewAllData", "ViewAllUsers",
    "ViewEncryptedData", "ViewEventLogFiles", "ViewRoles", "ViewSetup",
)  # fmt: skip
# Names that people say, for the names that the platform stores.
SPOKEN_NAMES = {"SetAuditFields": "CreateAuditFields", "UpdateInactiveOwners": "UpdateWithInactiveOwner"}
# What a system administrator does not have until someone gives it.
NOT_BY_DEFAULT = frozenset(
    {"ApiUserOnly", "CreateAuditFields", "PasswordNeverExpires", "UpdateWithInactiveOwner", "ViewEncryptedData"}
)
ADMINISTRATOR = frozenset(SYSTEM_PERMISSIONS) - NOT_BY_DEFAULT


def permission_name(name: str) -> str:
    """The stored name of a system permission, however it is written.

    Raises:
        ValueError: there is no such permission.
    """
    bare = name.removeprefix("Permissions")
    bare = SPOKEN_NAMES.get(bare, bare)
    if bare not in SYSTEM_PERMISSIONS:
        raise ValueError(f"no permission {name!r}")
    return bare


def rights_from(letters: str) -> frozenset[str]:
    """Rights written as letters: C, R, U, D, V (view all), M (modify all). More includes less, as on the platform.

    Raises:
        ValueError: another letter.
    """
    unknown = set(letters.upper()) - set(RIGHT_LETTERS)
    if unknown:
        raise ValueError(f"rights {letters!r}: {''.join(sorted(unknown))} is none of {''.join(RIGHT_LETTERS)}")
    return closed(RIGHT_LETTERS[letter] for letter in letters.upper())


def closed(rights: Iterable[str]) -> frozenset[str]:
    """Rights with those that they require: to edit is to read, to modify all is everything but to create."""
    found = set(rights)
    if MODIFY_ALL in found:
        found |= {VIEW_ALL, EDIT, DELETE}
    if DELETE in found:
        found.add(EDIT)
    return frozenset(found | {READ} if found else found)


@dataclass
class Grants:
    """What one profile or permission set allows."""

    system: frozenset[str] = frozenset()
    objects: Mapping[str, frozenset[str]] = field(default_factory=dict)
    other_objects: frozenset[str] = frozenset()  # rights on objects that `objects` does not name
    readable: frozenset[tuple[str, str]] = frozenset()
    editable: frozenset[tuple[str, str]] = frozenset()
    every_field: bool = False  # fields not named below can be read and edited
    hidden: frozenset[tuple[str, str]] = frozenset()
    read_only: frozenset[tuple[str, str]] = frozenset()

    def on(self, object_name: str) -> frozenset[str]:
        """Rights on an object."""
        rights = self.objects.get(object_name, self.other_objects)
        if "ModifyAllData" in self.system:
            return EVERY_RIGHT
        return rights | {READ, VIEW_ALL} if "ViewAllData" in self.system else rights

    def reads_field(self, key: tuple[str, str]) -> bool:
        """Whether the set lets (object, field) be read."""
        return key in self.readable or (self.every_field and key not in self.hidden)

    def edits_field(self, key: tuple[str, str]) -> bool:
        """Whether the set lets (object, field) be written."""
        if key in self.editable:
            return True
        return self.every_field and key not in self.hidden and key not in self.read_only


def administrator() -> Grants:
    """What the profile System Administrator gives."""
    return Grants(system=ADMINISTRATOR, other_objects=EVERY_RIGHT, every_field=True)


def restricted(
    known: Grants,
    *,
    permissions: Mapping[str, bool],
    objects: Mapping[str, str],
    read_only: Iterable[tuple[str, str]],
    hidden: Iterable[tuple[str, str]],
) -> Grants:
    """A profile changed: system permissions switched, rights on objects (as letters) and fields set anew.

    Rights on objects less than all rule out Modify All Data, and View All Data where an object cannot be read: the
    platform does not let a profile have both.

    Raises:
        ValueError: an unknown permission or letter.
    """
    switched = {permission_name(name): bool(on) for name, on in permissions.items()}
    given = {**known.objects, **{name: rights_from(letters) for name, letters in objects.items()}}
    system = set(known.system)
    if any(not rights >= EVERY_RIGHT - {CREATE} for rights in given.values()):
        system.discard("ModifyAllData")
    if any(READ not in rights for rights in given.values()):
        system.discard("ViewAllData")
    system |= {name for name, on in switched.items() if on}
    system -= {name for name, on in switched.items() if not on}
    other = known.other_objects
    if "ModifyAllData" not in system:
        other -= {MODIFY_ALL}
    if "ViewAllData" not in system:
        other -= {VIEW_ALL, MODIFY_ALL}
    return Grants(
        system=frozenset(system),
        objects=given,
        other_objects=other,
        every_field=known.every_field,
        read_only=frozenset(read_only) or known.read_only,
        hidden=frozenset(hidden) or known.hidden,
    )
