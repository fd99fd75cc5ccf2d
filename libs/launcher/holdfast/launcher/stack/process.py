"""Child processes that cannot outlive the launcher."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import psutil

from holdfast.launcher.stack.errors import StackError

TRAMPOLINE = Path(__file__).with_name("trampoline.py")
UNPRIVILEGED_UID = 65534
"""``nobody`` on every Linux distribution; Postgres refuses to run as root."""

POLL = timedelta(milliseconds=20)
LOG_TAIL_LINES = 12
OFFSPRING_TIMEOUT = timedelta(seconds=5)
# Below the range from which Linux picks ports for outgoing connections (32768 and up), so
# that no connection takes a server's port while the server restarts.
PORT_RANGE = (20_000, 32_000)
PORT_RANGE_SETTING = "HOLDFAST_PORT_RANGE"


class Part(Protocol):
    """One server of the stack; :class:`EmbeddedStack` drives all of them alike."""

    name: str

    def prepare(self) -> None:
        """Make what is needed once: downloads, archives, an initialised data folder."""

    def launch(self, spawner: Spawner) -> Child:
        """Start the server and return at once."""

    def wait_ready(self, child: Child) -> None:
        """Return when the server answers; raise :class:`StackError` when it will not."""


@dataclass(frozen=True, slots=True)
class DeadChild:
    """A child that ended without being asked to."""

    name: str
    pid: int
    exit_code: int
    log_tail: str


@dataclass(frozen=True, slots=True)
class Command:
    """How to start one child.

    Attributes:
        arguments: Program (absolute path) and its arguments.
        log: File that receives what the child prints; appended to.
        folder: Working directory.
        stop_signal: Asks the child for a clean stop.
        death_signal: Sent by the kernel when the launcher dies.
        uid: Run as this user, or as the launcher's.
        pass_closed_folders: Keep the right to walk through folders closed to ``uid``.
        environment: Variables added to the launcher's.
    """

    arguments: Sequence[str]
    log: Path
    folder: Path
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    uid: int | None = None
    pass_closed_folders: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """A running child process, with the command that started it."""

    def __init__(self, name: str, command: Command, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.command = command
        self.process = process
        self.pid = process.pid
        self.started_at = psutil.Process(process.pid).create_time()

    def dead(self) -> DeadChild | None:
        """Say how the child ended, or ``None`` while it runs."""
        code = self.process.poll()
        return None if code is None else DeadChild(self.name, self.pid, code, log_tail(self.command.log))

    def kill(self) -> None:
        """End the child at once, as a crash would, and reap it.

        Returns when its own children are gone too: Postgres refuses to start while a backend of
        the killed server still holds its shared memory.
        """
        offspring = _offspring(self.pid)
        self.process.kill()
        self.process.wait()
        wait_ended(offspring, OFFSPRING_TIMEOUT)

    def stop(self, patience: timedelta) -> None:
        """Ask for a clean stop; kill after ``patience``."""
        if self.process.poll() is None:
            self.process.send_signal(self.command.stop_signal)
        try:
            self.process.wait(patience.total_seconds())
        except subprocess.TimeoutExpired:
            self.kill()


class Spawner:
    """Starts children from one thread that lives as long as they may.

    The kernel sends the parent-death signal when the *thread* that forked ends, so a child
    started from a short-lived worker thread would be killed with that thread.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stack-spawner")

    def spawn(self, name: str, command: Command) -> Child:
        """Start a child. Raises :class:`StackError` if the program cannot be started."""
        return self._thread.submit(self._spawn, name, command).result()

    def run(self, command: Command, timeout: timedelta = timedelta(seconds=60)) -> None:
        """Run a one-off program to its end; its failure is a :class:`StackError`."""
        child = self.spawn(Path(command.arguments[0]).name, command)
        try:
            code = child.process.wait(timeout.total_seconds())
        except subprocess.TimeoutExpired:
            child.kill()
            code = -signal.SIGKILL
        if code != 0:
            raise _failure(child, f"failed with exit code {code}")

    def close(self) -> None:
        """End the thread; on Linux any child still running is killed with it."""
        self._thread.shutdown()

    @staticmethod
    def _spawn(name: str, command: Command) -> Child:
        plan = {
            "parent": os.getpid(),
            "uid": command.uid,
            "pass_closed_folders": command.pass_closed_folders,
            "death_signal": int(command.death_signal),
        }
        arguments = [sys.executable, "-I", "-S", str(TRAMPOLINE), json.dumps(plan), *command.arguments]
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("ab") as log:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=command.folder,
                env={**os.environ, **command.environment},
                start_new_session=True,  # Ctrl-C reaches the launcher only; it stops children in order
            )
        return Child(name, command, process)


def wait_until(child: Child, ready: ReadyProbe, timeout: timedelta) -> None:
    """Poll ``ready`` until it holds.

    Raises:
        StackError: The child ended, or did not get ready in time; with the end of its log.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    while not ready():
        dead = child.dead()
        if dead is not None:
            raise _failure(child, f"ended while starting, with exit code {dead.exit_code}")
        if time.monotonic() > deadline:
            raise _failure(child, f"did not get ready within {timeout.total_seconds():.0f} s")
        time.sleep(POLL.total_seconds())


def _failure(child: Child, what: str) -> StackError:
    tail = log_tail(child.command.log)
    last = tail.splitlines()[-1] if tail else "it printed nothing"
    return StackError(f"{child.name} {what} ({last}). Its log is {child.command.log}.", detail=tail)


def wait_ended(processes: list[psutil.Process], timeout: timedelta) -> list[psutil.Process]:
    """Wait for processes that are not our children; returns those that still run after ``timeout``.

    One that ended but was not collected yet counts as ended: in a container whose first process
    collects nothing it stays listed for ever.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    while running := [process for process in processes if _runs(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(POLL.total_seconds())
    return running


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _offspring(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


class ReadyProbe(Protocol):
    """Answers whether a server is ready, without raising."""

    def __call__(self) -> bool: ...


def log_tail(log: Path) -> str:
    """The last lines a child printed."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    except OSError:
        return ""


def free_ports(preferred: Sequence[int], count: int) -> list[int]:
    """Choose ``count`` free loopback ports, the ``preferred`` ones (of the last start) first.

    A port that was chosen is not held: another program may take it before its server starts. Programs that start
    servers at the same time are kept apart by ``HOLDFAST_PORT_RANGE``, e.g. ``20000-23999``.

    Raises:
        StackError: Too few ports are free, or the setting is no range.
    """
    ports = _port_range()
    candidates = [*preferred, *random.SystemRandom().sample(ports, min(200, len(ports)))]
    chosen: list[int] = []
    for port in candidates:
        if len(chosen) == count:
            break
        if port not in chosen and _is_free(port):
            chosen.append(port)
    if len(chosen) < count:
        raise StackError("No free port could be found on 127.0.0.1; close some servers and try again.")
    return chosen


def _port_range() -> range:
    setting = os.environ.get(PORT_RANGE_SETTING)
    if setting is None:
        return range(*PORT_RANGE)
    first, _, last = setting.partition("-")
    if first.isdecimal() and last.isdecimal() and 1024 <= int(first) <= int(last) <= 65_535:
        return range(int(first), int(last) + 1)
    raise StackError(
        f"{PORT_RANGE_SETTING} is '{setting}'. Give the first and the last port, of 1024 to 65535, e.g. 20000-23999."
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore closed connections that linger
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
