"""All-or-none saves: the ledger holds back its entries, and they undo themselves if one save fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.orgsim.org import Org


@contextmanager
def all_or_none(org: Org) -> Iterator[None]:
    """Everything saved inside is kept together, or, on an exception, nothing is."""
    bin_before = dict(org.recycle_bin)  # entries do not change once their delete is done
    purged_before = {name: len(rows) for name, rows in org.purged.items()}
    org.ledger.hold()
    try:
        yield
    except BaseException:
        for entry in reversed(org.ledger.drop_held()):
            table = org.tables[entry.object]
            if entry.before is None:
                table.remove(entry.id)
            else:
                table.put(entry.id, dict(entry.before))
        org.recycle_bin.clear()
        org.recycle_bin.update(bin_before)
        for name, rows in org.purged.items():
            del rows[purged_before.get(name, 0) :]
        raise
    org.ledger.release_held()
