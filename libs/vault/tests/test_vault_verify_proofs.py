"""Each way to tamper with a proof, or to lose one, is named with its object and run; whole proofs are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from vault_pages import JOB, KEY, OBJECT, Backup, record, schema_of

from holdfast.vault.proofs import ProofFile, keep_proof, proof_key
from holdfast.vault.verify import verify_table
from holdfast.vault.verify_proofs import ProofReport, proof_files, verify_proofs

NAME = schema_of("Name")
PLACE = f"the proof of {OBJECT} in run"


def claim(records: int, **change: Any) -> dict[str, Any]:
    figures = {"org_records": records, "vault_records": records, "missing": 0, "outdated": 0, "unseen": 0}
    return {"state": "proven", "checked": "count", **figures, **change}


class Proven:
    """A table that grew by 10 records in each of three runs, each of them proven."""

    def __init__(self, backup: Backup) -> None:
        self.backup, self.told, self.files = backup, {}, {}
        table = backup.open()
        for run in (1, 2, 3):
            rows = [record(n, run, Name=f"{n}") for n in range((run - 1) * 10, run * 10)]
            backup.add(table, backup.stage(rows, NAME, run=run, mode="baseline"))
            self.told[run] = claim(run * 10)
            file = ProofFile(JOB, OBJECT, run, table.version, table.head.head, "differ", "2026-01-01", self.told[run])
            self.files[run] = keep_proof(backup.root, file, KEY)
        self.head = table.head

    def path(self, run: int) -> Path:
        assert self.backup.root.folder is not None
        return self.backup.root.folder / proof_key(JOB, run, OBJECT)

    def forge(self, run: int, key: Ed25519PrivateKey = KEY, **change: Any) -> None:
        """Another proof in the place of one, signed."""
        self.path(run).write_bytes(replace(self.files[run], **change).signed(key))

    def check(self, told: dict[int, dict[str, Any]] | None = None) -> ProofReport:
        root, public = self.backup.root, KEY.public_key()
        there = proof_files(root, JOB)
        table = verify_table(root, JOB, OBJECT, key=public, expected=self.head, count=True)
        assert table.whole, table.damage
        told = self.told if told is None else told
        return verify_proofs(root, JOB, OBJECT, key=public, runs=there.runs[OBJECT], told=told, table=table)

    def found(self, told: dict[int, dict[str, Any]] | None = None) -> list[tuple[str, str]]:
        return [(one.path, one.reason) for one in self.check(told).damage]


@pytest.fixture
def proven(backup: Backup) -> Proven:
    return Proven(backup)


def test_whole_proofs_are_whole(proven: Proven) -> None:
    report = proven.check()
    assert (report.damage, report.files) == ([], 3)
    assert report.bytes == sum(proven.path(run).stat().st_size for run in (1, 2, 3))
    assert not proven.check(told={}).damage, "a proof that nobody has heard of yet"


def test_a_missing_proof_is_named(proven: Proven) -> None:
    proven.path(2).unlink()
    expected = f"{PLACE} 2 is missing, though it was announced: proven"
    assert proven.found() == [(proof_key(JOB, 2, OBJECT), expected)]


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    body = json.loads(path.read_bytes())
    change(body)
    path.write_text(json.dumps(body, sort_keys=True, separators=(",", ":")))


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["proof"].update(state="not proven"),
        lambda body: body.update(version=2),
        lambda body: body.update(format=2),
        lambda body: body.update(more="than was signed"),
        lambda body: body.update(signature=body["signature"][4:]),
        lambda body: body.pop("chain_head"),
        lambda body: body.update(run=3),
    ],
)
def test_a_changed_proof_is_named(proven: Proven, change: Callable[[dict[str, Any]], None]) -> None:
    rewrite(proven.path(2), change)
    assert proven.found() == [(proof_key(JOB, 2, OBJECT), f"{PLACE} 2 was changed, or is not ours")]


def test_a_cut_a_foreign_and_a_misplaced_proof_are_named(proven: Proven) -> None:
    proven.path(1).write_bytes(proven.path(1).read_bytes()[:-9])
    proven.forge(2, Ed25519PrivateKey.generate())
    proven.path(3).write_bytes(proven.files[2].signed(KEY))
    assert [reason for _, reason in proven.found()] == [
        f"{PLACE} {run} was changed, or is not ours" for run in (1, 2, 3)
    ]


def test_a_proof_of_a_commit_that_is_not_in_the_chain_is_named(proven: Proven) -> None:
    proven.forge(1, chain_head=proven.files[2].chain_head)
    proven.forge(2, version=99)
    assert [reason for _, reason in proven.found()] == [
        f"{PLACE} 1 names another commit than the table's version {proven.files[1].version} is",
        f"{PLACE} 2 names version 99 of the table, which is not there",
    ]


def test_a_proof_whose_numbers_the_backup_contradicts_is_named(proven: Proven) -> None:
    proven.forge(2, proof=claim(21))
    version = proven.files[2].version
    assert [reason for _, reason in proven.found(told={})] == [
        f"{PLACE} 2 says that the backup held 21 living records, and version {version} holds 20"
    ]
    assert f"{PLACE} 2 says other than what was announced" in [reason for _, reason in proven.found()]


@pytest.mark.parametrize("change", [{"org_records": 21}, {"missing": 1}, {"unseen": 2}])
def test_a_proof_that_contradicts_itself_is_named(proven: Proven, change: dict[str, int]) -> None:
    proven.forge(2, proof=claim(20, **change))
    assert [reason for _, reason in proven.found(told={})] == [
        f"{PLACE} 2 says proven, and its own figures contradict that"
    ]


def test_a_file_that_is_no_proof_is_named_and_a_writers_scratch_is_not(proven: Proven) -> None:
    proven.path(1).with_name("notes.txt").write_text("x")
    proven.path(1).with_name(f".{OBJECT}.json.0123").write_text("x")
    (stray,) = proof_files(proven.backup.root, JOB).strays
    assert (stray.path, stray.reason) == (f"{JOB}/proofs/1/notes.txt", "this is no proof, and lies among them")


def test_living_records_are_those_of_each_version(backup: Backup) -> None:
    """Deletions and returns count; a version of the past is counted from files that were merged since."""
    table = backup.open()
    for run, (deleted, expected) in enumerate([((), 5), ((1, 2), 3), ((2,), 4)], start=1):
        rows = [record(n, run * 100, deleted=n in deleted, Name="x") for n in range(5)]
        backup.add(table, backup.stage(rows, NAME, run=run, mode="baseline" if run == 1 else "incremental"))
        assert table.index.alive == expected
    report = verify_table(backup.root, JOB, OBJECT, key=KEY.public_key(), expected=table.head, count=True)
    assert [report.living[version] for version in sorted(report.living)][-3:] == [5, 3, 4]
