"""The queries that read an object: whole, since a watermark, or on from the last durable record. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import quote

from holdfast.extractor.keys import KeyField, following
from holdfast.extractor.legs import WHOLE, Leg
from holdfast.extractor.literals import moment_literal
from holdfast.vault.page import STAMP_FIELDS


@dataclass(frozen=True)
class Position:
    """The last record that is durable, in the order of the query: where a new query goes on.

    Of records without an id `record_id` is the text of their key (`keys.place_of`).
    """

    record_id: str
    stamp: datetime | None


@dataclass(frozen=True)
class ObjectQuery:
    """What to read of one object.

    Attributes:
        object: API name.
        fields: Names in the order of the SELECT.
        since: Inclusive lower bound of the stamp, overlap already subtracted; None reads all. Records whose stamp is
            empty come only with a reading of all: Salesforce stamps every record that it saves, and should one lack
            it, the count that follows the reading says so.
        living: Leave out deleted records; what is archived (activities) belongs to the living.
        archives: The object may have archived records, which Salesforce shows only where it shows deleted ones.
        leg: The ids to read.
        key: Of an object whose records have no id: its index, in the order of which it is read.
    """

    object: str
    fields: tuple[str, ...]
    since: datetime | None = None
    living: bool = False
    archives: bool = False
    leg: Leg = WHOLE
    key: tuple[KeyField, ...] = ()

    def of_the_living(self, fields: tuple[str, ...]) -> ObjectQuery:
        """The same for all living records, with other fields."""
        archives = {"IsArchived", "IsDeleted"} <= set(self.fields)
        return replace(self, fields=fields, since=None, living=True, archives=archives)

    @property
    def all_rows(self) -> bool:
        """Whether it is one for `queryAll`."""
        return not self.key and (not self.living or self.archives)

    def counting(self) -> str:
        """The query for the number of records; not for Bulk."""
        whole = replace(self, leg=WHOLE)
        return whole._select(whole._conditions(), "COUNT()")

    @property
    def stamp(self) -> str | None:
        """The field that says when a record last changed."""
        return None if self.key else stamp_of(self.fields)

    def ordered(self, after: Position | None = None) -> str:
        """The query for REST: in order of (stamp, Id), so that a lost cursor can be resumed.

        Args:
            after: Read only what comes after this record.
        """
        if self.key:
            return self.by_key(None)[0]
        conditions = self._conditions()
        if after is not None:
            conditions.append(self._after(after))
        # A list of the living is taken up after the last id, so that a change meanwhile repeats or skips none.
        order = f"{self.stamp}, Id" if self.stamp and not self.living else "Id"
        return f"{self._select(conditions)} ORDER BY {order}"

    def by_key(self, after: Position | None) -> list[str]:
        """The queries, one after the other, for all records in the order of the index, or for those from `after` on.

        Big objects take conditions on the first fields of the index only: equations, and at the end one comparison.
        So what follows a key is asked for in as many queries as it has fields.
        """
        order = ", ".join(f"{each.name} {'DESC' if each.descending else 'ASC'}" for each in self.key)
        ranges = [[]] if after is None else following(self.key, after.record_id)
        return [f"{self._select(conditions)} ORDER BY {order}" for conditions in ranges]

    def unordered(self) -> str:
        """The query for Bulk 2.0: an ORDER BY would switch off its own splitting of large objects."""
        return self._select(self._conditions())

    def filtered(self, field: str, values: Sequence[str]) -> str:
        """The query for records with one of these values in `field`: by `=` where it is one, else by `IN`."""
        quoted = ["'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" for value in values]
        wanted = f"{field} = {quoted[0]}" if len(quoted) == 1 else f"{field} IN ({','.join(quoted)})"
        return self._select([wanted, *self._conditions()])

    def ends(self) -> tuple[str, str]:
        """The queries for the first and the last id of the leg, whatever their stamp."""
        select = f"SELECT Id FROM {self.object}{_where(self._leg())} ORDER BY Id"  # noqa: S608 - the name comes from the org
        return f"{select} ASC LIMIT 1", f"{select} DESC LIMIT 1"

    def _select(self, conditions: Sequence[str], what: str = "") -> str:
        where = _where(conditions)
        return f"SELECT {what or ','.join(self.fields)} FROM {self.object}{where}"  # noqa: S608 - names come from the org's describe

    def _conditions(self) -> list[str]:
        since = [] if self.since is None else [f"{self.stamp} >= {moment_literal(self.since)}"]
        living = ["IsDeleted = false"] if self.living and self.archives else []
        return since + living + self._leg()

    def _leg(self) -> list[str]:
        low = [f"Id >= '{self.leg.low}'"] if self.leg.low else []
        return low + ([f"Id < '{self.leg.high}'"] if self.leg.high else [])

    def _after(self, last: Position) -> str:
        if self.stamp is None or self.living:
            return f"Id > '{last.record_id}'"
        if last.stamp is None:  # records without a stamp come first, whatever their ids
            return f"({self.stamp} != null OR Id > '{last.record_id}')"
        at = moment_literal(last.stamp)
        return f"({self.stamp} > {at} OR ({self.stamp} = {at} AND Id > '{last.record_id}'))"


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def stamp_of(fields: Collection[str]) -> str | None:
    """The stamp field of an object with these fields; None if every run must read it whole."""
    return next((name for name in STAMP_FIELDS if name in fields), None)


def url_length(soql: str) -> int:
    """Characters that the query takes in a URL, where REST wants it."""
    return len(quote(soql, safe=""))
