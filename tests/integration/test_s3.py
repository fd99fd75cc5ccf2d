"""The vault in a bucket of a real S3 server: backed up, changed, backed up again, verified and read back."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.launcher.demo.proof import NUMERIC
from holdfast.orgsim.testing import RunningOrg, start_org
from holdfast.vault.location import VaultRoot
from holdfast.vault.reading import state_at

from .harness import Installation, installed

pytestmark = pytest.mark.integration
BULK, REST = "Thing__c", "Other__c"
ROWS = {BULK: 3_000, REST: 300}


@pytest.fixture
def org() -> Iterator[RunningOrg]:
    fields = [{"name": "Note__c", "type": "string"}, {"name": "Amount__c", "type": "currency"}]
    with start_org() as running:
        for name, rows in ROWS.items():
            running.define(name, fields, [{"Name": f"{n}", "Note__c": f"00{n}", "Amount__c": n} for n in range(rows)])
        yield running


@pytest.fixture
def vault(s3: Any, tmp_path: Path) -> VaultRoot:
    options = {
        "aws_endpoint": s3.endpoint,
        "aws_access_key_id": s3.access_key,
        "aws_secret_access_key": s3.secret_key,
        "aws_region": "us-east-1",
        "aws_virtual_hosted_style_request": "false",
    }
    return VaultRoot(f"s3://{s3.bucket}/{tmp_path.name}", options)


@pytest.fixture
def holdfast(
    vault: VaultRoot, s3: Any, tmp_path: Path, kafka_servers: str, postgres_dsn: str
) -> Iterator[Installation]:
    env = {
        "HOLDFAST_OBJECT_STORE": vault.uri,
        "HOLDFAST_S3_ENDPOINT": s3.endpoint,
        "HOLDFAST_S3_ACCESS_KEY": s3.access_key,
        "HOLDFAST_S3_SECRET_KEY": s3.secret_key,
    }
    with installed(tmp_path, kafka=kafka_servers, dsn=postgres_dsn, env=env) as running:
        yield running


def test_a_backup_in_a_bucket(holdfast: Installation, vault: VaultRoot, org: RunningOrg) -> None:
    job = holdfast.create_job(holdfast.connect(org), list(ROWS))
    baseline = holdfast.run(job)
    assert baseline["state"] == "completed", (baseline, holdfast.log)
    assert baseline["counts"]["captured"] == sum(ROWS.values())
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        _agrees(vault, job, 1, org, session)
        ids = sorted(org.state(BULK))
        session.update(BULK, [{"id": each, "Note__c": "NA"} for each in ids[:20]])
        session.delete(ids[20:25])
        session.insert(REST, [{"Name": "new", "Amount__c": 1.25}])
        changed = holdfast.run(job)
        assert changed["state"] == "completed", (changed, holdfast.log)
        counts = {name: changed["counts"][name] for name in ("created", "updated", "deleted")}
        assert counts == {"created": 1, "updated": 20, "deleted": 5}
        _agrees(vault, job, 2, org, session)
    assert state_at(vault, job, BULK, 1).num_rows == ROWS[BULK], "the past is as it was"
    assert _verification(holdfast, job) == {"state": "intact", "damage": []}
    assert not holdfast.vault.exists(), "nothing went to a folder"


def _agrees(vault: VaultRoot, job: str, run: int, org: RunningOrg, session: OrgSession) -> None:
    """Every cell of every record that exists is the same in the bucket and in the org's ledger."""
    for name in ROWS:
        kinds = session.field_types(name)
        held = {row["Id"]: row for row in state_at(vault, job, name, run).to_pylist()}
        truth = {key: row for key, row in org.state(name).items() if row["IsDeleted"] != "true"}
        assert held.keys() == truth.keys()
        for key, row in truth.items():
            for field, kind in kinds.items():
                assert _value(kind, held[key][field]) == _value(kind, row.get(field)), (key, field)


def _value(kind: str, text: str | None) -> object:
    return Decimal(text) if text and kind in NUMERIC else text or None


def _verification(holdfast: Installation, job: str) -> dict[str, Any]:
    verification = holdfast.post(f"/jobs/{job}/verifications", {})
    while verification["state"] == "running":
        verification = holdfast.get(f"/verifications/{verification['id']}")
    return {name: verification[name] for name in ("state", "damage")}
