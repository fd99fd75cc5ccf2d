"""When a run will end that the org's API budget slows down. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

DAY = timedelta(days=1)
_LONGEST = timedelta(days=3650)


@dataclass(frozen=True)
class Standing:
    """An org's budget for work with a limit: `used` of `limit` calls in 24 hours, `own` of them Holdfast's.

    Such work stops at `ceiling`, which is `left` calls away.
    """

    used: int
    limit: int
    own: int
    ceiling: int
    left: int


@dataclass(frozen=True)
class Forecast:
    """`ends_at`: None if nobody can tell. `sentence`: empty unless it is the budget that decides."""

    calls_left: int
    ends_at: datetime | None
    sentence: str = ""


def forecast(
    calls_left: int, calls_made: int, elapsed: timedelta, standing: Standing, percent: int, now: datetime
) -> Forecast:
    """The end of a run, from the calls it still needs, its rate so far, and what the org's day has room for.

    Each day has room for what the limit leaves beside the others' calls: Holdfast's own of yesterday count no more.
    """
    by_rate = elapsed * (calls_left / calls_made) if calls_made else None
    if not standing.limit or calls_left <= standing.left:
        return Forecast(calls_left, now + min(by_rate, _LONGEST) if by_rate is not None else None)
    others = max(0, standing.used - standing.own)
    daily = standing.ceiling - others
    if daily <= 0:
        sentence = (
            f"Others used {others:,} of the org's {standing.limit:,} calls in 24 hours, and the job stops at "
            f"{percent} %: it goes on when they use fewer, or when the job may use more."
        )
        return Forecast(calls_left, None, sentence)
    by_budget = DAY * ((calls_left - standing.left) / daily)
    if by_rate is not None and by_rate > by_budget:
        return Forecast(calls_left, now + min(by_rate, _LONGEST))
    sentence = (
        f"The run ends in about {_span(by_budget)} at {percent} %: {calls_left:,} more calls, "
        f"{standing.left:,} of them now and {daily:,} a day."
    )
    return Forecast(calls_left, now + min(by_budget, _LONGEST), sentence)


def _span(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    if hours < 1:
        return "an hour"
    if hours < 48:
        return f"{hours:.0f} hours"
    return f"{hours / 24:.0f} days"
