"""Kill -9 before and after every durable step, restart, and compare the vault with the org's ledger.

The registry of durable steps is the list: a step that is added is covered the day it is added, or this test fails
because nothing here passes it. `make test` kills once at each step, on alternating sides; `make soak` on both sides.
Several steps share a trial: the story is killed at the first, goes on, is killed at the next, and so on.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast.common.failpoints import registered_steps
from holdfast.launcher.compose import load
from holdfast.orgsim.testing import RunningOrg, start_org

from . import stories_of_budgets, stories_of_loss
from .harness import Installation
from .stories import COUNT_FIELDS, EXTRA_ENV, LARGE, STARTUP, STORIES, THINGS, Story, World, backup, rows

pytestmark = [pytest.mark.integration, pytest.mark.spread]
load(["all"])
STEPS = [step for step in registered_steps() if not step.startswith("test.")]
SIDES = ("before", "after")
KILLS_IN_A_TRIAL = 5
AFTER_THE_STORY_S = 3.0
# Steps that come early in a story, in their order: killed at them first, a telling has the later ones still before it.
FIRST = (
    "connections.connection_added", "common.lease_acquired", "scheduler.job_created", "history.job_known",
    "common.outbox_sent", "common.outbox_marked", "common.outbox_resent", "common.message_set_aside",
    "scheduler.run_requested", "extractor.run_received", "connections.calls_reserved", "extractor.definitions_kept",
    "extractor.run_planned", "extractor.schema_stored", "extractor.reading_moved", "extractor.page_stored",
    "extractor.page_recorded", "differ.page_noted", "differ.manifest_noted", "vault.schema_put", "vault.table_create",
)  # fmt: skip


@pytest.fixture(scope="module")
def org() -> Iterator[RunningOrg]:
    with start_org() as running:
        things = [{"Name": f"T{n}", "Amount__c": f"{n}.25", "Note__c": "0012"} for n in range(THINGS)]
        running.define("Thing__c", COUNT_FIELDS, things)
        hidden = [{"name": "Hidden__c", "type": "string"}]
        running.define("Other__c", hidden, [{"Name": f"O{n}", "Hidden__c": f"0{n}"} for n in range(5)])
        running.define("Large__c", [], [{"Name": f"L{n}"} for n in range(LARGE)])
        yield running


class Databases:
    """A fresh database per installation."""

    def __init__(self, server: Any) -> None:
        self._server, self._numbers = server, itertools.count()

    def new(self) -> str:
        return str(self._server.ensure_database(f"sweep_{os.getpid()}_{next(self._numbers)}"))


@pytest.fixture(scope="module")
def installations(
    tmp_path_factory: pytest.TempPathFactory, kafka_servers: str, postgres_server: Any
) -> Iterator[Callable[[bool], Installation]]:
    """The installation that most trials share, or a new one for those that need a first start."""
    databases = Databases(postgres_server)
    made: list[Installation] = []
    shared: list[Installation] = []

    def give(fresh: bool) -> Installation:
        if fresh or not shared:
            folder = tmp_path_factory.mktemp("installation")
            installation = Installation(folder, kafka=kafka_servers, dsn=databases.new())
            installation.env |= (
                {"HOLDFAST_DIFFER_LEASE_S": "1", "HOLDFAST_LOG_LEVEL": "warning"}
                | stories_of_loss.ENV
                | stories_of_budgets.ENV
            )
            installation.env |= {
                "HOLDFAST_EXTRACTOR_LEASE": "PT1S",
                "HOLDFAST_EXTRACTOR_BULK_THRESHOLD_ROWS": "1000",
                "HOLDFAST_EXTRACTOR_PAGE_BYTES": "100000",
            }
            made.append(installation)
            if fresh:
                return installation
            shared.append(installation)
        return shared[0]

    yield give
    for installation in made:
        installation.stop(9)


def trials(sides: Callable[[int], str]) -> list[tuple[str, ...]]:
    """Every step as `step:side`, a few at a time: those that the same story passes, with the same settings."""
    together: dict[object, list[str]] = {}
    targets = [f"{step}:{sides(number)}" for number, step in enumerate(STEPS)]
    for target in sorted(targets, key=lambda each: FIRST.index(_step(each)) if _step(each) in FIRST else len(FIRST)):
        together.setdefault(_alike(target), []).append(target)
    # Dealt out like cards, so that each trial begins with early steps and goes on to later ones.
    return [
        tuple(alike[hand::hands])
        for alike in together.values()
        for hands in [-(-len(alike) // KILLS_IN_A_TRIAL)]
        for hand in range(hands)
    ]


def _alike(target: str) -> object:
    """Equal for targets that may share a trial. A first start can be had once: each such step has its own."""
    step = _step(target)
    return step if step in STARTUP else (_story(target), tuple(EXTRA_ENV.get(step, {}).items()))


def _step(target: str) -> str:
    return target.partition(":")[0]


def _story(target: str) -> Story:
    return STORIES.get(_step(target), backup)


def _named(targets: Sequence[str]) -> str:
    return targets[0] if len(targets) == 1 else f"{targets[0]}..{targets[-1]}"


@pytest.mark.parametrize("targets", trials(lambda number: SIDES[number % 2]), ids=_named)
def test_killed_at_a_step(
    targets: tuple[str, ...],
    org: RunningOrg,
    kafka_servers: str,
    installations: Callable[[bool], Installation],
    tmp_path: Path,
) -> None:
    _trial(targets, org, kafka_servers, installations, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("targets", trials(lambda number: SIDES[1 - number % 2]), ids=_named)
def test_killed_at_the_other_side_of_a_step(
    targets: tuple[str, ...],
    org: RunningOrg,
    kafka_servers: str,
    installations: Callable[[bool], Installation],
    tmp_path: Path,
) -> None:
    _trial(targets, org, kafka_servers, installations, tmp_path)


def _trial(
    targets: Sequence[str],
    org: RunningOrg,
    kafka: str,
    installations: Callable[[bool], Installation],
    folder: Path,
) -> None:
    holdfast = installations(_step(targets[0]) in STARTUP)
    story = _story(targets[0])
    tellings = itertools.count(1)
    world = World(holdfast, org, kafka, tag=f"{targets[0].replace(':', '.')}.{next(tellings)}")
    for target in targets:
        if not _killed(target, story, world, folder):
            # This telling was past the step already: begin another one.
            world = World(holdfast, org, kafka, tag=f"{target.replace(':', '.')}.{next(tellings)}")
            assert _killed(target, story, world, folder), f"{target} never fired\n{holdfast.log}"
    durable, fetched = _durable_pages(world), _fetched(org)
    holdfast.trial_env = {}
    holdfast.start()
    try:
        story(world)
        _nothing_durable_is_fetched_again(durable, fetched, _fetched(org))
        _every_run_has_ended(world)
    finally:
        holdfast.stop()


def _killed(target: str, story: Story, world: World, folder: Path) -> bool:
    """Tell the story to services that die at a step; whether they did, rather than hear the end."""
    holdfast, fired = world.holdfast, folder / f"{target}.{world.tag}"
    holdfast.trial_env = {
        "HOLDFAST_FAILPOINT": target, "HOLDFAST_FAILPOINT_LOG": str(fired), **EXTRA_ENV.get(_step(target), {})
    }  # fmt: skip
    durable, fetched = _durable_pages(world), _fetched(world.org)
    try:
        _tell_until_killed(story, world)
    finally:
        holdfast.stop(9)
        world.org.clear_faults()
    _nothing_durable_is_fetched_again(durable, fetched, _fetched(world.org))
    assert not fired.exists() or fired.read_text() == f"{target}\n"
    return fired.exists()


def _tell_until_killed(story: Story, world: World) -> None:
    """Tell the story to services that will die in the middle of it, or soon after its end."""
    holdfast = world.holdfast
    fired = Path(holdfast.trial_env["HOLDFAST_FAILPOINT_LOG"])
    holdfast.start(holdfast.trial_env)
    if not holdfast.alive:
        return
    try:
        story(world)
    except (httpx.HTTPError, AssertionError, FileNotFoundError, ProcessLookupError):
        if holdfast.alive and not fired.exists():
            raise
    deadline = time.monotonic() + AFTER_THE_STORY_S
    while holdfast.alive and time.monotonic() < deadline:
        time.sleep(0.05)


def _durable_pages(world: World) -> set[tuple[str, str]]:
    """(job, locator) of every Bulk page that was durable when the process died."""
    if not rows(world, "SELECT 1 FROM pg_tables WHERE schemaname = 'extractor' AND tablename = 'page'"):
        return set()
    pages = rows(world, "SELECT bulk_job, bulk_locator FROM extractor.page WHERE bulk_job IS NOT NULL")
    return {(page["bulk_job"], page["bulk_locator"] or "") for page in pages}


def _fetched(org: RunningOrg) -> dict[tuple[str, str], int]:
    pages = org.calls()["bulk_pages"]
    return {(page["job"], page["locator"] or ""): page["fetched"] for page in pages}


def _nothing_durable_is_fetched_again(
    durable: set[tuple[str, str]], before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]
) -> None:
    again = {page for page in durable if after.get(page, 0) > before.get(page, 0)}
    assert not again, f"fetched again although durable: {again}"


def _every_run_has_ended(world: World) -> None:
    open_runs = [run for run in world.holdfast.get("/runs")["items"] if run["state"] in ("requested", "running")]
    assert not [run for run in open_runs if run["trigger"] != "slot"], open_runs
