"""Starts services in milliseconds: a process that has imported everything and forks for each start.

A sweep over every durable step needs hundreds of starts; importing anew each time would be most of its time.
What runs after the fork is what `holdfast run` runs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvloop

from holdfast.launcher.compose import load, run_services
from holdfast.launcher.main import app


class Child:
    """A forked process, with the parts of `subprocess.Popen` that the harness needs."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self._zygote, self.pid = zygote, pid
        self._code: int | None = None

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        if self._code is None:
            answer = self._zygote.ask({"poll": self.pid})
            self._code = answer["code"]
        return self._code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float = 30) -> int:
        """Wait for the end.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        if self._code is None:
            answer = self._zygote.ask({"wait": self.pid, "timeout": timeout})
            if answer["code"] is None:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            self._code = answer["code"]
        return int(self._code)


class Zygote:
    """The forking process and the pipe to it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        self.ask({"hello": True})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def spawn(self, names: list[str], env: Mapping[str, str], log: Path) -> Child:
        """Run services in a fork, with this environment and nothing else."""
        answer = self.ask({"spawn": names, "env": dict(env), "log": str(log)})
        return Child(self, int(answer["pid"]))

    def command(self, words: Sequence[str], env: Mapping[str, str], log: Path) -> Child:
        """Run a command of the command line in a fork, e.g. `["parked", "list"]`."""
        answer = self.ask({"spawn": [], "words": list(words), "env": dict(env), "log": str(log)})
        return Child(self, int(answer["pid"] or 0))

    def ask(self, question: Mapping[str, object]) -> dict[str, int | None]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, int | None] = json.loads(self._process.stdout.readline())
        return answer


def _serve() -> None:
    load(["all"])
    codes: dict[int, int] = {}
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line), codes)), flush=True)
    for pid in _running(codes):
        os.kill(pid, signal.SIGKILL)


def _answer(question: dict[str, object], codes: dict[int, int]) -> dict[str, int | None]:
    if "spawn" in question:
        pid = os.fork()
        if pid == 0:
            _become(question)
        _started.add(pid)
        return {"pid": pid}
    if "poll" in question:
        _reap(codes)
        return {"code": codes.get(int(str(question["poll"])))}
    if "wait" in question:
        return {"code": _wait(int(str(question["wait"])), float(str(question["timeout"])), codes)}
    return {}


_started: set[int] = set()


def _running(codes: dict[int, int]) -> set[int]:
    _reap(codes)
    return _started - codes.keys()


def _reap(codes: dict[int, int]) -> None:
    while _started - codes.keys():
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        codes[pid] = os.waitstatus_to_exitcode(status)


def _wait(pid: int, timeout: float, codes: dict[int, int]) -> int | None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        _reap(codes)
        if pid in codes:
            return codes[pid]
        time.sleep(0.01)
    return None


def _become(question: dict[str, object]) -> None:
    """Turn the fork into the services; never returns."""
    code = 1
    try:
        log = os.open(str(question["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update(question["env"])  # type: ignore[call-overload]
        code = _run(question)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(question: dict[str, Any]) -> int:
    """What the fork is for; its exit code."""
    if "words" not in question:
        uvloop.run(run_services(list(question["spawn"])))
        return 0
    try:
        app(question["words"])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    _serve()
