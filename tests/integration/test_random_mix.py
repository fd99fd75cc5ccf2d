"""Backups in a storm, seed by seed, compared with the org's ledger once the storm is over.

`make test` tells two seeds, `make soak` a hundred. One seed again:
`HOLDFAST_SEEDS=17 pytest tests/integration/test_random_mix.py -m soak`.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import ENDED, Installation, assert_agree
from .random_mix import OBJECTS, Editor, Meanwhile, Round, populate, rounds, scripted
from .tables import assert_nothing_twice, query

pytestmark = pytest.mark.integration
SEEDS = [int(seed) for seed in os.environ.get("HOLDFAST_SEEDS", "").split(",") if seed] or list(range(100))
QUICK = {
    "HOLDFAST_LOG_LEVEL": "warning",
    "HOLDFAST_EXTRACTOR_LEASE": "PT1S",
    "HOLDFAST_EXTRACTOR_RETRY_FIRST": "PT0.2S",
    "HOLDFAST_EXTRACTOR_BULK_THRESHOLD_ROWS": "1000",
    "HOLDFAST_EXTRACTOR_PAGE_BYTES": "100000",
    "HOLDFAST_DIFFER_LEASE_S": "1",
}


@pytest.mark.parametrize("seed", [1001, 1002])
def test_a_storm(seed: int, kafka_servers: str, postgres_server: Any, tmp_path: Path) -> None:
    _storm(seed, kafka_servers, postgres_server, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_many_storms(seed: int, kafka_servers: str, postgres_server: Any, tmp_path: Path) -> None:
    _storm(seed, kafka_servers, postgres_server, tmp_path)


def _storm(seed: int, kafka: str, postgres: Any, folder: Path) -> None:
    print(f"seed {seed}: {rounds(seed)}")  # pytest shows it where the test fails
    database = f"storm_{uuid4().hex[:12]}"
    holdfast = Installation(folder, kafka=kafka, dsn=postgres.ensure_database(database))
    holdfast.env |= QUICK
    if seed % 2:  # half of them read page after page, half of them pages side by side
        holdfast.env["HOLDFAST_EXTRACTOR_PARALLEL_FROM_PAGES"] = "1000"
    try:
        with start_org() as org:
            populate(org)
            _start(holdfast)
            _weather(seed, holdfast, org)
    finally:
        holdfast.stop(9)
        postgres.drop_database(database)


def _start(holdfast: Installation) -> None:
    holdfast.start()
    assert holdfast.alive, holdfast.log


def _weather(seed: int, holdfast: Installation, org: RunningOrg) -> None:
    job = holdfast.create_job(holdfast.connect(org), OBJECTS)
    ended: dict[int, dict[str, Any]] = {}
    edits: list[str] = []
    for each in rounds(seed):
        run = _round(each, holdfast, org, job, edits)
        ended[run["number"]] = run
        _remember(ended[run["number"]], holdfast, job)
    # Everything that was still to be committed late is visible now, and nothing is in the way any more.
    org.clear_faults()
    org.advance(3_600)
    calm = _calm(holdfast, job)
    assert calm["state"] == "completed", (calm, edits)
    assert {each["object"]: each["proof"]["state"] for each in calm["objects"]} == dict.fromkeys(OBJECTS, "proven"), (
        calm
    )
    assert_agree(holdfast.vault, job, org, OBJECTS)
    assert_nothing_twice(holdfast.vault, job, OBJECTS)
    _the_past_is_what_it_was(holdfast, job, ended)
    verification = holdfast.post(f"/jobs/{job}/verifications", {})
    while verification["state"] == "running":
        time.sleep(0.1)
        verification = holdfast.get(f"/verifications/{verification['id']}")
    assert verification["state"] == "intact", verification


def _round(each: Round, holdfast: Installation, org: RunningOrg, job: str, edits: list[str]) -> dict[str, Any]:
    """One run in the storm, to its end."""
    editor = Editor(org, random.Random(each.seed))
    scripted(org, each.faults, each.late_s)
    with Meanwhile(editor, each.edits):
        began = time.monotonic()
        run_id = holdfast.request_run(job, full=each.full, key=f"{each.seed}")
        for moment in each.kills:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            holdfast.stop(9)
            _start(holdfast)
        run = holdfast.wait_run(run_id, 120)
    org.clear_faults()
    org.advance(each.aged_s)
    edits.extend(editor.done)
    assert run["state"] in ENDED - {"failed"}, (run, holdfast.log)
    assert run["state"] == "completed" or run["missing"], f"a run that is not whole says what is missing: {run}"
    return run


def _calm(holdfast: Installation, job: str) -> dict[str, Any]:
    """The run after the storm; where an object was given up, the one that makes it good."""
    run = holdfast.run(job, timeout_s=120)
    return run if run["state"] == "completed" else holdfast.run(job, timeout_s=120)


def _remember(run: dict[str, Any], holdfast: Installation, job: str) -> None:
    run["past"] = {name: _state_at(holdfast.vault / job / "records" / name, run["number"]) for name in OBJECTS}


def _the_past_is_what_it_was(holdfast: Installation, job: str, ended: dict[int, dict[str, Any]]) -> None:
    """No later run altered what an earlier one had written."""
    for number, run in ended.items():
        for name in OBJECTS:
            now = _state_at(holdfast.vault / job / "records" / name, number)
            assert now == run["past"][name], (name, number, now.items() ^ run["past"][name].items())


def _state_at(table: Path, run: int) -> dict[str, str]:
    """The event that says what each record was at a run, by record."""
    if not table.exists():
        return {}
    newest = f"""SELECT _record_id, _event_id FROM events WHERE _run <= {run} QUALIFY row_number() OVER (
        PARTITION BY _record_id ORDER BY _modified_at DESC NULLS LAST, _run DESC, _seq DESC) = 1"""
    return {row["_record_id"]: row["_event_id"] for row in query(table, newest)}
