"""The plan of a job's next run, for people: how each object would be read, and what that costs. Begins nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from holdfast.common.rpc.extractor.v1 import extractor_pb2 as messages
from holdfast.extractor.budget import spend_for
from holdfast.extractor.classification import walk_of
from holdfast.extractor.drafting import NOTHING_SELECTED, Drafter, Plan, Wanted
from holdfast.extractor.estimates import (
    SECONDS_PER_CALL,
    Estimate,
    Facts,
    Shared,
    estimate,
    is_listed,
    is_probed,
    moves_to_bulk,
)
from holdfast.extractor.org import Orgs, count_calls
from holdfast.extractor.planning import REST_PAGE_ROWS, ObjectPlan
from holdfast.extractor.progress import Outlook
from holdfast.extractor.soql import ObjectQuery
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.composite import query_part
from holdfast.salesforce.models import RestPage

WORDS = {"rest": "REST", "bulk2": "Bulk 2.0"}


class Plans:
    """Plans that are looked at and not run."""

    def __init__(self, orgs: Orgs, drafter: Drafter, outlook: Outlook) -> None:
        self._orgs = orgs
        self._drafter = drafter
        self._outlook = outlook

    async def plan(self, wanted: Wanted, percent: int) -> messages.PlanJobResponse:
        """What a run would read that began now.

        Args:
            percent: The share of the org's daily calls at which the job waits.

        Raises:
            HoldfastError: When the org does not answer, or the job may not call it now.
        """
        counter = count_calls()
        spend_for(wanted.job_id, percent)
        plan = await self._drafter.draft(wanted)
        # The run begins with the same questions; those that follow are the plan's own.
        making = counter.calls
        client = await self._orgs.client(wanted.connection_id)
        counts = plan.counts or (await client.record_counts() if plan.objects else {})
        plan.objects |= await _with_changes(client, plan.objects, counts)
        facts = await self._drafter.facts(wanted, counts)
        found = estimate(plan.objects, plan.censuses, facts)
        answer = _answer(plan, found, facts, making)
        answer.plan_calls = counter.calls
        await self._orgs.ledger.report()
        standing = await self._outlook.standing(wanted.connection_id, percent)
        if standing is not None and standing.limit:
            answer.calls_left, answer.calls_limit = standing.left, standing.limit
        return answer


async def _with_changes(
    client: SalesforceClient, objects: Mapping[str, ObjectPlan], counts: Mapping[str, int]
) -> dict[str, ObjectPlan]:
    """How much changed in the objects where that could be more than a page; where the org does not say, nothing."""
    large = [name for name, how in objects.items() if is_probed(how) and counts.get(name, 0) > REST_PAGE_ROWS]
    if not large:
        return {}
    queries = [_query(name, objects[name]) for name in large]
    answers = await client.composite([query_part(query.counting(), all_rows=True) for query in queries])
    return {
        name: replace(objects[name], estimated_rows=answer.total_size)
        for name, answer in zip(large, answers, strict=True)
        if isinstance(answer, RestPage)
    }


def _query(name: str, how: ObjectPlan) -> ObjectQuery:
    return ObjectQuery(name, tuple(field.name for field in how.schema.fields), how.since)


def _answer(plan: Plan, found: Estimate, facts: Facts, making: int) -> messages.PlanJobResponse:
    planned = [
        messages.PlannedReading(
            object=name,
            mode=how.mode,
            strategy=_in_words(how, facts, census=name in plan.censuses),
            rows=how.estimated_rows,
            api_calls=found.objects[name].calls,
            seconds=found.objects[name].seconds,
        )
        for name, how in plan.objects.items()
    ]
    shared = [Shared("what the org has: its objects, their fields and sizes", making), *found.shared]
    nothing = [] if plan.objects or plan.failed or plan.found.notes else [NOTHING_SELECTED]
    drifts = [note for drift in plan.found.drifts.values() for note in drift.notes]
    return messages.PlanJobResponse(
        objects=planned,
        shared=[messages.SharedCalls(what=each.what, api_calls=each.calls) for each in shared],
        unreadable=[messages.UnreadableObject(object=name, reason=why.reason) for name, why in plan.failed.items()],
        rows=sum(how.estimated_rows for how in plan.objects.values()),
        api_calls=making + found.calls,
        seconds=making * SECONDS_PER_CALL + found.seconds,
        notes=[*plan.found.notes, *drifts, *nothing],
    )


def _in_words(how: ObjectPlan, facts: Facts, *, census: bool) -> str:
    walk = walk_of(how.schema.object)
    if walk is not None:
        words = f"{'parent walk' if walk.parent else 'filter'} ({walk.in_words()})"
    elif how.schema.key and how.strategy == "rest":
        words = f"big object keyset ({', '.join(how.schema.key)})"
    elif moves_to_bulk(how, facts):
        words = "REST, then Bulk 2.0"
    else:
        words = WORDS[how.strategy] + (", asked with others" if is_probed(how) else "")
    listed = "all keys" if how.schema.key else "all ids"
    return f"{words}; then {listed}" if census or is_listed(how) else words
