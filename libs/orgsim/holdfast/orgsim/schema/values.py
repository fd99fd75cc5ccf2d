"""Field values: one canonical text per value (the Bulk CSV form), read from CSV or JSON.

A stored value is text or None; None and the empty string are the same. Numbers keep every digit: they never
pass through a float. Text is kept byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from holdfast.orgsim import ids
from holdfast.orgsim.errors import ApiError

_NUMBER_KINDS = frozenset({"double", "currency", "percent"})
_WHOLE_KINDS = frozenset({"int", "long"})
_CANONICAL_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DIGITS = re.compile(r"[-+0-9.eE]+")  # Decimal would take underscores and the digits of any script
_LARGEST_EXPONENT = 400  # beyond every number of a field; its digits written out would fill the memory
_OFFSET = re.compile(r"([+-]\d\d):?(\d\d)$")


def canonical(field: Mapping[str, Any], value: object) -> str | None:
    """The stored text of a value given as JSON value or CSV text.

    Raises:
        ApiError: the value is not one of the field's type (400, the code a row failure carries).
    """
    if value is None or value == "":
        return None
    kind = field["type"]
    try:
        return _BY_KIND.get(kind, _text)(value)
    except (ValueError, InvalidOperation, TypeError, OverflowError) as error:
        code = "INVALID_TYPE_ON_FIELD_IN_RECORD" if kind not in ("id", "reference") else "MALFORMED_ID"
        what = (
            f"{field['label']}: value not of required type: {value}"
            if code[0] == "I"
            else f"id value of incorrect type: {value}"
        )
        raise ApiError(400, code, what, [field["name"]]) from error


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _decimal(value: object) -> Decimal:
    text = str(value).strip()
    if _DIGITS.fullmatch(text) is None:
        raise ValueError(value)
    number = Decimal(text)
    if abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError(value)
    return number


def _number(value: object) -> str:
    number = _decimal(value)
    if not number.is_finite():
        raise ValueError(value)
    text = format(number.normalize(), "f") if number else "0"
    return text if "." in text else text + ".0"


def _whole(value: object) -> str:
    number = _decimal(value)
    if number != number.to_integral_value():
        raise ValueError(value)
    return str(int(number))


def _boolean(value: object) -> str:
    text = str(value).strip().lower()
    if text in ("true", "1", "yes"):
        return "true"
    if text in ("false", "0", "no"):
        return "false"
    raise ValueError(value)


def _date(value: object) -> str:
    text = str(value).strip()[:10]
    if _DAY.fullmatch(text) is None:
        raise ValueError(value)
    return date.fromisoformat(text).isoformat()


def datetime_text(value: object) -> str:
    """A datetime in any form the APIs take, as canonical text in UTC with milliseconds."""
    text = str(value).strip()
    if _CANONICAL_STAMP.fullmatch(text):
        datetime.fromisoformat(text)  # there is no 30 February
        return text
    at = datetime.fromisoformat(_OFFSET.sub(r"\1:\2", text))
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return f"{at.year:04d}-{at:%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def time_text(value: object) -> str:
    """A time of day in any form the APIs take, as canonical text with milliseconds."""
    text = str(value).strip().removesuffix("Z")
    at = datetime.fromisoformat("2000-01-01T" + text)
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _reference(value: object) -> str:
    found = ids.normalise(str(value).strip())
    if found is None:
        raise ValueError(value)
    return found


_BY_KIND = {
    "boolean": _boolean,
    "int": _whole,
    "long": _whole,
    "date": _date,
    "datetime": datetime_text,
    "time": time_text,
    "id": _reference,
    "reference": _reference,
    **dict.fromkeys(_NUMBER_KINDS, _number),
}
