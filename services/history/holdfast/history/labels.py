"""What a person recognises a record by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Salesforce's own name fields, the usual ones first (`nameField` of the object's describe).
_NAME_FIELDS = (
    "Name",
    "Subject",
    "Title",
    "CaseNumber",
    "ContractNumber",
    "OrderNumber",
    "SolutionName",
    "MasterLabel",
    "DeveloperName",
    "LastName",
    "Username",
    "Email",
)
_NAME_ENDINGS = ("Name", "Name__c", "Number", "Number__c", "Label", "Label__c", "Code", "Code__c")


def label_of(values: Mapping[str, str | None]) -> str:
    """The record's name, or the nearest thing to it; empty when it has none.

    Args:
        values: The record's fields, as far as they are known.
    """
    for field in _NAME_FIELDS:
        if values.get(field):
            return str(values[field])
    return next((str(values[field]) for field in _likely(values) if values[field]), "")


def _likely(fields: Iterable[str]) -> list[str]:
    """Fields that are named like a name, in alphabetical order, so that a record keeps its label."""
    likely = (field for field in fields if field not in _NAME_FIELDS and field.endswith(_NAME_ENDINGS))
    return sorted(likely)
