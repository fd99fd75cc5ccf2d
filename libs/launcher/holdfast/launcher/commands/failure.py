"""How a command ends when it does not succeed: a sentence on standard error and an exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What `$?` says after `holdfast`. Part of the interface; see docs/reference/cli.md."""

    OK = 0
    NOT_WHOLE = 1  # the run ended partial or failed, damage was found, or something failed unexpectedly
    USAGE = 2
    NO_ACCESS = 3
    REFUSED = 4
    INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot go on.

    Attributes:
        sentence: What is wrong and what to do, for people.
        code: The exit code.
    """

    def __init__(self, sentence: str, code: ExitCode) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


class UnreachableError(CommandError):
    """No answer; the same request may succeed later."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, ExitCode.NO_ACCESS)
