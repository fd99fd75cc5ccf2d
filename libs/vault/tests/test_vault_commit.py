"""A page's commit is made exactly once, whatever dies and whoever else writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from vault_pages import JOB, KEY, OBJECT, Backup, changed, commit_second, record, record_id, schema_of

import holdfast.vault.table as table_module
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import registered_steps
from holdfast.vault.chain import ChainHead
from holdfast.vault.refs import StagedRef
from holdfast.vault.table import RecordTable
from holdfast.vault.verify import verify_table

NAME = schema_of("Name")
WIDER = schema_of("Name", "City")
CHILD = Path(__file__).parent / "vault_pages.py"
STEPS = ["vault.event_file_put", "vault.schema_put", "vault.table_widen", "vault.delta_commit"]


def page_as_json(ref: StagedRef) -> str:
    return json.dumps({**ref.__dict__, "schema": ref.schema.to_json().decode()})


def run_child(backup: Backup, ref: StagedRef, failpoint: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HOLDFAST_FAILPOINT": failpoint}
    arguments = [sys.executable, str(CHILD), str(backup.root.folder), page_as_json(ref)]
    return subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_writer_that_is_killed_loses_and_doubles_nothing(backup: Backup, step: str, side: str) -> None:
    assert step in registered_steps()
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a")], NAME, mode="baseline"))
    ref = backup.stage([record(1, 2, Name="b"), record(2, 2, City="x")], WIDER, run=2)
    schema_file = backup.root.path(f"{table.job_id}/schemas/{WIDER.schema_id}.json")
    assert schema_file is not None
    schema_file.unlink()  # so that the writer has to put it

    killed = run_child(backup, ref, f"{step}:{side}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    answers = [commit_second(backup.root, ref) for _ in range(2)]

    assert answers[0] == answers[1]
    assert answers[0].events == 2
    assert backup.state() == {record_id(1): record(1, 2, Name="b"), record_id(2): record(2, 2, City="x")}
    fresh = backup.open()
    assert fresh.head.commit_seq == 2
    report = verify_table(backup.root, fresh.job_id, fresh.object, key=KEY.public_key(), expected=fresh.head)
    assert (report.damage, report.rows) == ([], 3)


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_table_is_created_once(backup: Backup, side: str) -> None:
    ref = backup.stage([record(1, 2, Name="b")], NAME)
    assert run_child(backup, ref, f"vault.table_create:{side}").returncode == -signal.SIGKILL
    assert commit_second(backup.root, ref).events == 1
    assert backup.open().head.commit_seq == 2


def test_the_same_commit_again_gives_the_same_answer(backup: Backup) -> None:
    table = backup.open()
    ref = backup.stage([record(1, 1, Name="a")], NAME)
    prepared = table.apply([ref])
    first = table.commit(prepared, 1, table.head)
    assert table.commit(prepared, 1, table.head) == first
    assert table.commit(table.apply([ref]), 1) == first
    later = backup.open()
    assert later.committed(1, [ref.page_id]) == first
    backup.add(later, backup.stage([record(1, 2, Name="b")], NAME, run=2))
    assert later.committed(1, [ref.page_id]) == first
    assert later.committed(3, ["any"]) is None


def test_a_number_used_for_other_pages_is_refused(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a")], NAME))
    other = table.apply([backup.stage([record(1, 2, Name="b")], NAME, run=2)])
    with pytest.raises(HoldfastError) as caught:
        table.commit(other, 1)
    assert (caught.value.kind, caught.value.code) == (Kind.CONFLICT, "commit-number-reused")


def test_of_two_writers_one_wins_and_the_other_is_told(backup: Backup) -> None:
    one, other = backup.open(), backup.open()
    first, second = (backup.stage([record(1, n, Name=str(n))], NAME, seq=n) for n in (1, 2))
    prepared = other.apply([second])
    backup.add(one, first)
    with pytest.raises(HoldfastError) as caught:
        other.commit(prepared, 1)
    assert caught.value.kind in {Kind.UNAVAILABLE, Kind.CONFLICT, Kind.FENCED}
    with pytest.raises(HoldfastError) as caught:
        other.commit(prepared, 2)
    assert caught.value.kind is Kind.FENCED
    assert changed(other.commit(other.apply([second]), 2).counts) == {"updated": 1}
    assert backup.state() == {record_id(1): record(1, 2, Name="2")}


def test_two_writers_with_the_same_page_make_one_commit(backup: Backup) -> None:
    """The one that lost its lease without knowing gets the commit of the one that has it."""
    one, other = backup.open(), backup.open()
    ref = backup.stage([record(1, 1, Name="a")], NAME)
    one.widen(["Name", "IsDeleted", "SystemModstamp"])
    other.refresh()
    ours, theirs = one.apply([ref]), other.apply([ref])
    first = one.commit(ours, 1)
    assert other.commit(theirs, 1) == first
    assert other.head == first.chain_head
    assert len(backup.state()) == 1


@pytest.mark.parametrize("happened", [True, False])
def test_an_error_on_commit_is_settled_by_looking(
    backup: Backup, monkeypatch: pytest.MonkeyPatch, happened: bool
) -> None:
    table = backup.open()
    prepared = table.apply([backup.stage([record(1, 1, Name="a")], NAME)])
    real = table_module.append_delta

    def lost_reply(*args: Any) -> None:
        if happened:
            real(*args)
        raise OSError("connection reset")

    monkeypatch.setattr(table_module, "append_delta", lost_reply)
    if happened:
        assert table.commit(prepared, 1).events == 1
    else:
        with pytest.raises(HoldfastError) as caught:
            table.commit(prepared, 1)
        assert (caught.value.kind, caught.value.code) == (Kind.UNAVAILABLE, "commit-not-made")
        monkeypatch.setattr(table_module, "append_delta", real)
        ref = backup.stage([record(1, 1, Name="a")], NAME)
        assert table.commit(table.apply([ref]), 1).events == 1
    assert backup.open().head == table.head
    assert backup.state() == {record_id(1): record(1, 1, Name="a")}


def test_a_table_without_the_remembered_head_is_not_written_to(backup: Backup) -> None:
    table = backup.open()
    prepared = table.apply([backup.stage([record(1, 1, Name="a")], NAME)])
    with pytest.raises(HoldfastError) as caught:
        table.commit(prepared, 2, ChainHead(1, "ab" * 32))
    assert (caught.value.kind, caught.value.code) == (Kind.DAMAGED, "table-rolled-back")


def test_many_commits_pass_checkpoints(backup: Backup) -> None:
    table = backup.open()
    for run in range(1, 26):
        backup.add(table, backup.stage([record(run % 7, run, Name=str(run))], NAME, run=run))
    assert backup.open().head == table.head
    assert len(backup.state()) == 7
    assert backup.state(10)[record_id(3)]["Name"] == "10"


def test_a_table_created_with_its_fields_needs_no_widening(backup: Backup) -> None:
    table = RecordTable.open_or_create(backup.root, JOB, OBJECT, KEY, NAME)
    assert backup.add(table, backup.stage([record(1, 1, Name="a")], NAME)).version == 1
    assert backup.state() == {record_id(1): record(1, 1, Name="a")}
