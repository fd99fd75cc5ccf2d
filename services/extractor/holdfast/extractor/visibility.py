"""What the connection's user cannot see of the objects that a job takes, found out before its first run.

Costs one call for 25 objects (their describes, which the first run then need not load again), one for about 20 (their
definitions), and three for the org as a whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from holdfast.common.postgres import Database, Unit
from holdfast.extractor import store
from holdfast.extractor.describing import Described, describe_all
from holdfast.extractor.drift import listed
from holdfast.extractor.identities import keys_of
from holdfast.extractor.planning import choose
from holdfast.extractor.steps import DEFINITIONS_KEPT
from holdfast.extractor.store import sql
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.definitions import data_objects, field_ids
from holdfast.salesforce.models import Describe

NOT_CHECKED = (
    "Which objects and fields are hidden from the user could not be checked: that needs the permission "
    "View Setup and Configuration."
)
# A warning for each of more objects than this would not be read.
_MOST_WARNINGS = 20


@dataclass(frozen=True)
class Sight:
    """What was found out.

    Attributes:
        warnings: Sentences about what the backup will miss.
        field_ids: Ids of fields by object and name, for later runs to tell renamings by.
    """

    warnings: tuple[str, ...]
    described: Described = field(default_factory=Described)
    field_ids: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


async def check(
    db: Database, client: SalesforceClient, connection_id: UUID, selection: Sequence[str], *, slots: int
) -> Sight:
    """Compare what the user sees with what the org says it has; keeps what later runs can use.

    Args:
        selection: Objects of the job; empty for every recommended one.
        slots: Describes at a time.
    """
    offered, counts = await asyncio.gather(client.describe_global(), client.record_counts())
    names = choose(selection, offered, counts, ()).readable
    cached = await store.cached_describes(db, connection_id, names)
    described = await describe_all(client, names, cached, slots)
    told = await field_ids(client, names)
    warnings = [f"The user cannot read {name}: {error.message}" for name, error in described.gone.items()]
    keys = await keys_of(client, described.objects, {})
    warnings += [failure.reason for failure in keys.refused.values()]
    if told is None:
        sight = Sight((*warnings, NOT_CHECKED), described)
    else:
        if not selection:
            warnings += _hidden_objects(await data_objects(client), {entry.name for entry in offered})
        warnings += _hidden_fields(described.objects, told)
        sight = Sight(tuple(warnings), described, told)
    await db.run(DEFINITIONS_KEPT, lambda unit: _keep(unit, connection_id, sight))
    return sight


async def _keep(unit: Unit, connection_id: UUID, sight: Sight) -> None:
    fresh = [one for one in sight.described.objects if one.name in sight.described.fresh and one.etag]
    rows = [(connection_id, one.name, one.etag, one.model_dump_json(by_alias=True)) for one in fresh]
    await unit.executemany(sql.keep_describe, rows)
    await store.keep_field_ids(unit, connection_id, sight.field_ids)


def _hidden_objects(defined: Collection[str] | None, seen: Collection[str]) -> list[str]:
    visible = {name.lower() for name in seen}
    hidden = sorted(name for name in defined or () if name.lower() not in visible)
    if not hidden:
        return []
    objects = "1 object" if len(hidden) == 1 else f"{len(hidden):,} objects"
    return [f"The user cannot see {objects} of the org, which will not be backed up: {listed(hidden)}."]


def _hidden_fields(described: Sequence[Describe], told: Mapping[str, Mapping[str, str]]) -> list[str]:
    hidden: dict[str, list[str]] = {}
    for one in described:
        visible = {known.name.lower() for known in one.fields}
        names = sorted(name for name in told.get(one.name, {}) if name.lower() not in visible)
        if names:
            hidden[one.name] = names
    shown = list(hidden)[:_MOST_WARNINGS]
    warnings = [
        f"The user cannot see {'1 field' if len(hidden[name]) == 1 else f'{len(hidden[name])} fields'} of {name}, "
        f"which will not be backed up: {listed(hidden[name])}."
        for name in shown
    ]
    if len(hidden) > len(shown):
        warnings.append(f"The user cannot see fields of {len(hidden) - len(shown)} more objects.")
    return warnings
