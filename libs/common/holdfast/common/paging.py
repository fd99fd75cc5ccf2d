"""Lists in pages: how many entries, and opaque positions that only the list that gave them out takes back."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

from holdfast.common.errors import HoldfastError, Kind


def page_size(asked: int, *, default: int, most: int) -> int:
    """How many entries a page gets; 0 asks for the default.

    Raises:
        HoldfastError: INVALID `bad-page-size`, field `page_size`.
    """
    if asked < 0 or asked > most:
        raise HoldfastError(Kind.INVALID, f"A page has 1 to {most} entries.", code="bad-page-size", field="page_size")
    return asked or default


def encode_cursor(kind: str, parts: Sequence[str]) -> str:
    """A position in the list `kind`, as text that is safe in a URL."""
    return base64.urlsafe_b64encode(json.dumps([kind, *parts]).encode()).decode().rstrip("=")


def decode_cursor(kind: str, token: str, parts: int) -> list[str]:
    """The parts that `encode_cursor` was given.

    Raises:
        HoldfastError: INVALID `bad-cursor`, field `page_token`: not a cursor, or one of another list.
    """
    try:
        decoded = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:  # the last: JSON nested too deep
        raise bad_cursor() from error
    if not isinstance(decoded, list) or len(decoded) != parts + 1 or decoded[0] != kind:
        raise bad_cursor()
    if not all(isinstance(part, str) and part.isprintable() for part in decoded):
        raise bad_cursor()
    return [str(part) for part in decoded[1:]]


def bad_cursor() -> HoldfastError:
    """The error for a position that was not given out for this list."""
    return HoldfastError(
        Kind.INVALID,
        "The cursor is not one that this list gave out. Start again without a cursor.",
        code="bad-cursor",
        field="page_token",
    )
