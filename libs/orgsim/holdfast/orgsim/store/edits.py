"""What happened to rows since they were loaded, drawn at the rates of the .gov register.

Rates per row and day, counted over the 214 days of `demo/data/dotgov/changes.jsonl.gz` (1,808 inserts, 2,150 updates
and 170 deletes among 14,901 to 16,539 rows).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import polars as pl

INSERTS_A_DAY = 0.000536
UPDATES_A_DAY = 0.000638
DELETES_A_DAY = 0.0000504
DAYS = 45
SPAN_S = DAYS * 86_400


@dataclass(frozen=True)
class Edits:
    """The history of one object: its last `inserted` rows came later; `rows` tells what became of others.

    Columns of `rows`: `row` (sorted, once each), `at` (seconds into the span), `deleted`, and for updates `field`
    (which of the fields that change) and `donor` (the original row that the new value is taken from).
    """

    inserted: int
    rows: pl.DataFrame


SCHEMA = {"row": pl.Int64, "at": pl.Int64, "deleted": pl.Boolean, "field": pl.Int64, "donor": pl.Int64}


def draw(seed: str, count: int, fields: int, originals: int) -> Edits:
    """The same for the same arguments. `fields`: how many fields can change; `originals`: rows to take values from."""
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    inserted = round(count * INSERTS_A_DAY * DAYS)
    older = count - inserted
    drawn: dict[int, tuple[int, bool, int, int]] = {}
    for number in range(round(count * (UPDATES_A_DAY + DELETES_A_DAY) * DAYS)):
        deleted = number >= round(count * UPDATES_A_DAY * DAYS)
        if older and (deleted or fields):
            field = rng.randrange(fields) if fields else 0
            drawn[rng.randrange(older)] = (rng.randrange(SPAN_S), deleted, field, rng.randrange(originals))
    rows = [(row, *drawn[row]) for row in sorted(drawn)]
    return Edits(inserted, pl.DataFrame(rows, schema=SCHEMA, orient="row"))
