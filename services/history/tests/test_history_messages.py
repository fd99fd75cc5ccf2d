"""What a person sees of a record: its label, and the fields an event is about."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from holdfast.common.folderstore import FolderStore
from holdfast.common.rpc.differ.v1.differ_pb2 import Table
from holdfast.history import verification
from holdfast.history.handlers import verified
from holdfast.history.labels import label_of
from holdfast.history.messages import record_version
from holdfast.history.store import TableHead
from holdfast.history.verification import Verdict, compare_witnesses
from holdfast.vault.chain import ChainHead
from holdfast.vault.reading import RecordVersion, Values
from holdfast.vault.signing import signing_key
from holdfast.vault.verify import Damage, Progress, Report
from holdfast.vault.verify_proofs import ProofFiles

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = UUID(int=1)


def version(operation: str, before: Values | None, after: Values, *changed: str) -> RecordVersion:
    return RecordVersion("e", "003", operation, 2, 0, NOW, None, changed, None, before, after)


def fields_of(shown: RecordVersion) -> list[tuple[str, str | None, str | None]]:
    return [
        (
            one.field,
            one.before if one.HasField("before") else None,
            one.after if one.HasField("after") else None,
        )
        for one in record_version(shown).fields
    ]


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ({"Name": "Ada", "Subject": "x"}, "Ada"),
        ({"Name": None, "Subject": "Call"}, "Call"),
        ({"CaseNumber": "00001001"}, "00001001"),
        ({"Zip__c": "1", "Domain_Name__c": "gsa.gov", "Area_Name__c": None}, "gsa.gov"),
        ({"Amount": "3"}, ""),
        ({}, ""),
    ],
)
def test_label_is_the_name_or_the_nearest_thing(values: Values, label: str) -> None:
    assert label_of(values) == label


def test_created_record_shows_the_values_it_has() -> None:
    after: Values = {"Id": "003", "Name": "Ada", "Email": None}
    assert fields_of(version("created", None, after)) == [("Name", None, "Ada")]


def test_deleted_record_shows_what_it_had() -> None:
    before: Values = {"Id": "003", "Name": "Ada", "Email": None}
    assert fields_of(version("deleted", before, {**before, "IsDeleted": "true"})) == [("Name", "Ada", None)]
    assert fields_of(version("deleted", None, before)) == [("Name", "Ada", None)]


def test_updated_record_shows_before_and_after_of_what_changed() -> None:
    before: Values = {"Name": "Ada", "Email": None, "Phone": "1", "SystemModstamp": "a"}
    after: Values = {"Name": "Ada", "Email": "a@b.c", "Phone": None, "SystemModstamp": "b"}
    shown = version("updated", before, after, "Email", "Phone")
    assert fields_of(shown) == [("Email", None, "a@b.c"), ("Phone", "1", None)]
    assert record_version(shown).label == "Ada"


def test_touched_record_shows_its_stamps() -> None:
    before: Values = {"Name": "Ada", "SystemModstamp": "a"}
    assert fields_of(version("touched", before, {**before, "SystemModstamp": "b"})) == [("SystemModstamp", "a", "b")]


def table(version: int, head: str) -> Table:
    return Table(object="Contact", commit_seq=version, version=version, chain_head=head)


def told(version: int, head: str) -> TableHead:
    return TableHead("Contact", "path", version, version, head)


@pytest.mark.parametrize(
    ("kept", "heard", "head", "damage"),
    [
        ([table(3, "c")], None, ChainHead(3, "c"), ""),
        ([table(3, "c")], told(3, "c"), ChainHead(3, "c"), ""),
        ([table(3, "c")], told(2, "b"), ChainHead(3, "c"), ""),
        ([table(2, "b")], told(3, "c"), ChainHead(3, "c"), "remembers version 2, but version 3 was announced"),
        ([table(3, "x")], told(3, "c"), ChainHead(3, "c"), "two chain heads are known for version 3"),
        ([], told(3, "c"), ChainHead(3, "c"), "the differ has forgotten a table"),
        ([table(0, "")], None, None, ""),
    ],
)
def test_newest_of_two_witnesses_is_expected(
    kept: list[Table], heard: TableHead | None, head: ChainHead | None, damage: str
) -> None:
    [expected] = compare_witnesses(str(JOB), kept, {"Contact": heard} if heard else {})
    assert expected.head == head
    assert [one.path for one in expected.damage] == ([f"{JOB}/records/Contact"] if damage else [])
    assert all(damage in one.reason for one in expected.damage)


NO_PROOFS = verification.Proofs({}, ProofFiles({}))


async def test_verification_ends_when_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reads = iter(range(1, 1_000_000_000))

    def endless(*args: object, progress: Callable[[Progress], None], **options: object) -> Report:
        for number in reads:
            progress(Progress(number, 1_000_000_000, 0))
        raise AssertionError("nobody stopped it")

    monkeypatch.setattr(verification, "verify_table", endless)
    key = signing_key(bytes(32)).public_key()
    running = verification.Verification(FolderStore(tmp_path), key, str(JOB), NO_PROOFS)
    steps = running.steps([verification.Expected("Contact", None)])
    name, _ = await anext(steps)
    assert name == "Contact"
    await steps.aclose()  # returns only after the thread has ended
    assert next(reads) < 1_000_000_000
    assert running.verdict == Verdict()


def test_verdict_too_long_for_an_event_says_so() -> None:
    verdict = Verdict(files=9000, bytes=1, damage=[Damage("p" * 200, "gone")] * 9000)
    event = verified(JOB, verdict, NOW)
    assert len(event.model_dump_json()) < 262_144
    assert event.damaged[-1] == f"and {9000 - len(event.damaged) + 1} more"
