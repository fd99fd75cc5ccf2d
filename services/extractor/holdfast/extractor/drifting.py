"""Finds out, while a run is planned, what became of the org's objects and fields since the job last read them.

Costs nothing while nothing is missing. Definitions are asked for only of objects that lost a field, or are not there
any more: one call for about twenty of the first, one for all of the second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from holdfast.common.postgres import Database
from holdfast.extractor import store
from holdfast.extractor.drift import Drift, Shape, compare, lost
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.definitions import field_ids, still_defined
from holdfast.salesforce.models import Describe


@dataclass
class Findings:
    """What a run has to say beside its records.

    Attributes:
        shapes: Fields of each planned object, for the next run to compare with.
        drifts: What happened to them.
        notes: Sentences about objects that have no task.
        vanished: Objects that the org no longer has.
        field_ids: As the org told them just now, by object.
    """

    shapes: dict[str, Shape] = field(default_factory=dict)
    drifts: dict[str, Drift] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    field_ids: dict[str, dict[str, str]] = field(default_factory=dict)


async def look(
    db: Database,
    client: SalesforceClient,
    *,
    job_id: UUID,
    connection_id: UUID,
    described: Iterable[Describe],
    missing: Collection[str],
    known: Collection[str],
    by_itself: bool,
) -> Findings:
    """Compare the objects of a run with what the job read last.

    Args:
        described: Objects that can be read, under the names that the job knows them by.
        missing: Objects that earlier runs read and that the user does not see now.
        known: Objects that earlier runs of the job read.
        by_itself: The job names no objects: new ones join by themselves.
    """
    found = Findings()
    before = await store.last_shapes(db, job_id)
    now = {one.name: one for one in described}
    kept = await store.kept_field_ids(db, connection_id, list(now))
    suspects = [name for name, one in now.items() if name in before and lost(before[name], Shape.of(one))]
    told = await field_ids(client, suspects) if suspects else {}
    for name, one in now.items():
        ids = None if told is None else told.get(name)
        found.shapes[name] = Shape.of(one, kept.get(name, {}) | (ids or {}))
        drift = compare(name, before[name], found.shapes[name], ids) if name in before else Drift()
        if by_itself and known and name not in known:
            joined = f"{name} is backed up from now on: it is new in the org, or had no records until now."
            drift = Drift((joined, *drift.notes), drift.gone)
        found.drifts[name] = drift
    found.field_ids = {name: ids for name, ids in (told or {}).items() if ids}
    await _look_for(client, sorted(missing), found)
    return found


async def _look_for(client: SalesforceClient, missing: Sequence[str], found: Findings) -> None:
    defined = await still_defined(client, missing) if missing else None
    if defined is None:
        return
    found.vanished = [name for name in missing if name.lower() not in defined]
    found.notes += [
        f"The org no longer has the object {name}; its records stay in the backup as they were."
        for name in found.vanished
    ]


def under_known_names(described: Iterable[Describe], known: Iterable[str]) -> tuple[list[Describe], dict[str, str]]:
    """Objects under the names that the job's backup has them by, whatever their case is in the org now.

    Returns:
        The describes, and by kept name a sentence for those that are written in another way now.
    """
    kept: Mapping[str, str] = {name.lower(): name for name in known}
    found, notes = [], {}
    for one in described:
        name = kept.get(one.name.lower(), one.name)
        if name != one.name:
            notes[name] = f"{name} is now written {one.name} in the org; the backup keeps its name."
        found.append(one if name == one.name else one.model_copy(update={"name": name}))
    return found, notes
