"""The seam of all rules: a batch of records of one object that is about to be saved, or has just been.

A rule is a function of a `Batch`. It refuses rows (`refuse`), alters them (`set`) or, once they are saved, saves other
records in the same transaction (`also`). It sees columns, never single rows, and knows no protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.rules.refusals import Refusals
from holdfast.orgsim.schema.objects import SObject

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

Mask = pl.Expr | pl.Series
Text = str | pl.Expr | pl.Series


@dataclass(frozen=True)
class SaveOptions:
    """What the caller may do beyond the usual. `audit_fields`: CreatedDate and the like may be set on insert."""

    audit_fields: bool = False


@dataclass
class Batch:
    """Rows of one object before and after a save, in the same order.

    Attributes:
        operation: `insert`, `update`, `delete` (to the recycle bin), `undelete` or `merge` (the losers).
        after: Every stored column, as it will be saved. Expressions given to the methods below are evaluated on it.
        before: The rows as they were; None for an insert.
        given: Names of the fields that the caller set in at least one row.
        gives: Which rows set the field, for fields that not every row set. See `gave`.
    """

    org: Org
    obj: SObject
    user: User
    api: str
    operation: str
    after: pl.DataFrame
    before: pl.DataFrame | None = None
    given: frozenset[str] = frozenset()
    gives: Mapping[str, pl.Series] = field(default_factory=dict)
    options: SaveOptions = SaveOptions()
    refusals: Refusals = field(default_factory=Refusals)

    @property
    def height(self) -> int:
        """How many rows there are, refused ones included."""
        return self.after.height

    def gave(self, name: str) -> pl.Series:
        """Which rows set the field."""
        if name in self.gives:
            return self.gives[name]
        return pl.Series([name in self.given], dtype=pl.Boolean).new_from_index(0, self.height)

    def was(self, name: str) -> pl.Series:
        """The field's values before the save; nulls on an insert."""
        if self.before is None:
            return pl.Series(name, [None], dtype=pl.String).new_from_index(0, self.height)
        return self.before[name]

    def changed(self, name: str) -> pl.Series:
        """Which rows hold another value than before; on an insert, which hold one at all."""
        return self.after[name].ne_missing(self.was(name))

    def standing(self) -> pl.Series:
        """Which rows no rule has refused so far."""
        return ~self.refusals.mask(self.height)

    def refuse(self, mask: Mask, code: str, message: Text, fields: Sequence[str] = (), *, status: int = 400) -> None:
        """Refuse rows. The first refusal of a row is the one that its caller sees.

        Args:
            mask: Which rows; null counts as no.
            code: The platform's code, e.g. `REQUIRED_FIELD_MISSING`.
            message: The sentence, one for all or one per row (of all rows, not only of the refused ones).
            fields: The fields concerned.
            status: HTTP status where the row is a request of its own.
        """
        refused = self._series(mask)
        if refused.any():
            sentences = message if isinstance(message, str) else self._series(message)
            self.refusals.add(refused, code, sentences, fields, status=status)

    def set(self, name: str, values: Text | None, where: Mask | None = None) -> None:
        """Give a column new values (text, or None), in all rows or only where the mask says so."""
        new = values if isinstance(values, pl.Expr | pl.Series) else pl.lit(values, dtype=pl.String)
        if where is not None:
            new = pl.when(where).then(new).otherwise(pl.col(name))
        self.after = self.after.with_columns(new.alias(name))

    def also(self, obj: SObject, operation: str, before: pl.DataFrame | None, after: pl.DataFrame, note: str) -> None:
        """Save rows of any object in the same transaction, past all rules. For rules that run after the save.

        Args:
            obj: Their object.
            operation: `insert`, `update` or `delete`.
            before: The rows as they are now; None for an insert.
            after: The same rows with every stored column, system fields included.
            note: Why they change, for the ledger.
        """
        self.org.transactions.save(obj, operation, before, after, who=self.user.id, api=self.api, notes=note)

    def kept(self) -> Batch:
        """The rows that no rule refused, as a batch of their own."""
        return self.filtered(self.standing()) if self.refusals else self

    def filtered(self, keep: pl.Series) -> Batch:
        """Some of the rows, as a batch of their own without refusals."""
        return replace(
            self,
            after=self.after.filter(keep),
            before=None if self.before is None else self.before.filter(keep),
            gives={name: mask.filter(keep) for name, mask in self.gives.items()},
            refusals=Refusals(),
        )

    def _series(self, value: Mask | Text) -> pl.Series:
        if isinstance(value, pl.Series):
            return value
        series = self.after.select(value).to_series()
        return series if len(series) == self.height else series.new_from_index(0, self.height)


Rule = Callable[[Batch], None]
