"""What one launcher leaves for the next: a lock, the ports, and who its children were."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import psutil

from holdfast.launcher.stack.errors import StackError
from holdfast.launcher.stack.process import Child, wait_ended

CLOCK_SLACK_S = 0.05
END_TIMEOUT = timedelta(seconds=5)


@dataclass(slots=True)
class State:
    """Contents of ``stack.json``: ports to use again, children to look for after a crash."""

    ports: dict[str, list[int]] = field(default_factory=dict)
    children: list[dict[str, Any]] = field(default_factory=list)


class StackFolder:
    """A data folder held by one launcher at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "stack.json"
        self._lock: IO[str] | None = None

    def acquire(self) -> None:
        """Take the folder, or raise :class:`StackError` naming who has it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "stack.lock").open("a+")
        except OSError as error:
            raise StackError(f"The data folder {self.folder} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise StackError(
                f"The data folder {self.folder} is in use by process {owner}. Stop that one first, "
                "or choose another folder with HOLDFAST_DATA."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def load(self) -> State:
        """The state of the last launcher; empty if there is none or it is damaged."""
        try:
            content = json.loads(self._file.read_text())
            return State(content["ports"], content["children"])
        except (OSError, ValueError, KeyError, TypeError):
            return State()

    def save(self, ports: dict[str, list[int]], children: Iterable[Child]) -> None:
        """Record the running children, so that the next launcher can end them after a crash."""
        records = [
            {
                "name": child.name,
                "pid": child.pid,
                "started_at": child.started_at,
                "arguments": list(child.command.arguments),
            }
            for child in children
        ]
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({"ports": ports, "children": records}, indent=1))
        fresh.replace(self._file)


def end_leftovers(state: State) -> list[str]:
    """Kill the children of a launcher that died, and wait for them; returns their names.

    Only a process with the recorded number, start time and command line is ours: the number
    alone may by now belong to anything. Call only while holding the folder's lock.
    """
    ours = [(record["name"], found) for record in state.children if (found := _same_process(record))]
    for _name, process in ours:
        process.kill()
    alive = wait_ended([process for _name, process in ours], END_TIMEOUT)
    if alive:
        numbers = ", ".join(str(process.pid) for process in alive)
        raise StackError(f"Processes of an earlier start do not end: {numbers}. Kill them and start again.")
    return [name for name, _process in ours]


def _same_process(record: dict[str, Any]) -> psutil.Process | None:
    try:
        process = psutil.Process(record["pid"])
        started = abs(process.create_time() - record["started_at"]) < CLOCK_SLACK_S
        same = started and process.cmdline()[-1:] == record["arguments"][-1:]
    except (psutil.Error, KeyError, TypeError):
        return None
    return process if same else None
