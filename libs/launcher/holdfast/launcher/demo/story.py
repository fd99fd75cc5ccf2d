"""What happens in the org between the two backups: real days of the .gov register, and edits to the NPSP data."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from holdfast.launcher.demo.org_session import OrgSession

REPLAYED_DAYS = 60
DOMAIN_COLUMNS = (
    "Name",
    "Domain_Type__c",
    "Organization__c",
    "Suborganization__c",
    "City__c",
    "State__c",
    "Security_Contact__c",
)


@dataclass
class Edits:
    """What was done to the org, counted by (object, verb)."""

    days: int = 0
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, object_name: str, verb: str, number: int) -> None:
        self.counts[object_name, verb] = self.counts.get((object_name, verb), 0) + number


def before_baseline(org: OrgSession) -> str:
    """Delete a contact, so that the baseline finds it in the recycle bin; returns its id."""
    contact = next(org.query("SELECT Id FROM Contact WHERE LastName = 'Kelly' ORDER BY Id LIMIT 1"))
    org.delete([contact["Id"]])
    return str(contact["Id"])


def change_the_org(org: OrgSession, dotgov: Path, deleted_contact: str) -> Edits:
    """Replay the register's days, then edit, delete, undelete and merge NPSP records."""
    edits = Edits()
    _replay_register(org, dotgov / "changes.jsonl.gz", edits)
    _edit_contacts(org, edits)
    _edit_opportunities(org, edits)
    org.undelete([deleted_contact])
    edits.add("Contact", "undelete", 1)
    _merge_accounts(org, edits)
    return edits


def _replay_register(org: OrgSession, changes: Path, edits: Edits) -> None:
    ids = {row["Name"]: row["Id"] for row in org.query("SELECT Id, Name FROM Domain__c")}
    for day in _days(changes):
        edits.days += 1
        inserted = [_domain(row) for row in day["insert"] if row[0] not in ids]
        new_ids = org.insert("Domain__c", inserted)
        ids.update(zip((row["Name"] for row in inserted), new_ids, strict=True))
        updated = [{"id": ids[row[0]], **_domain(row)} for row in day["update"] if row[0] in ids]
        org.update("Domain__c", updated)
        deleted = [ids.pop(name) for name in day["delete"] if name in ids]
        org.delete(deleted)
        for verb, rows in (("insert", inserted), ("update", updated), ("delete", deleted)):
            edits.add("Domain__c", verb, len(rows))


def _days(changes: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(changes, "rt", encoding="utf-8") as lines:
        yield from (json.loads(line) for line in islice(lines, REPLAYED_DAYS))


def _domain(row: list[str]) -> dict[str, Any]:
    return {column: value or None for column, value in zip(DOMAIN_COLUMNS, row, strict=True)}


def _edit_contacts(org: OrgSession, edits: Edits) -> None:
    contacts = list(org.query("SELECT Id, LastName FROM Contact ORDER BY Id LIMIT 45"))
    changed = [
        {"id": row["Id"], "Title": "Major donor", "Phone": f"+1 555 01{number:02}"}
        for number, row in enumerate(contacts[:40])
    ]
    org.update("Contact", changed)
    org.insert("Contact", [{"FirstName": "Zoë", "LastName": "O'Brien-Nuñez", "Email": "zoe@example.org"}])
    org.delete([row["Id"] for row in contacts[40:]])
    for verb, number in (("update", len(changed)), ("insert", 1), ("delete", len(contacts[40:]))):
        edits.add("Contact", verb, number)


def _edit_opportunities(org: OrgSession, edits: Edits) -> None:
    gifts = list(org.query("SELECT Id, Amount FROM Opportunity WHERE Amount > 100 ORDER BY Id LIMIT 33"))
    changed = [{"id": row["Id"], "Amount": row["Amount"] + 0.01, "StageName": "Pledged"} for row in gifts[:30]]
    org.update("Opportunity", changed)
    org.delete([row["Id"] for row in gifts[30:]])
    edits.add("Opportunity", "update", len(changed))
    edits.add("Opportunity", "delete", len(gifts[30:]))


def _merge_accounts(org: OrgSession, edits: Edits) -> None:
    master, loser = (row["Id"] for row in org.query("SELECT Id FROM Account ORDER BY Id DESC LIMIT 2"))
    org.merge("Account", master, loser)
    edits.add("Account", "merge", 1)
