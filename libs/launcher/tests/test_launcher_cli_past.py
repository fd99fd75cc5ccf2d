"""Commands that look back: what changed, a record's life, and whether the vault is whole."""

from __future__ import annotations

import json
from uuid import UUID

import httpx
from api_answers import CONTACT, JOB_ID, START, job, page, run, shown

from holdfast.gateway.models.changes import (
    FieldChange,
    LastProven,
    ObjectChanges,
    RecordHistory,
    RecordVersion,
    RunChanges,
)
from holdfast.gateway.models.verifications import Damage, Verification
from holdfast.launcher.commands import output


def changed_run(cli) -> str:
    cli.answers["GET /v1/runs"] = page(run(3))
    return f"/v1/runs/{UUID(int=103)}/changes"


def object_changes(name: str) -> ObjectChanges:
    counts = {"captured": 0, "created": 1, "updated": 2_000, "touched": 0, "deleted": 0, "undeleted": 0, "unseen": 0}
    return ObjectChanges(object=name, rows_read=9, bytes_written=2048, table="file:///t", version=2, **counts)


def record(**change) -> RecordVersion:
    values = {
        "event_id": "e",
        "record_id": CONTACT,
        "label": "Zoë",
        "operation": "updated",
        "run": 3,
        "observed_at": START,
        "modified_at": START,
        "fields": [
            FieldChange(field="LastName", before="Old", after="New"),
            FieldChange(field="Phone", before="1", after=None),
            FieldChange(field="Title", before=None, after="Dr"),
        ],
        "merged_into": None,
    }
    return RecordVersion(**values | change)


def test_changes_summary_has_a_total(cli):
    objects = [object_changes("Account"), object_changes("Contact")]
    found = RunChanges(run_id="r", job_id="j", run=3, objects=objects)
    cli.answers[f"GET {changed_run(cli)}"] = shown(found)
    lines = cli.type("changes", "latest").stdout.splitlines()
    assert lines[1].split() == ["Account", "-", "1", "2,000", "-", "-", "-", "-", "9", "2.0", "KiB"]
    assert lines[-1].split() == ["All", "-", "2", "4,000", "-", "-", "-", "-", "18", "4.0", "KiB"]
    assert json.loads(cli.type("changes", "latest", "--json").stdout) == shown(found)


def test_changes_of_an_object_show_before_and_after(cli):
    cli.answers[f"GET {changed_run(cli)}/Contact"] = page(shown(record()), shown(record(operation="deleted")))
    result = cli.type("changes", "latest", "Contact", "--limit", "1", "--operation", "updated")
    assert result.stdout.splitlines() == [
        f"updated {CONTACT} Zoë (run 3, modified 2026-03-01 12:00:00)",
        "  LastName  Old -> New",
        "  Phone     1 -> (empty)",
        "  Title     Dr",
        "More than 1 records; --limit shows more.",
    ]
    assert cli.requests[-1].url.params.get_list("operation") == ["updated"]


def test_values_of_an_org_cannot_talk_to_the_terminal(cli):
    evil = record(
        label="\x1b]0;owned\x07", fields=[FieldChange(field="A", before="\x1b[2J", after="a\nb\u202e" + "x" * 300)]
    )
    cli.answers[f"GET {changed_run(cli)}/Contact"] = page(shown(evil))
    result = cli.type("changes", "latest", "Contact")
    assert not any(ord(each) < 0x20 and each != "\n" for each in result.stdout)
    assert "\\e[2J" in result.stdout and "a\\nb\\u202e" in result.stdout
    assert "(304 characters; --json prints all)" in result.stdout


def test_record_history_needs_the_job_only_when_there_are_several(cli):
    versions = [record(operation="captured", fields=[]), record(merged_into="0035g00000XyZaCAAV")]
    found = RecordHistory(job_id=JOB_ID, object="Contact", record_id=CONTACT, versions=versions)
    cli.answers["GET /v1/jobs"] = page(job())
    cli.answers[f"GET /v1/jobs/{JOB_ID}/records/Contact/{CONTACT}"] = shown(found)
    lines = cli.type("record", "history", "Contact", CONTACT).stdout.splitlines()
    assert lines[0].startswith("captured") and "merged into 0035g00000XyZaCAAV" in lines[1]
    assert lines[-1] == "Contact was never proven to be complete."
    found.last_proven = LastProven(run=7, checked="count", at=START)
    cli.answers[f"GET /v1/jobs/{JOB_ID}/records/Contact/{CONTACT}"] = shown(found)
    last = cli.type("record", "history", "Contact", CONTACT).stdout.splitlines()[-1]
    assert last == "Contact was last proven to be complete in run 7 (2026-03-01 12:00:00, by count)."
    cli.answers["GET /v1/jobs"] = page(job(), job("Weekly"))
    result = cli.type("record", "history", "Contact", CONTACT)
    assert result.exit_code == 2 and "Nightly, Weekly" in result.stderr


# verify


def verification(state: str, **change) -> dict:
    values = {
        "id": str(UUID(int=9)),
        "job_id": JOB_ID,
        "state": state,
        "started_at": START,
        "ended_at": None,
        "object": "Account",
        "objects": 2,
        "files_done": 5,
        "files_total": 5,
        "bytes_done": 4096,
        "damage": [],
        "reason": "",
    }
    return shown(Verification(**values | change))


def verifying(cli, final: dict) -> None:
    cli.answers["POST /v1/jobs/Nightly/verifications"] = verification("running", files_done=0)
    states = iter([verification("running", files_done=2), final])
    cli.answers[f"GET /v1/verifications/{UUID(int=9)}"] = lambda _request: httpx.Response(200, json=next(states))


def test_verify_of_an_intact_vault(cli):
    verifying(cli, verification("intact", proofs=4))
    result = cli.type("verify", "Nightly")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "running: 2 of 5 files, 4.0 KiB read Account"
    assert result.stdout.splitlines()[-1] == "The vault of 'Nightly' is intact: 5 files, 4.0 KiB, 2 objects, 4 proofs."


def test_verify_names_the_damage_and_exits_with_1(cli):
    verifying(cli, verification("damaged", damage=[Damage(path="x.parquet", reason="is missing")]))
    result = cli.type("verify", "Nightly")
    assert result.exit_code == 1
    assert "  x.parquet: is missing" in result.stdout


def test_verify_that_cannot_finish_is_not_a_success(cli):
    verifying(cli, verification("failed", reason="The history service is not reachable."))
    result = cli.type("verify", "Nightly")
    assert result.exit_code == 1 and "could not be verified: The history service" in result.stdout


def test_sizes_and_spans():
    assert [output.size(each) for each in (0, 1023, 1536, 5 * 2**40)] == ["0 B", "1,023 B", "1.5 KiB", "5.0 TiB"]
    assert [output.duration(each) for each in (0.44, 59, 60, 7261)] == ["0.4 s", "59 s", "1 min 00 s", "2 h 01 min"]
