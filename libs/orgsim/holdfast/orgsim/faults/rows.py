"""Trouble with rows that are saved: locks, and an org that takes no changes. It acts through the seam of all rules."""

from __future__ import annotations

import random

import polars as pl

from holdfast.orgsim.faults.fault import Fault
from holdfast.orgsim.faults.wording import SENTENCES
from holdfast.orgsim.rules.batch import Batch

MAINTENANCE = "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"


def strike(fault: Fault, batch: Batch, chance: random.Random) -> None:
    """Refuse the rows of a batch that the fault strikes; each row that fits counts as one match."""
    wanted = {"code": MAINTENANCE} if "read_only" in fault.effect else fault.effect["rows"]
    if wanted.get("object", batch.obj.name).lower() != batch.obj.name.lower():
        return
    if batch.operation not in wanted.get("operations", [batch.operation]):
        return
    now = batch.org.clock.now()
    struck = [stands and fault.strikes(now, chance) for stands in batch.standing().to_list()]
    code = str(wanted["code"])
    known = SENTENCES.get(code, (400, code.replace("_", " ").lower()))[1]
    batch.refuse(pl.Series(struck, dtype=pl.Boolean), code, str(wanted.get("message", known)))
