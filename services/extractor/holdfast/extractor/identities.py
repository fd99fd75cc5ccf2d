"""What tells the records of an object apart: their id or, of big objects, the fields of the object's index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.extractor.classification import is_big
from holdfast.extractor.drift import listed
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.definitions import IndexField, big_object_indexes
from holdfast.salesforce.models import Describe


@dataclass(frozen=True)
class Failure:
    """Why an object will not be read."""

    reason: str
    code: str


@dataclass
class Keys:
    """Indexes of the big objects, and why others have nothing to tell their records apart by."""

    indexes: dict[str, tuple[IndexField, ...]] = field(default_factory=dict)
    refused: dict[str, Failure] = field(default_factory=dict)


async def keys_of(client: SalesforceClient, described: Sequence[Describe], before: Mapping[str, Sequence[str]]) -> Keys:
    """What the records of these objects are known by. Costs three calls if there are big objects among them.

    Args:
        before: Keys by which the job's backup knows records of such objects.

    Raises:
        HoldfastError: When the org does not answer.
    """
    found = Keys()
    big = [one.name for one in described if is_big(one.name)]
    told = await big_object_indexes(client, big) if big else {}
    for one in described:
        if is_big(one.name):
            _take(found, one, None if told is None else told.get(one.name, ()), before.get(one.name, ()))
        elif not any(each.name == "Id" for each in one.fields):
            reason = f"{one.name} has no record ids, so its records cannot be told apart."
            found.refused[one.name] = Failure(reason, "no-record-id")
    return found


def _take(found: Keys, one: Describe, index: Sequence[IndexField] | None, before: Sequence[str]) -> None:
    if not index:
        why = "The user may not see it: that needs the permission View Setup and Configuration."
        reason = (
            f"Records of {one.name} have no id, and the org does not tell the index that they are known by. "
            f"{why if index is None else 'It may not be deployed.'}"
        )
        found.refused[one.name] = Failure(reason, "index-not-told")
        return
    visible = {each.name.lower() for each in one.fields}
    hidden = [each.name for each in index if each.name.lower() not in visible]
    if hidden:
        reason = f"The user cannot read {listed(hidden)} of {one.name}, by which its records are told apart."
        found.refused[one.name] = Failure(reason, "key-hidden")
        return
    if before and [name.lower() for name in before] != [each.name.lower() for each in index]:
        # Salesforce does not let an index be changed: it is another object of the same name.
        reason = (
            f"Records of {one.name} are known by {listed(before)} in the backup, and by "
            f"{listed([each.name for each in index])} in the org now, so that none could be found again. "
            "Back the object up by a job of its own."
        )
        found.refused[one.name] = Failure(reason, "key-changed")
        return
    found.indexes[one.name] = tuple(index)
