"""How a verdict is told: the proof of the public event, and the sentences that make a run partial. No I/O."""

from __future__ import annotations

from datetime import datetime

from holdfast.common.contracts.differ import Proof
from holdfast.differ.proving import Facts, Verdict
from holdfast.vault.census import Named

_MOST_IDS = 5


def proof_of(facts: Facts, verdict: Verdict, at: datetime) -> Proof:
    """The verdict as the world hears of it."""
    count, census = facts.count, facts.extracted.census
    org = count.records if count else census.records if census else None
    return Proof(
        state=verdict.state,
        checked=verdict.checked,
        reason=verdict.reason,
        org_records=org,
        vault_records=facts.alive,
        passes=facts.extracted.pass_number,
        at=at,
        missing=verdict.missing.count,
        missing_ids=list(verdict.missing.ids),
        outdated=verdict.outdated.count,
        outdated_ids=list(verdict.outdated.ids),
        unseen=verdict.unseen.count,
        unseen_ids=list(verdict.unseen.ids),
    )


def gaps_of(facts: Facts, verdict: Verdict) -> list[str]:
    """What of the object is missing, or may be: a run with one of these is partial. A proof that is open is none."""
    gaps = [facts.lost] if facts.lost else []
    if verdict.missing.count:
        gaps.append(f"{_records(verdict.missing)} in the org and missing in the backup{_next(verdict.missing)}")
    if verdict.outdated.count:
        gaps.append(f"{_records(verdict.outdated)} older in the backup than in the org{_next(verdict.outdated)}")
    if verdict.unseen.count:
        kept = "kept as it was, not marked deleted" if verdict.unseen.count == 1 else "kept as they were, not deleted"
        why = "" if verdict.state == "mismatch" else f" {verdict.reason}"
        names = f"{_records(verdict.unseen)} in the backup and not in the org ({_ids(verdict.unseen)})"
        gaps.append(f"{names}: {kept}.{why}")
    return gaps


def _records(named: Named) -> str:
    return "1 record is" if named.count == 1 else f"{named.count:,} records are"


def _next(named: Named) -> str:
    return f" ({_ids(named)}); the next run reads the object whole."


def _ids(named: Named) -> str:
    shown = ", ".join(named.ids[:_MOST_IDS])
    more = named.count - min(len(named.ids), _MOST_IDS)
    return f"{shown} and {more:,} more" if more else shown
