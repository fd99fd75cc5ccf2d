"""Who looks at an org, and whether what they do not see can be taken for gone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from holdfast.common.contracts.extractor import View
from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.org import Orgs
from holdfast.extractor.together import Together
from holdfast.salesforce.composite import Part, query_part
from holdfast.salesforce.errors import SalesforceError
from holdfast.salesforce.models import RestPage, UserInfo

# Whoever has one of the first two sees every record, files apart: those need the third one as well.
SYSTEM_RIGHTS = ("ModifyAllData", "ViewAllData", "QueryAllFiles")
FILE_OBJECTS = frozenset({"ContentDocument", "ContentDocumentLink", "ContentVersion"})


@dataclass(frozen=True)
class Rights:
    """A user of an org, and what of it that user sees whole.

    Attributes:
        organization_id: The org that the token is for, as the org itself says.
        expected: The org that the connection was made for.
        system: Those of `SYSTEM_RIGHTS` that the user has.
        objects: Objects of which the user may view all records.
    """

    organization_id: str
    expected: str
    user_id: str
    system: frozenset[str]
    objects: frozenset[str]

    def sees_all(self, object_name: str) -> bool:
        """Whether no record of the object is hidden from the user."""
        if object_name in FILE_OBJECTS and "QueryAllFiles" not in self.system:
            return False
        return bool(self.system & {"ModifyAllData", "ViewAllData"}) or object_name in self.objects

    def text(self, object_name: str) -> str:
        """The rights that bear on the object, for comparison with an earlier look."""
        names = set(self.system) | ({"ViewAllRecords"} if object_name in self.objects else set())
        return ",".join(sorted(names))


@dataclass(frozen=True)
class Earlier:
    """Who looked when the job last read the object whole."""

    organization_id: str
    user_id: str
    rights: str


def view_of(object_name: str, rights: Rights, earlier: Earlier | None) -> View:
    """What a look at an object is worth as evidence.

    Args:
        earlier: None if no earlier run read the object whole.
    """
    changed = _change(object_name, rights, earlier)
    sees_all = rights.sees_all(object_name)
    hidden = "" if sees_all else f"The user may not view all records of {object_name}."
    return View(
        organization_id=rights.organization_id,
        user_id=rights.user_id,
        sees_all=sees_all,
        unchanged=not changed,
        reason=" ".join(sentence for sentence in (changed, hidden) if sentence),
    )


def _change(object_name: str, rights: Rights, earlier: Earlier | None) -> str:
    if rights.organization_id != rights.expected:
        return f"The org that answers ({rights.organization_id}) is not the connection's ({rights.expected})."
    if earlier is None:
        return f"No earlier run read {object_name} whole."
    if rights.organization_id != earlier.organization_id:
        return (
            f"The org that answers ({rights.organization_id}) is not the one that was read before "
            f"({earlier.organization_id})."
        )
    if rights.user_id != earlier.user_id:
        return f"Another user ({rights.user_id}) looks than when {object_name} was last read whole."
    if rights.text(object_name) != earlier.rights:
        return f"The user's rights on {object_name} are others than when it was last read whole."
    return ""


@dataclass(frozen=True)
class _Look:
    """A look on its way or done, the call that it goes with, and the run that asked."""

    run_id: UUID
    call: object
    answers: asyncio.Future[list[Any]]

    @property
    def failed(self) -> bool:
        done = self.answers.done()
        return done and (self.answers.cancelled() or self.answers.exception() is not None)


class Views:
    """Asks orgs who looks at them and what that user sees: a look costs one call, shared by who asks together."""

    def __init__(self, orgs: Orgs, together: Together) -> None:
        self._orgs = orgs
        self._together = together
        # Who a token belongs to never changes; the org does not charge the question, but it takes time.
        self._users: dict[UUID, tuple[str, UserInfo]] = {}
        self._looks: dict[UUID, _Look] = {}

    async def look(self, connection_id: UUID, run_id: UUID, *, anew: bool) -> Rights:
        """The rights of the connection's user.

        Args:
            run_id: The run that asks; its last look serves its other objects too.
            anew: Take no look that the org may have answered before this call, as absence is to be judged by it.

        Raises:
            HoldfastError: When the org does not answer at all.
        """
        access = await self._orgs.access(connection_id)
        user = await self._user(connection_id, access.access_token)
        look = self._looks.get(connection_id)
        if look is None or not self._serves(connection_id, look, None if anew else run_id):
            answers = self._together.put(connection_id, [_system(user.user_id), _objects(user.user_id)])
            look = self._looks[connection_id] = _Look(run_id, self._together.gathering(connection_id), answers)
        system, objects = await asyncio.shield(look.answers)
        all_of = _column(objects, "SobjectType")
        return Rights(user.organization_id, access.organization_id, user.user_id, _granted(system), all_of)

    def _serves(self, connection_id: UUID, look: _Look, run_id: UUID | None) -> bool:
        """Whether a look will do: any of the run's, and without a run only one that has not been sent yet."""
        if look.failed:
            return False
        unsent = look.call is not None and look.call is self._together.gathering(connection_id)
        return unsent or look.run_id == run_id

    async def _user(self, connection_id: UUID, token: str) -> UserInfo:
        known = self._users.get(connection_id)
        if known is None or known[0] != token:
            client = await self._orgs.client(connection_id)
            known = self._users[connection_id] = (token, await client.user_info())
        return known[1]


def _system(user_id: str) -> Part[RestPage]:
    fields = [f"PermissionSet.Permissions{name}" for name in SYSTEM_RIGHTS]
    return query_part(
        f"SELECT {', '.join(fields)} FROM PermissionSetAssignment WHERE AssigneeId = '{_id(user_id)}'",  # noqa: S608
        all_rows=False,
        fields=fields,
    )


def _objects(user_id: str) -> Part[RestPage]:
    sets = f"SELECT PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = '{_id(user_id)}'"  # noqa: S608
    return query_part(
        f"SELECT SobjectType FROM ObjectPermissions WHERE PermissionsViewAllRecords = true AND ParentId IN ({sets})",  # noqa: S608
        all_rows=False,
        fields=["SobjectType"],
    )


def _id(text: str) -> str:
    if not text.isalnum():
        raise HoldfastError(Kind.INVALID, "Salesforce names a user by what is no id.")
    return text


def _granted(answer: RestPage | SalesforceError) -> frozenset[str]:
    """System rights that one of the user's permission sets gives; none if the user may not know."""
    return frozenset(name for name in SYSTEM_RIGHTS if "true" in _column(answer, f"PermissionSet.Permissions{name}"))


def _column(answer: RestPage | SalesforceError, name: str) -> frozenset[str]:
    # Of more than a page of objects the rest counts as not seen whole, which errs on the safe side.
    return frozenset() if isinstance(answer, SalesforceError) else frozenset(answer.table[name].to_pylist())
