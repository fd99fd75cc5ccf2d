"""An extractor without Kafka: real Postgres, a real folder store, the local org."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from holdfast.common.clock import SystemClock, TimeOrderedIds
from holdfast.common.contracts.scheduler import RunRequested
from holdfast.common.folderstore import FolderStore
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database
from holdfast.extractor import store
from holdfast.extractor.budget import Granted, Wish
from holdfast.extractor.closing import Closer
from holdfast.extractor.counting import Counter, counting_part
from holdfast.extractor.dispatch import Dispatcher
from holdfast.extractor.drafting import Drafter
from holdfast.extractor.forecast import Standing
from holdfast.extractor.grpc import ExtractorService
from holdfast.extractor.leased_rows import RunRows, TaskRows
from holdfast.extractor.org import Orgs, Report
from holdfast.extractor.patience import Patience
from holdfast.extractor.planner import Planner
from holdfast.extractor.plans import Plans
from holdfast.extractor.probing import Prober
from holdfast.extractor.progress import Outlook
from holdfast.extractor.settings import ExtractorSettings
from holdfast.extractor.sources import Sources
from holdfast.extractor.staging import Staging
from holdfast.extractor.steps import RUN_RECEIVED
from holdfast.extractor.together import Together
from holdfast.extractor.views import Views
from holdfast.extractor.worker import Worker
from holdfast.orgsim.testing import RunningOrg, start_org
from holdfast.salesforce.models import Access

sys.path.insert(0, str(Path(__file__).parent))
WAIT_S = 30.0


@dataclass
class LocalConnections:
    """Stands in for the `connections` service: tokens of the local org, reports kept."""

    org: RunningOrg
    reports: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    asked: int = 0
    wishes: list[Wish] = field(default_factory=list)
    said: list[Report] = field(default_factory=list)
    grant: Callable[[Wish], Granted] = lambda wish: Granted(wish.calls, wish.slots, timedelta(minutes=1))
    _token: str = ""

    async def access(self, connection_id: UUID, refused: str | None) -> tuple[Access, str]:
        self.asked += 1
        if refused:
            self.refused.append(refused)
        if not self._token or refused == self._token:
            self._token = await asyncio.to_thread(self.org.token)
        return Access(self.org.url, self._token, self.org.org_id), "62.0"

    async def report(self, connection_id: UUID, caller: str, report: Report) -> None:
        self.reports.append(report.calls)
        self.said.append(report)

    async def standing(self, connection_id: UUID, percent: int) -> Standing:
        return Standing(used=0, limit=0, own=0, ceiling=0, left=0)

    async def reserve(self, wish: Wish) -> Granted:
        self.wishes.append(wish)
        return self.grant(wish)


class Harness:
    """One extractor process, as far as its tests need it."""

    def __init__(self, db: Database, connections: LocalConnections, settings: ExtractorSettings, folder: Path) -> None:
        self.db = db
        self.org = connections.org
        self.connections = connections
        self.settings = settings
        self.objects = FolderStore(folder / "vault")
        self.clock = SystemClock()
        self.orgs = Orgs(connections, self.clock, caller="test", concurrency=8, allow_insecure=True)
        self.staging = Staging(db, self.objects, self.clock, folder / "scratch", transforms=2, pages_in_memory=6)
        self.staging.clean()
        together = Together(self.orgs, settings.extractor_count_window, settings.extractor_count_patience)
        views = Views(self.orgs, together)
        patience = Patience(timedelta(milliseconds=50), settings.extractor_patience)
        self.closer = Closer(db, Counter(together, self.orgs, self.clock), views, settings, self.clock)
        self.prober = Prober(db, self.clock, "test", counting_part)
        self.worker = Worker(
            db=db,
            orgs=self.orgs,
            staging=self.staging,
            closer=self.closer,
            settings=settings,
            patience=patience,
            sources=Sources(db, settings, self.prober, self.clock),
            together=together,
            clock=self.clock,
        )
        self.workers = self._dispatcher("workers", TaskRows, self.worker.read)
        self.planner = Planner(
            db=db,
            orgs=self.orgs,
            drafter=Drafter(db, self.orgs, settings, self.clock),
            ids=TimeOrderedIds(),
            patience=patience,
            wake_workers=self.workers.signal,
        )
        outlook = Outlook(connections, self.clock)
        plans = Plans(self.orgs, Drafter(db, self.orgs, settings, self.clock), outlook)
        self.service = ExtractorService(db, self.orgs, self.worker.live_calls, outlook, plans)
        self.planners = self._dispatcher("planners", RunRows, self.planner.plan)
        self.job_id = uuid4()
        self.connection_id = uuid4()
        self.runs = 0

    def _dispatcher(self, name: str, rows: Any, work: Any) -> Dispatcher[Any]:
        return Dispatcher(
            name,
            rows(self.db, "test", self.settings.extractor_lease),
            work,
            slots=4,
            lease=self.settings.extractor_lease,
            poll=timedelta(milliseconds=50),
            clock=self.clock,
        )

    async def read(self, claim: Any) -> None:
        """All that is done with a leased object."""
        rest = await self.worker.read(claim)
        if rest is not None:
            await rest()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(loop.run()) for loop in (self.planners, self.workers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def request(self, *objects: str, full: bool = False) -> UUID:
        self.runs += 1
        event = RunRequested(
            run_id=uuid4(),
            job_id=self.job_id,
            run=self.runs,
            connection_id=self.connection_id,
            objects=list(objects),
            trigger="manual",
            full=full,
            requested_at=datetime.now(UTC),
        )
        meta = Meta(uuid4(), None, "test")
        for _ in range(2):  # Kafka may deliver it twice
            await self.db.run(RUN_RECEIVED, lambda unit: store.receive_run(unit, event, meta))
        self.planners.signal.set()
        return event.run_id

    async def events(self, run_id: UUID) -> list[tuple[str, dict[str, Any]]]:
        """What the outbox says of a run, in order: subject.participle and payload."""
        rows = await self.db.fetch("SELECT headers, payload FROM outbox ORDER BY id")
        found = []
        for row in rows:
            payload = json.loads(bytes(row["payload"]))
            if payload["run_id"] == str(run_id):
                kind = json.loads(row["headers"])["ce_type"].removeprefix("holdfast.extractor.").removesuffix(".v1")
                found.append((kind, payload))
        return found

    async def finished(self, run_id: UUID) -> list[tuple[str, dict[str, Any]]]:
        """Wait until the run is over; its events."""
        async with asyncio.timeout(WAIT_S):
            while True:
                found = await store.run_progress(self.db, run_id)
                if found and found[0]["state"] == "refused":
                    break
                if found and found[0]["state"] == "planned" and all(row["state"] != "waiting" for row in found[1]):
                    break
                await asyncio.sleep(0.02)
        return await self.events(run_id)

    async def run(self, *objects: str, full: bool = False) -> list[tuple[str, dict[str, Any]]]:
        """A whole run."""
        async with self.running():
            return await self.finished(await self.request(*objects, full=full))


@pytest.fixture(scope="session")
def postgres_template(migrated_template: Callable[..., str]) -> str:
    """Every test begins with the tables that it would migrate first."""
    return migrated_template({"extractor": ["holdfast.extractor"]})


@pytest.fixture(scope="session")
def one_org() -> Iterator[RunningOrg]:
    with start_org() as running:
        yield running


@pytest.fixture
def org(one_org: RunningOrg) -> Iterator[RunningOrg]:
    """The org, without what the test before did to it; the objects of that test stay: see `own`.

    Trouble that met no request fails its test: a reading that slipped past it shows nothing.
    """
    one_org.reset_calls()
    yield one_org
    unmet = [fault for fault in one_org.faults() if not fault["applied"]]
    one_org.clear_faults()
    one_org.restrict()
    assert not unmet, unmet


_tests = itertools.count(1)


@pytest.fixture
def own() -> Callable[[str], str]:
    """Names of objects that no other test uses."""
    number = next(_tests)
    return lambda name: f"{name}{number}__c"


@pytest.fixture
def thing(own: Callable[[str], str]) -> str:
    return own("Thing")


@pytest.fixture
async def harness(org: RunningOrg, postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Callable[..., Harness]]:
    """Makes extractors on one database and one org; all closed at the end."""
    db = await Database.open(postgres_dsn, "extractor")
    await db.migrate("holdfast.extractor")
    made: list[Harness] = []

    def make(**overrides: Any) -> Harness:
        settings = ExtractorSettings(
            internal_token="t",
            secret_key=base64.b64encode(bytes(32)).decode(),
            data=tmp_path,
            **{"extractor_lease": timedelta(seconds=5), **overrides},
        )
        made.append(Harness(db, LocalConnections(org), settings, tmp_path))
        return made[-1]

    yield make
    for one in made:
        await one.orgs.close()
    await db.close()
