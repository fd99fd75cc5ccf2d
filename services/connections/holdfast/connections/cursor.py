"""Opaque positions in the list of connections."""

from __future__ import annotations

import base64
import binascii

from holdfast.common.errors import HoldfastError, Kind

_PREFIX = "connections:"


def encode_cursor(name: str) -> str:
    """The position behind the connection `name`, as text that is safe in a URL."""
    return base64.urlsafe_b64encode((_PREFIX + name).encode()).decode().rstrip("=")


def decode_cursor(token: str) -> str:
    """The name that `encode_cursor` was given; empty for the start.

    Raises:
        HoldfastError: INVALID (`bad-cursor`), field `page_token`.
    """
    if not token:
        return ""
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not text.startswith(_PREFIX) or not text.isprintable():
        raise HoldfastError(
            Kind.INVALID,
            "The cursor is not one that this list gave out. Start again without a cursor.",
            code="bad-cursor",
            field="page_token",
        )
    return text.removeprefix(_PREFIX)
