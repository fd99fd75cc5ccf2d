"""Fields and objects in the shape of a describe, recorded or made in the same 56-key form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SOAP_TYPES = {
    "id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "long": "xsd:long",
    "double": "xsd:double", "currency": "xsd:double", "percent": "xsd:double", "date": "xsd:date",
    "datetime": "xsd:dateTime", "time": "xsd:time", "base64": "xsd:base64Binary", "address": "urn:address",
    "location": "urn:location", "anyType": "xsd:anyType",
}  # fmt: skip
FIELD_TYPES = (
    "id", "string", "boolean", "int", "long", "double", "currency", "percent", "date", "datetime", "time", "reference",
    "picklist", "multipicklist", "combobox", "textarea", "phone", "url", "email", "base64", "encryptedstring",
    "address", "location", "anyType", "complexvalue", "json",
)  # fmt: skip
NUMBER_TYPES = frozenset({"double", "currency", "percent"})
COMPOUND_TYPES = frozenset({"address", "location"})
TEXT_LENGTHS = {"string": 255, "picklist": 255, "multipicklist": 4099, "textarea": 32768, "phone": 40, "url": 255,
                "email": 80, "combobox": 255, "encryptedstring": 175, "id": 18, "reference": 18}  # fmt: skip

FIELD_DEFAULTS: dict[str, Any] = {
    "aggregatable": True, "aiPredictionField": False, "autoNumber": False, "byteLength": 0, "calculated": False,
    "calculatedFormula": None, "cascadeDelete": False, "caseSensitive": False, "compoundFieldName": None,
    "controllerName": None, "createable": True, "custom": False, "defaultValue": None, "defaultValueFormula": None,
    "defaultedOnCreate": False, "dependentPicklist": False, "deprecatedAndHidden": False, "digits": 0,
    "displayLocationInDecimal": False, "encrypted": False, "externalId": False, "extraTypeInfo": None,
    "filterable": True, "filteredLookupInfo": None, "formulaTreatNullNumberAsZero": False, "groupable": True,
    "highScaleNumber": False, "htmlFormatted": False, "idLookup": False, "inlineHelpText": None, "label": "",
    "length": 0, "mask": None, "maskType": None, "name": "", "nameField": False, "namePointing": False,
    "nillable": True, "permissionable": True, "picklistValues": [], "polymorphicForeignKey": False, "precision": 0,
    "queryByDistance": False, "referenceTargetField": None, "referenceTo": [], "relationshipName": None,
    "relationshipOrder": None, "restrictedDelete": False, "restrictedPicklist": False, "scale": 0,
    "searchPrefilterable": False, "soapType": "xsd:string", "sortable": True, "type": "string", "unique": False,
    "updateable": True, "writeRequiresMasterRead": False,
}  # fmt: skip


def make_field(name: str, kind: str = "string", **changes: Any) -> dict[str, Any]:
    """A field of type `kind` in the describe's shape; `changes` override single keys."""
    field = dict(FIELD_DEFAULTS, name=name, type=kind, label=_label(name), custom=name.endswith("__c"))
    field["soapType"] = SOAP_TYPES.get(kind, "xsd:string")
    field["length"] = TEXT_LENGTHS.get(kind, 0)
    if kind in NUMBER_TYPES:
        field.update(precision=18, scale=2)
    elif kind == "int":
        field.update(digits=8)
    elif kind == "boolean":
        field.update(nillable=False, defaultedOnCreate=True, defaultValue=False)
    elif kind in ("textarea", "base64"):
        field.update(aggregatable=False, groupable=False, sortable=False, filterable=False)
    elif kind == "encryptedstring":
        field.update(aggregatable=False, groupable=False, sortable=False, filterable=False, mask="*", maskType="all")
    if kind == "reference":
        field["relationshipName"] = relationship_name(name)
    field.update(changes)
    if "byteLength" not in changes:
        field["byteLength"] = field["length"] * (1 if kind in ("id", "reference") else 3)
    return field


def relationship_name(field: str) -> str | None:
    """How a query names the parent behind a lookup: `Owner` for OwnerId, `Gift__r` for Gift__c."""
    if field.endswith("__c"):
        return field[:-3] + "__r"
    return field[:-2] if field.endswith("Id") and field != "Id" else None


def system_fields(*, name_kind: str, owner: bool) -> list[dict[str, Any]]:
    """The fields that every object carries, in the platform's order. `name_kind`: text, auto or none."""
    fixed: dict[str, Any] = dict.fromkeys(("createable", "updateable", "nillable", "permissionable"), False)
    user = {**fixed, "referenceTo": ["User"]}
    fields = [make_field("Id", "id", **fixed, idLookup=True, label="Record ID", defaultedOnCreate=True)]
    if owner:
        fields.append(make_field("OwnerId", "reference", nillable=False, permissionable=False,
                                 defaultedOnCreate=True, referenceTo=["Group", "User"],
                                 polymorphicForeignKey=True, namePointing=True))  # fmt: skip
    fields.append(make_field("IsDeleted", "boolean", **fixed, label="Deleted"))
    if name_kind == "text":
        fields.append(make_field("Name", "string", nameField=True, idLookup=True, length=80, permissionable=False))
    elif name_kind == "auto":
        fields.append(make_field("Name", "string", **fixed, nameField=True, idLookup=True, length=80,
                                 autoNumber=True, defaultedOnCreate=True))  # fmt: skip
    return [
        *fields,
        make_field("CreatedDate", "datetime", **fixed, defaultedOnCreate=True),
        make_field("CreatedById", "reference", **user, defaultedOnCreate=True),
        make_field("LastModifiedDate", "datetime", **fixed, defaultedOnCreate=True),
        make_field("LastModifiedById", "reference", **user, defaultedOnCreate=True),
        make_field("SystemModstamp", "datetime", **fixed, defaultedOnCreate=True),
    ]


def _label(name: str) -> str:
    base = name[:-3] if name.endswith("__c") else name
    return base.split("__")[-1].replace("_", " ")


def global_entry(describe: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The describeGlobal line of a described object."""
    keys = ("activateable", "associateEntityType", "associateParentEntity", "createable", "custom", "customSetting",
            "deepCloneable", "deletable", "deprecatedAndHidden", "feedEnabled", "hasSubtypes", "isInterface",
            "isSubtype", "keyPrefix", "label", "labelPlural", "layoutable", "mergeable", "mruEnabled", "name",
            "queryable", "replicateable", "retrieveable", "searchable", "triggerable", "undeletable",
            "updateable")  # fmt: skip
    entry = {key: describe.get(key) for key in keys}
    return {**entry, "urls": object_urls(describe["name"], version)}


def object_urls(name: str, version: str) -> dict[str, str]:
    """The links of an object, relative to the instance."""
    base = f"/services/data/v{version}/sobjects/{name}"
    return {
        "compactLayouts": f"{base}/describe/compactLayouts",
        "rowTemplate": base + "/{ID}",
        "approvalLayouts": f"{base}/describe/approvalLayouts",
        "describe": f"{base}/describe",
        "quickActions": f"{base}/quickActions",
        "layouts": f"{base}/describe/layouts",
        "sobject": base,
    }
