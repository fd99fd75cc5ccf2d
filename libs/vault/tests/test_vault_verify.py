"""Every kind of damage is named; a whole table is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from vault_pages import JOB, KEY, OBJECT, Backup, record, schema_of, swap_index

from holdfast.vault.chain import ENTRY_KEY, HEAD_KEY, SIGNATURE_KEY, ChainHead, make_link
from holdfast.vault.location import VaultRoot
from holdfast.vault.reading import count
from holdfast.vault.table import RecordTable
from holdfast.vault.verify import Progress, Report, verify_table

NAME = schema_of("Name")
FIXTURES = Path(__file__).parent / "fixtures"


class Victim:
    """A table with three appends (versions 2, 3, 4) and the head that Postgres remembers."""

    def __init__(self, backup: Backup) -> None:
        table = backup.open()
        for run in range(1, 4):
            rows = [record(n, run, Name=f"{n}-{run}") for n in range(50)]
            backup.add(table, backup.stage(rows, NAME, run=run, mode="baseline"))
        table.save_index()
        self.head, self.root = table.head, backup.root
        assert backup.root.folder is not None
        self.job = backup.root.folder / JOB
        self.table = self.job / "records" / OBJECT
        self.log = self.table / "_delta_log"

    def check(self, head: ChainHead | None = None) -> Report:
        return verify_table(self.root, JOB, OBJECT, key=KEY.public_key(), expected=head or self.head)

    def file(self, run: int) -> Path:
        """The run's file that is in the table."""
        log = (self.log / f"{run + 1:020d}.json").read_text()
        return next(path for path in (self.table / str(run)).iterdir() if path.name in log)

    def commit(self, version: int) -> Path:
        return self.log / f"{version:020d}.json"

    def rewrite(self, version: int, change: Callable[[dict[str, object]], None]) -> None:
        """Forge a commit's own metadata."""
        lines = self.commit(version).read_text().splitlines()
        actions = [json.loads(line) for line in lines]
        change(next(action["commitInfo"] for action in actions if "commitInfo" in action))
        self.commit(version).write_text("\n".join(json.dumps(action) for action in actions))


@pytest.fixture
def victim(backup: Backup) -> Victim:
    return Victim(backup)


def test_a_whole_table_is_whole(victim: Victim) -> None:
    seen: list[Progress] = []
    report = verify_table(victim.root, JOB, OBJECT, key=KEY.public_key(), expected=victim.head, progress=seen.append)
    assert report.damage == []
    assert (report.commits, report.files, report.rows, report.head) == (5, 3, 150, victim.head)
    assert report.bytes == sum(victim.file(run).stat().st_size for run in (1, 2, 3))
    assert [p.done_files for p in seen] == [1, 2, 3]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_a_flipped_bit_is_named(victim: Victim) -> None:
    flip(victim.file(2))
    assert [(d.path.endswith(victim.file(2).name), d.reason) for d in victim.check().damage] == [
        (True, "the file's bytes changed")
    ]


def test_a_cut_file_is_named(victim: Victim) -> None:
    victim.file(2).write_bytes(victim.file(2).read_bytes()[:-10])
    (damage,) = victim.check().damage
    assert damage.path.endswith(victim.file(2).name)
    assert "bytes instead of" in damage.reason


def test_a_missing_file_is_named(victim: Victim) -> None:
    path = victim.file(1)
    path.unlink()
    assert [(d.path.endswith(path.name), d.reason) for d in victim.check().damage] == [(True, "the file is missing")]


def test_an_extra_file_is_named_but_is_no_damage(victim: Victim) -> None:
    extra = victim.table / "2" / "page-of-nobody.parquet"
    extra.write_bytes(b"x")
    report = victim.check()
    assert f"{JOB}/records/{OBJECT}/2/page-of-nobody.parquet" in report.unreferenced
    assert report.whole


def test_a_lost_newest_commit_is_a_rollback(victim: Victim) -> None:
    victim.commit(4).unlink()
    (damage,) = victim.check().damage
    assert "commit 3" in damage.reason
    assert "rolled back" in damage.reason
    assert verify_table(victim.root, JOB, OBJECT, key=KEY.public_key(), expected=None).head != victim.head


def test_a_lost_middle_commit_is_named(victim: Victim) -> None:
    victim.commit(3).unlink()
    assert (f"{victim.commit(3).name}", "the commit is missing") in [
        (Path(d.path).name, d.reason) for d in victim.check().damage
    ]


def test_a_damaged_commit_is_named(victim: Victim) -> None:
    victim.commit(3).write_bytes(b"{not json")
    assert victim.commit(3).name in [Path(d.path).name for d in victim.check().damage]


def test_a_commit_that_was_not_made_by_us_is_named(victim: Victim) -> None:
    def strip(info: dict[str, object]) -> None:
        for name in (ENTRY_KEY, HEAD_KEY, SIGNATURE_KEY):
            del info[name]

    victim.rewrite(3, strip)
    assert "the commit has no chain entry" in [d.reason for d in victim.check().damage]


def test_a_changed_entry_is_named(victim: Victim) -> None:
    def fake_rows(info: dict[str, object]) -> None:
        info[ENTRY_KEY] = str(info[ENTRY_KEY]).replace('"rows":50', '"rows":49')

    victim.rewrite(3, fake_rows)
    assert "the chain entry was changed" in [d.reason for d in victim.check().damage]


def test_a_history_written_with_another_key_is_named(victim: Victim) -> None:
    def forge(info: dict[str, object]) -> None:
        body = json.loads(str(info[ENTRY_KEY]))
        info.update(make_link(body, Ed25519PrivateKey.generate()).metadata())

    victim.rewrite(4, forge)
    assert [d.reason for d in victim.check().damage] == ["the signature is not ours"]


def test_a_file_smuggled_into_a_commit_is_named(victim: Victim) -> None:
    lines = victim.commit(4).read_text().splitlines()
    add = next(line for line in lines if '"add"' in line)
    victim.commit(4).write_text("\n".join([*lines, add.replace("page-3", "page-9")]))
    assert "the commit adds other files than its chain entry names" in [d.reason for d in victim.check().damage]


def test_a_removal_is_named(victim: Victim) -> None:
    remove = json.dumps({"remove": {"path": "1/x.parquet", "dataChange": True}})
    victim.commit(4).write_text(victim.commit(4).read_text() + "\n" + remove)
    assert "the commit removes other files than its chain entry names" in [d.reason for d in victim.check().damage]


def test_swapped_commits_are_named(victim: Victim) -> None:
    three, four = victim.commit(3).read_bytes(), victim.commit(4).read_bytes()
    victim.commit(3).write_bytes(four)
    victim.commit(4).write_bytes(three)
    reasons = {d.reason for d in victim.check().damage}
    assert {"the commit does not follow the one before it", "the chain entry belongs to another commit"} <= reasons


@pytest.mark.parametrize("gone", [True, False])
def test_a_damaged_schema_is_named(victim: Victim, gone: bool) -> None:
    path = victim.job / "schemas" / f"{NAME.schema_id}.json"
    path.unlink() if gone else flip(path)
    reason = "the schema is missing" if gone else "the schema's bytes changed"
    assert [d.reason for d in victim.check().damage] == [reason]


def test_a_wrong_index_is_named(victim: Victim) -> None:
    path = next((victim.job / "index" / OBJECT).iterdir())
    data = path.read_bytes()
    assert b'"alive": 50' in data
    path = swap_index(path, data.replace(b'"alive": 50', b'"alive": 51'))
    assert [d.reason for d in victim.check().damage] == ["the state index differs from the table"]
    flip(path)
    assert "cannot be read" in victim.check().damage[0].reason


def test_a_forged_checkpoint_is_named(victim: Victim, backup: Backup) -> None:
    """Delta's readers trust a checkpoint; the commits say what it should hold."""
    table = backup.open()
    for run in range(4, 12):
        backup.add(table, backup.stage([record(1, run, Name=str(run))], NAME, run=run))
    checkpoint = next(victim.log.glob("*.checkpoint.parquet"))
    assert victim.check(table.head).whole
    other = Backup.in_folder(backup.scratch / "other", backup.scratch)
    theirs = other.open()
    for run in range(1, 12):
        other.add(theirs, other.stage([record(1, run, Name=f"their {run}")], NAME, run=run))
    forged = next((other.scratch / "other" / JOB / "records" / OBJECT / "_delta_log").glob("*.checkpoint.parquet"))
    assert forged.name == checkpoint.name
    shutil.copy(forged, checkpoint)
    (victim.log / "_last_checkpoint").unlink()
    assert not victim.check(table.head).whole


def test_no_table_is_damage(backup: Backup) -> None:
    report = verify_table(backup.root, JOB, OBJECT, key=KEY.public_key(), expected=None)
    assert [d.reason for d in report.damage] == ["the table has no commits"]


@pytest.fixture(params=["version-1"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a vault written by an earlier release."""
    return Path(shutil.copytree(FIXTURES / request.param, tmp_path / "kept"))


def test_vaults_of_earlier_releases_are_read(kept: Path) -> None:
    facts = json.loads((kept / "facts.json").read_text())
    root = VaultRoot.local(kept)
    head = ChainHead(facts["commit_seq"], facts["head"])
    assert verify_table(root, JOB, OBJECT, key=KEY.public_key(), expected=head).damage == []
    assert [count(root, JOB, OBJECT, run) for run in (1, 2, 3)] == facts["records"]
    assert RecordTable.open_or_create(root, JOB, OBJECT, KEY).head == head


@pytest.mark.parametrize("damage", ["version-1-flipped-bit", "version-1-lost-commit"])
def test_damaged_vaults_of_earlier_releases_are_named(damage: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FIXTURES / damage, tmp_path / "kept"))
    facts = json.loads((folder / "facts.json").read_text())
    head = ChainHead(facts["commit_seq"], facts["head"])
    report = verify_table(VaultRoot.local(folder), JOB, OBJECT, key=KEY.public_key(), expected=head)
    assert [d.reason.split(":")[0] for d in report.damage] == facts["damage"]
