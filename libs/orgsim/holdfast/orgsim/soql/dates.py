"""Date literals: `TODAY`, `LAST_N_DAYS:7`, … as half-open ranges of days in UTC.

Weeks begin on Sunday and the fiscal year is the calendar year, as in an org with default settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta

Range = tuple[date, date]
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12, "FISCAL_QUARTER": 3, "FISCAL_YEAR": 12}
_UNITS = "DAY|WEEK|MONTH|QUARTER|YEAR|FISCAL_QUARTER|FISCAL_YEAR"
_RELATIVE = re.compile(rf"(LAST|THIS|NEXT)_({_UNITS.removeprefix('DAY|')})")
_COUNTED = re.compile(rf"(LAST|NEXT)_N_({_UNITS})S")
_AGO = re.compile(rf"N_({_UNITS})S_AGO")
LARGEST_COUNT = 100_000
_FIXED: dict[str, Callable[[date], Range]] = {
    "YESTERDAY": lambda today: _days(today, -1, 0),
    "TODAY": lambda today: _days(today, 0, 1),
    "TOMORROW": lambda today: _days(today, 1, 2),
    "LAST_90_DAYS": lambda today: _days(today, -90, 1),
    "NEXT_90_DAYS": lambda today: _days(today, 1, 91),
}


def day_range(word: str, today: date) -> Range | None:
    """First day of the literal and the day after its last; None for a word that is no date literal."""
    name, _, number = word.upper().partition(":")
    if not number:
        fixed, relative = _FIXED.get(name), _RELATIVE.fullmatch(name)
        if fixed is not None:
            return fixed(today)
        return _around(relative[2], {"LAST": -1, "THIS": 0, "NEXT": 1}[relative[1]], today) if relative else None
    n = min(int(number), LARGEST_COUNT)
    ago, counted = _AGO.fullmatch(name), _COUNTED.fullmatch(name)
    if ago is not None:
        return _around(ago[1], -n, today)
    return _counted(counted[1], counted[2], n, today) if counted is not None else None


def _counted(direction: str, unit: str, n: int, today: date) -> Range:
    first, after = _period(unit, today)
    if direction == "LAST":
        return _shift(unit, first, -n), after if unit == "DAY" else first
    return after, _shift(unit, after, n)


def _around(unit: str, n: int, today: date) -> Range:
    return _period(unit, _shift(unit, _period(unit, today)[0], n))


def _period(unit: str, day: date) -> Range:
    if unit == "DAY":
        start = day
    elif unit == "WEEK":
        start = _days(day, -((day.weekday() + 1) % 7), 0)[0]
    else:
        length = _MONTHS[unit]
        start = day.replace(month=(day.month - 1) // length * length + 1, day=1)
    return start, _shift(unit, start, 1)


def _shift(unit: str, start: date, n: int) -> date:
    if unit in ("DAY", "WEEK"):
        return _days(start, n * (7 if unit == "WEEK" else 1), 0)[0]
    months = start.year * 12 + start.month - 1 + n * _MONTHS[unit]
    months = min(max(months, 12), 9999 * 12 + 11)
    return date(months // 12, months % 12 + 1, 1)


def _days(day: date, first: int, after: int) -> Range:
    return _moved(day, first), _moved(day, after)


def _moved(day: date, by: int) -> date:
    ordinal = min(max(day.toordinal() + by, date.min.toordinal()), date.max.toordinal())
    return day + timedelta(days=ordinal - day.toordinal())
