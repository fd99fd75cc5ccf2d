"""What an answer says about the org's daily API calls."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import NamedTuple, Protocol

LIMIT_HEADER = "Sforce-Limit-Info"

# Unanchored, because newer releases add parts ("; api-bursts=1/750"); not inside "per-app-api-usage=".
_USAGE = re.compile(r"(?<![\w-])api-usage=(\d{1,18})/(\d{1,18})")


class Usage(NamedTuple):
    """Calls of the last 24 hours by everything that calls this org, and how many it allows."""

    used_calls: int
    limit_calls: int


class CallObserver(Protocol):
    """The hook of the API budget."""

    def called(self, method: str, route: str, usage: Usage | None) -> None:
        """One request was sent; a retry is another one.

        Args:
            method: HTTP method.
            route: Path with ids replaced, such as `jobs/query/{id}/results`.
            usage: What the answer said, None if there was no answer or it said nothing.
        """


class CallGate(Protocol):
    """Decides when a call may be made."""

    def admission(self, method: str, route: str) -> AbstractAsyncContextManager[None]:
        """Surrounds one request, a retry being another one: it is sent when the context has been entered.

        Entering may wait, or raise HoldfastError (LIMIT) instead of letting the request through; leaving hears of
        what the request raised.
        """


class OpenGate:
    """Lets every call through."""

    def admission(self, method: str, route: str) -> AbstractAsyncContextManager[None]:
        """At once."""
        return nullcontext()


def parse_usage(header: str | None) -> Usage | None:
    """The usage named by a `Sforce-Limit-Info` header, None where it names none."""
    match = _USAGE.search(header or "")
    return Usage(int(match[1]), int(match[2])) if match else None
