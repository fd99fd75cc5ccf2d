"""Values as SOQL writes them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

_NUMBERS = frozenset({"double", "currency", "percent", "int", "long"})
_BARE = frozenset({"date", "boolean"})


def moment_literal(moment: datetime) -> str:
    """A SOQL datetime literal in UTC with milliseconds."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def text_literal(text: str) -> str:
    """A SOQL text in quotes."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    for character, written in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(character, written)
    return f"'{escaped}'"


def value_literal(value: str, kind: str) -> str:
    """A value of a field as the REST API sends it, by the field's type in the describe."""
    if kind == "datetime":
        return moment_literal(datetime.fromisoformat(value))
    if kind in _NUMBERS:
        return f"{Decimal(value):f}"
    return value if kind in _BARE else text_literal(value)
