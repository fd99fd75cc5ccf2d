"""What the embedded stack raises."""

from __future__ import annotations

from holdfast.common.errors import HoldfastError, Kind


class StackError(HoldfastError):
    """The embedded stack cannot do what was asked.

    Args:
        message: One or two plain sentences for the person at the terminal: what is wrong and
            what to do about it.
        detail: For logs, such as the end of a server's own log.
    """

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(Kind.UNAVAILABLE, message, code="stack", detail=detail)
