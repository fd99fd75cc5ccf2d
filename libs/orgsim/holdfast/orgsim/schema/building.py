"""Puts a schema document into a schema: objects first, then their fields, then what looks across objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.orgsim.schema import derived
from holdfast.orgsim.schema.document import Document, FieldPlan, ObjectPlan, SchemaError
from holdfast.orgsim.schema.fields import NUMBER_TYPES, make_field, relationship_name
from holdfast.orgsim.schema.formulas import FormulaError, compiled
from holdfast.orgsim.schema.objects import Schema, SObject
from holdfast.orgsim.schema.traits import IndexedField, RollUp

FORMULA_TYPES = frozenset({"string", "boolean", "date", "datetime", "time", *NUMBER_TYPES})
_COMPUTED: Mapping[str, Any] = {"createable": False, "updateable": False, "calculated": True}


def build(schema: Schema, document: Document) -> None:
    """Define everything that the document names; what is there already is changed, not replaced.

    Raises:
        SchemaError: it names what does not exist, or contradicts what does.
    """
    objects = [(plan, _define(schema, plan)) for plan in document.objects]
    for summaries in (False, True):  # a roll-up needs the fields of its children
        for plan, obj in objects:
            for field in plan.fields:
                if (field.roll_up is not None) is summaries:
                    _add_field(schema, obj, field)
            obj.version += 1
    for plan, obj in objects:
        _beside(schema, plan, obj)
        _check_index(plan, obj)
        for field in plan.fields:
            _check_across(schema, obj, field)


def _define(schema: Schema, plan: ObjectPlan) -> SObject:
    values = plan.values
    known = schema.find(plan.name)
    if known is None:
        naming = values.get("nameField", {})
        known = schema.define(
            plan.name,
            prefix=values.get("keyPrefix"),
            name_kind=naming.get("type"),
            label=str(values.get("label", "")),
            setting=bool(values.get("customSetting")),
            owner=values.get("owner"),
        )
        if "label" in naming and "Name" in known.fields:
            known.fields["Name"]["label"] = naming["label"]
    if plan.name_number is not None:
        known.traits.auto_numbers["Name"] = plan.name_number
    known.describe.update({key: values[key] for key in ("label", "labelPlural") if key in values})
    overrides = values.get("describe", {})
    unknown = sorted(set(overrides) - set(known.describe))
    if unknown:
        raise SchemaError(f"{plan.where}.describe: unknown key {unknown[0]!r}")
    known.describe.update(overrides)
    known.traits.sharing = values.get("sharing", known.traits.sharing)
    if "index" in values:
        known.traits.index = tuple(IndexedField.of(text) for text in values["index"])
    return known


def _add_field(schema: Schema, obj: SObject, plan: FieldPlan) -> None:
    known = obj.find(plan.name)
    if known is not None:
        definition = {**known, **plan.changes}
        if plan.kind is not None and plan.kind != known["type"]:
            raise SchemaError(f"{plan.where}: {obj.name} has it as {known['type']}, not {plan.kind}")
        obj.add(definition)
    else:
        definition = _new_field(schema, obj, plan)
        schema.add_field(obj, definition, plan.child_relationship)
    _note_traits(obj, definition["name"], plan)


def _new_field(schema: Schema, obj: SObject, plan: FieldPlan) -> dict[str, Any]:
    kind = plan.kind or ("string" if plan.auto_number or plan.formula else None)
    changes = dict(plan.changes)
    if plan.roll_up is not None:
        kind, implied = _roll_up_type(schema, plan, plan.roll_up)
        changes = {**implied, **_COMPUTED, **changes}
    elif plan.formula is not None:
        if kind not in FORMULA_TYPES:
            raise SchemaError(f"{plan.where}: a formula cannot be of type {kind!r}")
        changes = {**({"length": 1300} if kind == "string" else {}), "nillable": True, **_COMPUTED,
                   **changes, "calculatedFormula": plan.formula}  # fmt: skip
    elif plan.auto_number is not None:
        changes = {"autoNumber": True, "createable": False, "updateable": False, "nillable": False, "length": 30,
                   "defaultedOnCreate": True, **changes}  # fmt: skip
    if kind is None:
        raise SchemaError(f"{plan.where}: `type` is missing, and {obj.name} has no such field")
    if kind == "reference":
        changes = {**_lookup(schema, plan), **changes}
    if plan.shielded:
        changes.update(encrypted=True, filterable=False, sortable=False, groupable=False, aggregatable=False)
    if changes.get("unique") or changes.get("externalId"):
        changes.setdefault("idLookup", True)
    return make_field(plan.name, kind, **changes)


def _lookup(schema: Schema, plan: FieldPlan) -> dict[str, Any]:
    parents = plan.changes.get("referenceTo", [])
    missing = [name for name in parents if schema.find(name) is None]
    if missing or not parents:
        raise SchemaError(f"{plan.where}.referenceTo: " + (f"no object {missing[0]!r}" if missing else "is missing"))
    many = len(parents) > 1
    name = plan.changes.get("relationshipName") or relationship_name(plan.name)
    return {"relationshipName": name, "polymorphicForeignKey": many, "namePointing": many}


def _roll_up_type(schema: Schema, plan: FieldPlan, roll_up: RollUp) -> tuple[str, dict[str, Any]]:
    child = schema.find(roll_up.child)
    summed = None if child is None or roll_up.of is None else child.find(roll_up.of)
    if child is None or (roll_up.of is not None and summed is None):
        raise SchemaError(f"{plan.where}.rollUp: no {roll_up.of or 'object'} in {roll_up.child!r}")
    if summed is None:
        return "double", {"scale": 0}
    if roll_up.function == "SUM" and summed["type"] not in NUMBER_TYPES | {"int"}:
        raise SchemaError(f"{plan.where}.rollUp: {roll_up.of} is a {summed['type']} and cannot be summed")
    kind = "double" if summed["type"] == "int" else summed["type"]
    return kind, {key: summed[key] for key in ("precision", "scale") if kind in NUMBER_TYPES and summed[key]}


def _note_traits(obj: SObject, name: str, plan: FieldPlan) -> None:
    traits = obj.traits
    if plan.tracked is not None:
        (traits.tracked.add if plan.tracked else traits.tracked.discard)(name)
    if plan.formula is not None:
        traits.formulas[name] = plan.formula
    if plan.roll_up is not None:
        traits.roll_ups[name] = plan.roll_up
    if plan.auto_number is not None:
        traits.auto_numbers[name] = plan.auto_number


def _beside(schema: Schema, plan: ObjectPlan, obj: SObject) -> None:
    """The History, Share and Feed objects that the plan asks for."""
    tracked = plan.values.get("history")
    if isinstance(tracked, list):
        missing = [name for name in tracked if obj.find(name) is None]
        if missing:
            raise SchemaError(f"{plan.where}.history: no field {missing[0]!r}")
        obj.traits.tracked.update(tracked)
    if tracked or obj.traits.tracked:
        obj.traits.history = True
        schema.derive(obj, derived.HISTORY)
    if plan.values.get("shares", obj.traits.sharing in ("Private", "Read") and "OwnerId" in obj.fields):
        obj.traits.shares = True
        schema.derive(obj, derived.SHARE)
    if plan.values.get("feed"):
        obj.traits.feed = True
        obj.describe["feedEnabled"] = True
        schema.derive(obj, derived.FEED)


def _check_index(plan: ObjectPlan, obj: SObject) -> None:
    missing = [each.name for each in obj.traits.index if each.name not in obj.fields]
    if missing:
        raise SchemaError(f"{plan.where}.index: no field {missing[0]!r}")


def _check_across(schema: Schema, obj: SObject, plan: FieldPlan) -> None:
    if plan.roll_up is not None:
        child = schema.find(plan.roll_up.child)
        lookup = None if child is None else child.find(plan.roll_up.lookup)
        if lookup is None or obj.name not in lookup["referenceTo"]:
            raise SchemaError(f"{plan.where}.rollUp: {plan.roll_up.child}.{plan.roll_up.lookup} is no lookup here")
    if plan.formula is not None:
        try:
            compiled(schema, obj, plan.name)
        except FormulaError as error:
            raise SchemaError(f"{plan.where}.formula: {error}") from error
