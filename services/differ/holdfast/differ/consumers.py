"""Kafka -> rows. Handlers only note what there is to do; `worker` does it."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.common.contracts.connections import ConnectionAdded
from holdfast.common.contracts.extractor import ObjectExtracted, PageStaged
from holdfast.common.contracts.scheduler import RunRequested
from holdfast.common.failpoints import durable_step
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.postgres import Unit
from holdfast.differ import store

PAGE_NOTED = durable_step("differ.page_noted")
MANIFEST_NOTED = durable_step("differ.manifest_noted")
RUN_NOTED = durable_step("differ.run_noted")
CONNECTION_NOTED = durable_step("differ.connection_noted")


def declare(bus: Bus, wake: Callable[[], None]) -> None:
    """Subscribe to what the differ needs; `wake` is called once a row is committed."""

    async def page_staged(unit: Unit, event: PageStaged, meta: Meta) -> None:
        await store.add_page(unit, event)
        unit.after_commit(wake)

    async def object_extracted(unit: Unit, event: ObjectExtracted, meta: Meta) -> None:
        await store.add_manifest(unit, event, meta.correlation_id)
        unit.after_commit(wake)

    async def run_requested(unit: Unit, event: RunRequested, meta: Meta) -> None:
        await store.put_job_connection(unit, event.job_id, event.connection_id)

    async def connection_added(unit: Unit, event: ConnectionAdded, meta: Meta) -> None:
        await store.put_connection_organization(unit, event.connection_id, event.organization_id)

    bus.consume(PageStaged, page_staged, step=PAGE_NOTED)
    bus.consume(ObjectExtracted, object_extracted, step=MANIFEST_NOTED)
    bus.consume(RunRequested, run_requested, step=RUN_NOTED)
    bus.consume(ConnectionAdded, connection_added, step=CONNECTION_NOTED)
