"""The one error of the embedded stack."""

from __future__ import annotations


class StackError(Exception):
    """The embedded stack cannot do what was asked.

    The message is one or two plain sentences for the person at the terminal:
    what is wrong and what to do about it.
    """
