"""The SELECT list: which columns are answered, under which names, with which child rows and variants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from holdfast.orgsim.errors import ApiError, unsupported_object
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql import ast, functions
from holdfast.orgsim.soql.columns import Columns
from holdfast.orgsim.soql.limits import check_parents
from holdfast.orgsim.soql.messages import invalid_field, located, malformed, unknown_relationship
from holdfast.orgsim.soql.result import Children, Item, Output, Result, StoredRows, Variants

if TYPE_CHECKING:
    from holdfast.orgsim.soql.evaluate import Asker

FEW_PARENTS = 2_000
HELD_CELLS = 6_000_000


@dataclass(frozen=True)
class ChildrenOf:
    """The rows of a child query belong to parents: the lookup, and the parents wanted, or None for all."""

    lookup: str
    parents: pl.Series | None


Evaluate = Callable[["Asker", SObject, ast.Query, "ChildrenOf | None"], Result]


class Selection:
    """The answered columns of one query."""

    def __init__(self, asker: Asker, columns: Columns, query: ast.Query, evaluate: Evaluate) -> None:
        self._asker, self._columns, self._query, self._evaluate = asker, columns, query, evaluate
        self._items: list[Output | ast.SubqueryItem | ast.TypeofItem] = []
        for item in query.items:
            self._items += self._select(item)
        self._refuse_duplicates()
        check_parents(columns)
        self._parents = dict(self._named_parents())

    def result(self, rows: pl.DataFrame | StoredRows) -> Result:
        """The answer over `rows`, which hold every column of `columns`."""
        items: list[Item] = []
        for item in self._items:
            if isinstance(item, Output):
                items.append(item)
            elif isinstance(item, ast.SubqueryItem):
                items.append(self._children(item.query, rows))
            else:
                items.append(self._variants(item))
        return Result(self._columns.obj.name, rows, items, rows.height, parents=self._parents)

    def _select(self, item: ast.Item) -> Iterator[Output | ast.SubqueryItem | ast.TypeofItem]:
        if isinstance(item, ast.FieldItem):
            column = self._columns.resolve(item.path)
            yield Output(str(item.path), tuple(column.name.split(".")), column)
        elif isinstance(item, ast.CallItem):
            yield self._call(item)
        elif isinstance(item, ast.FieldsItem):
            yield from self._all_fields(item)
        elif isinstance(item, ast.TypeofItem):
            self._columns.lookup_of(item.relationship)
            yield item
        else:
            yield item

    def _call(self, item: ast.CallItem) -> Output:
        call = item.call
        if functions.is_date_function(call):
            raise located(malformed("Date functions are only allowed with GROUP BY"), self._query.text, call.at)
        column = self._columns.value(call)
        name = item.alias or (column.name if call.function in functions.SHOWN_AS_IS else "expr0")
        return Output(name, tuple(name.split(".")), column)

    def _all_fields(self, item: ast.FieldsItem) -> Iterator[Output]:
        obj, user = self._columns.obj, self._columns.user
        for name, definition in obj.fields.items():
            if item.kind != "ALL" and (item.kind == "CUSTOM") != definition["custom"]:
                continue
            if user.reads_field(obj.name, name):
                yield Output(name, (name,), self._columns.resolve((name,)))

    def _refuse_duplicates(self) -> None:
        seen: set[str] = set()
        for item in self._items:
            if isinstance(item, Output):
                name = ".".join(item.path)
                if name.lower() in seen:
                    raise invalid_field(f"duplicate field selected: {name}")
                seen.add(name.lower())

    def _named_parents(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Each parent's id is kept, to tell an absent parent from one with empty fields."""
        for item in self._items:
            if isinstance(item, Output) and item.column.name == ".".join(item.path):
                for depth in range(1, len(item.path)):
                    yield item.path[:depth], self._columns.joins[".".join(item.path[:depth])].key

    def _children(self, query: ast.Query, rows: pl.DataFrame | StoredRows) -> Children:
        relationship, lookup, obj = self._child_relationship(query)
        table = self._asker.org.table(obj)
        few = isinstance(rows, pl.DataFrame) and rows.height <= FEW_PARENTS
        heavy = len(table) * (len(query.items) + 1) > HELD_CELLS
        parents = rows["Id"] if few and isinstance(rows, pl.DataFrame) else pl.Series("Id", [], dtype=pl.String)
        held = self._evaluate(self._asker, obj, query, ChildrenOf(lookup, parents if few or heavy else None))

        asker = self._of_this_moment() if heavy and not few else self._asker
        latest: list[tuple[pl.Series, pl.DataFrame]] = []  # a page asks twice: what fits on it, then what to print

        def of(ids: pl.Series) -> Result:
            if heavy and not few:
                return self._evaluate(asker, obj, query, ChildrenOf(lookup, ids))
            rows = latest[-1][1] if latest and ids.is_in(latest[-1][0].implode()).all() else held.frame
            frame = rows.filter(pl.col(lookup).is_in(ids.implode()))
            latest[:] = [(ids, frame)]
            return replace(held, rows=frame, total=frame.height)

        return Children(relationship, lookup, of)

    def _child_relationship(self, query: ast.Query) -> tuple[str, str, SObject]:
        parent, name = self._columns.obj, query.object.rpartition(".")[2]
        known = (r for r in parent.child_relationships if (r["relationshipName"] or "").lower() == name.lower())
        entry = next(known, None)
        obj = None if entry is None else self._asker.org.schema.find(entry["childSObject"])
        if entry is None or obj is None:
            message = unknown_relationship(name, "FROM part of query call")
            raise located(ApiError(400, "INVALID_TYPE", message), self._query.text, query.at)
        if not self._columns.user.reads(obj.name) or obj.find(entry["field"]) is None:
            raise located(unsupported_object(name), self._query.text, query.at)
        return entry["relationshipName"], entry["field"], obj

    def _variants(self, item: ast.TypeofItem) -> Variants:
        column = self._columns.lookup_of(item.relationship)
        relationship, kinds = column.field["relationshipName"], column.field["referenceTo"]
        chosen = {name.lower(): paths for name, paths in item.cases}
        for name, _ in item.cases:
            if name.lower() not in {kind.lower() for kind in kinds}:
                raise located(unsupported_object(name), self._query.text, item.at)
        readers = {}
        asker = replace(self._of_this_moment(), include_deleted=True)
        for kind in kinds:
            obj = self._asker.org.schema.find(kind)
            paths = chosen.get(kind.lower(), item.otherwise)
            if obj is None or obj.key_prefix is None or not paths or not self._columns.user.reads(obj.name):
                continue
            if kind.lower() not in chosen:
                paths = tuple(p for p in paths if len(p) > 1 or obj.find(p[0]) is not None)
            readers[obj.key_prefix] = self._variant(asker, obj, paths)
            readers[obj.key_prefix](pl.Series("Id", [], dtype=pl.String))
        return Variants(relationship, column.name, readers)

    def _of_this_moment(self) -> Asker:
        """For rows that are read when their page is asked for: later saves must not reach them."""
        return replace(self._asker, org=self._asker.org.at_this_moment())

    def _variant(self, asker: Asker, obj: SObject, paths: tuple[ast.Path, ...]) -> Callable[[pl.Series], Result]:
        items = tuple(ast.FieldItem(p) for p in paths)

        def of(ids: pl.Series) -> Result:
            named = tuple(ast.Literal("string", i) for i in ids)
            where = ast.Membership(ast.Path(("Id",)), "in", named)
            return self._evaluate(asker, obj, ast.Query(items, obj.name, where=where, text=self._query.text), None)

        return of
