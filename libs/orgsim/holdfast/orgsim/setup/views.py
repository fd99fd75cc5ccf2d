"""Objects whose rows tell about the schema: worked out when somebody looks, unknown to saves and to the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.schema.objects import Schema, SObject

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

Values = dict[str, str | None]
_FLAGS = {"IsCustomizable": "layoutable", "IsCustomSetting": "customSetting", "IsQueryable": "queryable",
          "IsRetrieveable": "retrieveable", "IsReplicateable": "replicateable", "IsTriggerable": "triggerable",
          "IsSearchable": "searchable", "IsLayoutable": "layoutable", "IsDeprecatedAndHidden": "deprecatedAndHidden",
          "IsFeedEnabled": "feedEnabled"}  # fmt: skip
_FIELD_FLAGS = {"IsCalculated": "calculated", "IsNillable": "nillable", "IsNameField": "nameField",
                "IsPolymorphicForeignKey": "polymorphicForeignKey", "IsHighScaleNumber": "highScaleNumber",
                "IsHtmlFormatted": "htmlFormatted"}  # fmt: skip
_PARTICLE_FLAGS = {**_FIELD_FLAGS, "IsApiFilterable": "filterable", "IsApiGroupable": "groupable",
                   "IsApiSortable": "sortable", "IsCreatable": "createable", "IsUpdatable": "updateable",
                   "IsPermissionable": "permissionable", "IsUnique": "unique", "IsAutonumber": "autoNumber",
                   "IsIdLookup": "idLookup", "IsEncrypted": "encrypted", "IsCaseSensitive": "caseSensitive",
                   "IsDefaultedOnCreate": "defaultedOnCreate", "IsDependentPicklist": "dependentPicklist",
                   "IsDisplayLocationInDecimal": "displayLocationInDecimal"}  # fmt: skip
_ENTITY_TEXTS = ("DurableId", "QualifiedApiName", "DeveloperName", "MasterLabel", "Label", "PluralLabel", "KeyPrefix",
                 "NamespacePrefix", "InternalSharingModel", "ExternalSharingModel", "HelpSettingPageName",
                 "DetailUrl", "EditUrl", "NewUrl")  # fmt: skip
_FIELD_TEXTS = ("DurableId", "QualifiedApiName", "DeveloperName", "MasterLabel", "Label", "NamespacePrefix", "DataType",
                "ValueTypeId", "ExtraTypeInfo", "RelationshipName", "ReferenceTo")  # fmt: skip
_PARTICLE_TEXTS = (*_FIELD_TEXTS, "Name", "FieldDefinitionId", "InlineHelpText", "Mask", "MaskType",
                   "ReferenceTargetField", "DefaultValueFormula")  # fmt: skip
_NUMBERS = ("Length", "Precision", "Scale", "ByteLength", "Digits", "RelationshipOrder")
VIEWS = {
    "EntityDefinition": (_ENTITY_TEXTS, tuple(_FLAGS), ()),
    "FieldDefinition": (_FIELD_TEXTS, (*_FIELD_FLAGS, "IsIndexed"), ("Length", "Precision", "Scale")),
    "EntityParticle": (_PARTICLE_TEXTS, tuple(_PARTICLE_FLAGS), _NUMBERS),
}  # fmt: skip


def define_views(schema: Schema) -> None:
    """EntityDefinition, FieldDefinition and EntityParticle, without rows."""
    fixed: dict[str, Any] = dict.fromkeys(("createable", "updateable", "permissionable"), False)
    off = dict.fromkeys(("createable", "updateable", "deletable", "undeletable", "retrieveable", "replicateable",
                         "layoutable", "searchable", "triggerable"), False)  # fmt: skip
    for name, (texts, flags, numbers) in VIEWS.items():
        obj = schema.define(name, name_kind="none", owner=False)
        obj.describe.update(off, recordTypeInfos=[])
        obj.fields = {"Id": obj.fields["Id"]}
        for text in texts:
            obj.add(make_field(text, length=255, **fixed))
        for flag in flags:
            obj.add(make_field(flag, "boolean", **fixed))
        for number in numbers:
            obj.add(make_field(number, "int", **fixed))
        if name != "EntityDefinition":
            parent = {"referenceTo": ["EntityDefinition"], "caseSensitive": True, **fixed}
            schema.add_field(obj, make_field("EntityDefinitionId", "reference", **parent))


def _entity(obj: SObject) -> Values:
    describe, sharing = obj.describe, obj.traits.sharing
    return {
        "Id": obj.name,
        **_names(obj.name, obj.name),
        "MasterLabel": describe["label"],
        "Label": describe["label"],
        "PluralLabel": describe["labelPlural"],
        "KeyPrefix": describe["keyPrefix"],
        "InternalSharingModel": sharing,
        "ExternalSharingModel": sharing,
        **_flags(_FLAGS, describe),
    }


def _particle(obj: SObject, field: Mapping[str, Any]) -> Values:
    name = str(field["name"])
    numbers = {n: field[n[0].lower() + n[1:]] for n in _NUMBERS}
    return {
        "Id": f"{obj.name}.{name}",
        **_names(f"{obj.name}.{obj.field_id(name)}", name),
        "Name": name,
        "EntityDefinitionId": obj.name,
        "FieldDefinitionId": f"{obj.name}.{name}",
        "MasterLabel": field["label"],
        "Label": field["label"],
        "DataType": _data_type(field),
        "ValueTypeId": field["soapType"].split(":")[1].lower(),
        "RelationshipName": field["relationshipName"],
        "ReferenceTo": ",".join(field["referenceTo"]) or None,
        **{key: field[key[0].lower() + key[1:]] for key in ("ExtraTypeInfo", "InlineHelpText", "Mask", "MaskType")},
        "IsIndexed": "true" if field["idLookup"] or field["externalId"] or field["type"] == "reference" else "false",
        **_flags(_PARTICLE_FLAGS, field),
        **{key: None if value is None else str(value) for key, value in numbers.items()},
    }


def _names(durable: str, api_name: str) -> Values:
    parts = api_name.split("__")
    namespace = parts[0] if len(parts) == 3 else None
    return {"DurableId": durable, "QualifiedApiName": api_name, "NamespacePrefix": namespace,
            "DeveloperName": parts[1] if namespace else parts[0]}  # fmt: skip


def _data_type(field: Mapping[str, Any]) -> str:
    """The type as the setup pages name it."""
    kind = field["type"]
    if field["calculatedFormula"] is not None:
        return f"Formula ({_SPOKEN.get(kind, 'Text')})"
    if kind == "reference":
        return f"{'Master-Detail' if field['cascadeDelete'] else 'Lookup'}({','.join(field['referenceTo'])})"
    if kind in ("currency", "double", "percent"):
        return f"{_SPOKEN[kind]}({field['precision'] - field['scale']}, {field['scale']})"
    return f"Text({field['length']})" if kind == "string" else _SPOKEN.get(kind, kind.capitalize())


_SPOKEN = {"double": "Number", "currency": "Currency", "percent": "Percent", "boolean": "Checkbox", "date": "Date",
           "datetime": "Date/Time", "string": "Text", "multipicklist": "Picklist (Multi-Select)", "id": "Lookup()",
           "textarea": "Long Text Area"}  # fmt: skip


def _flags(names: Mapping[str, str], source: Mapping[str, Any]) -> Values:
    return {column: "true" if source[key] else "false" for column, key in names.items()}


def _show(org: Org, name: str) -> None:
    if name != "EntityDefinition":
        _show(org, "EntityDefinition")  # its names are asked for through the lookup
    version = org.schema.version()
    if org.shown.get(name) == version:
        return
    org.shown[name] = version
    objects = org.schema.objects.values()
    if name == "EntityDefinition":
        rows = [_entity(obj) for obj in objects]
    else:
        rows = [_particle(obj, field) for obj in objects for field in obj.fields.values()]
    view = org.schema.objects[name]
    table = org.table(view)
    table.remove_rows(table.frame()["Id"])
    columns = {n: [row.get(n) for row in rows] for n in view.stored()}
    table.put_rows(pl.DataFrame(columns, schema=dict.fromkeys(view.stored(), pl.String)))


SHOWN: dict[str, Callable[[Org], None]] = {
    "EntityDefinition": lambda org: _show(org, "EntityDefinition"),
    "FieldDefinition": lambda org: _show(org, "FieldDefinition"),
    "EntityParticle": lambda org: _show(org, "EntityParticle"),
    "ObjectPermissions": lambda org: org.permission_sets.show("ObjectPermissions"),
    "FieldPermissions": lambda org: org.permission_sets.show("FieldPermissions"),
}
