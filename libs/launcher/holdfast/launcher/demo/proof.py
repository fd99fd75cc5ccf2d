"""Whether backup and org agree, cell by cell.

The backup is read with DuckDB straight from the Delta log and the Parquet files; the org's truth is its own ledger,
written by its own serialiser. Neither side runs a line of the code that made the backup.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import httpx

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.launcher.vault_state import NUMERIC, backup_state

SHOWN_DIFFERENCES = 20


@dataclass
class ObjectProof:
    """How one object compares. `cells` counts the values that were compared."""

    object: str
    live: int = 0
    deleted: int = 0
    cells: int = 0
    differences: list[str] = field(default_factory=list)
    difference_count: int = 0

    @property
    def holds(self) -> bool:
        return self.difference_count == 0

    def differ(self, what: str) -> None:
        """Note a difference; only the first are kept in words."""
        self.difference_count += 1
        if len(self.differences) < SHOWN_DIFFERENCES:
            self.differences.append(what)


def prove(vault: Path, job_id: str, org: OrgSession, objects: list[str]) -> list[ObjectProof]:
    """Compare the newest state of each object with the org's ledger.

    Args:
        vault: The vault's folder.
        job_id: Whose backup.
        org: The local org; its ledger is read without going through any API of Salesforce's.
        objects: What the backup should hold; an object without a table must be empty in the org.
    """
    with httpx.Client(base_url=org.url, timeout=60) as ledger:
        return [
            prove_object(name, org.field_types(name), _truth(ledger, name), vault / job_id / "records" / name)
            for name in objects
        ]


def prove_object(
    name: str,
    types: dict[str, str],
    truth: dict[str, dict[str, Any]],
    table: Path,
    gone: frozenset[str] = frozenset(),
) -> ObjectProof:
    """Compare one table with what the ledger says.

    Args:
        name: The object.
        types: Describe type of every field that a backup stores.
        truth: Every record that the org ever had and still knows, by id.
        table: The Delta table's folder.
        gone: Ids of records that the org had and deleted for good; the backup must call them deleted, if it knows them.
    """
    proof = ObjectProof(name)
    backup = backup_state(table)
    for record_id in truth.keys() | backup.keys():
        expected, held = truth.get(record_id), backup.get(record_id)
        if expected is None and held is not None and held["_op"] == "deleted" and record_id in gone:
            proof.deleted += 1
        elif expected is None:
            proof.differ(f"{record_id} is in the backup, and in the org it never was or is gone for good")
        elif held is None:
            proof.differ(f"{record_id} is missing in the backup")
        else:
            _compare(proof, record_id, expected, held, types)
    return proof


def _compare(
    proof: ObjectProof, record_id: str, expected: dict[str, Any], held: dict[str, Any], types: dict[str, str]
) -> None:
    deleted = expected.get("IsDeleted") == "true"
    if deleted != (held["_op"] == "deleted"):
        proof.differ(f"{record_id} is {'' if deleted else 'not '}deleted in the org, not so in the backup")
        return
    proof.deleted += deleted
    proof.live += not deleted
    for name, kind in types.items():
        if name == "Id":
            continue
        proof.cells += 1
        org_value, backup_value = expected.get(name) or None, held.get(name)
        if org_value != backup_value and not _same_number(kind, org_value, backup_value):
            proof.differ(f"{record_id}.{name}: the org has {org_value!r}, the backup {backup_value!r}")


def _same_number(kind: str, left: str | None, right: str | None) -> bool:
    if kind not in NUMERIC or left is None or right is None:
        return False
    try:
        return Decimal(left) == Decimal(right)
    except InvalidOperation:
        return False


def _truth(org: httpx.Client, name: str) -> dict[str, dict[str, Any]]:
    """Every record of the org's ledger state by id, recycle bin included."""
    return {row["Id"]: row for row in _lines(org, "/_org/state", name)}


def _lines(org: httpx.Client, path: str, name: str) -> Iterator[dict[str, Any]]:
    with org.stream("GET", path, params={"object": name}) as answer:
        answer.raise_for_status()
        yield from (json.loads(line) for line in answer.iter_lines() if line)
