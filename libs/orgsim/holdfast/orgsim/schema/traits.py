"""What the platform knows of an object and no describe tells: tracked fields, roll-ups, sharing, numbering."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SHARING_MODELS = ("ReadWrite", "Read", "Private", "ControlledByParent")
ROLL_UP_FUNCTIONS = ("COUNT", "SUM", "MIN", "MAX")
_DIGITS = re.compile(r"\{(0+)\}")


@dataclass(frozen=True)
class RollUp:
    """A summary over the living children of a record. `of` is None for COUNT."""

    child: str
    lookup: str
    function: str
    of: str | None = None


@dataclass(frozen=True)
class AutoNumber:
    """How an auto-number is displayed, e.g. `INV-{0000}`, and the first number."""

    format: str
    start: int = 1

    def parts(self) -> tuple[str, int, str]:
        """Text before the digits, their least number, text after them."""
        match = _DIGITS.search(self.format)
        if match is None:
            return self.format, 0, ""
        return self.format[: match.start()], len(match[1]), self.format[match.end() :]

    def text(self, number: int) -> str:
        """The display of one number."""
        before, width, after = self.parts()
        return f"{before}{number:0{width}d}{after}"


@dataclass(frozen=True)
class IndexedField:
    """A field of a big object's index."""

    name: str
    descending: bool = False

    @classmethod
    def of(cls, text: str) -> IndexedField:
        """A field as schema files name it: `At__c` or `At__c DESC`."""
        name, _, direction = text.strip().partition(" ")
        return cls(name, direction.strip().upper() == "DESC")


@dataclass
class Traits:
    """All of it for one object. An object without a schema file has the defaults."""

    sharing: str = "ReadWrite"
    history: bool = False
    feed: bool = False
    shares: bool = False
    tracked: set[str] = field(default_factory=set)
    formulas: dict[str, str] = field(default_factory=dict)
    roll_ups: dict[str, RollUp] = field(default_factory=dict)
    auto_numbers: dict[str, AutoNumber] = field(default_factory=dict)
    shielded: set[str] = field(default_factory=set)
    index: tuple[IndexedField, ...] = ()
