"""History from outside: events in, the past out."""

from __future__ import annotations

import asyncio
from datetime import UTC
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from history_vault import JOB, START, contact, contact_id

from holdfast.common.contracts.differ import ChangeCounts, ChangesCommitted, ObjectDiffed, Proof
from holdfast.common.contracts.scheduler import (
    JobCreated,
    ObjectGap,
    RunCompleted,
    RunFailed,
    RunOutcome,
    RunPartial,
    RunRequested,
)
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.grpc_errors import from_rpc
from holdfast.common.rpc.history.v1 import history_pb2 as pb
from holdfast.common.rpc.scheduler.v1.scheduler_pb2 import ObjectProgress, Run
from holdfast.vault.refs import Committed

pytestmark = pytest.mark.integration

RUNS = {number: UUID(int=100 + number) for number in range(1, 5)}
CREATED = JobCreated(job_id=JOB, name="Nightly", connection_id=UUID(int=9), cron=None, time_zone="UTC", objects=[])


def requested(run: int) -> RunRequested:
    return RunRequested(
        run_id=RUNS[run],
        job_id=JOB,
        run=run,
        connection_id=UUID(int=9),
        objects=[],
        trigger="manual",
        requested_at=START,
    )


def page(run: int, committed: Committed, **counts: int) -> ChangesCommitted:
    return ChangesCommitted(
        job_id=JOB,
        run_id=RUNS[run],
        run=run,
        object="Contact",
        table=f"{JOB}/records/Contact",
        commit_seq=committed.chain_head.commit_seq,
        version=committed.version,
        page_id=f"page-{run}",
        counts=ChangeCounts(**counts),
        chain_head=committed.chain_head.head,
    )


def whole(run: int, committed: Committed, rows: int = 0, **counts: int) -> ObjectDiffed:
    return ObjectDiffed(
        job_id=JOB,
        run_id=RUNS[run],
        run=run,
        object="Contact",
        table=f"{JOB}/records/Contact",
        version=committed.version,
        chain_head=committed.chain_head.head,
        rows_read=rows,
        bytes_written=committed.bytes,
        counts=ChangeCounts(**counts),
    )


async def two_runs(history: Any) -> tuple[Committed, Committed]:
    """Three contacts; then one is edited, one deleted, one touched and one created."""
    first = history.vault.write(
        1,
        "baseline",
        [contact(1, 1, Name="Ada", Phone="1"), contact(2, 2, Name="Bo"), contact(3, 3, Name="Cy")],
    )
    second = history.vault.write(
        2,
        "incremental",
        [
            contact(1, 11, Name="Ada", Email="ada@x.org"),
            contact(2, 12, Name="Bo", deleted=True),
            contact(3, 13, Name="Cy"),
            contact(4, 14, Name="Di"),
        ],
    )
    history.differ.remember(second)
    await history.send(CREATED, requested(1), requested(2))
    await history.send(page(1, first, captured=3), whole(1, first, 3, captured=3))
    await history.send(whole(2, second, 4, updated=1, deleted=1, touched=1, created=1))
    await history.until("SummarizeChanges", summary(2), lambda answer: answer.objects)
    await history.until("SummarizeChanges", summary(1), lambda answer: answer.objects)
    known = pb.GetRecordHistoryRequest(job_id="Nightly", object="Contact", record_id=contact_id(1))
    await history.until("GetRecordHistory", known, lambda answer: True)  # the job comes on a topic of its own
    return first, second


def summary(run: int) -> pb.SummarizeChangesRequest:
    return pb.SummarizeChangesRequest(run_id=str(RUNS[run]))


def listing(run: int = 2, **options: Any) -> pb.ListChangesRequest:
    return pb.ListChangesRequest(**({"run_id": str(RUNS[run]), "object": "Contact"} | options))


async def refused(history: Any, method: str, request: Any) -> HoldfastError:
    with pytest.raises(HoldfastError) as raised:
        await history.ask(method, request)
    return raised.value


def shown(record: pb.RecordVersion) -> tuple[str, str, dict[str, tuple[str, str]]]:
    return record.operation, record.label, {one.field: (one.before, one.after) for one in record.fields}


async def test_changes_of_a_run_with_before_and_after(history: Any) -> None:
    await two_runs(history)
    answer = await history.ask("SummarizeChanges", summary(2))
    [counts] = answer.objects
    assert (answer.run, answer.job_id, counts.rows_read) == (2, str(JOB), 4)
    assert (counts.created, counts.updated, counts.touched, counts.deleted) == (1, 1, 1, 1)

    records = (await history.ask("ListChanges", listing())).records
    by_id = {record.record_id: shown(record) for record in records}
    assert set(by_id) == {contact_id(number) for number in (1, 2, 4)}  # touched is left out unless asked for
    assert by_id[contact_id(1)] == ("updated", "Ada", {"Email": ("", "ada@x.org"), "Phone": ("1", "")})
    operation, label, fields = by_id[contact_id(2)]
    assert (operation, label, fields["Name"]) == ("deleted", "Bo", ("Bo", ""))
    operation, label, fields = by_id[contact_id(4)]
    assert (operation, label, fields["Name"]) == ("created", "Di", ("", "Di"))
    assert "Phone" not in fields
    [touched] = (await history.ask("ListChanges", listing(operations=["touched"]))).records
    assert shown(touched)[2].keys() == {"SystemModstamp"}
    assert not (await history.ask("ListChanges", listing(operations=["unseen"]))).records


async def test_run_that_history_has_not_heard_of_yet_is_answered_all_the_same(history: Any) -> None:
    committed = history.vault.write(1, "baseline", [contact(1, 1, Name="Ada")])
    history.differ.remember(committed)
    diffed = ObjectProgress(object="Contact", state="diffed")
    lost = ObjectProgress(object="Lead", state="failed")
    history.scheduler.runs[str(RUNS[1])] = Run(
        id=str(RUNS[1]), job_id=str(JOB), number=1, state="partial", objects=[diffed, lost]
    )
    [record] = (await history.ask("ListChanges", listing(1))).records
    assert record.label == "Ada"
    error = await refused(history, "ListChanges", listing(1, object="Lead"))
    assert error.message == "This run has no object 'Lead'. It has Contact."
    summarised = asyncio.create_task(history.ask("SummarizeChanges", summary(1)))
    await asyncio.sleep(0.3)
    assert not summarised.done()
    await history.send(CREATED, whole(1, committed, 1, captured=1))
    [counts] = (await summarised).objects
    assert counts.captured == 1


async def test_changes_come_page_by_page(history: Any) -> None:
    await two_runs(history)
    seen, token = [], ""
    while True:
        answer = await history.ask("ListChanges", listing(page_size=1, page_token=token))
        seen += [record.record_id for record in answer.records]
        token = answer.next_page_token
        if not token:
            break
        other = await refused(history, "ListChanges", listing(operations=["deleted"], page_token=token))
        assert other.code == "bad-cursor"
    assert sorted(seen) == [contact_id(number) for number in (1, 2, 4)]


async def test_history_of_a_record_oldest_first(history: Any) -> None:
    await two_runs(history)
    for record_id in (contact_id(2), contact_id(2)[:15]):
        request = pb.GetRecordHistoryRequest(job_id=str(JOB), object="Contact", record_id=record_id)
        answer = await history.ask("GetRecordHistory", request)
        assert not answer.HasField("last_proven")
        assert [(one.operation, one.run) for one in answer.versions] == [("captured", 1), ("deleted", 2)]


async def test_a_file_comes_out_as_it_went_in_and_a_damaged_one_does_not(history: Any) -> None:
    await two_runs(history)
    content = bytes(range(256)) * 10_000
    history.vault.attach(2, contact_id(1), content)
    known = {"job_id": "Nightly", "object": "Contact", "record_id": contact_id(1)[:15], "field": "photo"}

    async def read(**options: Any) -> tuple[pb.ReadFileResponse, bytes]:
        request = pb.ReadFileRequest(**(known | options))
        try:
            head, *data = [answer async for answer in history.stub.ReadFile(request, timeout=30)]
        except Exception as error:
            raise from_rpc(error) from error
        return head, b"".join(answer.data for answer in data)

    head, whole = await read(run=2)
    assert (head.bytes, whole) == (len(content), content)
    assert (await read())[1] == content
    for options in ({"run": 1}, {"record_id": contact_id(3)}, {"field": "Name"}):
        with pytest.raises(HoldfastError) as missing:
            await read(**options)
        assert missing.value.kind is Kind.NOT_FOUND
    path = next((history.vault.folder / str(JOB) / "blobs").rglob(head.sha256))
    path.write_bytes(content[:-1] + b"?")
    with pytest.raises(HoldfastError) as damaged:
        await read()
    assert damaged.value.kind is Kind.DAMAGED


async def test_an_image_of_a_rich_text_comes_out_by_its_reference(history: Any) -> None:
    await two_runs(history)
    history.vault.attach(2, contact_id(1), b"png", image="0EM000000000001")

    async def read(image: str) -> bytes:
        known = {"job_id": "Nightly", "object": "Contact", "record_id": contact_id(1), "field": "Photo"}
        try:
            _, *data = [
                one async for one in history.stub.ReadFile(pb.ReadFileRequest(**known, image=image), timeout=30)
            ]
        except Exception as error:
            raise from_rpc(error) from error
        return b"".join(answer.data for answer in data)

    assert [await read(image) for image in ("0EM000000000001", "0EM000000000001AAA")] == [b"png", b"png"]
    for image in ("0EM000000000002", ""):
        with pytest.raises(HoldfastError) as missing:
            await read(image)
        assert missing.value.kind is Kind.NOT_FOUND


async def test_bad_questions_get_a_sentence_each(history: Any) -> None:
    await two_runs(history)

    def record(**options: Any) -> pb.GetRecordHistoryRequest:
        given = {"job_id": "Nightly", "object": "Contact", "record_id": contact_id(1)}
        return pb.GetRecordHistoryRequest(**(given | options))

    unknown = f"There is no run '{UUID(int=5)}'."
    for method, request, kind, sentence in (
        ("SummarizeChanges", pb.SummarizeChangesRequest(run_id="x"), Kind.NOT_FOUND, "There is no run 'x'."),
        ("ListChanges", listing(run_id=str(UUID(int=5))), Kind.NOT_FOUND, unknown),
        (
            "ListChanges",
            listing(object="Lead"),
            Kind.NOT_FOUND,
            "This run has no object 'Lead'. It has Contact.",
        ),
        ("ListChanges", listing(object="../x"), Kind.NOT_FOUND, "This run has no object '../x'. It has Contact."),
        ("ListChanges", listing(page_size=1001), Kind.INVALID, "A page has 1 to 1000 entries."),
        ("ListChanges", listing(page_size=-1), Kind.INVALID, "A page has 1 to 1000 entries."),
        (
            "ListChanges",
            listing(page_token="%%"),
            Kind.INVALID,
            "The cursor is not one that this list gave out. Start again without a cursor.",
        ),
        (
            "ListChanges",
            listing(operations=["changed"]),
            Kind.INVALID,
            "'changed' is not an operation. There are captured, created, updated, touched, deleted, undeleted.",
        ),
        ("GetRecordHistory", record(job_id="nope"), Kind.NOT_FOUND, "There is no job 'nope'."),
        (
            "GetRecordHistory",
            record(object="Lead"),
            Kind.NOT_FOUND,
            "This job has no object 'Lead'. It has Contact.",
        ),
        ("GetRecordHistory", record(record_id="1'; --"), Kind.INVALID, '"1\'; --" is not a record id.'),
        (
            "GetRecordHistory",
            record(record_id=contact_id(99)),
            Kind.NOT_FOUND,
            f"No run of this job has seen a record '{contact_id(99)}' of Contact.",
        ),
    ):
        error = await refused(history, method, request)
        assert (error.kind, error.message) == (kind, sentence)


async def test_whole_vault_is_intact(history: Any) -> None:
    await two_runs(history)
    steps = await history.verify("Nightly")
    assert [step.object for step in steps[:-1]] == ["Contact"] * (len(steps) - 1)
    assert (steps[-2].files_done, steps[-2].files_total) == (2, 2)
    assert steps[-1].done
    assert not steps[-1].damage
    async with asyncio.timeout(20):
        while not history.verified:
            await asyncio.sleep(0.05)
    [event] = history.verified
    assert (event.job_id, event.files, event.damaged) == (JOB, 2, [])


async def test_damaged_and_missing_files_are_named(history: Any) -> None:
    await two_runs(history)
    first, second = sorted((history.vault.folder / str(JOB) / "records" / "Contact").glob("*/*.parquet"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    second.unlink()
    steps = await history.verify()
    damage = {one.path.rpartition("/")[2]: one.reason for one in steps[-1].damage}
    assert damage[first.name] == "the file's bytes changed"
    assert damage[second.name] == "the file is missing"


async def test_rolled_back_vault_is_found_by_what_was_announced(history: Any) -> None:
    await two_runs(history)
    log = history.vault.folder / str(JOB) / "records" / "Contact" / "_delta_log"
    newest = max(log.glob("*.json"))
    newest.unlink()
    steps = await history.verify()
    assert any("rolled back" in one.reason or "missing" in one.reason for one in steps[-1].damage)


def proof(records: int, **change: Any) -> Proof:
    figures = {"org_records": records, "vault_records": records, "passes": 1, "at": START, "checked": "count"}
    return Proof(**({"state": "proven"} | figures | change))


async def proven_runs(history: Any) -> tuple[Path, Path]:
    """`two_runs`, of which only the first was proven; the two files."""
    said = (proof(3), proof(3, state="not proven", reason="It moved.", checked=""))
    for run, (committed, one) in enumerate(zip(await two_runs(history), said, strict=True), start=1):
        history.vault.prove(run, committed, one.model_dump(mode="json"))
        await history.send(whole(run, committed).model_copy(update={"proof": one}))
    async with asyncio.timeout(20):
        while await history.db.fetchval("SELECT count(*) FROM history.proof") < 2:
            await asyncio.sleep(0.05)
    folder = history.vault.folder / str(JOB) / "proofs"
    return folder / "1" / "Contact.json", folder / "2" / "Contact.json"


async def test_proofs_are_verified_with_the_tables(history: Any) -> None:
    first, second = await proven_runs(history)
    (*_, last) = await history.verify()
    assert (list(last.damage), last.proofs) == ([], 2)
    first.unlink()
    second.write_text(second.read_text().replace("It moved.", "It stood."))
    (*_, last) = await history.verify()
    assert [(one.path.rpartition("proofs/")[2], one.reason) for one in last.damage] == [
        ("1/Contact.json", "the proof of Contact in run 1 is missing, though it was announced: proven"),
        ("2/Contact.json", "the proof of Contact in run 2 was changed, or is not ours"),
    ]


async def test_a_record_tells_when_its_object_was_last_proven(history: Any) -> None:
    await proven_runs(history)
    request = pb.GetRecordHistoryRequest(job_id="Nightly", object="Contact", record_id=contact_id(1))
    answer = await history.ask("GetRecordHistory", request)
    assert (answer.last_proven.run, answer.last_proven.checked) == (1, "count")
    assert answer.last_proven.at.ToDatetime(UTC) == START


async def test_missing_job_cannot_be_verified(history: Any) -> None:
    with pytest.raises(HoldfastError) as raised:
        await history.verify("nope")
    assert (raised.value.kind, raised.value.message) == (Kind.NOT_FOUND, "There is no job 'nope'.")


async def test_events_in_any_order_give_the_same_past(history: Any) -> None:
    committed = history.vault.write(1, "baseline", [contact(1, 1, Name="Ada")])
    outcome = RunOutcome(captured=9)
    ends = {
        1: RunCompleted(run_id=RUNS[1], job_id=JOB, run=1, objects=1, outcome=outcome, completed_at=START),
        2: RunPartial(
            run_id=RUNS[2],
            job_id=JOB,
            run=2,
            objects=1,
            outcome=outcome,
            missing=[ObjectGap(object="Lead", reason="Locked.")],
            completed_at=START,
        ),
        3: RunFailed(run_id=RUNS[3], job_id=JOB, run=3, reason="No org.", completed_at=START),
    }
    await history.send(whole(1, committed, 9, captured=9))
    await history.until("GetRecordHistory", record_of(1), lambda answer: answer.versions)
    # The end and a page of the object come after the whole: they must not be counted again.
    await history.send(page(1, committed, captured=4), *ends.values())
    await history.send(*(requested(run) for run in RUNS), CREATED)
    for run in RUNS:
        await history.until("SummarizeChanges", summary(run), lambda answer: True)
    [counts] = (await history.ask("SummarizeChanges", summary(1))).objects
    assert counts.captured == 9
    await history.send(page(4, committed, captured=4), page(4, committed, captured=3))
    answer = await history.until(
        "SummarizeChanges", summary(4), lambda answer: answer.objects and answer.objects[0].captured > 4
    )
    assert answer.objects[0].captured == 7
    states = await history.db.fetch("SELECT number, state, reason FROM history.run ORDER BY number")
    assert [tuple(row) for row in states] == [
        (1, "completed", ""),
        (2, "partial", ""),
        (3, "failed", "No org."),
        (4, "requested", ""),
    ]


def record_of(number: int) -> pb.GetRecordHistoryRequest:
    return pb.GetRecordHistoryRequest(job_id=str(JOB), object="Contact", record_id=contact_id(number))
