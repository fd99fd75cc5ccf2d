"""What a plan costs: the org's calls, as the org counts them, and seconds. Pure.

Calls of an object's own are its pages, and the making and watching of its Bulk job. What several objects ask in one
composite call (what changed, how many records there are, who looks) is counted once, beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from holdfast.extractor.classification import Walk, in_bulk, walk_of
from holdfast.extractor.counting import uncountable
from holdfast.extractor.planning import REST_PAGE_ROWS, ObjectPlan, Strategy, bulk_page_rows, even_pages
from holdfast.extractor.probing import MOST_OBJECTS
from holdfast.salesforce.composite import MOST_QUERIES
from holdfast.vault.schema import FieldType

# Until a job of the org was seen, its Bulk jobs are taken to be done when they are first looked at.
FEWEST_LOOKS = 1
LISTED_AT_ONCE = 5
# For what was not read before: Salesforce answers a query in some tenths of a second and takes seconds to begin a Bulk
# job; then rows come as fast as the wire and its side allow.
SECONDS_PER_CALL = 0.3
_REST_ROWS_PER_S, _BULK_ROWS_PER_S = 4_000, 20_000
_BULK_BEGINS_S = 5.0


class Pace(NamedTuple):
    """How long an object took the last time, and for how many rows."""

    rows: int
    seconds: float


@dataclass(frozen=True)
class Facts:
    """What an estimate goes by, beside the plan.

    Attributes:
        counts: Salesforce's cached counts.
        paces: Earlier readings, by object, and by whether they were incremental.
        looks: How often a Bulk job of this org is looked at until it is done.
    """

    page_bytes: int
    bulk_threshold_rows: int
    parallel_from_pages: int
    slots: int
    counts: Mapping[str, int] = field(default_factory=dict)
    paces: Mapping[tuple[str, bool], Pace] = field(default_factory=dict)
    looks: int = FEWEST_LOOKS


class Cost(NamedTuple):
    """Calls of an object's own, and seconds from its first to its last."""

    calls: int
    seconds: float


class Shared(NamedTuple):
    """Questions that several objects ask together."""

    what: str
    calls: int


@dataclass(frozen=True)
class Estimate:
    """The cost of a plan, without its making."""

    objects: Mapping[str, Cost]
    shared: Sequence[Shared]
    seconds: float

    @property
    def calls(self) -> int:
        """All calls from the first page to the last count."""
        return sum(cost.calls for cost in self.objects.values()) + sum(each.calls for each in self.shared)

    def with_share(self) -> dict[str, int]:
        """Calls by object, with its share of what is asked together; they add up to `calls`."""
        together, number = sum(each.calls for each in self.shared), len(self.objects)
        steps = pairwise(together * n // number for n in range(number + 1)) if number else ()
        return {
            name: cost.calls + end - begin
            for (name, cost), (begin, end) in zip(self.objects.items(), steps, strict=True)
        }


def estimate(objects: Mapping[str, ObjectPlan], censuses: Iterable[str], facts: Facts) -> Estimate:
    """What reading these objects costs.

    Args:
        censuses: Those of which all ids are listed after the reading.
    """
    listed = set(censuses)
    costs = {name: _cost(how, facts, listed=name in listed or is_listed(how)) for name, how in objects.items()}
    seconds = [cost.seconds for cost in costs.values()]
    elapsed = max(*seconds, sum(seconds) / facts.slots) if seconds else 0.0
    return Estimate(costs, _shared(objects, facts), elapsed)


def calls_of(strategy: Strategy, rows: int, fields: Sequence[FieldType], facts: Facts) -> int:
    """Calls that bring so many rows."""
    if strategy == "rest":
        return max(1, ceil(rows / REST_PAGE_ROWS))
    pages = even_pages(rows, bulk_page_rows(fields, facts.page_bytes))
    listings = ceil(pages / LISTED_AT_ONCE) if pages >= facts.parallel_from_pages else 0
    return 1 + facts.looks + listings + pages


def is_listed(how: ObjectPlan) -> bool:
    """Whether all keys follow the reading whatever the calendar says: nothing else proves a first one."""
    return bool(how.schema.key) and how.mode == "baseline"


def is_probed(how: ObjectPlan) -> bool:
    """Whether the first page of the object is asked for together with those of others."""
    return how.strategy == "rest" and walk_of(how.schema.object) is None and not how.schema.key


def moves_to_bulk(how: ObjectPlan, facts: Facts) -> bool:
    """Whether so much changed that the object is read by Bulk once the org has said so."""
    return is_probed(how) and how.estimated_rows >= facts.bulk_threshold_rows and in_bulk(how.schema.object)


def _cost(how: ObjectPlan, facts: Facts, *, listed: bool) -> Cost:
    name, fields = how.schema.object, how.schema.fields
    walk = walk_of(name)
    if walk is not None:
        calls = _walk_calls(walk, how, facts)
    elif moves_to_bulk(how, facts):
        calls = calls_of("bulk2", how.estimated_rows, fields, facts)
    else:
        calls = calls_of(how.strategy, how.estimated_rows, fields, facts) - (1 if is_probed(how) else 0)
    if listed:
        records = facts.counts.get(name, 0)
        many = records >= facts.bulk_threshold_rows and in_bulk(name)
        # One more: the log of deletions or, of a big object, who looks in the second pass.
        calls += 1 + calls_of("bulk2" if many else "rest", records, fields[:2], facts)
    return Cost(calls, _seconds(how, calls, facts))


def _walk_calls(walk: Walk, how: ObjectPlan, facts: Facts) -> int:
    """The ids of all parents, then five queries a call, each for as many parents as the object allows."""
    if walk.unfiltered_first:
        return calls_of("rest", how.estimated_rows, how.schema.fields, facts)
    if not walk.parent:
        return max(ceil(len(walk.values) / MOST_QUERIES), ceil(how.estimated_rows / REST_PAGE_ROWS))
    parents = facts.counts.get(walk.parent, 0)
    ids, groups = parents // REST_PAGE_ROWS + 1, ceil(parents / walk.most)
    return ids + max(ceil(groups / MOST_QUERIES), ceil(how.estimated_rows / REST_PAGE_ROWS))


def _shared(objects: Mapping[str, ObjectPlan], facts: Facts) -> list[Shared]:
    probed = [name for name, how in objects.items() if is_probed(how)]
    calls = 0
    for start in range(0, len(probed), MOST_OBJECTS):
        batch = probed[start : start + MOST_OBJECTS]
        calls += ceil((len(batch) + sum(not uncountable(name) for name in batch)) / MOST_QUERIES)
    single = {name for name in probed if objects[name].estimated_rows <= REST_PAGE_ROWS}
    counted = [name for name in objects if name not in single and not uncountable(name)]
    found = []
    if probed:
        found.append(Shared(f"first pages of {_number(probed)} by REST, and the counts, five questions a call", calls))
    if counted:
        found.append(
            Shared(
                f"counts of {_number(counted)} and who looks, five questions a call",
                ceil((len(counted) + 2) / MOST_QUERIES),
            )
        )
    elif objects:
        found.append(Shared("who looks", 1))
    return found


def _number(names: Sequence[str]) -> str:
    return f"{len(names):,} object{'' if len(names) == 1 else 's'}"


def _seconds(how: ObjectPlan, calls: int, facts: Facts) -> float:
    """As long as the last time, and more if there is more to read; else by what is usual.

    The rows of less than a page say nothing of how fast rows come: most of their time is the calls'.
    """
    in_bulk = how.strategy == "bulk2" or moves_to_bulk(how, facts)
    pace = facts.paces.get((how.schema.object, how.mode == "incremental"))
    if pace is not None:
        usual = _BULK_ROWS_PER_S if in_bulk else _REST_ROWS_PER_S
        rows_per_s = pace.rows / pace.seconds if pace.rows >= REST_PAGE_ROWS and pace.seconds else usual
        return pace.seconds + max(0, how.estimated_rows - pace.rows) / rows_per_s
    if in_bulk:
        return _BULK_BEGINS_S + how.estimated_rows / _BULK_ROWS_PER_S
    return SECONDS_PER_CALL * max(1, calls) + how.estimated_rows / _REST_ROWS_PER_S
