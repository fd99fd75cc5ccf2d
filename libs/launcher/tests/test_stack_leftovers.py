"""Only processes that are provably an earlier launcher's children are ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from holdfast.launcher.stack.state import StackFolder, State, end_leftovers

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def stray() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def record(process: subprocess.Popen[bytes], **changed: object) -> dict[str, object]:
    started_at = psutil.Process(process.pid).create_time()
    return {"name": "kafka", "pid": process.pid, "started_at": started_at, "arguments": SLEEP, **changed}


def test_a_recorded_child_that_still_runs_is_ended(stray: subprocess.Popen[bytes]) -> None:
    assert end_leftovers(State(children=[record(stray)])) == ["kafka"]
    assert stray.wait(5) == -9


def test_the_same_number_started_at_another_time_is_left_alone(stray: subprocess.Popen[bytes]) -> None:
    reused = record(stray, started_at=psutil.Process(stray.pid).create_time() - 10)
    assert end_leftovers(State(children=[reused])) == []
    assert stray.poll() is None


def test_another_command_line_is_left_alone(stray: subprocess.Popen[bytes]) -> None:
    assert end_leftovers(State(children=[record(stray, arguments=["postgres", "-D", "/x"])])) == []
    assert stray.poll() is None


def test_a_number_nobody_has_is_no_leftover(stray: subprocess.Popen[bytes]) -> None:
    gone = record(stray)
    stray.kill()
    stray.wait()
    assert end_leftovers(State(children=[gone])) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ports": {}}'])
def test_a_damaged_state_file_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    assert StackFolder(tmp_path).load() == State()
