"""Kinds of objects by the ending of their name, with the system fields and describe flags that each has."""

from __future__ import annotations

from typing import Any

from holdfast.orgsim.schema.fields import make_field, system_fields

Field = dict[str, Any]

# Describe flags that differ from those of an ordinary custom object.
_OFF = dict.fromkeys(
    ("layoutable", "searchable", "triggerable", "undeletable", "replicateable", "mruEnabled", "mergeable",
     "compactLayoutable", "searchLayoutable", "feedEnabled"), False)  # fmt: skip
FLAGS: dict[str, dict[str, bool]] = {
    "metadata": {**_OFF, "createable": False, "updateable": False, "deletable": False, "layoutable": True},
    "event": {**_OFF, "queryable": False, "retrieveable": False, "updateable": False, "deletable": False,
              "triggerable": True},
    "big": {**_OFF, "updateable": False, "deletable": False},
    "setting": {**_OFF, "customSetting": True, "replicateable": True},
}  # fmt: skip
ENDINGS = {"__mdt": "metadata", "__e": "event", "__b": "big"}
# First two characters of the ids of each kind; custom objects and settings take a00, a01, …
PREFIX_LETTERS = {"metadata": "m", "event": "e", "big": "x"}
_FIXED: dict[str, Any] = dict.fromkeys(("createable", "updateable", "nillable", "permissionable"), False)


def kind_of(name: str, *, setting: bool = False) -> str:
    """`metadata`, `event`, `big`, `setting` or `plain`."""
    if setting:
        return "setting"
    return next((kind for ending, kind in ENDINGS.items() if name.endswith(ending)), "plain")


def fields_of(kind: str, *, name_kind: str, owner: bool) -> list[Field]:
    """The fields that every object of a kind has."""
    if kind == "metadata":
        return _metadata_fields()
    if kind == "event":
        return [_id(), *_created(), make_field("ReplayId", "string", **_FIXED), make_field("EventUuid", **_FIXED)]
    if kind == "big":
        return [_id(), *_created(), make_field("SystemModstamp", "datetime", **_FIXED, defaultedOnCreate=True)]
    fields = system_fields(name_kind=name_kind, owner=owner and kind != "setting")
    if kind == "setting":
        fields.insert(2, make_field("SetupOwnerId", "reference", referenceTo=["Organization", "Profile", "User"],
                                    polymorphicForeignKey=True, nillable=False, updateable=False,
                                    defaultedOnCreate=True))  # fmt: skip
    return fields


def _id() -> Field:
    return make_field("Id", "id", **_FIXED, idLookup=True, label="Record ID", defaultedOnCreate=True)


def _created() -> list[Field]:
    return [
        make_field("CreatedDate", "datetime", **_FIXED, defaultedOnCreate=True),
        make_field("CreatedById", "reference", **_FIXED, referenceTo=["User"], defaultedOnCreate=True),
    ]


def _metadata_fields() -> list[Field]:
    lengths = {"DeveloperName": 40, "MasterLabel": 40, "Language": 40, "NamespacePrefix": 15, "Label": 40,
               "QualifiedApiName": 70}  # fmt: skip
    return [_id(), *(make_field(name, length=length, **_FIXED) for name, length in lengths.items()),
            make_field("SystemModstamp", "datetime", **_FIXED, defaultedOnCreate=True)]  # fmt: skip
