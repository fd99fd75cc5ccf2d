"""A schema file: objects, fields and switches as JSON, read into plans. Every complaint names the place.

The forms are written down in the README. Short keys (`formula`, `rollUp`, `onDelete`, …) and every key of a describe
are understood; anything else is an error, so that a typing mistake does not pass as a wish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from holdfast.orgsim.schema.fields import FIELD_DEFAULTS, FIELD_TYPES
from holdfast.orgsim.schema.traits import ROLL_UP_FUNCTIONS, SHARING_MODELS, AutoNumber, RollUp

ON_DELETE = ("clear", "restrict", "cascade")
_FIELD_SHORT = frozenset({
    "formula", "rollUp", "required", "restricted", "tracked", "masterDetail", "reparentable", "onDelete",
    "childRelationshipName", "autoNumberFormat", "startNumber", "shielded",
})  # fmt: skip
_OBJECT_KEYS = frozenset({
    "name", "label", "labelPlural", "keyPrefix", "customSetting", "nameField", "sharing", "history", "feed", "shares",
    "index", "fields", "recordTypes", "describe", "owner",
})  # fmt: skip
_NAME_KEYS = frozenset({"type", "label", "autoNumberFormat", "startNumber"})
_RECORD_TYPE_KEYS = frozenset({"developerName", "name", "active", "default", "id", "description"})
_CURRENCY_KEYS = frozenset({"isoCode", "conversionRate", "decimalPlaces", "corporate", "active"})


class SchemaError(ValueError):
    """A schema file that cannot be used; the text begins with the place."""


@dataclass(frozen=True)
class FieldPlan:
    """One field: new if the object lacks it, otherwise changes to the one that is there."""

    where: str
    name: str
    kind: str | None
    changes: Mapping[str, Any]
    formula: str | None = None
    roll_up: RollUp | None = None
    auto_number: AutoNumber | None = None
    tracked: bool | None = None
    shielded: bool = False
    child_relationship: str | None = None


@dataclass(frozen=True)
class RecordTypePlan:
    """A record type. Inactive ones refuse inserts."""

    developer_name: str
    name: str
    active: bool = True
    default: bool = False
    id: str | None = None


@dataclass(frozen=True)
class ObjectPlan:
    """One object: new, or additions to one that is there."""

    where: str
    name: str
    values: Mapping[str, Any]
    fields: Sequence[FieldPlan] = ()
    record_types: Sequence[RecordTypePlan] = ()
    name_number: AutoNumber | None = None


@dataclass(frozen=True)
class Currency:
    """A currency of a multi-currency org."""

    iso_code: str
    conversion_rate: float = 1.0
    decimal_places: int = 2
    corporate: bool = False
    active: bool = True


@dataclass(frozen=True)
class Document:
    """A whole schema file."""

    objects: Sequence[ObjectPlan] = ()
    person_accounts: bool = False
    currencies: Sequence[Currency] = field(default=())


def read_document(path: Path) -> Document:
    """Read a schema file.

    Raises:
        SchemaError: it is not there, not JSON, or says something that is not understood.
    """
    try:
        return parse_document(orjson.loads(path.read_bytes()))
    except OSError as error:
        raise SchemaError(f"{path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise SchemaError(f"{path}: not JSON: {error}") from error
    except SchemaError as error:
        raise SchemaError(f"{path}: {error}") from error


def parse_document(value: object) -> Document:
    """A schema document from its JSON value.

    Raises:
        SchemaError: something in it is not understood.
    """
    body = _mapping(value, "the document", {"settings", "objects"})
    settings = _mapping(body.get("settings", {}), "settings", {"personAccounts", "currencies"})
    objects = [_object(item, f"objects[{i}]") for i, item in enumerate(_list(body.get("objects", []), "objects"))]
    listed = enumerate(_list(settings.get("currencies", []), "settings.currencies"))
    currencies = [_currency(item, f"settings.currencies[{i}]") for i, item in listed]
    if currencies and sum(c.corporate for c in currencies) != 1:
        raise SchemaError("settings.currencies: exactly one of them must have `corporate: true`")
    return Document(objects, _flag(settings, "personAccounts", "settings"), currencies)


def _object(value: object, where: str) -> ObjectPlan:
    body = _mapping(value, where, _OBJECT_KEYS)
    name = _text(body, "name", where)
    where = f"{where} ({name})"
    _one_of(body, "sharing", SHARING_MODELS, where)
    _one_of(body, "customSetting", ("List", "Hierarchy", True, False), where)
    naming = _mapping(body.get("nameField", {}), where + ".nameField", _NAME_KEYS)
    _one_of(naming, "type", ("text", "auto", "none"), where + ".nameField")
    number = _auto_number(naming, where + ".nameField")
    if number is not None and naming.get("type") != "auto":
        raise SchemaError(f"{where}.nameField: autoNumberFormat needs `type: auto`")
    fields = [_field(f, f"{where}.fields[{i}]") for i, f in enumerate(_list(body.get("fields", []), where + ".fields"))]
    names = [f.name.lower() for f in fields]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise SchemaError(f"{where}.fields: named more than once: {', '.join(twice)}")
    listed = enumerate(_list(body.get("recordTypes", []), where + ".recordTypes"))
    types = [_record_type(item, f"{where}.recordTypes[{i}]") for i, item in listed]
    return ObjectPlan(where, name, body, fields, types, number)


def _field(value: object, where: str) -> FieldPlan:
    body = _mapping(value, where, _FIELD_SHORT | FIELD_DEFAULTS.keys())
    name = _text(body, "name", where)
    where = f"{where} ({name})"
    _one_of(body, "type", FIELD_TYPES, where)
    _one_of(body, "onDelete", ON_DELETE, where)
    changes = {key: item for key, item in body.items() if key in FIELD_DEFAULTS and key not in ("name", "type")}
    if "picklistValues" in changes:
        changes["picklistValues"] = [_picklist_value(v, where) for v in _list(changes["picklistValues"], where)]
    if "referenceTo" in changes and isinstance(changes["referenceTo"], str):
        changes["referenceTo"] = [changes["referenceTo"]]
    changes.update(_spelled_out(body, where))
    roll_up = _roll_up(body["rollUp"], where + ".rollUp") if "rollUp" in body else None
    formula = body.get("formula", body.get("calculatedFormula"))
    if formula is not None and roll_up is not None:
        raise SchemaError(f"{where}: a field is a formula or a roll-up, not both")
    return FieldPlan(where, name, body.get("type"), changes, formula, roll_up, _auto_number(body, where),
                     body.get("tracked"), bool(body.get("shielded")), body.get("childRelationshipName"))  # fmt: skip


def _spelled_out(body: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Describe keys that the short keys stand for."""
    found: dict[str, Any] = {}
    if "required" in body:
        found["nillable"] = not body["required"]
    if "restricted" in body:
        found["restrictedPicklist"] = bool(body["restricted"])
    if "masterDetail" in body:
        found.update(cascadeDelete=True, relationshipOrder=_number(body, "masterDetail", 0, where))
        found.update(writeRequiresMasterRead=True, nillable=False, permissionable=False)
        found.update(updateable=bool(body.get("reparentable", False)))
    if "onDelete" in body:
        found.update(cascadeDelete=body["onDelete"] == "cascade", restrictedDelete=body["onDelete"] == "restrict")
    return found


def _roll_up(value: object, where: str) -> RollUp:
    body = _mapping(value, where, {"object", "field", "function", "of"})
    function = _text(body, "function", where).upper()
    if function not in ROLL_UP_FUNCTIONS:
        raise SchemaError(f"{where}.function: {function!r} is none of {', '.join(ROLL_UP_FUNCTIONS)}")
    if (function == "COUNT") == ("of" in body):
        raise SchemaError(f"{where}: `of` names the summed field; COUNT has none")
    return RollUp(_text(body, "object", where), _text(body, "field", where), function, body.get("of"))


def _auto_number(body: Mapping[str, Any], where: str) -> AutoNumber | None:
    if "autoNumberFormat" not in body:
        return None
    number = AutoNumber(_text(body, "autoNumberFormat", where), _number(body, "startNumber", 1, where))
    if not number.parts()[1]:
        raise SchemaError(f"{where}.autoNumberFormat: {number.format!r} has no digits, e.g. {{0000}}")
    return number


def _picklist_value(value: object, where: str) -> dict[str, Any]:
    known = {"active": True, "defaultValue": False, "label": "", "validFor": None, "value": ""}
    if isinstance(value, str):
        return {**known, "label": value, "value": value}
    body = _mapping(value, where + ".picklistValues", known.keys())
    return {**known, "label": _text(body, "value", where), **body}


def _record_type(value: object, where: str) -> RecordTypePlan:
    body = _mapping(value, where, _RECORD_TYPE_KEYS)
    name = _text(body, "developerName", where)
    label = str(body.get("name", name.replace("_", " ")))
    return RecordTypePlan(name, label, bool(body.get("active", True)), _flag(body, "default", where), body.get("id"))


def _currency(value: object, where: str) -> Currency:
    body = _mapping(value, where, _CURRENCY_KEYS)
    return Currency(_text(body, "isoCode", where), float(_number(body, "conversionRate", 1, where)),
                    int(_number(body, "decimalPlaces", 2, where)), _flag(body, "corporate", where),
                    bool(body.get("active", True)))  # fmt: skip


def _mapping(value: object, where: str, known: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SchemaError(f"{where}: expected an object, found {value!r:.60}")
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise SchemaError(f"{where}: unknown key {unknown[0]!r}")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise SchemaError(f"{where}: expected a list, found {value!r:.60}")
    return value


def _text(body: Mapping[str, Any], key: str, where: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise SchemaError(f"{where}: `{key}` is missing" if value is None else f"{where}.{key}: expected text")
    return value


def _flag(body: Mapping[str, Any], key: str, where: str) -> bool:
    value = body.get(key, False)
    if not isinstance(value, bool):
        raise SchemaError(f"{where}.{key}: expected true or false, found {value!r:.60}")
    return value


def _number(body: Mapping[str, Any], key: str, default: int, where: str) -> Any:
    value = body.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SchemaError(f"{where}.{key}: expected a number, found {value!r:.60}")
    return value


def _one_of(body: Mapping[str, Any], key: str, known: Sequence[Any], where: str) -> None:
    if key in body and body[key] not in known:
        listed = ", ".join(str(k) for k in known)
        raise SchemaError(f"{where}.{key}: {body[key]!r} is none of {listed}")
