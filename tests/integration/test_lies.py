"""An org that lies, loses sight or moves: nothing is called proven that is not so, and nobody is deleted by a lie."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg, start_org

from .harness import Installation, assert_agree, installed
from .tables import assert_nothing_twice

pytestmark = pytest.mark.integration
BULK_ROWS, REST_ROWS = 3_000, 2_300  # three Bulk pages of 1,000, two REST pages
RESULTS, CURSOR = r"/jobs/query/[^/]+/results", r"/query(All)?/0r8"
COUNTS = r"/composite|/query\?q=SELECT\+?(%20| )?COUNT"
FIRST_PAGES = r"/composite$|/query(All)?\?q="  # several objects' share a call
FIELDS = [{"name": "Note__c", "type": "string"}]
SETTINGS = {
    "HOLDFAST_EXTRACTOR_BULK_THRESHOLD_ROWS": "2500",
    "HOLDFAST_EXTRACTOR_PAGE_BYTES": "100000",
    "HOLDFAST_EXTRACTOR_RETRY_FIRST": "PT0.2S",
    "HOLDFAST_EXTRACTOR_OVERLAP": "PT0S",
}
MONTH_S = 30 * 86_400


@pytest.fixture(scope="module")
def org() -> Iterator[RunningOrg]:
    with start_org() as running:
        yield running


@pytest.fixture(scope="module")
def holdfast(
    kafka_servers: str, postgres_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    dsn = postgres_server.ensure_database(f"lies_{uuid4().hex[:12]}")
    with installed(tmp_path_factory.mktemp("lies"), kafka=kafka_servers, dsn=dsn, env=SETTINGS) as running:
        yield running


def define(org: RunningOrg, rows: int) -> str:
    name = f"T{uuid4().hex[:8]}__c"
    org.define(name, FIELDS, [{"Name": f"{n}", "Note__c": f"00{n}"} for n in range(rows)])
    return name


def job_of(holdfast: Installation, org: RunningOrg, *names: str) -> str:
    return holdfast.create_job(holdfast.connect(org), names, name=names[0])


def proofs(holdfast: Installation, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The proof of each object, as the API tells it."""
    objects = [each["object"] for each in run["objects"] if each["proof"]]
    return {name: holdfast.get(f"/runs/{run['id']}/objects/{name}/proof") for name in objects}


def nothing_false_is_proven(holdfast: Installation, org: RunningOrg, job: str, run: dict[str, Any]) -> None:
    """What is said to be proven agrees with the org's ledger, cell by cell; what is not is said."""
    assert run["state"] in ("completed", "partial", "failed"), (run, holdfast.log)
    assert run["state"] != "failed" or run["reason"], run  # a page that contradicts itself for good is given up
    for name, proof in proofs(holdfast, run).items():
        if proof["state"] == "proven":
            assert_agree(holdfast.vault, job, org, [name])
        else:
            assert proof["reason"], proof


def healed(holdfast: Installation, org: RunningOrg, job: str, names: list[str]) -> None:
    """The next run of an org that tells the truth is complete, proven, and right."""
    org.clear_faults()
    run = holdfast.run(job)
    assert run["state"] == "completed", (run, holdfast.log)
    assert {proof["state"] for proof in proofs(holdfast, run).values()} == {"proven"}, run
    assert_agree(holdfast.vault, job, org, names)
    assert_nothing_twice(holdfast.vault, job, names)


LIES: dict[str, dict[str, Any]] = {
    "short page": {"lie": {"drop": 1}},
    "repeated rows": {"lie": {"repeat": 7}},
    "reordered page": {"lie": {"reorder": True}},
    "missing locator": {"lie": {"last_page": True}},
    "doubled header": {"lie": {"header_twice": True}},
    "truncated": {"truncate": 20_000},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_page_that_lies_is_caught(lie: str, holdfast: Installation, org: RunningOrg) -> None:
    names = [define(org, BULK_ROWS), define(org, REST_ROWS)]
    job = job_of(holdfast, org, *names)
    rest = {"path": FIRST_PAGES, "count": 4} if lie == "missing locator" else {"path": CURSOR}
    org.faults(*({**where, "effect": LIES[lie]} for where in ({"path": RESULTS}, rest)))
    run = holdfast.run(job)
    assert all(fault["applied"] for fault in org.faults()), org.faults()
    nothing_false_is_proven(holdfast, org, job, run)
    healed(holdfast, org, job, names)


@pytest.mark.parametrize("off", [1, -1])
@pytest.mark.parametrize("times", [1, None])
def test_a_count_that_is_off_by_one_is_caught(
    off: int, times: int | None, holdfast: Installation, org: RunningOrg
) -> None:
    name = define(org, 40)
    job = job_of(holdfast, org, name)
    org.faults({"path": COUNTS, "method": "POST", "count": times, "effect": {"lie": {"count": off}}})
    run = holdfast.run(job)
    assert org.faults()[0]["applied"] >= (times or 2), org.faults()
    (proof,) = proofs(holdfast, run).values()
    assert proof["state"] == ("proven" if times else "not proven"), proof
    assert proof["passes"] > 1 and run["state"] == "completed"
    assert_agree(holdfast.vault, job, org, [name])
    healed(holdfast, org, job, [name])


@contextmanager
def session(org: RunningOrg) -> Iterator[OrgSession]:
    with OrgSession(org.url, org.client_id, org.client_secret) as opened:
        yield opened


def vanish(org: RunningOrg, name: str, number: int) -> list[str]:
    """Records that are gone from the org, from its recycle bin, and from its list of deletions."""
    with session(org) as opened:
        gone = [row["Id"] for row in opened.query(f"SELECT Id FROM {name} ORDER BY Id LIMIT {number}")]
        opened.delete(gone)
        opened.empty_recycle_bin(gone)
    org.advance(MONTH_S)
    return gone


def test_records_that_left_no_trace_are_noticed_in_the_next_run(holdfast: Installation, org: RunningOrg) -> None:
    name = define(org, 60)
    job = job_of(holdfast, org, name)
    healed(holdfast, org, job, [name])
    vanish(org, name, 2)
    run = holdfast.run(job)
    assert (run["state"], run["counts"]["deleted"]) == ("completed", 2), (run, holdfast.log)
    (proof,) = proofs(holdfast, run).values()
    assert (proof["state"], proof["checked"]) == ("proven", "ids and stamps")
    assert_agree(holdfast.vault, job, org, [name])


def test_a_user_who_lost_a_right_deletes_nobody(holdfast: Installation, org: RunningOrg) -> None:
    name = define(org, 60)
    job = job_of(holdfast, org, name)
    healed(holdfast, org, job, [name])
    gone = vanish(org, name, 2)
    org.permit(permissions={"ViewAllData": False, "ModifyAllData": False})
    try:
        run = holdfast.run(job)
    finally:
        org.permit(permissions={"ViewAllData": True, "ModifyAllData": True})
    assert (run["state"], run["counts"]["deleted"]) == ("partial", 0), (run, holdfast.log)
    (proof,) = proofs(holdfast, run).values()
    assert (proof["state"], sorted(proof["unseen_ids"])) == ("not proven", sorted(gone))
    assert gone[0] in run["missing"][0]["reason"]


def test_a_mass_disappearance_is_held_back_and_said(holdfast: Installation, org: RunningOrg) -> None:
    name = define(org, 100)
    job = job_of(holdfast, org, name)
    healed(holdfast, org, job, [name])
    gone = vanish(org, name, 30)
    run = holdfast.run(job)
    assert (run["state"], run["counts"]["deleted"]) == ("partial", 0), (run, holdfast.log)
    (proof,) = proofs(holdfast, run).values()
    assert (proof["state"], proof["unseen"]) == ("not proven", len(gone))
    assert "disappearance_held" in holdfast.log


def test_a_short_answer_deletes_nobody(holdfast: Installation, org: RunningOrg) -> None:
    """A reading of everything, of which the last page never comes and nothing tells."""
    name = define(org, REST_ROWS)
    job = job_of(holdfast, org, name)
    healed(holdfast, org, job, [name])
    org.faults({"path": FIRST_PAGES, "count": None, "effect": {"lie": {"last_page": True}}})
    run = holdfast.run(job, full=True)
    assert org.faults()[0]["applied"], "the last page came after all"
    assert run["counts"]["deleted"] == 0, run
    nothing_false_is_proven(holdfast, org, job, run)
    assert_agree(holdfast.vault, job, org, [name])
    healed(holdfast, org, job, [name])


def test_an_org_that_moves_while_it_is_counted_is_never_a_mismatch(holdfast: Installation, org: RunningOrg) -> None:
    """Records come, change (and so move between what was read and what is to be read) and go during every pass."""
    name = define(org, BULK_ROWS)
    job = job_of(holdfast, org, name)
    stop = threading.Event()

    def move() -> None:
        with session(org) as opened:
            while not stop.is_set():
                made = opened.insert(name, [{"Name": "new"} for _ in range(3)])
                opened.update(name, [{"Id": made[0], "Note__c": uuid4().hex}])
                opened.delete(made[1:2])

    writer = threading.Thread(target=move)
    writer.start()
    try:
        runs = [holdfast.run(job, timeout_s=90) for _ in range(2)]
    finally:
        stop.set()
        writer.join()
    for run in runs:
        (proof,) = proofs(holdfast, run).values()
        assert proof["state"] in ("proven", "not proven"), proof
        assert run["state"] == "completed" and not proof["unseen"], (proof, run["missing"])
    healed(holdfast, org, job, [name])
