"""Ranges of ids in which an object is read that cannot be read in one go. Pure.

Ids sort by their first 15 characters as numbers of base 62 do, digits before capitals before small letters; the last
three only say which of those are capitals.
"""

from __future__ import annotations

from typing import NamedTuple

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CASES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_LENGTH = 15


class Leg(NamedTuple):
    """Records from `low` on and before `high`; an empty end is open."""

    low: str = ""
    high: str = ""

    def __str__(self) -> str:
        ends = [f"from {self.low} on" if self.low else "", f"before {self.high}" if self.high else ""]
        return " and ".join(end for end in ends if end) or "all"


WHOLE = Leg()


def halves(leg: Leg, first: str, last: str) -> tuple[Leg, Leg] | None:
    """The leg in two, half of the ids between its first and its last record in each; None if it has but one."""
    low, high = _number(first), _number(last)
    if low >= high:
        return None
    middle = _id((low + high + 1) // 2)
    return Leg(leg.low, middle), Leg(middle, leg.high)


def _number(record_id: str) -> int:
    number = 0
    for character in record_id[:_LENGTH]:
        number = number * len(_DIGITS) + _DIGITS.index(character)
    return number


def _id(number: int) -> str:
    characters = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        characters.append(_DIGITS[digit])
    text = "".join(reversed(characters))
    groups = [text[start : start + 5] for start in range(0, _LENGTH, 5)]
    return text + "".join(_CASES[sum(1 << n for n, char in enumerate(group) if char.isupper())] for group in groups)
