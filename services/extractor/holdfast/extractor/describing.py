"""Describes of a run's objects: 25 in a call, and those that did not change without their body."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from holdfast.common.errors import HoldfastError, Kind
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.composite import MOST_PARTS, describe_part
from holdfast.salesforce.models import Describe, NotModified

log = structlog.get_logger(__name__)

# Of an object that the user lost, or may not see.
_GONE = (Kind.NOT_FOUND, Kind.FORBIDDEN)


@dataclass
class Described:
    """What the org says of its objects.

    Attributes:
        objects: As the org has them now.
        gone: Why it does not describe the others.
        fresh: The names of those that differ from what was cached.
    """

    objects: list[Describe] = field(default_factory=list)
    gone: dict[str, HoldfastError] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)


async def describe_all(
    client: SalesforceClient, names: Sequence[str], cached: Mapping[str, tuple[str, str]], slots: int
) -> Described:
    """Describe objects, in as few calls as possible.

    Args:
        cached: ETag and body of describes seen before, by object.
        slots: Calls at a time.

    Raises:
        HoldfastError: What keeps the org from describing an object that it has.
    """
    found = Described()
    free = asyncio.Semaphore(slots)

    async def some(batch: Sequence[str]) -> None:
        async with free:
            answers = await _together(client, batch, cached)
        for name, answer in zip(batch, answers, strict=True):
            if isinstance(answer, HoldfastError):
                found.gone[name] = answer
            elif isinstance(answer, NotModified):
                found.objects.append(Describe.model_validate_json(cached[name][1]))
            else:
                found.objects.append(answer)
                found.fresh.add(name)

    batches = [names[start : start + MOST_PARTS] for start in range(0, len(names), MOST_PARTS)]
    await asyncio.gather(*(some(batch) for batch in batches))
    order = {name: number for number, name in enumerate(names)}
    found.objects.sort(key=lambda describe: order.get(describe.name, len(order)))
    return found


async def _together(
    client: SalesforceClient, names: Sequence[str], cached: Mapping[str, tuple[str, str]]
) -> list[Describe | NotModified | HoldfastError]:
    if len(names) == 1:
        return [await _alone(client, names[0], cached)]
    try:
        outcomes = await client.composite([describe_part(name, cached.get(name, (None, ""))[0]) for name in names])
    except HoldfastError as error:
        # Too much for one answer, or an org that does not offer it: one by one, which also says what is wrong.
        if error.kind not in (Kind.TOO_LARGE, Kind.TIMEOUT, *_GONE):
            raise
        log.warning("described_one_by_one", objects=len(names), error=error.message)
        return [await _alone(client, name, cached) for name in names]
    answers: list[Describe | NotModified | HoldfastError] = []
    for name, outcome in zip(names, outcomes, strict=True):
        passing = isinstance(outcome, HoldfastError) and outcome.kind not in _GONE
        answers.append(await _alone(client, name, cached) if passing else outcome)
    return answers


async def _alone(
    client: SalesforceClient, name: str, cached: Mapping[str, tuple[str, str]]
) -> Describe | NotModified | HoldfastError:
    try:
        return await client.describe(name, cached.get(name, (None, ""))[0])
    except HoldfastError as error:
        if error.kind not in _GONE:
            raise
        return error
