"""A position in a list comes back as it was given out, and only to its own list."""

from __future__ import annotations

import base64

import pytest

from holdfast.common.cursor import decode_cursor, encode_cursor
from holdfast.common.errors import HoldfastError, Kind


@pytest.mark.parametrize(
    "parts", [["Production"], ["Produktion · 🎉"], ["x" * 120], ["2026-01-01T00:00:00+00:00", "5"]]
)
def test_a_position_comes_back(parts: list[str]) -> None:
    token = encode_cursor("jobs", parts)
    assert token.isascii() and "=" not in token
    assert decode_cursor("jobs", token, len(parts)) == parts


@pytest.mark.parametrize(
    "token",
    [
        "%%%",
        "abc",
        "💥",
        base64.urlsafe_b64encode(b"null").decode(),
        base64.urlsafe_b64encode(b'["jobs", 1]').decode(),
        base64.urlsafe_b64encode(b"[" * 200_000).decode(),
        encode_cursor("runs", ["a"]),
        encode_cursor("jobs", ["a", "b"]),
        encode_cursor("jobs", ["a\nb"]),
        encode_cursor("jobs", ["a"])[:-2],
    ],
    ids=lambda token: token[:12],
)
def test_a_stranger_is_refused(token: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        decode_cursor("jobs", token, 1)
    assert (caught.value.kind, caught.value.code, caught.value.field) == (Kind.INVALID, "bad-cursor", "page_token")
