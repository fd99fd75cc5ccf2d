"""Saves: insert, update, upsert, of one record or of many. Every save is a batch; one record is a batch of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from holdfast.orgsim import ids
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.sharing import sees
from holdfast.orgsim.errors import ApiError, not_found
from holdfast.orgsim.org import Org
from holdfast.orgsim.rules.batch import Batch, SaveOptions
from holdfast.orgsim.rules.platform import AFTER_SAVE, BEFORE_SAVE
from holdfast.orgsim.saving import keyed
from holdfast.orgsim.saving.given import Given, given_records
from holdfast.orgsim.saving.newrows import new_rows, touched
from holdfast.orgsim.saving.outcomes import Outcomes
from holdfast.orgsim.saving.parents import comparable, matching
from holdfast.orgsim.saving.transaction import LOCKED, LOCKED_SENTENCE, RowLockedError
from holdfast.orgsim.schema.columns import canonical_column
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.living import deleted_ids
from holdfast.orgsim.store.table import Row

CHUNK_ROWS = 200  # one transaction of the platform
MOST_REPEATS = 12  # updates of one record in a chunk
NOT_THERE = "Provided external ID field does not exist or is not accessible: "


class AmbiguousKeyError(Exception):
    """An external id that more than one record carries."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__(f"{len(ids)} records")
        self.ids = ids


class Writer:
    """Saves records on behalf of a user. `api` names the way in, for the ledger.

    `…_many` save batches in which each row has its own outcome; they are not all-or-none unless they are called
    within `all_or_none`. The calls for one record raise what refused it.
    """

    def __init__(self, org: Org, user: User, api: str, options: SaveOptions | None = None) -> None:
        self.org = org
        self.user = user
        self.api = api
        self.options = options or SaveOptions()

    def given(self, obj: SObject, records: Sequence[Mapping[str, Any]]) -> Given:
        """JSON records as columns."""
        return given_records(self.org, self.user, obj, records)

    def insert(self, obj: SObject, values: Mapping[str, Any]) -> str:
        """Save a new record; its id.

        Raises:
            ApiError: a rule refused it; nothing was saved.
        """
        return self.insert_many(obj, self.given(obj, [values])).single()[0]

    def update(self, record_id: str, values: Mapping[str, Any], obj: SObject | None = None) -> None:
        """Change a living record. Its stamp moves even if no value does.

        Raises:
            ApiError: 404 for an unknown or deleted record, or a rule refused it.
        """
        found, _ = self.living(record_id, obj)
        self.update_many(found, pl.Series([record_id]), self.given(found, [values])).single()

    def upsert(self, obj: SObject, field_name: str, key: str, values: Mapping[str, Any]) -> tuple[str, bool]:
        """Save by external id: (id, whether it was created).

        Raises:
            AmbiguousKeyError: several records carry the key.
            ApiError: the field is no key, or a rule refused the record.
        """
        field = self.key_field(obj, field_name)
        if field["name"] != "Id":
            found = self.ids_by(obj, field, key)
            if len(found) > 1:
                raise AmbiguousKeyError(found)
        plain = {name: value for name, value in values.items() if name.lower() != field["name"].lower()}
        return self.upsert_many(obj, field_name, pl.Series([key]), self.given(obj, [plain])).single()

    def insert_many(self, obj: SObject, given: Given) -> Outcomes:
        """Save new records; those of a big object replace the ones with their keys."""
        if obj.traits.index:
            keys = keyed.keys_of(obj, given.columns, given.height)
            return _in_turns(given, keys, keys, lambda part, part_keys: self._put_by_key(obj, part_keys, part))
        return self._insert(obj, given)

    def _put_by_key(self, obj: SObject, keys: pl.Series, given: Given) -> list[pl.DataFrame]:
        found = keyed.held(self.org, obj, keys)
        known, fresh = found.is_not_null().arg_true(), found.is_null().arg_true()
        parts = [self._insert(obj, given.take(fresh)).frame] if len(fresh) else []
        if len(known):
            parts += self._update(obj, found.gather(known), keyed.without_nulls(given.take(known)))
        return parts

    def _insert(self, obj: SObject, given: Given) -> Outcomes:
        self._refuse(not obj.describe["createable"], given, obj, "create")
        good = given.standing()
        batch = Batch(self.org, obj, self.user, self.api, "insert", new_rows(self.org, self.user, obj, good),
                      given=frozenset(good.columns), gives=good.gives, options=self.options)  # fmt: skip
        kept = self._save(batch)
        numbers = good.rows if kept is batch else good.rows.filter(batch.standing())
        saved = pl.DataFrame({"row": numbers, "id": kept.after["Id"]}).with_columns(created=pl.lit(value=True))
        return Outcomes.gather([saved, _refused(batch, good), given.refused()])

    def update_many(self, obj: SObject, record_ids: pl.Series, given: Given) -> Outcomes:
        """Change living records, named by ids of 15 or 18 characters.

        Within a chunk of 200 rows a record can be changed up to 12 times, in the order of the rows.
        """
        wanted = ids.normalised(record_ids)
        given.refusals.add(record_ids.fill_null("") == "", "MISSING_ARGUMENT", "Id not specified in an update call")
        given.refusals.add(wanted.is_null(), "MALFORMED_ID", "malformed id " + record_ids.fill_null(""))
        self._refuse(not obj.describe["updateable"], given, obj, "update")

        chunks = given.rows.cast(pl.Int64) // CHUNK_ROWS
        repeats = _occurrences(wanted, chunks) >= MOST_REPEATS
        sentence = (
            f"Maximum number of duplicate updates in one batch ({MOST_REPEATS} allowed). Attempt to update Id more "
            "than once in this Api call: " + wanted.fill_null("")
        )
        given.refusals.add(repeats, "DUPLICATE_VALUE", sentence)
        return _in_turns(given, wanted, wanted, lambda part, part_ids: self._update(obj, part_ids, part))

    def upsert_many(self, obj: SObject, field_name: str, keys: pl.Series, given: Given) -> Outcomes:
        """Save by external id: a row whose key no record carries becomes a new record with that key.

        `given` lacks the key field. Within a chunk of 200 rows every row whose key occurs twice is refused. By `Id`, a
        row without one is new.

        Raises:
            ApiError: 404, the field is no key.
        """
        field = self.key_field(obj, field_name)

        sent = plain = keys.set((keys == "").fill_null(value=False), None)
        if field["name"] != "Id":
            given.refusals.add(plain.is_null(), "MISSING_ARGUMENT", f"{field['name']} not specified")
            plain, wrong = canonical_column(field, plain)
            given.refusals.add_errors(wrong or {}, given.height)
        same = comparable(field, plain)
        double = _occurrences(same, given.rows.cast(pl.Int64) // CHUNK_ROWS, most=True) > 1
        sentence = "Duplicate external id specified: " + sent.fill_null("")
        given.refusals.add(double, "DUPLICATE_VALUE", sentence, [field["name"]])
        return _in_turns(given, plain, same, lambda part, part_keys: self._upsert(obj, field, part_keys, part))

    def key_field(self, obj: SObject, name: str) -> dict[str, Any]:
        """The field that an upsert goes by.

        Raises:
            ApiError: 404, it is no key.
        """
        field = obj.find(name)
        if field is None or not (field["externalId"] or field["idLookup"] or field["name"] == "Id"):
            raise not_found(NOT_THERE + name)
        return field

    def ids_by(self, obj: SObject, field: Mapping[str, Any], key: str) -> list[str]:
        """Living records whose field holds `key`."""
        found = matching(self.org, obj, field, pl.Series([key]))
        return list(found["ids"][0]) if found.height else []

    def living(self, record_id: str, obj: SObject | None = None) -> tuple[SObject, Row]:
        """A record that exists and is not deleted.

        Raises:
            ApiError: 404 NOT_FOUND or ENTITY_IS_DELETED.
        """
        found = self.org.find(record_id)
        if found is None or (obj is not None and found[0] is not obj) or not self.user.reads(found[0].name):
            raise not_found(NOT_THERE + record_id)
        if not sees(self.org, found[0], self.user, record_id):
            raise not_found(NOT_THERE + record_id)
        if found[1].get("IsDeleted") == "true":
            raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", [])
        return found

    def _update(self, obj: SObject, wanted: pl.Series, given: Given) -> list[pl.DataFrame]:
        before = self._found(obj, wanted, given)
        good = given.standing()
        if good.height != before.height:
            before = before.filter(pl.col("Id").is_in(wanted.filter(~given.refusals.mask(given.height)).implode()))
        after = before.with_columns(
            [
                values if name not in good.gives else before[name].zip_with(~good.gives[name], values)
                for name, values in good.columns.items()
            ]
        )
        batch = Batch(self.org, obj, self.user, self.api, "update", after, before, frozenset(good.columns), good.gives,
                      self.options)  # fmt: skip
        kept = self._save(batch)
        numbers = good.rows if kept is batch else good.rows.filter(batch.standing())
        saved = pl.DataFrame({"row": numbers, "id": kept.after["Id"]})
        sent = pl.DataFrame({"row": given.rows, "id": wanted})
        refused = pl.concat([_refused(batch, good), given.refused()]).join(sent, on="row", how="left")
        return [saved, refused]

    def _found(self, obj: SObject, wanted: pl.Series, given: Given) -> pl.DataFrame:
        """The living rows of those that stand, in their order; the others are refused."""
        asked = wanted.filter(~given.refusals.mask(given.height)) if given.refusals else wanted
        found = self.org.table(obj).fetch(asked)
        if not self.user.reads(obj.name):
            found = found.clear()
        locked = self.org.transactions.locked(wanted)
        if locked is not None:
            given.refusals.add(locked, LOCKED, LOCKED_SENTENCE)
        if found.height < len(asked):
            lost = wanted.is_not_null() & ~wanted.is_in(found["Id"].implode())
            given.refusals.add(lost, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        gone = deleted_ids(found)
        if len(gone):
            given.refusals.add(wanted.is_in(gone.implode()), "ENTITY_IS_DELETED", "entity is deleted", status=404)
        return found

    def _upsert(self, obj: SObject, field: Mapping[str, Any], keys: pl.Series, given: Given) -> list[pl.DataFrame]:
        if field["name"] == "Id":
            known, found = keys.is_not_null(), keys
        else:
            matched = matching(self.org, obj, field, keys)
            found_ids = keys.alias("key").to_frame().join(matched, on="key", how="left", maintain_order="left")["ids"]
            many = (found_ids.list.len() > 1).fill_null(value=False)
            if many.any():
                listed = pl.Series([str(list(i)) if i is not None else "" for i in found_ids.to_list()])
                sentence = f"{field['name']}: more than one record found for external id field: " + listed
                given.refusals.add(many, "DUPLICATE_EXTERNAL_ID", sentence)
            found = found_ids.list.first()
            known = found.is_not_null()
        fresh = given.take((~known).arg_true())
        if field["name"] != "Id":
            fresh.add(field["name"], keys.filter(~known))
        parts = [self.insert_many(obj, fresh).frame] if fresh.height else []
        places = known.arg_true()
        if len(places):
            parts.append(self.update_many(obj, found.gather(places), given.take(places)).frame)
        return parts

    def _refuse(self, refused: bool, given: Given, obj: SObject, what: str) -> None:
        if refused:
            message = f"entity type {obj.name} does not support {what}"
            everything = pl.Series([True]).new_from_index(0, given.height)
            given.refusals.add(everything, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message, None)

    def _save(self, batch: Batch) -> Batch:
        """Check a batch, save what stands, and run what follows a save; the rows that were kept."""
        for rule in BEFORE_SAVE:
            rule(batch)
        kept = batch.kept()
        if kept.height:
            if kept.operation == "update":
                kept.after = touched(self.org, self.user, kept.after)
            try:
                self._keep(kept)
            except RowLockedError:
                self._keep_unlocked(batch, kept)
                kept = batch.kept()
        return kept

    def _keep(self, batch: Batch) -> None:
        """Save a batch that was checked, and run what follows a save."""
        with self.org.transactions.together():
            self.org.transactions.save(
                batch.obj, batch.operation, batch.before, batch.after, who=self.user.id, api=self.api
            )
            for rule in AFTER_SAVE:
                rule(batch)

    def _keep_unlocked(self, batch: Batch, kept: Batch) -> None:
        """Save row by row, and refuse those of which something else that they change waits for a late commit."""
        places, locked = batch.standing().arg_true().to_list(), [False] * batch.height
        for row, place in enumerate(places):
            try:
                self._keep(kept.filtered(pl.int_range(kept.height, eager=True) == row))
            except RowLockedError:
                locked[place] = True
        batch.refuse(pl.Series(locked, dtype=pl.Boolean), LOCKED, LOCKED_SENTENCE)


def _refused(batch: Batch, given: Given) -> pl.DataFrame:
    frame = batch.refusals.frame()
    return frame.with_columns(given.rows.gather(frame["row"]).alias("row"))


def _occurrences(keys: pl.Series, chunks: pl.Series, *, most: bool = False) -> pl.Series:
    """How often each row's key came before in its chunk, or (`most`) comes in it in all; 0 for rows without a key."""
    frame = pl.DataFrame({"key": keys, "chunk": chunks})
    if not keys.drop_nulls().is_duplicated().any():
        return pl.Series([0]).new_from_index(0, len(keys))
    count = pl.len() if most else pl.int_range(pl.len())
    return frame.select(pl.when(pl.col("key").is_null()).then(0).otherwise(count.over("key", "chunk"))).to_series()


def _in_turns(
    given: Given, keys: pl.Series, same: pl.Series, save: Callable[[Given, pl.Series], list[pl.DataFrame]]
) -> Outcomes:
    """Save all rows at once, but those whose record came before (as told by `same`) after it."""
    if not same.drop_nulls().is_duplicated().any():
        return Outcomes.gather(save(given, keys))
    turns = _occurrences(same, pl.Series([0]).new_from_index(0, len(same)))
    parts: list[pl.DataFrame] = []
    for turn in sorted(turns.unique().to_list()):
        places = (turns == turn).arg_true()
        parts += save(given.take(places), keys.gather(places))
    return Outcomes.gather(parts)
