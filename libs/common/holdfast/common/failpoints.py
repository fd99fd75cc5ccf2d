"""Named places at which a test can kill the process.

Every durable effect (a commit, a PUT, an fsync, a send) takes a `DurableStep`, made once at import by
`durable_step`. The registry therefore knows all of them, and the sweep test that kills the process before
and after each step covers a new one on the day it is added: the types leave no way to commit without one.

`HOLDFAST_FAILPOINT=<step>:before|after[@n]` kills this process with SIGKILL at the n-th passage (default 1).
`HOLDFAST_FAILPOINT_LOG=<file>` gets a line before the kill, so that a test can see that it fired.
`HOLDFAST_FAILPOINT_SIGNAL=SIGSTOP` pauses the process there instead, as a long garbage collection or a moved
machine would.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Side = Literal["before", "after"]


@dataclass(frozen=True)
class DurableStep:
    """A durable effect with a name, such as `extractor.page_recorded`."""

    name: str

    def before(self) -> None:
        """Call right before the effect becomes durable."""
        _pass(self.name, "before")

    def after(self) -> None:
        """Call right after the effect is durable, before anything else happens."""
        _pass(self.name, "after")


_REGISTRY: dict[str, DurableStep] = {}
_passages: dict[str, int] = {}


def durable_step(name: str) -> DurableStep:
    """Register a durable step. Call at module level, once per name.

    Raises:
        ValueError: The name is taken; two steps must be told apart by the sweep.
    """
    if name in _REGISTRY:
        raise ValueError(f"durable step {name!r} is registered twice")
    step = DurableStep(name)
    _REGISTRY[name] = step
    return step


def registered_steps() -> list[str]:
    """Names of all durable steps of the modules imported so far, sorted."""
    return sorted(_REGISTRY)


def _pass(name: str, side: Side) -> None:
    target = os.environ.get("HOLDFAST_FAILPOINT")
    if not target:
        return
    place, _, nth = target.partition("@")
    if place != f"{name}:{side}":
        return
    _passages[place] = _passages.get(place, 0) + 1
    if _passages[place] == int(nth or 1):
        _fire(place)


def _fire(place: str) -> None:
    log = os.environ.get("HOLDFAST_FAILPOINT_LOG")
    if log:
        with Path(log).open("a") as out:
            out.write(place + "\n")
    os.kill(os.getpid(), signal.Signals[os.environ.get("HOLDFAST_FAILPOINT_SIGNAL", "SIGKILL")])
