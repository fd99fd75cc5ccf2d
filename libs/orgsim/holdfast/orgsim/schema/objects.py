"""The org's objects: recorded describes where they exist, otherwise made in the same shape."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from holdfast.orgsim import ids
from holdfast.orgsim.schema import derived, kinds
from holdfast.orgsim.schema.fields import COMPOUND_TYPES, make_field
from holdfast.orgsim.schema.files import accept_files, install_files
from holdfast.orgsim.schema.recordings import recorded
from holdfast.orgsim.schema.standard import shape, standard_names, standard_object
from holdfast.orgsim.schema.traits import Traits

MASTER_RECORD_TYPE = "012000000000000AAA"
RECORDED_FLAGS = ("createable", "updateable", "deletable", "queryable", "retrieveable", "replicateable", "undeletable",
                  "layoutable", "searchable", "triggerable", "feedEnabled", "mruEnabled", "mergeable",
                  "associateEntityType", "associateParentEntity")  # fmt: skip
OWNERLESS = frozenset({"User", "Organization", "Profile", "RecordType"})  # without a describe that says so
MASTER_DETAIL = frozenset(
    {
        ("CampaignMember", "CampaignId"),
        ("CampaignMember", "ContactId"),
        ("OpportunityContactRole", "OpportunityId"),
        ("OpportunityContactRole", "ContactId"),
        ("npe01__OppPayment__c", "npe01__Opportunity__c"),
    }
)


@dataclass
class SObject:
    """One object: its describe without the lists that are kept as maps here."""

    name: str
    key_prefix: str | None
    describe: dict[str, Any]
    fields: dict[str, dict[str, Any]]
    child_relationships: list[dict[str, Any]]
    traits: Traits = field(default_factory=Traits)
    version: int = 1
    _field_ids: dict[str, str] = field(default_factory=dict)
    _lower: dict[str, str] = field(default_factory=dict)
    _stored: list[str] | None = None

    def add(self, definition: dict[str, Any]) -> None:
        """Add or replace a field."""
        self.fields[definition["name"]] = definition
        self._lower.clear()
        self._stored = None
        self.version += 1

    def remove(self, name: str) -> None:
        """Take a field away, if there is one; what rows held in it stays with them."""
        known = self.find(name)
        if known is not None:
            del self.fields[known["name"]]
            self._lower.clear()
            self._stored = None
            self.version += 1

    def rename(self, name: str, new: str) -> None:
        """Give a field another API name; its id stays. What rows hold in it is not the schema's to move."""
        known, field_id = self.fields[name], self.field_id(name)
        self.remove(name)
        self.add({**known, "name": new})
        self._field_ids[new] = field_id

    def field_id(self, name: str) -> str:
        """What names the field in the setup: a custom field has an id that outlives its name."""
        if not self.fields[name]["custom"]:
            return name
        return self._field_ids.setdefault(name, ids.field_id(self.name, name))

    def find(self, name: str) -> dict[str, Any] | None:
        """The field called `name`, whatever its case."""
        found = self.fields.get(name)
        if found is None:
            if not self._lower:
                self._lower = {key.lower(): key for key in self.fields}
            found = self.fields.get(self._lower.get(name.lower(), ""))
        return found

    def stored(self) -> list[str]:
        """Names of the fields that hold a value of their own, in describe order."""
        if self._stored is None:
            self._stored = [name for name, f in self.fields.items() if f["type"] not in COMPOUND_TYPES]
        return self._stored

    @property
    def has_bin(self) -> bool:
        """Whether its deleted rows lie in the recycle bin; those of big objects and views of the schema do not."""
        return "IsDeleted" in self.fields

    def references(self) -> Iterator[dict[str, Any]]:
        """The lookups and master-detail fields."""
        return (f for f in self.fields.values() if f["type"] == "reference")


class Schema:
    """All objects of the org, by name; the last change's number makes ETags."""

    def __init__(self) -> None:
        self.objects: dict[str, SObject] = {}
        self.global_only: dict[str, dict[str, Any]] = {}
        self.cascades: set[tuple[str, str]] = set()  # (child, lookup): deleted with the parent
        self.prepare: list[Callable[[SObject], None]] = []  # called with each object that is defined
        self._lower: dict[str, str] = {}
        self._by_prefix: dict[str, SObject] = {}
        for name, describe in recorded().items():
            if name != "Global":
                self._install(copy.deepcopy(describe))
        self.global_only = {entry["name"]: entry for entry in copy.deepcopy(recorded()["Global"]["sobjects"])}
        install_files(self)
        self._mark_cascades()

    def find(self, name: str) -> SObject | None:
        """The object called `name`, whatever its case. Standard ones are made on demand."""
        known = self.objects.get(name) or self.objects.get(self._lower.get(name.lower(), ""))
        if known is None and (standard := standard_object(name)) is not None:
            known = self.define(standard.name)
        if known is None:
            entry = next((e for n, e in self.global_only.items() if n.lower() == name.lower()), None)
            if entry is not None:
                known = self.define(entry["name"], prefix=entry["keyPrefix"])
                known.describe["keyPrefix"] = entry["keyPrefix"]
        return known

    def define(
        self,
        name: str,
        *,
        prefix: str | None = None,
        auto_name: bool = False,
        name_kind: str | None = None,
        label: str = "",
        setting: bool = False,
        owner: bool | None = None,
    ) -> SObject:
        """The object `name`, made with the system fields of its kind if it is new. `setting`: a custom setting."""
        if name in self.objects:
            return self.objects[name]
        standard = standard_object(name)
        if standard is not None:
            name, prefix, name_kind, owner = standard.name, standard.prefix, "none", False
        kind = kinds.kind_of(name, setting=setting)
        custom = name[-3:] in ("__c", "__e", "__b") or kind == "metadata"
        if prefix is None:
            prefix = ids.STANDARD_PREFIXES.get(name) or self._next_custom_prefix(kinds.PREFIX_LETTERS.get(kind, "a"))
        if name_kind is None:
            name_kind = "auto" if auto_name else "text"
        describe = self._blank(name, label or name.rpartition("__")[0].split("__")[-1] or name)
        describe.update(keyPrefix=prefix, custom=custom, customSetting=False)
        describe.update(mergeable=name in ("Account", "Contact", "Lead", "Case"), undeletable=True, layoutable=True)
        describe.update(replicateable=True, searchable=True, triggerable=True, activateable=False)
        describe.update(kinds.FLAGS.get(kind, {}))
        if kind == "plain":
            describe["recordTypeInfos"] = [_master_record_type(name)]
        has_owner = name not in OWNERLESS if owner is None else owner
        describe["fields"] = kinds.fields_of(kind, name_kind=name_kind, owner=has_owner)
        made = self._install(describe)
        if standard is not None:
            shape(self, made, standard)
        if kind == "plain":
            accept_files(self, made)
        made.describe.update({k: v for k, v in self.global_only.get(name, {}).items() if k in RECORDED_FLAGS})
        for prepare in self.prepare:
            prepare(made)
        return made

    def derive(self, parent: SObject, sort: str) -> SObject:
        """The History, Share or Feed object of `parent`."""
        name = derived.derived_name(parent.name, sort)
        if name in self.objects:
            return self.objects[name]
        describe = self._blank(name, f"{parent.describe['label']} {sort}")
        prefix = ids.STANDARD_PREFIXES.get(name) or self._next_custom_prefix(sort[0].lower())
        describe.update(keyPrefix=prefix if sort == derived.SHARE else None, custom=False)
        describe.update(dict.fromkeys(derived.NEVER, False))
        describe.update(derived.FLAGS[sort], associateEntityType=sort, associateParentEntity=parent.name)
        describe["fields"] = derived.derived_fields(parent.name, sort)
        made = self._install(describe, prefix)
        lookup = made.fields[derived.parent_field(parent.name, sort)]
        plural = {derived.HISTORY: "Histories", derived.SHARE: "Shares", derived.FEED: "Feeds"}[sort]
        if not any(c["childSObject"] == name for c in parent.child_relationships):
            parent.child_relationships.append({**_child_entry(name, lookup, plural), "cascadeDelete": True})
        self.cascades.add((name, lookup["name"]))
        return made

    def _blank(self, name: str, title: str) -> dict[str, Any]:
        describe = copy.deepcopy(recorded()["Custom__c"])
        title, entry = title.replace("_", " "), self.global_only.get(name, {})
        describe.update(name=name, label=entry.get("label", title), labelPlural=entry.get("labelPlural", title + "s"))
        describe.update(childRelationships=[], urls=None, customSetting=False)
        return describe

    def add_field(self, obj: SObject, definition: dict[str, Any], child_name: str | None = None) -> None:
        """Add a field; a lookup also shows among its parents' child relationships, as `child_name`."""
        if (obj.name, definition["name"]) in MASTER_DETAIL:
            definition.update(cascadeDelete=True, relationshipOrder=0, writeRequiresMasterRead=True, nillable=False)
        obj.add(definition)
        for parent_name in definition["referenceTo"]:
            parent = self.find(parent_name) if standard_object(parent_name) else self.objects.get(parent_name)
            if parent is not None:
                taken = {entry["relationshipName"] for entry in parent.child_relationships}
                name = child_name or _free_relationship(obj.name, definition, taken)
                parent.child_relationships.append(_child_entry(obj.name, definition, name))
                parent.version += 1

    def drop(self, obj: SObject) -> None:
        """Take an object away, as if somebody had deleted it."""
        del self.objects[obj.name]
        self._lower.pop(obj.name.lower(), None)
        self.global_only.pop(obj.name, None)
        for other in self.objects.values():
            other.version += 1

    def version(self) -> int:
        """Grows with every change of any object."""
        return sum(obj.version for obj in self.objects.values())

    def children_of(self, parent: str) -> Iterator[tuple[SObject, dict[str, Any]]]:
        """Each (object, lookup) that can point at `parent`."""
        for obj in self.objects.values():
            for f in obj.references():
                if parent in f["referenceTo"]:
                    yield obj, f

    def by_prefix(self, prefix: str) -> SObject | None:
        """The object whose ids begin with `prefix`."""
        return self._by_prefix.get(prefix)

    def names(self) -> Sequence[str]:
        """All objects: those that only describeGlobal knows, the standard ones and those that are made."""
        return list(dict.fromkeys([*self.global_only, *standard_names(), *self.objects]))

    def _install(self, describe: dict[str, Any], prefix: str | None = None) -> SObject:
        """Take an object in; `prefix` begins its ids where the describe tells none."""
        obj = SObject(
            name=describe["name"],
            key_prefix=describe["keyPrefix"] or prefix,
            describe={k: v for k, v in describe.items() if k not in ("fields", "childRelationships")},
            fields={f["name"]: f for f in describe["fields"]},
            child_relationships=describe["childRelationships"],
        )
        self.objects[obj.name] = obj
        self._lower[obj.name.lower()] = obj.name
        if obj.key_prefix is not None:
            self._by_prefix.setdefault(obj.key_prefix, obj)
        return obj

    def _next_custom_prefix(self, letter: str = "a") -> str:
        number = 0
        while (prefix := ids.custom_prefix(number, letter)) in self._by_prefix:
            number += 1
        return prefix

    def _mark_cascades(self) -> None:
        """Deletes follow the recorded child relationships, which know more than the child's own field."""
        self.cascades.update(
            (entry["childSObject"], entry["field"])
            for obj in self.objects.values()
            for entry in obj.child_relationships
            if entry["cascadeDelete"]
        )

    def cascades_from(self, obj: SObject, definition: Mapping[str, Any]) -> bool:
        """Whether deleting the parent behind this lookup deletes the child as well."""
        return bool(definition["cascadeDelete"]) or (obj.name, definition["name"]) in self.cascades


def custom_lookup(name: str, parents: Sequence[str]) -> dict[str, Any]:
    """A lookup field pointing at `parents`."""
    return make_field(name, "reference", referenceTo=list(parents), polymorphicForeignKey=len(parents) > 1)


def _free_relationship(child: str, definition: Mapping[str, Any], taken: Container[str | None]) -> str:
    """A name for the relationship; that of a custom field ends with `__r`, and no name is there twice."""
    plural = child.removesuffix("__c").split("__")[-1] + "s"
    custom = "__r" if child.endswith("__c") or definition["name"].endswith("__c") else ""
    names = (f"{plural}{number or ''}{custom}" for number in count())
    return next(name for name in names if name not in taken)


def _child_entry(child: str, definition: Mapping[str, Any], relationship: str) -> dict[str, Any]:
    return {
        "cascadeDelete": definition["cascadeDelete"],
        "childSObject": child,
        "deprecatedAndHidden": False,
        "field": definition["name"],
        "junctionIdListNames": [],
        "junctionReferenceTo": [],
        "relationshipName": relationship,
        "restrictedDelete": definition["restrictedDelete"],
    }


def _master_record_type(name: str) -> dict[str, Any]:
    """The record type that every object has and no row stands behind."""
    return {
        "active": True,
        "available": True,
        "defaultRecordTypeMapping": True,
        "developerName": "Master",
        "master": True,
        "name": "Master",
        "recordTypeId": MASTER_RECORD_TYPE,
        "urls": {"layout": f"/services/data/v67.0/sobjects/{name}/describe/layouts/{MASTER_RECORD_TYPE}"},
    }
