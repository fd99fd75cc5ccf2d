"""Rows as a caller gave them, turned into columns of canonical text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.rules.refusals import Refusals
from holdfast.orgsim.saving.parents import Relationship, relationship_of
from holdfast.orgsim.schema.columns import canonical_column
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.schema.values import canonical

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

NULL = "#N/A"


class Given:
    """Rows of new values by field, in canonical text; null empties the field.

    Attributes:
        rows: The number of each row in the call that it came with.
        columns: The values.
        gives: Which rows set the field, for fields that not every row sets.
        refusals: Rows that are refused already, e.g. because a value could not be understood.
    """

    def __init__(self, rows: int | pl.Series) -> None:
        self.rows = pl.int_range(rows, dtype=pl.UInt32, eager=True) if isinstance(rows, int) else rows
        self.columns: dict[str, pl.Series] = {}
        self.gives: dict[str, pl.Series] = {}
        self.refusals = Refusals()

    @property
    def height(self) -> int:
        """How many rows."""
        return len(self.rows)

    def add(self, name: str, values: pl.Series, gives: pl.Series | None = None) -> None:
        """Add or replace a field; `gives` None means that every row sets it."""
        self.columns[name] = values.alias(name)
        if gives is None or gives.all():
            self.gives.pop(name, None)
        else:
            self.gives[name] = gives

    def take(self, places: pl.Series) -> Given:
        """The rows at these places, with what was refused among them."""
        if len(places) == self.height:
            return self
        taken = Given(self.rows.gather(places))
        taken.columns = {name: values.gather(places) for name, values in self.columns.items()}
        taken.gives = {name: mask.gather(places) for name, mask in self.gives.items()}
        taken.refusals = self.refusals.take(places)
        return taken

    def standing(self) -> Given:
        """The rows that are not refused."""
        return self.take((~self.refusals.mask(self.height)).arg_true()) if self.refusals else self

    def refused(self) -> pl.DataFrame:
        """One line per refused row, by its number in the call."""
        frame = self.refusals.frame()
        return frame.with_columns(self.rows.gather(frame["row"]).alias("row"))


def given_records(org: Org, user: User, obj: SObject, records: Sequence[Mapping[str, Any]]) -> Given:
    """JSON records: values of any JSON type, lookups also as `{"Owner": {"Email": "x"}}` or `Owner.Email`."""
    reader = _Records(org, user, obj, len(records))
    for row, record in enumerate(records):
        try:
            for name, value in record.items():
                if name != "attributes":
                    reader.read(row, name, value)
        except ApiError as error:
            reader.errors[row] = error
    return reader.finish()


class _Records:
    """Collects the cells of records, which need not have the same keys."""

    def __init__(self, org: Org, user: User, obj: SObject, height: int) -> None:
        self._org = org
        self._user = user
        self._obj = obj
        self._height = height
        self._cells: dict[str, dict[int, str | None]] = defaultdict(dict)
        self._keys: dict[Relationship, dict[int, str | None]] = defaultdict(dict)
        self._kinds: dict[str, Mapping[str, Any] | None] = {}
        self.errors: dict[int, ApiError] = {}

    def read(self, row: int, name: str, value: Any) -> None:
        """Take one value in.

        Raises:
            ApiError: there is no such field, or it cannot hold the value.
        """
        known = self._kinds[name] if name in self._kinds else self._field(name)
        if known is not None:
            if isinstance(value, list | dict):
                raise ApiError(400, "JSON_PARSER_ERROR", f"Cannot deserialize a value of {known['name']}", [])
            self._cells[known["name"]][row] = canonical(known, value)
            return
        relationship, key = relationship_of(self._obj, name, value)
        self._keys[relationship][row] = key

    def _field(self, name: str) -> Mapping[str, Any] | None:
        found = self._obj.find(name)
        if found is not None and not self._user.reads_field(self._obj.name, found["name"]):
            found = None
        self._kinds[name] = found
        return found

    def finish(self) -> Given:
        """The columns."""
        given = Given(self._height)
        given.refusals.add_errors(self.errors, self._height)
        for name, cells in self._cells.items():
            given.add(name, *self._column(cells))
        for relationship, cells in self._keys.items():
            keys, gives = self._column(cells)
            resolve(self._org, given, relationship, keys, gives)
        return given

    def _column(self, cells: Mapping[int, str | None]) -> tuple[pl.Series, pl.Series | None]:
        if len(cells) == self._height:
            return pl.Series(list(cells.values()), dtype=pl.String), None
        rows = range(self._height)
        return pl.Series([cells.get(r) for r in rows], dtype=pl.String), pl.Series([r in cells for r in rows])


def resolve(org: Org, given: Given, relationship: Relationship, keys: pl.Series, gives: pl.Series | None) -> None:
    """Turn the external ids of a relationship column into record ids; rows whose parent is not found are refused."""
    found = relationship.ids(org, keys)
    lost = keys.is_not_null() & found.is_null()
    if lost.any():
        given.refusals.add(lost, "INVALID_FIELD", relationship.lost(keys), None)
    given.add(relationship.field, found, gives)


def given_text(
    org: Org,
    user: User,
    obj: SObject,
    columns: Mapping[str, pl.Series],
    height: int,
    *,
    failed: Callable[[str], Exception],
) -> Given:
    """CSV columns by header: an empty value is not set, `#N/A` empties the field.

    Raises:
        Exception: what `failed` makes of the first header that names nothing, in a sentence.
    """
    given = Given(height)
    for name, texts in columns.items():
        present = texts.fill_null("") != ""
        values = texts.set(~present | (texts == NULL).fill_null(value=False), None)
        known = obj.find(name)
        if known is not None and user.reads_field(obj.name, known["name"]):
            stored, wrong = canonical_column(known, values)
            if wrong is not None:
                given.refusals.add_errors(wrong, height)
            given.add(known["name"], stored, present)
        else:
            resolve(org, given, Relationship.of_header(obj, name, failed), values, present)
    return given
