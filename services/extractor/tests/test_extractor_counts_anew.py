"""A count that came with a page is dropped with the source that brought it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from holdfast.extractor.reading import Elsewhere
from holdfast.extractor.store import TaskClaim
from holdfast.orgsim.testing import RunningOrg

pytestmark = pytest.mark.integration
Make = Callable[..., Any]


async def test_a_count_is_not_kept_beyond_the_source_that_brought_it(
    org: RunningOrg, harness: Make, thing: str
) -> None:
    """A record that came between two readings is in the pages of the second: it must be in the count as well."""
    org.define(thing, [], [{"Name": f"{n}"} for n in range(3)])
    one = harness()
    await one.run(thing)
    sources = one.worker._sources
    opened, brought = sources.open, []

    async def moved_once(client: Any, claim: TaskClaim, created: Callable[..., Awaitable[None]]) -> Any:
        source, count = await opened(client, claim, created)
        if not brought:
            brought.append(count.records)
            address = f"{org.url}/services/data/v62.0/sobjects/{thing}"
            answer = httpx.post(
                address, json={"Name": "late"}, headers={"Authorization": f"Bearer {org.token()}"}, trust_env=False
            )
            answer.raise_for_status()

            async def elsewhere() -> None:
                raise Elsewhere("rest", 1, "a page came twice")

            source.next = elsewhere
        return source, count

    sources.open = moved_once
    events = await one.run(thing)
    (said,) = [body for kind, body in events if kind == "object.extracted"]
    assert brought == [3]
    assert said["count"]["records"] == 4
