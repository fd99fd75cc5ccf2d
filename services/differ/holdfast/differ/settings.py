"""Settings of the differ."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from holdfast.common.settings import Settings
from holdfast.differ.proving import MassRule


class DifferSettings(Settings):
    """Attributes:
    differ_tables: Tables worked on at once; each holds its state index in scratch files while it is worked on.
    differ_cpu_slots: Diffs and commits that run at once; two fill the cores of a small machine.
    differ_lease_s: Seconds until another replica may take a dead one's table.
    differ_poll_ms: How often to look for work when nothing wakes it; the signal is the rule, the poll the exception.
    differ_give_up_after: How long a page that cannot be committed for a reason that time does not cure is tried
        again, before the object is given up for its run; long enough for somebody to put a file back.
    differ_most_passes: How often an object is looked at in a run before its outcome is "not proven".
    differ_vanished_percent, differ_vanished_fewest: A share of an object's records, and at least so many, that are
        absent from a complete list at once and left no trace in the recycle bin, are not taken for deleted.
    differ_vanished_within: So long such absences count together, so that no object goes a little in each run.
    differ_compact_files: How many files of like size are merged into one, while nothing else is to do.
    differ_replaced_grace: How long files that were merged into others stay: so long can older Delta versions be read,
        and must the longest query on the vault have ended. States of earlier runs are readable for ever.
    differ_index_check: How often each table's state index is held against the table.
    """

    differ_tables: int = Field(default=8, ge=1, le=256)
    differ_cpu_slots: int = Field(default=2, ge=1, le=64)
    differ_lease_s: float = Field(default=15.0, gt=0.2, le=600)
    differ_poll_ms: int = Field(default=1000, ge=10, le=60_000)
    differ_give_up_after: timedelta = Field(default=timedelta(minutes=2), ge=timedelta(0), le=timedelta(days=7))
    differ_most_passes: int = Field(default=3, ge=1, le=3)
    differ_vanished_percent: float = Field(default=10.0, ge=0, le=100)
    differ_vanished_fewest: int = Field(default=20, ge=1)
    differ_vanished_within: timedelta = Field(default=timedelta(days=30), ge=timedelta(0), le=timedelta(days=3650))
    differ_compact_files: int = Field(default=16, ge=2, le=10_000)
    differ_replaced_grace: timedelta = Field(default=timedelta(days=7), ge=timedelta(0), le=timedelta(days=3650))
    differ_index_check: timedelta = Field(default=timedelta(days=7), ge=timedelta(seconds=1), le=timedelta(days=3650))

    @property
    def mass_rule(self) -> MassRule:
        """When too many records disappear at once."""
        return MassRule(self.differ_vanished_percent, self.differ_vanished_fewest, self.differ_vanished_within)
