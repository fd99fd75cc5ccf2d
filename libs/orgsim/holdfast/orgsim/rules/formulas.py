"""Formula fields: worked out whenever something that they read changes. That moves no stamp.

A record's own formulas are worked out with its save. Formulas of other records that look up at a saved record, and
those that ask for today's date, are worked out afterwards; the ledger tells of them with a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.schema.formulas import TODAY_COLUMN, Formula, compiled
from holdfast.orgsim.schema.objects import SObject

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

NOTE = "formula: {} changed"
CLOCK_NOTE = "formula: the date changed"


def own_formulas(batch: Batch) -> None:
    """The formulas of the records that are saved."""
    if batch.obj.traits.formulas:
        batch.after = calculate(batch.org, batch.obj, batch.after)


def formulas_again(batch: Batch) -> None:
    """The formulas of records that the platform changed past the checks, e.g. whose lookup was cleared."""
    if batch.operation == "update" and not batch.given and batch.obj.traits.formulas:
        _store(batch.org, batch.obj, batch.after, NOTE.format(batch.obj.name), who=batch.user.id)


def formulas_below(batch: Batch) -> None:
    """The formulas of records that look up at the saved ones."""
    for obj, formulas, lookups in _looking_up(batch.org, batch.obj):
        changed = _changed_ids(batch, formulas, lookups)
        ids = changed
        for holder, lookup in reversed(lookups):
            ids = batch.org.table(holder).where_in(lookup, ids)["Id"] if len(ids) else ids
        if len(ids):
            rows = batch.org.table(obj).fetch(ids)
            _store(batch.org, obj, rows, NOTE.format(batch.obj.name), who=batch.user.id)


def today_formulas(org: Org) -> None:
    """Formulas that ask for the date, if the org's day has changed since they were last worked out."""
    today = org.clock.now().date()
    if org.formula_day == today:
        return
    org.formula_day = today
    for obj in list(org.schema.objects.values()):
        if obj.traits.formulas and obj.name in org.tables and any(f.asks_today for f in formulas_of(org, obj)):
            _store(org, obj, org.table(obj).frame(), CLOCK_NOTE, who=org.admin.id)


def recalculate(org: Org, obj: SObject) -> None:
    """Work out all formulas of an object anew, as after a change of their definition."""
    if obj.traits.formulas and obj.name in org.tables:
        _store(org, obj, org.table(obj).frame(), "formula: defined", who=org.admin.id)


def formulas_met(org: Org, obj: SObject, before: pl.DataFrame | None, after: pl.DataFrame) -> None:
    """After a late commit: formulas of its rows, and of records that look up at them and were saved in between."""
    if obj.traits.formulas:
        _store(org, obj, org.table(obj).fetch(after["Id"]), NOTE.format(obj.name), who=org.admin.id)
    formulas_below(Batch(org, obj, org.admin, "platform", "update", after, before))


def calculate(org: Org, obj: SObject, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with their formula fields as the other columns make them."""
    formulas = formulas_of(org, obj)
    if not formulas or not rows.height:
        return rows
    columns = rows.columns
    joined = rows.with_columns(pl.lit(org.clock.now().date(), dtype=pl.Date).alias(TODAY_COLUMN))
    for path in sorted({path for f in formulas for path in f.paths if len(path) > 1}):
        joined = _with_parent(org, obj, joined, path)
    for formula in formulas:
        joined = joined.with_columns(formula.text.alias(formula.name))
    return joined.select(columns)


def formulas_of(org: Org, obj: SObject) -> Sequence[Formula]:
    """The compiled formulas of an object, those that others read first."""
    key = (obj.name, obj.version, len(obj.traits.formulas))
    known: Sequence[Formula] | None = org.compiled_formulas.get(key)
    if known is None:
        by_name = {name: compiled(org.schema, obj, name) for name in obj.traits.formulas}
        known = org.compiled_formulas[key] = _in_order(by_name)
    return known


def _in_order(by_name: dict[str, Formula]) -> list[Formula]:
    ordered: list[Formula] = []
    waiting = dict(by_name)
    while waiting:
        ready = [n for n, f in waiting.items() if not (f.own_inputs - {n}) & waiting.keys()]
        for name in ready or list(waiting):  # a circle is worked out in the order of its definition
            ordered.append(waiting.pop(name))
    return ordered


def _with_parent(org: Org, obj: SObject, rows: pl.DataFrame, path: tuple[str, ...]) -> pl.DataFrame:
    """Rows with a column `A.B.Field` of a parent, joined step by step."""
    full = ".".join(path)
    if full in rows.columns:
        return rows
    objects, key = [obj], ""
    for depth, step in enumerate(path[:-1]):
        lookup = _lookup(objects, step)
        key = ".".join((*path[:depth], lookup["name"]))
        if depth:
            rows = _with_parent(org, obj, rows, (*path[:depth], lookup["name"]))
        objects = [o for name in lookup["referenceTo"] if (o := org.schema.find(name)) is not None]
    parents = _parents(org, objects, rows[key], path[-1], full)
    return rows.join(parents, left_on=key, right_on="$parent", how="left", maintain_order="left")


def _parents(org: Org, objects: Sequence[SObject], ids: pl.Series, name: str, full: str) -> pl.DataFrame:
    wanted = ids.drop_nulls().unique()
    empty = pl.DataFrame(schema={"$parent": pl.String, full: pl.String})
    holders = [o for o in objects if name in o.fields and o.name in org.tables]
    found = [org.table(o).fetch(wanted).select(pl.col("Id").alias("$parent"), pl.col(name).alias(full))
             for o in holders]  # fmt: skip
    return pl.concat([empty, *found])


def _lookup(objects: Sequence[SObject], step: str) -> dict[str, Any]:
    return next(f for o in objects for f in o.references() if f["relationshipName"] == step)


def _looking_up(org: Org, parent: SObject) -> Iterator[tuple[SObject, list[tuple[Formula, str]], list[Any]]]:
    """Each object with formulas over `parent`: with the field each reads there, and the lookups from it to there."""
    for obj in list(org.schema.objects.values()):
        if not obj.traits.formulas or obj.name not in org.tables:
            continue
        routes: dict[tuple[str, ...], list[tuple[Formula, str]]] = {}
        for formula in formulas_of(org, obj):
            for path in formula.paths:
                for depth in range(1, len(path)):
                    routes.setdefault(path[:depth], []).append((formula, path[depth]))
        for route, formulas in routes.items():
            lookups, objects = [], [obj]
            for step in route:
                field = _lookup(objects, step)
                lookups.append((next(o for o in objects if field["name"] in o.fields), field["name"]))
                objects = [o for name in field["referenceTo"] if (o := org.schema.find(name)) is not None]
            if parent in objects:
                yield obj, formulas, lookups


def _changed_ids(batch: Batch, formulas: Sequence[tuple[Formula, str]], lookups: Sequence[Any]) -> pl.Series:
    """Ids of saved records of which something changed that the formulas read."""
    if batch.before is None:
        return batch.after["Id"].clear()  # nothing looks up at a record that has just come
    names = {batch.obj.fields[name]["name"] for _, name in formulas if name in batch.obj.fields}
    names |= {f["name"] for f in batch.obj.references() if f["relationshipName"] in {name for _, name in formulas}}
    masks = [batch.changed(name) for name in names if name in batch.after.columns]
    if not masks:
        return batch.after["Id"].clear()
    return batch.after["Id"].filter(pl.DataFrame([m.alias(str(i)) for i, m in enumerate(masks)]).select(
        pl.any_horizontal(pl.all())).to_series())  # fmt: skip


def _store(org: Org, obj: SObject, rows: pl.DataFrame, note: str, *, who: str) -> None:
    """Work the formulas of rows out and keep those that changed."""
    after = calculate(org, obj, rows)
    names = [f.name for f in formulas_of(org, obj)]
    moved = pl.select(pl.any_horizontal(after[n].ne_missing(rows[n]) for n in names)).to_series()
    if moved.any():
        before, after = rows.filter(moved), after.filter(moved)
        org.transactions.save(obj, "update", before, after, who=who, api="platform", notes=note)
        formulas_below(Batch(org, obj, org.admin, "platform", "update", after, before))
