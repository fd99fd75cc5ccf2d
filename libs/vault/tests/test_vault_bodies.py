"""Bodies of files: they attach to records without changing them, and are read back byte for byte."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from vault_pages import JOB, KEY, OBJECT, START, STEP, Backup, compact_and_clear, record, record_id, schema_of

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault import reading
from holdfast.vault.blobs import BlobRef, read_blob
from holdfast.vault.bodies import body_at, body_schema, images_schema, references, write_bodies
from holdfast.vault.feed import changes_between
from holdfast.vault.index_store import rebuilt, same_entries
from holdfast.vault.log import TableLog
from holdfast.vault.page import PageMeta, page_key
from holdfast.vault.refs import StagedRef
from holdfast.vault.schema import schema_key
from holdfast.vault.verify import verify_table

SCHEMA = schema_of("Name", Size="int")


def put(backup: Backup, content: bytes) -> BlobRef:
    ref = BlobRef(hashlib.sha256(content).hexdigest(), len(content))
    backup.root.put_new(ref.key(JOB), content, STEP)
    return ref


def attach(
    backup: Backup, bodies: dict[int, str], *, run: int = 1, seq: int = 1_000_000, stamp: int = 1, images: bool = False
) -> StagedRef:
    schema = images_schema(OBJECT, "Text") if images else body_schema(OBJECT, "Body")
    meta = PageMeta(JOB, OBJECT, run, seq, f"bodies-{run}-{seq}", "bodies", schema, datetime.now(UTC))
    out = backup.scratch / f"{meta.page_id}.parquet"
    at = START + timedelta(seconds=stamp)
    page = write_bodies([record_id(n) for n in bodies], [at] * len(bodies), list(bodies.values()), meta, out)
    backup.root.put_new(page_key(meta, page.sha256), out, STEP)
    backup.root.put_new(schema_key(JOB, schema.schema_id), schema.to_json(), STEP)
    key = page_key(meta, page.sha256)
    return StagedRef(key, meta.page_id, run, seq, page.rows, page.sha256, "bodies", schema)


def cell(backup: Backup, number: int, run: int = 1_000) -> str | None:
    return backup.state(run)[record_id(number)].get("Body")


def test_a_body_is_part_of_the_state_and_no_change(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a"), record(2, 1, Name="b")], SCHEMA, mode="baseline"))
    ref = put(backup, b"hello")
    before = table.index.rows
    committed = backup.add(table, attach(backup, {1: ref.text}))
    assert committed.counts.to_json() == {"attached": 1}
    assert committed.events == 1
    assert table.index.rows is before
    assert (cell(backup, 1), cell(backup, 2)) == (ref.text, None)
    assert backup.state()[record_id(1)]["Name"] == "a"
    assert reading.count(backup.root, JOB, OBJECT, 1) == 2
    assert sum(reading.operations(backup.root, JOB, OBJECT, 1).values()) == 2
    assert not any(len(commit.changes) for commit in changes_between(backup.root, JOB, OBJECT, 0, 9))


def test_a_body_of_an_earlier_run_may_come_after_a_later_run_s_changes(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a"), record(2, 1, Name="b")], SCHEMA, mode="baseline"))
    late = [record(1, 50, Name="new"), record(2, 50, deleted=True, Name="b")]
    backup.add(table, backup.stage(late, SCHEMA, run=2))
    ref = put(backup, b"one")
    backup.add(table, attach(backup, {1: ref.text, 2: ref.text}))
    assert cell(backup, 1) == ref.text
    assert backup.state()[record_id(1)]["Name"] == "new"
    assert record_id(2) not in backup.state()
    assert cell(backup, 2, run=1) == ref.text
    again = backup.add(table, backup.stage([record(1, 60, Name="newer")], SCHEMA, run=3))
    assert again.counts.to_json() == {"updated": 1}
    table.refresh()
    assert same_entries(table.index, rebuilt(TableLog(backup.root, JOB, OBJECT), table.version))


def test_each_run_sees_its_own_body(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a")], SCHEMA, mode="baseline"))
    old, new = put(backup, b"old"), put(backup, b"newer")
    backup.add(table, attach(backup, {1: new.text}, run=2, stamp=50))
    backup.add(table, attach(backup, {1: old.text}, run=1, stamp=1))
    assert (cell(backup, 1, run=1), cell(backup, 1, run=2)) == (old.text, new.text)
    assert body_at(backup.root, JOB, OBJECT, record_id(1), "body", 1) == (old.text, START + timedelta(seconds=1))
    assert body_at(backup.root, JOB, OBJECT, record_id(1), "Body")[0] == new.text
    with pytest.raises(HoldfastError) as missing:
        body_at(backup.root, JOB, OBJECT, record_id(1), "Other")
    assert missing.value.kind is Kind.NOT_FOUND


def test_images_of_a_rich_text_are_one_cell(backup: Backup) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(1, 1, Name="a")], SCHEMA, mode="baseline"))
    refs = [put(backup, b"png"), put(backup, b"gif")]
    text = "\n".join(f"0EM00000000000{n}AAA {ref.text}" for n, ref in enumerate(refs))
    backup.add(table, attach(backup, {1: text}, images=True))
    assert references(backup.state()[record_id(1)]["Text__images"] or "") == refs


def test_a_body_comes_back_byte_for_byte_and_damage_is_seen(backup: Backup) -> None:
    content = bytes(range(256)) * 10_000
    ref = put(backup, content)
    assert b"".join(read_blob(backup.root, JOB, ref)) == content
    path = backup.root.path(ref.key(JOB))
    assert path is not None
    path.write_bytes(content[:-1] + b"x")
    taken = []
    with pytest.raises(HoldfastError) as damaged:
        for piece in read_blob(backup.root, JOB, ref):
            taken.append(piece)
    assert damaged.value.kind is Kind.DAMAGED
    assert len(b"".join(taken)) < len(content)
    assert b"".join(read_blob(backup.root, JOB, put(backup, b""))) == b""
    with pytest.raises(HoldfastError):
        BlobRef.of("sha256:../../etc/passwd:1")


@pytest.mark.parametrize("harm", ["missing", "shorter", "flipped"])
def test_verify_names_the_body_that_is_wrong(backup: Backup, harm: str) -> None:
    table = backup.open()
    backup.add(table, backup.stage([record(n, 1, Name="a") for n in range(3)], SCHEMA, mode="baseline"))
    ref = put(backup, b"precious")
    backup.add(table, attach(backup, dict.fromkeys(range(3), ref.text)))
    table.save_index()
    check = lambda read: verify_table(  # noqa: E731
        backup.root, JOB, OBJECT, key=KEY.public_key(), expected=table.head, read=lambda _: read
    )
    whole = check(True)
    assert whole.whole, whole.damage
    assert whole.bodies == 1
    path = backup.root.path(ref.key(JOB))
    assert path is not None
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(b"precious"[:-1] + (b"" if harm == "shorter" else b"?"))
    found = check(True)
    assert [damage.path for damage in found.damage] == [ref.key(JOB)]
    assert check(False).whole == (harm == "flipped")


def test_a_page_of_bodies_that_was_tampered_with_is_refused(backup: Backup) -> None:
    table = backup.open()
    page = attach(backup, {1: put(backup, b"x").text})
    with pytest.raises(HoldfastError) as damaged:
        table.apply([replace(page, sha256="0" * 64)])
    assert damaged.value.kind is Kind.DAMAGED


def test_files_of_bodies_are_merged_with_their_kind_and_no_answer_changes(backup: Backup) -> None:
    table = backup.open()
    records = [record(n, 1, Name="a") for n in range(4)]
    backup.add(table, backup.stage(records, SCHEMA, mode="baseline"))
    refs = [put(backup, b"body %d" % n) for n in range(6)]
    for run in (1, 2, 3):
        backup.add(table, attach(backup, {run: refs[run].text, 0: refs[0].text}, run=run, stamp=run))
        text = f"0EM000000000001 {refs[run + 2].text}"
        backup.add(table, attach(backup, {run: text}, run=run, seq=1_000_001, stamp=run, images=True))
        backup.add(table, backup.stage([record(run, 50 + run, Name=f"new{run}")], SCHEMA, run=run + 1))
    table.save_index()

    def answers() -> list[object]:
        asked: list[object] = [backup.state(run) for run in range(1, 6)]
        for run in range(1, 5):
            asked.append(body_at(backup.root, JOB, OBJECT, record_id(run % 4), "Body", 3))
            asked.append(reading.operations(backup.root, JOB, OBJECT, run))
        asked += [reading.record_history(backup.root, JOB, OBJECT, record_id(n)) for n in range(4)]
        return [*asked, *([c.changes.rows() for c in changes_between(backup.root, JOB, OBJECT, 0, 99)])]

    before = answers()
    bodies = verify_table(backup.root, JOB, OBJECT, key=KEY.public_key(), expected=table.head).bodies
    compact_and_clear(backup.root)
    table.refresh()
    stored = table.index.layout.stored()
    kinds = [{table.index.layout.pages[part].mode == "bodies" for part in file.parts} for file in stored]
    assert sorted(map(len, kinds)) == [1, 1], "one file of records and one of bodies"
    assert answers() == before
    assert same_entries(table.index, rebuilt(TableLog(backup.root, JOB, OBJECT), table.version))
    report = verify_table(backup.root, JOB, OBJECT, key=KEY.public_key(), expected=table.head)
    assert (report.damage, report.unreferenced, report.bodies) == ([], [], bodies)
    assert bodies == 6
    backup.add(table, attach(backup, {0: refs[5].text}, run=4, stamp=9))
    assert cell(backup, 0) == refs[5].text
    path = backup.root.path(refs[1].key(JOB))
    assert path is not None
    path.unlink()
    found = verify_table(backup.root, JOB, OBJECT, key=KEY.public_key(), expected=table.head).damage
    assert [damage.path for damage in found] == [refs[1].key(JOB)]
