"""Date literals: `TODAY`, `LAST_N_DAYS:7`, … as half-open ranges of days in UTC."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

from holdfast.orgsim.errors import ApiError

Range = tuple[date, date]


def day_range(word: str, today: date) -> Range:
    """First day of the literal and the day after its last.

    Raises:
        ApiError: 400 MALFORMED_QUERY for a word that is no date literal.
    """
    name, _, number = word.upper().partition(":")
    fixed = _FIXED.get(name)
    if fixed is not None and not number:
        return fixed(today)
    counted = re.fullmatch(r"(LAST|NEXT)_N_(DAYS|WEEKS|MONTHS|YEARS)|N_(DAYS|WEEKS|MONTHS|YEARS)_AGO", name)
    if counted is None or not number:
        raise ApiError(400, "MALFORMED_QUERY", f"unexpected token: '{word}'")
    return _counted(name, int(number), today)


def _counted(name: str, n: int, today: date) -> Range:
    unit = next(u for u in ("DAYS", "WEEKS", "MONTHS", "YEARS") if u in name)
    current = _period(unit, today)
    if name.endswith("_AGO"):
        start = _shift(unit, current[0], -n)
        return start, _shift(unit, start, 1)
    if name.startswith("LAST"):
        end = today + timedelta(days=1) if unit == "DAYS" else current[0]
        return _shift(unit, current[0], -n), end
    return current[1], _shift(unit, current[1], n)


def _period(unit: str, day: date) -> Range:
    start = {
        "DAYS": day,
        "WEEKS": day - timedelta(days=(day.weekday() + 1) % 7),  # weeks begin on Sunday
        "MONTHS": day.replace(day=1),
        "YEARS": day.replace(month=1, day=1),
    }[unit]
    return start, _shift(unit, start, 1)


def _shift(unit: str, start: date, n: int) -> date:
    if unit in ("DAYS", "WEEKS"):
        return start + timedelta(days=n * (7 if unit == "WEEKS" else 1))
    months = start.year * 12 + start.month - 1 + n * (12 if unit == "YEARS" else 1)
    return date(months // 12, months % 12 + 1, 1)


def _around(unit: str, n: int) -> Callable[[date], Range]:
    return lambda today: _period(unit, _shift(unit, _period(unit, today)[0], n))


_FIXED: dict[str, Callable[[date], Range]] = {
    "YESTERDAY": _around("DAYS", -1),
    "TODAY": _around("DAYS", 0),
    "TOMORROW": _around("DAYS", 1),
    "LAST_90_DAYS": lambda today: (today - timedelta(days=90), today + timedelta(days=1)),
    "NEXT_90_DAYS": lambda today: (today + timedelta(days=1), today + timedelta(days=91)),
    **{
        f"{word}_{unit[:-1]}": _around(unit, n)
        for unit in ("WEEKS", "MONTHS", "YEARS")
        for word, n in (("LAST", -1), ("THIS", 0), ("NEXT", 1))
    },
}
