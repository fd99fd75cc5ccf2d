"""Which rules there are, in the order in which they look at a batch. More rules are more entries.

`BEFORE_SAVE` looks at inserts and updates before they are saved. `BEFORE_DELETE` looks at what a delete would take to
the recycle bin, cascades included: a row that it refuses keeps its whole family. `AFTER_SAVE` follows, in the same
transaction, everything that was saved, deletes, undeletes and merges included; `Batch.operation` tells them apart.
"""

from __future__ import annotations

from holdfast.orgsim.rules.batch import Rule
from holdfast.orgsim.rules.derived import derive, derived_columns
from holdfast.orgsim.rules.fields import length, number_range, picklist, required, writeable
from holdfast.orgsim.rules.links import references, unique

BEFORE_SAVE: list[Rule] = [writeable, derive, required, length, picklist, number_range, references, unique]
BEFORE_DELETE: list[Rule] = []
AFTER_SAVE: list[Rule] = []

__all__ = ["AFTER_SAVE", "BEFORE_DELETE", "BEFORE_SAVE", "derived_columns"]
