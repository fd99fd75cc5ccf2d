"""Which version of Salesforce's API is spoken."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.common.errors import HoldfastError, Kind

# The newest whose answers were checked against the client: Spring '26.
NEWEST_API_VERSION = 66


def choose_api_version(offered: Sequence[str], newest_known: int = NEWEST_API_VERSION) -> str:
    """The newest offered version that Holdfast knows.

    Raises:
        HoldfastError: INVALID (`api-version`) if there is none.
    """
    releases = [int(version.partition(".")[0]) for version in offered if version.endswith(".0")]
    usable = [release for release in releases if release <= newest_known]
    if not usable:
        raise HoldfastError(Kind.INVALID, "The org offers no API version that Holdfast speaks.", code="api-version")
    return f"{max(usable)}.0"
