"""How an object is settled: counts, doubts, lists, absence; on a real Postgres and a vault in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from differ_table import KEY, NOTED, Differ, census, records, run_id

from holdfast.common.contracts.extractor import Census, OrgCount, View
from holdfast.differ import store
from holdfast.vault.proofs import proof_key, read_proof
from holdfast.vault.reading import record_history, state_at

pytestmark = pytest.mark.integration

AT = datetime(2026, 1, 2, tzinfo=UTC)
ORG = "00D000000000001EAA"
VIEW = View(organization_id=ORG, user_id="005000000000001AAA", sees_all=True, unchanged=True)
Rows = Sequence[Mapping[str, str]]


def count(number: int) -> dict[str, Any]:
    return {"count": OrgCount(records=number, at=AT), "view": VIEW, "watermark": AT}


def ids(*numbers: int) -> list[str]:
    return [row["Id"] for row in records(*numbers)]


def living(differ: Differ) -> list[str]:
    return sorted(state_at(differ.root, str(KEY.job_id), KEY.object, 99).column("Id").to_pylist())


def operations(differ: Differ, number: int) -> list[str]:
    history = record_history(differ.root, str(KEY.job_id), KEY.object, ids(number)[0])
    return [version.operation for version in history]


@pytest.fixture
async def org(differ: Differ) -> Differ:
    """The connection's organization is known, and three records are backed up and proven."""
    await differ.db.run(NOTED, lambda unit: store.put_job_connection(unit, KEY.job_id, KEY.job_id))
    await differ.db.run(NOTED, lambda unit: store.put_connection_organization(unit, KEY.job_id, ORG))
    await differ.stage(1, "baseline", records(1, 2, 3))
    await differ.extracted(1, "baseline", **count(3))
    await differ.settle()
    return differ


async def last(differ: Differ) -> dict[str, Any]:
    await differ.settle()
    return (await differ.said("object.diffed"))[-1]


async def test_a_proof_stands_in_the_vault_signed_and_in_the_event(org: Differ) -> None:
    (diffed,) = await org.said("object.diffed")
    assert (diffed["proof"]["state"], diffed["proof"]["checked"]) == ("proven", "count")
    kept = read_proof(org.root, str(KEY.job_id), 1, KEY.object, org.tables.signing_key.public_key())
    assert kept.proof == diffed["proof"]
    assert (kept.version, kept.chain_head) == (diffed["version"], diffed["chain_head"])


async def test_a_proof_that_was_tampered_with_is_not_read(org: Differ) -> None:
    path = org.root.path(proof_key(str(KEY.job_id), 1, KEY.object))
    assert path is not None
    path.write_bytes(path.read_bytes().replace(b'"vault_records":3', b'"vault_records":4'))
    with pytest.raises(Exception, match="damaged"):
        read_proof(org.root, str(KEY.job_id), 1, KEY.object, org.tables.signing_key.public_key())


async def test_a_doubt_is_said_once_and_the_next_pass_settles_it(org: Differ) -> None:
    await org.stage(2, "incremental", records(4))
    await org.extracted(2, "incremental", **count(5))
    await org.settle()
    await org.settle()
    (doubted,) = await org.said("object.doubted")
    assert (doubted["pass_number"], doubted["wanted"]) == (1, "delta")
    assert len(await org.said("object.diffed")) == 1
    await org.stage(2, "incremental", records(5), seq=2)
    await org.extracted(2, "incremental", **count(5), pass_number=2, purpose="delta")
    diffed = await last(org)
    assert (diffed["proof"]["state"], diffed["proof"]["passes"], diffed["counts"]["created"]) == ("proven", 2, 2)
    assert diffed["gaps"] == []


async def test_a_repeat_of_an_earlier_pass_does_not_take_the_place_of_a_later_one(org: Differ) -> None:
    await org.stage(2, "incremental", records(4))
    await org.extracted(2, "incremental", **count(5), pass_number=2, purpose="delta")
    await org.extracted(2, "incremental", **count(4), pass_number=1)
    await org.settle()
    (doubted,) = await org.said("object.doubted")
    assert (doubted["pass_number"], doubted["wanted"]) == (2, "census")


async def hold_census(org: Differ, now: Rows, counted: int, **said: Any) -> dict[str, Any]:
    """A run in which the count differs at once, and the list of ids is asked for."""
    await org.extracted(2, "incremental", **count(len(living(org)) - 1))
    await org.settle()
    assert (await org.said("object.doubted"))[-1]["wanted"] == "census"
    await org.stage(2, "census", now)
    passing = {"pass_number": 3, "purpose": "census", "census": census(now)}
    await org.extracted(2, "incremental", **{**count(counted), **passing, **said})
    return await last(org)


async def test_who_is_absent_from_a_complete_list_is_deleted_and_may_come_back(org: Differ) -> None:
    diffed = await hold_census(org, records(1, 3), 2)
    assert (diffed["proof"]["state"], diffed["proof"]["checked"]) == ("proven", "ids and stamps")
    assert (diffed["counts"]["deleted"], diffed["counts"]["unseen"], diffed["gaps"]) == (1, 0, [])
    assert living(org) == ids(1, 3)
    await org.stage(3, "full", records(1, 2, 3))
    await org.extracted(3, "full", **count(3))
    assert (await last(org))["proof"]["state"] == "proven"
    assert operations(org, 2) == ["captured", "deleted", "undeleted"]
    assert living(org) == ids(1, 2, 3)


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        (2, {"view": VIEW.model_copy(update={"sees_all": False, "reason": "View All Data was taken away."})}),
        (2, {"view": VIEW.model_copy(update={"organization_id": "00D000000000009EAA"})}),
        (2, {"view": None}),
        (2, {"census": Census(records=3, ids="0" * 16, stamps="0" * 16)}),  # a page of the list went missing
    ],
)
async def test_what_is_no_evidence_deletes_nobody(org: Differ, counted: int, said: dict[str, Any]) -> None:
    diffed = await hold_census(org, records(1, 3), counted, **said)
    assert (diffed["proof"]["state"], diffed["proof"]["unseen_ids"]) == ("not proven", ids(2))
    assert ids(2)[0] in diffed["gaps"][0] and "not marked deleted" in diffed["gaps"][0]
    assert living(org) == ids(1, 2, 3)


async def test_a_short_list_deletes_nobody(org: Differ) -> None:
    diffed = await hold_census(org, records(1), 2)
    assert (diffed["proof"]["state"], diffed["proof"]["unseen_ids"]) == ("not proven", ids(2, 3))
    assert living(org) == ids(1, 2, 3)


async def test_an_org_that_moves_while_it_is_listed_deletes_nobody_and_is_no_alarm(org: Differ) -> None:
    diffed = await hold_census(org, records(1, 3), 3)
    assert (diffed["proof"]["state"], diffed["gaps"]) == ("not proven", [])
    assert ids(2)[0] in diffed["proof"]["reason"]
    assert living(org) == ids(1, 2, 3)


async def test_the_page_of_those_that_are_gone_stands_right_behind_the_pages_of_its_pass(org: Differ) -> None:
    """Its number is the one that the extractor leaves out, and no page of bodies has it either."""
    await org.stage_bodies(2, 1_000_001, {1: "sha256:00:1"})
    await hold_census(org, records(1, 3), 2)
    own = "SELECT page_id, seq FROM page WHERE own"
    row = await org.db.fetchrow(own)
    assert row["seq"] == 2
    assert await store.last_seq(org.db, run_id(2), KEY.object, "of the next pass") == 2, "the next one comes after it"
    assert await store.last_seq(org.db, run_id(2), KEY.object, row["page_id"]) == 1, "staged again, it stays there"


async def test_too_many_that_vanish_at_once_are_held_back(org: Differ) -> None:
    await org.stage(2, "incremental", records(*range(4, 61)))
    await org.extracted(2, "incremental", **count(60))
    await org.settle()
    now = records(*range(1, 41))
    await org.stage(3, "full", now)
    await org.extracted(3, "full", **count(40))
    await org.settle()
    assert (await org.said("object.doubted"))[-1]["wanted"] == "census", "one list alone deletes nobody"
    await org.stage(3, "census", now, seq=2)
    await org.extracted(3, "full", **count(40), pass_number=2, purpose="census", census=census(now))
    diffed = await last(org)
    assert (diffed["proof"]["state"], diffed["proof"]["unseen"]) == ("not proven", 20)
    assert "10 %" in diffed["gaps"][0]
    assert len(living(org)) == 60


async def test_what_vanishes_a_little_in_each_run_is_held_back_together(org: Differ) -> None:
    """Nine of a hundred go in each run: the second time that is too many."""
    await org.stage(2, "incremental", records(*range(4, 201)))
    await org.extracted(2, "incremental", **count(200))
    await org.settle()
    for run, left in ((3, 182), (4, 164)):
        now = records(*range(1, left + 1))
        await org.stage(run, "full", now)
        await org.extracted(run, "full", **count(left))
        await org.settle()
        await org.stage(run, "census", now, seq=3)
        await org.extracted(run, "full", **count(left), pass_number=2, purpose="census", census=census(now))
        diffed = await last(org)
        assert diffed["run"] == run
    assert (diffed["proof"]["state"], diffed["proof"]["unseen"]) == ("not proven", 18)
    assert "10 %" in diffed["gaps"][0] and "within 30 days" in diffed["gaps"][0]
    assert len(living(org)) == 182, "what went the first time was believed"


async def test_what_the_list_has_and_the_vault_lacks_is_named_and_not_proven_away(org: Differ) -> None:
    changed = [{**records(2)[0], "SystemModstamp": "2026-01-01T06:00:00.000Z"}]
    diffed = await hold_census(org, [*records(1), *changed, *records(3, 4)], 4)
    proof = diffed["proof"]
    assert (proof["state"], proof["missing_ids"], proof["outdated_ids"]) == ("mismatch", ids(4), ids(2))
    assert len(diffed["gaps"]) == 2


async def test_deletions_wait_for_the_observations_of_their_run(org: Differ) -> None:
    gone = [{**records(4)[0], "SystemModstamp": "2026-01-01T09:00:00.000Z", "IsDeleted": "true"}]
    await org.stage(2, "deletions", gone, seq=2)
    await org.settle()
    assert len(await store.staged_pages(org.db, KEY, 9)) == 0
    await org.stage(2, "incremental", records(4), seq=1)
    await org.extracted(2, "incremental", **count(3))
    diffed = await last(org)
    assert (diffed["counts"]["created"], diffed["counts"]["deleted"], diffed["proof"]["state"]) == (1, 1, "proven")
    assert living(org) == ids(1, 2, 3)


async def test_the_first_outcome_stands_when_it_could_not_be_told(org: Differ) -> None:
    """Killed between proof and announcement, the object is judged again; the proof in the vault is what is told."""
    await org.stage(2, "incremental", records(4))
    await org.extracted(2, "incremental", **count(4))
    first = await last(org)
    again = "UPDATE manifest SET diffed = false WHERE run_id = $1"
    await org.db.run(NOTED, lambda unit: unit.execute(again, run_id(2)))
    assert (await last(org))["proof"] == first["proof"]


async def test_what_a_later_run_brought_is_not_absent_from_an_earlier_one(org: Differ) -> None:
    await org.stage(2, "full", records(1, 2, 3))
    await org.stage(3, "incremental", records(4))
    await org.extracted(2, "full", **count(3))
    for _ in range(4):
        await org.drain()
    diffed = (await org.said("object.diffed"))[-1]
    assert diffed["run"] == 2, "a page that ends no life is not staged for ever"
    proof = diffed["proof"]
    assert (proof["state"], proof["unseen"]) == ("not proven", 0)
    assert "Run 3 had begun" in proof["reason"] and living(org) == ids(1, 2, 3, 4)
