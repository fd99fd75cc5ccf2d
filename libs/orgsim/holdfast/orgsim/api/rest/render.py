"""Query rows as REST prints them. A page is made column by column: no row becomes a Python object on the way."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl

from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.fields import COMPOUND_TYPES
from holdfast.orgsim.soql.columns import Column, compound_parts
from holdfast.orgsim.soql.conditions import NUMBERS
from holdfast.orgsim.soql.result import Children, Output, Result, Variants

Record = dict[str, Any]
MoreChildren = Callable[[Result, int], str]
EXACT_BELOW = 1e15  # doubles below it print as the stored decimal does, once their text was found to be the same
_RAW = secrets.token_hex(12)  # brackets JSON text inside a JSON string; no stored value can know it
_RAW_TEXT = re.compile(rf'"{_RAW}(.*?){_RAW}"'.encode(), re.DOTALL)


class Page:
    """Prints rows of results in one API version; `more` opens a cursor for children beyond `child_rows`."""

    def __init__(
        self, org: Org, version: str, child_rows: int = 2_000, more: MoreChildren | None = None, *, prefix: str = ""
    ) -> None:
        """`prefix` stands before `sobjects/` in the records' addresses: nothing, or `tooling/`."""
        self._org = org
        self._base = f"/services/data/v{version}/{prefix}sobjects/"
        self._child_rows = child_rows
        self._more = more
        self._texts: dict[str, bytes] = {}

    def rows(self, result: Result, frame: pl.DataFrame) -> bytes:
        """Rows of a result as JSON objects with commas between them."""
        return self._lines(result, frame).replace(b"\n", b",")

    def _lines(self, result: Result, frame: pl.DataFrame) -> bytes:
        if not frame.height:
            return b""
        text = frame.select(self._row(result, frame)).write_ndjson().encode().rstrip(b"\n")
        return _RAW_TEXT.sub(self._raw, text) if _RAW.encode() in text else text

    def _raw(self, found: re.Match[bytes]) -> bytes:
        name = found.group(1)
        return self._texts.get(name.decode(), name)

    def _row(self, result: Result, frame: pl.DataFrame) -> list[pl.Expr]:
        if result.aggregate:
            kind = pl.struct(pl.lit("AggregateResult").alias("type")).alias("attributes")
            return [kind, *(self._value(o.column, frame).alias(o.path[0]) for o in result.outputs)]
        attributes = self._attributes(pl.lit(result.object), pl.col("Id"))
        return [attributes, *self._members(result, frame, ())]

    def _attributes(self, kind: pl.Expr, record_id: pl.Expr) -> pl.Expr:
        url = pl.concat_str([pl.lit(self._base), kind, pl.lit("/"), record_id])
        return pl.struct(kind.alias("type"), url.alias("url")).alias("attributes")

    def _members(self, result: Result, frame: pl.DataFrame, prefix: tuple[str, ...]) -> list[pl.Expr]:
        """What stands in an object after its attributes, in the order of the SELECT."""
        made: dict[str, pl.Expr] = {}
        for item in result.items:
            if isinstance(item, Output):
                inside, name = item.path[:-1], item.path[-1]
                if inside == prefix:
                    made[name] = self._value(item.column, frame, result.object, prefix)
                elif inside[: len(prefix)] == prefix and inside[len(prefix)] not in made:
                    made[inside[len(prefix)]] = self._parent(result, frame, (*prefix, inside[len(prefix)]))
            elif not prefix and isinstance(item, Children):
                made[item.relationship] = pl.lit(self._children(item, frame["Id"]))
            elif not prefix and isinstance(item, Variants):
                made[item.relationship] = pl.lit(self._variants(item, frame[item.key]))
        return [expr.alias(name) for name, expr in made.items()]

    def _parent(self, result: Result, frame: pl.DataFrame, prefix: tuple[str, ...]) -> pl.Expr:
        key = pl.col(result.parents[prefix])
        prefixes = frame[result.parents[prefix]].str.slice(0, 3).drop_nulls().unique().to_list()
        names = {p: obj.name for p in prefixes if (obj := self._org.schema.by_prefix(p)) is not None}
        kind = key.str.slice(0, 3).replace_strict(names, default=None, return_dtype=pl.String)
        members = self._members(result, frame, prefix)
        return pl.when(key.is_not_null()).then(pl.struct([self._attributes(kind, key), *members]))

    def _value(
        self, column: Column, frame: pl.DataFrame, object_name: str = "", prefix: tuple[str, ...] = ()
    ) -> pl.Expr:
        if column.kind in COMPOUND_TYPES:
            return self._compound(column, frame, object_name, prefix)
        if column.kind == "base64":
            path = [pl.lit(f"{self._base}{object_name}/"), pl.col("Id"), pl.lit(f"/{column.field['name']}")]
            return pl.concat_str(path)
        return plain(column, frame)

    def _compound(self, column: Column, frame: pl.DataFrame, object_name: str, prefix: tuple[str, ...]) -> pl.Expr:
        owner = self._org.schema.objects[object_name]
        lead = "".join(f"{step}." for step in prefix)
        parts = {k: Column(lead + f["name"], f) for k, f in compound_parts(owner, column.field["name"]).items()}
        held = pl.any_horizontal([pl.col(c.name).is_not_null() for c in parts.values()] or [pl.lit(False)])
        values = [plain(c, frame).alias(k) for k, c in parts.items()]
        return pl.when(held).then(pl.struct(values)) if values else pl.lit(None)

    def _children(self, item: Children, ids: pl.Series) -> pl.Series:
        """Per parent: `{totalSize, done, records[, nextRecordsUrl]}`, or null without children."""
        found = item.of(ids)
        frame = found.frame
        printed: dict[str, list[bytes]] = {}
        if frame.height:
            for parent, line in zip(frame[item.lookup].to_list(), self._lines(found, frame).split(b"\n"), strict=True):
                printed.setdefault(parent, []).append(line)
        entries = {parent: self._child_page(found, item, parent, lines) for parent, lines in printed.items()}
        return pl.Series(item.relationship, [entries.get(i) for i in ids.to_list()], dtype=pl.String)

    def _child_page(self, found: Result, item: Children, parent: str, lines: list[bytes]) -> str:
        done = len(lines) <= self._child_rows or self._more is None
        url = b""
        if not done and self._more is not None:
            mine = found.frame.filter(pl.col(item.lookup) == parent)
            rest = Result(found.object, mine, found.items, mine.height, parents=found.parents)
            url = b'"nextRecordsUrl":"' + self._more(rest, self._child_rows).encode() + b'",'
        shown = b",".join(lines if done else lines[: self._child_rows])
        start = f'{{"totalSize":{len(lines)},"done":{str(done).lower()},'.encode()
        return self._keep(start + url + b'"records":[' + shown + b"]}")

    def _variants(self, item: Variants, keys: pl.Series) -> pl.Series:
        entries: dict[str, str] = {}
        wanted = keys.drop_nulls().unique()
        for prefix, of in item.by_prefix.items():
            mine = wanted.filter(wanted.str.starts_with(prefix))
            found = of(mine)
            if found.height:
                for record_id, row in zip(
                    found.frame["Id"].to_list(), self._lines(found, found.frame).split(b"\n"), strict=True
                ):
                    entries[record_id] = self._keep(row)
        for record_id in wanted.to_list():
            entries.setdefault(record_id, self._keep(self._bare(record_id)))
        return pl.Series(item.relationship, [entries.get(k) for k in keys.to_list()], dtype=pl.String)

    def _bare(self, record_id: str) -> bytes:
        """A parent of a type that the TYPEOF names no fields of: its attributes only."""
        obj = self._org.schema.by_prefix(record_id[:3])
        name = "Name" if obj is None else obj.name
        return json.dumps({"attributes": {"type": name, "url": f"{self._base}{name}/{record_id}"}}).encode()

    def _keep(self, text: bytes) -> str:
        """Put JSON text aside; what stands for it until the page is printed."""
        name = f"@{len(self._texts)}"
        self._texts[name] = text
        return f"{_RAW}{name}{_RAW}"


def plain(column: Column, frame: pl.DataFrame) -> pl.Expr:
    """A stored value as JSON prints it: numbers raw with every digit, datetimes with `+0000`, booleans as such."""
    value = pl.col(column.name)
    if column.kind == "boolean":
        return (value == "true").fill_null(False)
    if column.kind == "datetime":
        return value.str.strip_suffix("Z") + "+0000"
    if column.kind in NUMBERS:
        return _number(frame[column.name])
    return value


def _number(values: pl.Series) -> pl.Expr:
    """Numbers of native types where they print as they are stored, else their text, to be freed of its quotes."""
    name = values.name
    for dtype in (pl.Int64, pl.Float64):
        native = values.cast(dtype, strict=False)
        small = native.abs().max()
        if native.cast(pl.String).equals(values) and (small is None or small < EXACT_BELOW):  # type: ignore[operator]
            return pl.col(name).cast(dtype, strict=False)
    return pl.concat_str([pl.lit(_RAW), pl.col(name), pl.lit(_RAW)])


def records(org: Org, result: Result, version: str, start: int, count: int) -> list[Record]:
    """Rows `start` … `start + count` of a result as JSON objects; fractions are Decimals."""
    text = Page(org, version).rows(result, result.slice(start, count)) if result.height else b""
    rows: list[Record] = json.loads(b"[" + text + b"]", parse_float=Decimal)
    return rows
