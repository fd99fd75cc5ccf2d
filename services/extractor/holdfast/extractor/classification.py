"""Which objects of an org are worth a backup by default, and in words why the others are not.

The rules are data in `classification.toml`; this module only applies them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from holdfast.salesforce.models import ObjectSummary

CUSTOM_SUFFIX = "__"


@dataclass(frozen=True)
class Classification:
    """What a backup does with an object.

    Attributes:
        readable: It can be read at all when selected by name.
        recommended: It is taken when a job selects nothing by name. Implies `readable`.
        reason: One sentence why not; empty for recommended ones.
    """

    readable: bool
    recommended: bool
    reason: str = ""


@dataclass(frozen=True)
class Rule:
    """Objects that share a reason: by name, by ending, or by what Salesforce says they belong to."""

    names: frozenset[str]
    suffixes: tuple[str, ...]
    associated: frozenset[str]
    standard_only: bool
    reason: str

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Rule:
        """Read one table of the rules file."""
        return cls(
            names=frozenset(row.get("names", ())),
            suffixes=tuple(row.get("suffixes", ())),
            associated=frozenset(row.get("associated", ())),
            standard_only=row.get("standard_only", False),
            reason=row.get("reason", ""),
        )

    def matches(self, name: str, associated: str | None) -> bool:
        """Whether the rule speaks of this object."""
        if name in self.names or (associated is not None and associated in self.associated):
            return True
        if self.standard_only and CUSTOM_SUFFIX in name:
            return False
        return any(_ends_with(name, suffix) for suffix in self.suffixes)


def _ends_with(name: str, suffix: str) -> bool:
    """A bare ending such as `Log` speaks of standard objects; `Log__c` is somebody's own."""
    if not suffix.startswith(CUSTOM_SUFFIX) and CUSTOM_SUFFIX in name:
        return False
    return name.endswith(suffix) and name != suffix


_TABLE = tomllib.loads(files(__package__).joinpath("classification.toml").read_text("utf-8"))
_UNREADABLE = [Rule.parse(row) for row in _TABLE["unreadable"]]
_NOT_RECOMMENDED = [Rule.parse(row) for row in _TABLE["not_recommended"]]
_NOT_IN_BULK = Rule.parse(_TABLE["not_in_bulk"])


def classify(entry: ObjectSummary) -> Classification:
    """Classify an object by its entry in the org's describe global."""
    reason = _first_reason(_UNREADABLE, entry)
    if not reason and not entry.queryable:
        reason = "Salesforce does not let this object be queried."
    if reason:
        return Classification(readable=False, recommended=False, reason=reason)
    reason = _first_reason(_NOT_RECOMMENDED, entry) or _by_flags(entry)
    return Classification(readable=True, recommended=not reason, reason=reason)


def in_bulk(name: str) -> bool:
    """Whether the Bulk API is known to take the object. A refusal at run time is handled all the same."""
    return not _NOT_IN_BULK.matches(name, None)


def _first_reason(rules: list[Rule], entry: ObjectSummary) -> str:
    return next((rule.reason for rule in rules if rule.matches(entry.name, entry.associate_entity_type)), "")


def _by_flags(entry: ObjectSummary) -> str:
    if not entry.retrieveable:
        return "Single records of this object cannot be retrieved; it is a view for Salesforce's own use."
    if entry.deprecated_and_hidden:
        return "Salesforce has retired this object."
    if entry.is_interface:
        return "This is an interface; its records are backed up in the objects that implement it."
    return ""
