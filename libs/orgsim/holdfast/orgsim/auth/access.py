"""Users: who may ask, and what they may see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from holdfast.orgsim.auth.permissions import (
    CREATE,
    DELETE,
    EDIT,
    MODIFY_ALL,
    READ,
    VIEW_ALL,
    Grants,
    administrator,
    permission_name,
)


@dataclass
class User:
    """A user of the org and what they may do.

    `profile` is what the user's profile gives, `assigned` looks up what their permission sets add. Hidden objects and
    fields are not there for this user, whatever their permissions say: as if the feature behind them were off.
    """

    id: str
    username: str
    name: str
    active: bool = True
    hidden_objects: frozenset[str] = frozenset()
    hidden_fields: frozenset[tuple[str, str]] = frozenset()
    profile: Grants = field(default_factory=administrator)
    assigned: Callable[[], Sequence[Grants]] = field(default=tuple)

    def may(self, permission: str) -> bool:
        """Whether the user has a system permission, e.g. `QueryAllFiles` or `SetAuditFields`.

        Raises:
            ValueError: there is no such permission.
        """
        name = permission_name(permission)
        return any(name in grants.system for grants in self._grants())

    def allows(self, object_name: str, right: str) -> bool:
        """Whether the user has a right (`permissions.READ`, …) on an object."""
        if object_name in self.hidden_objects:
            return False
        return any(right in grants.on(object_name) for grants in self._grants())

    def reads(self, object_name: str) -> bool:
        """Whether the user can read the object at all."""
        return self.allows(object_name, READ)

    def creates(self, object_name: str) -> bool:
        """Whether the user can insert records of the object."""
        return self.allows(object_name, CREATE)

    def updates(self, object_name: str) -> bool:
        """Whether the user can change records of the object."""
        return self.allows(object_name, EDIT)

    def deletes(self, object_name: str) -> bool:
        """Whether the user can delete records of the object."""
        return self.allows(object_name, DELETE)

    def sees_all(self, object_name: str) -> bool:
        """Whether sharing does not limit what the user reads of the object."""
        return self.allows(object_name, VIEW_ALL)

    def modifies_all(self, object_name: str) -> bool:
        """Whether sharing does not limit what the user changes of the object."""
        return self.allows(object_name, MODIFY_ALL)

    def reads_field(self, object_name: str, field_name: str) -> bool:
        """Whether the user can read the field."""
        key = (object_name, field_name)
        return key not in self.hidden_fields and any(g.reads_field(key) for g in self._grants())

    def edits_field(self, object_name: str, field_name: str) -> bool:
        """Whether the user can write the field, as far as permissions go."""
        key = (object_name, field_name)
        return key not in self.hidden_fields and any(g.edits_field(key) for g in self._grants())

    @property
    def restrictions(self) -> tuple[object, ...]:
        """What a cached answer depends on."""
        seen = (
            (g.system, tuple(sorted(g.objects.items(), key=str)), g.other_objects, g.readable, g.hidden, g.every_field)
            for g in self._grants()
        )
        return self.hidden_objects, self.hidden_fields, *seen

    def _grants(self) -> Sequence[Grants]:
        return (self.profile, *self.assigned())
