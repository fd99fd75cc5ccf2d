"""Whether an object is proven, has to be looked at once more, or lost records: ADR 6. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from holdfast.common.contracts.extractor import ObjectExtracted, OrgCount
from holdfast.vault.census import Comparison, Horizon, Named

Checked = Literal["", "count", "ids", "ids and stamps"]
MOST_PASSES = 3
NOBODY = Named(0)
# A transaction runs up to ten minutes, and its records carry the stamps of when they were saved in it.
LATE_COMMIT = timedelta(minutes=10)


@dataclass(frozen=True)
class Facts:
    """All that an object's outcome is decided by.

    Attributes:
        extracted: What the extractor said of the newest pass.
        earlier: What it said of the passes before.
        alive: Living records of the table.
        stamped: Whether the table's records have stamps.
        organization_id: Of the job's connection; empty if it is not known.
        compared: The table held against the pass's census, or against all pages of a whole reading; None after an
            incremental reading without a census.
        vanished: Records that were taken for deleted lately because they were absent, and no longer live.
        keyed: The records have no ids, and the org does not count them (big objects).
        agreed: The reading and the census of this run, each a whole list, lack the same records of the table.
        lost: A sentence on what earlier runs left out of the table, and this one could not make good; or empty.
    """

    extracted: ObjectExtracted
    earlier: Sequence[ObjectExtracted]
    alive: int
    stamped: bool
    organization_id: str
    compared: Comparison | None
    lost: str = ""
    most_passes: int = MOST_PASSES
    vanished: int = 0
    keyed: bool = False
    agreed: bool = False

    @property
    def count(self) -> OrgCount | None:
        """What the org counted in this pass."""
        return self.extracted.count

    @property
    def moved(self) -> bool:
        """Whether the org counted differently from pass to pass."""
        counts = {one.count.records for one in (*self.earlier, self.extracted) if one.count}
        return len(counts) > 1

    @property
    def last_pass(self) -> bool:
        """Whether the object cannot be doubted any more."""
        return self.extracted.pass_number >= self.most_passes


@dataclass(frozen=True)
class Doubt:
    """One more pass is needed."""

    wanted: Literal["delta", "census"]
    reason: str


@dataclass(frozen=True)
class Vanished:
    """Records are gone for good: a page of deletions is due, then the object is judged again."""

    records: int


@dataclass(frozen=True)
class Verdict:
    """The object's outcome. `held` says that so many records disappeared at once that nobody is believed."""

    state: Literal["proven", "not proven", "mismatch"]
    checked: Checked = ""
    reason: str = ""
    missing: Named = NOBODY
    outdated: Named = NOBODY
    unseen: Named = NOBODY
    held: bool = False


@dataclass(frozen=True)
class MassRule:
    """Absence of more than `percent` of the living records, and at least `fewest`, is not believed.

    All that vanish `within` a time count together: else an object could go to the last record, a little in each run.
    """

    percent: float = 10.0
    fewest: int = 20
    within: timedelta = timedelta(days=30)

    def holds(self, absent: int, alive: int, before: int = 0) -> bool:
        """Whether that many are too many.

        Args:
            alive: Living records of the table, the absent ones among them.
            before: So many vanished already within the time.
        """
        absent, alive = absent + before, alive + before
        return absent >= self.fewest and absent * 100 > self.percent * alive


def horizon(extracted: ObjectExtracted, earlier: Sequence[ObjectExtracted]) -> Horizon:
    """Up to which stamp the passes must have read every record.

    All that was there at the first count was read by a delta that came after it; without one, only what is older
    than the mark is known to have been read. Counts that moved may hide a transaction that was not over yet.
    """
    first = next((one.count for one in earlier if one.count), None)
    delta = any(one.purpose == "delta" for one in earlier)
    mark = next((one.watermark for one in reversed([*earlier, extracted]) if one.purpose != "census"), None)
    due = first.at if first and delta else mark or extracted.watermark or (first.at if first else None)
    if due is None:
        return Horizon(None, None)
    still = first is not None and extracted.count is not None and first.records == extracted.count.records
    return Horizon(due if still else due - LATE_COMMIT, due - LATE_COMMIT)


def judge(facts: Facts, rule: MassRule) -> Doubt | Vanished | Verdict:
    """The outcome of an object whose pages are all committed."""
    if facts.lost:
        return Verdict("not proven", reason=facts.lost)
    if facts.extracted.census is not None and facts.compared is not None:
        return _by_census(facts, facts.compared, rule)
    return _by_count(facts)


def _by_count(facts: Facts) -> Doubt | Verdict:
    absent = facts.compared.absent if facts.compared else NOBODY
    if facts.count is None and facts.keyed and not facts.last_pass and (absent.count or _first(facts)):
        # Without a count a second list of all keys is the only other witness.
        return Doubt("census", "The org does not count the object, so that it is listed once more.")
    if facts.count is None:
        reason = facts.extracted.not_counted or "The org was not asked how many records it has."
        return Verdict("not proven", reason=reason, unseen=absent)
    returned = facts.alive - absent.count
    if absent.count and returned == facts.count.records:
        # A page that lost a record, while another record was deleted, would leave the count right: nobody is taken
        # for deleted by one list alone.
        reason = f"{_records(absent.count)} in the backup and did not come with the reading."
        return _again(facts, "census", reason, absent)
    if returned == facts.count.records:
        return Verdict("proven", "count")
    numbers = f"The org counts {facts.count.records:,} living records, and {_holder(absent)} {returned:,}"
    if facts.last_pass:
        moved = f"{numbers}, after {facts.extracted.pass_number} passes."
        return Verdict("not proven", reason=moved, unseen=absent)
    first = facts.extracted.pass_number == 1
    more_in_org = facts.count.records > returned
    return Doubt("delta" if first and facts.stamped and more_in_org else "census", f"{numbers}.")


def _first(facts: Facts) -> bool:
    return facts.extracted.mode == "baseline"


def _holder(absent: Named) -> str:
    return "the reading returned" if absent.count else "the backup holds"


def _by_census(facts: Facts, found: Comparison, rule: MassRule) -> Doubt | Vanished | Verdict:
    said = facts.extracted.census
    assert said is not None
    if (found.sums.records, found.sums.ids) != (said.records, said.ids) or found.sums.stamps != said.stamps:
        return _again(facts, "census", "The list of all ids is not whole.", found.absent)
    counted = facts.count.records if facts.count else None
    confirmed = counted == found.listed or (facts.keyed and facts.agreed)
    if found.absent.count and counted is not None and not confirmed and not facts.last_pass:
        return Doubt("census", f"The org lists {found.listed:,} living records and counts {counted:,}.")
    moving = not confirmed and facts.moved
    unsettled = _moving(found.absent) if moving else _settled(facts, found.absent, confirmed, rule)
    if isinstance(unsettled, Vanished):
        return unsettled
    if found.missing.count or found.outdated.count:
        return (unsettled or _written_since(found.missing)) if facts.keyed else _mismatch(found, unsettled)
    if unsettled is not None:
        return unsettled
    return _all_present(facts, found, counted)


def _written_since(missing: Named) -> Verdict:
    """The outcome when a big object's second list has more: no stamp tells what was written after the first."""
    ids = ", ".join(missing.ids[:5])
    reason = (
        f"{_records(missing.count)} in the second list of the org and did not come with the reading before it ({ids}): "
        "written meanwhile, or missed. The next run reads the object whole."
    )
    return Verdict("not proven", reason=reason)


def _all_present(facts: Facts, found: Comparison, counted: int | None) -> Doubt | Verdict:
    """The outcome when no record is absent, and none that is settled is missing or outdated."""
    if found.recent.count or found.newer:
        moving = found.recent.count + found.newer
        records = "1 record was" if moving == 1 else f"{moving:,} records were"
        return _again(facts, "delta", f"{records} changed while the org was compared.", NOBODY)
    if counted is not None and counted != found.listed:
        differing = f"The org lists {found.listed:,} living records and counts {counted:,}."
        return _again(facts, "delta", differing, NOBODY)
    return Verdict("proven", "ids and stamps" if found.sums.stamps else "ids")


def _again(facts: Facts, wanted: Literal["delta", "census"], reason: str, unseen: Named) -> Doubt | Verdict:
    return Verdict("not proven", reason=reason, unseen=unseen) if facts.last_pass else Doubt(wanted, reason)


def _mismatch(found: Comparison, unsettled: Verdict | None) -> Verdict:
    parts = [
        f"{_records(named.count)} {what}"
        for named, what in (
            (found.missing, "in the org and not in the backup"),
            (found.outdated, "older in the backup than in the org"),
        )
        if named.count
    ]
    unseen = unsettled.unseen if unsettled else NOBODY
    reason = " and ".join(parts) + "; the next run reads the object whole."
    return Verdict(
        "mismatch", "ids", reason, found.missing, found.outdated, unseen, unsettled is not None and unsettled.held
    )


def _records(count: int) -> str:
    return "1 record is" if count == 1 else f"{count:,} records are"


def _settled(facts: Facts, absent: Named, confirmed: bool, rule: MassRule) -> Vanished | Verdict | None:
    """What becomes of absent records: deleted, or unseen with the reason; None if there are none."""
    if not absent.count:
        return None
    doubt = _no_evidence(facts, confirmed)
    held = not doubt and rule.holds(absent.count, facts.alive, facts.vanished)
    if held:
        at_once = f"within {rule.within.days} days" if facts.vanished else "at once"
        doubt = (
            f"More than {rule.percent:g} % of the object went {at_once}, without a trace in the recycle bin: held back"
        )
    if not doubt:
        return Vanished(absent.count)
    records = "the record is" if absent.count == 1 else f"the {absent.count:,} records are"
    reason = f"Nothing shows that {records} deleted. {doubt.rstrip('.')}."
    return Verdict("not proven", reason=reason, unseen=absent, held=held)


def _moving(absent: Named) -> Verdict | None:
    """The outcome when records left an org that kept moving: what was deleted meanwhile, the next run is told."""
    if not absent.count:
        return None
    left = (
        f"{_records(absent.count)} in the backup and was not listed"
        if absent.count == 1
        else (f"{_records(absent.count)} in the backup and were not listed")
    )
    ids = ", ".join(absent.ids[:5])
    return Verdict(
        "not proven", reason=f"The org kept moving while it was listed: {left} ({ids}). Nothing was deleted."
    )


def _no_evidence(facts: Facts, confirmed: bool) -> str:
    """Why absence is no evidence of deletion; empty if it is."""
    view = facts.extracted.view
    if view is None:
        return "It is not known who looked"
    known = bool(facts.organization_id) and view.organization_id == facts.organization_id
    doubts = (
        (not confirmed and facts.keyed, "The org was listed twice, and not with the same result"),
        (not confirmed, "The org does not count as many records as it returned"),
        (not known, "Another organization answered than the connection's"),
        (bool(view.reason), view.reason),
        (not view.sees_all, "The user does not see all records of the object"),
        (not view.unchanged, "The user or its rights are not the same as when the object was last read whole"),
    )
    return next((reason for doubtful, reason in doubts if doubtful), "")
