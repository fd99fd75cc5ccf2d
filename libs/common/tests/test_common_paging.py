"""A position in a list comes back as it was given out, and only to its own list."""

from __future__ import annotations

import base64

import pytest

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.paging import decode_cursor, encode_cursor, page_size


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


def test_a_page_has_the_size_that_was_asked_for() -> None:
    assert [page_size(asked, default=50, most=100) for asked in (0, 1, 100)] == [50, 1, 100]


@pytest.mark.parametrize("asked", [-1, 101])
def test_a_page_of_another_size_is_refused(asked: int) -> None:
    with pytest.raises(HoldfastError, match="1 to 100") as caught:
        page_size(asked, default=50, most=100)
    assert (caught.value.kind, caught.value.code, caught.value.field) == (Kind.INVALID, "bad-page-size", "page_size")
