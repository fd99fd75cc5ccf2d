"""Formula fields: text, compiled once per object into a column expression over canonical text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from holdfast.orgsim.schema.formulas.functions import (
    BOOLEAN,
    DATE,
    DATETIME,
    NULL,
    NUMBER,
    TEXT,
    TODAY_COLUMN,
    Value,
    apply,
)
from holdfast.orgsim.schema.formulas.parse import Application, Constant, FormulaError, Node, Reference, parse

if TYPE_CHECKING:
    from holdfast.orgsim.schema.objects import Schema, SObject

__all__ = ["TODAY_COLUMN", "Formula", "FormulaError", "compiled"]

KINDS = {"boolean": BOOLEAN, "date": DATE, "datetime": DATETIME,
         **dict.fromkeys(("double", "currency", "percent", "int", "long"), NUMBER)}  # fmt: skip
DEEPEST = 5  # steps from child to parent
_STAMP = "%Y-%m-%dT%H:%M:%S%.3fZ"


@dataclass(frozen=True)
class Formula:
    """A compiled formula.

    `text` gives canonical text over a frame that has a column for each path, called `A.B.Field` for parents, and
    `TODAY_COLUMN` if it asks for the date.
    """

    name: str
    text: pl.Expr
    paths: tuple[tuple[str, ...], ...]  # spelled as the schema spells them
    asks_today: bool

    @property
    def own_inputs(self) -> frozenset[str]:
        """Fields of the record itself that it reads, lookups to parents included only where named."""
        return frozenset(path[0] for path in self.paths if len(path) == 1)


def compiled(schema: Schema, obj: SObject, name: str) -> Formula:
    """The formula of a field.

    Raises:
        FormulaError: it is outside the subset, names what is not there, or gives another kind than its field.
    """
    field = obj.fields[name]
    compiler = _Compiler(schema, obj, bool(field["formulaTreatNullNumberAsZero"]))
    value = compiler.value(parse(obj.traits.formulas[name]))
    wanted = KINDS.get(field["type"], TEXT)
    if value.kind not in (wanted, NULL):
        raise FormulaError(f"gives {value.kind}, but the field is {field['type']}")
    return Formula(name, _canonical(value.expr, field), tuple(sorted(compiler.paths)), compiler.asks_today)


class _Compiler:
    def __init__(self, schema: Schema, obj: SObject, zeroes: bool) -> None:
        self._schema, self._obj, self._zeroes = schema, obj, zeroes
        self.paths: set[tuple[str, ...]] = set()
        self.asks_today = False

    def value(self, node: Node) -> Value:
        if isinstance(node, Constant):
            return _constant(node.value)
        if isinstance(node, Reference):
            return self._reference(node.path)
        return self._application(node)

    def _application(self, node: Application) -> Value:
        self.asks_today |= node.name == "TODAY"
        return apply(node.name, [self.value(operand) for operand in node.operands])

    def _reference(self, path: tuple[str, ...]) -> Value:
        if len(path) > DEEPEST + 1:
            raise FormulaError(f"{'.'.join(path)}: more than {DEEPEST} steps")
        objects, spelled = [self._obj], []
        for step in path[:-1]:
            lookup = _lookup(objects, step)
            spelled.append(str(lookup["relationshipName"]))
            objects = [found for name in lookup["referenceTo"] if (found := self._schema.find(name)) is not None]
        field = next((f for obj in objects if (f := obj.find(path[-1])) is not None), None)
        if field is None:
            raise FormulaError(f"no field {'.'.join(path)}")
        full = (*spelled, field["name"])
        self.paths.add(full)
        return self._typed(pl.col(".".join(full)), field)

    def _typed(self, column: pl.Expr, field: Mapping[str, Any]) -> Value:
        kind = KINDS.get(field["type"], TEXT)
        if kind == NUMBER:
            number = column.cast(pl.Float64, strict=False)
            return Value(number.fill_null(0.0) if self._zeroes else number, NUMBER)
        if kind == BOOLEAN:
            return Value(column == "true", BOOLEAN)
        if kind == DATE:
            return Value(column.str.to_date("%Y-%m-%d", strict=False), DATE)
        if kind == DATETIME:
            return Value(column.str.to_datetime(_STAMP, time_unit="ms", strict=False), DATETIME)
        return Value(column, TEXT)


def _lookup(objects: list[SObject], step: str) -> Mapping[str, Any]:
    for obj in objects:
        for field in obj.references():
            if (field["relationshipName"] or "").lower() == step.lower():
                return field
    raise FormulaError(f"no relationship {step}")


def _constant(value: float | str | bool | None) -> Value:
    if value is None:
        return Value(pl.lit(None), NULL)
    kind = BOOLEAN if isinstance(value, bool) else NUMBER if isinstance(value, float) else TEXT
    return Value(pl.lit(value), kind)


def _canonical(expr: pl.Expr, field: Mapping[str, Any]) -> pl.Expr:
    kind = KINDS.get(field["type"], TEXT)
    if kind == NUMBER:
        return number_text(expr.cast(pl.Float64), int(field["scale"]))
    if kind == BOOLEAN:
        return pl.when(expr.cast(pl.Boolean).fill_null(False)).then(pl.lit("true")).otherwise(pl.lit("false"))
    if kind == DATE:
        return expr.cast(pl.Date).dt.strftime("%Y-%m-%d")
    if kind == DATETIME:
        return expr.cast(pl.Datetime("ms")).dt.strftime(_STAMP)
    text = expr.cast(pl.String)
    return pl.when(text != "").then(text.str.head(field["length"] or 1300))


def number_text(number: pl.Expr, scale: int) -> pl.Expr:
    """A number rounded to the field's scale, as canonical text: at least one digit after the point, no exponent."""
    factor = 10.0**scale
    shifted = number * factor
    away = pl.when(shifted < 0).then((shifted - 0.5).ceil()).otherwise((shifted + 0.5).floor())
    digits = (away / factor).cast(pl.Decimal(38, max(scale, 1))).cast(pl.String).str.strip_chars_end("0")
    return pl.when(digits.str.ends_with(".")).then(digits + "0").otherwise(digits)
