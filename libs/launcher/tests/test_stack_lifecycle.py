"""The stack starts, stops, survives kill -9 of its launcher and keeps its data."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from holdfast.launcher.stack import EmbeddedStack, StackError, postgres_programs
from holdfast.launcher.stack.kafka_jars import kafka_folder

pytestmark = pytest.mark.integration

LAUNCHER = Path(__file__).with_name("stack_launcher.py")
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="holdfast-stack-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Launcher:
    """A launcher in a process of its own, which a test can kill."""

    def __init__(self, folder: Path, command: list[str] | None = None, **options: Any) -> None:
        command = command or [sys.executable]
        self.process = subprocess.Popen(
            [*command, str(LAUNCHER), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.facts = json.loads(line) if line else {"error": "the launcher printed nothing"}

    @property
    def pids(self) -> list[int]:
        return list(self.facts["children"].values())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate("stop\n", timeout=20)
        self.process.wait(20)


@contextlib.contextmanager
def launched(folder: Path, command: list[str] | None = None, **options: Any) -> Iterator[Launcher]:
    launcher = Launcher(folder, command, **options)
    try:
        yield launcher
    finally:
        launcher.close()


def alive(pids: list[int]) -> list[int]:
    """Those that still run; a zombie waits only for init to collect it."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def with_descendants(pids: list[int]) -> list[int]:
    return [p.pid for pid in pids for p in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]]


def eventually(condition: Callable[[], bool], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


async def write_row_and_message(dsn: str, kafka: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("create table kept (n int); insert into kept values (42)")
    await connection.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        await producer.send_and_wait("kept", b"42")


async def read_row_and_message(dsn: str, kafka: str) -> tuple[int, bytes | None]:
    connection = await asyncpg.connect(dsn)
    row = await connection.fetchval("select n from kept")
    await connection.close()
    async with AIOKafkaConsumer("kept", bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        message = await asyncio.wait_for(consumer.getone(), 10)
    return row, message.value


def test_warm_start_and_clean_stop_are_quick(folder: Path) -> None:
    with EmbeddedStack(folder) as first:
        assert set(first.children) == {"kafka", "postgres"}
    fastest_start = fastest_stop = 60.0
    for _ in range(3):  # the best of three: others may be using the machine
        stack = EmbeddedStack(folder)
        began = time.monotonic()
        stack.start()
        ready = time.monotonic()
        pids = with_descendants(list(stack.children.values()))
        stack.stop()
        assert alive(pids) == []
        assert stack.children == {}
        fastest_start = min(fastest_start, ready - began)
        fastest_stop = min(fastest_stop, time.monotonic() - ready)
    assert fastest_start < 6
    assert fastest_stop < 10


def test_kill_of_the_launcher_leaves_no_orphan_and_the_next_start_has_the_data(folder: Path) -> None:
    launcher = Launcher(folder)
    asyncio.run(write_row_and_message(launcher.facts["dsn"], launcher.facts["kafka"]))
    pids = with_descendants(launcher.pids)
    assert len(alive(pids)) > 2
    launcher.kill()
    assert launcher.process.stdin is not None and launcher.process.stdout is not None
    launcher.process.stdin.close()
    launcher.process.stdout.close()
    assert eventually(lambda: not alive(pids)), "children outlived the launcher"
    with launched(folder) as again:
        assert asyncio.run(read_row_and_message(again.facts["dsn"], again.facts["kafka"])) == (42, b"42")


def test_a_second_stack_on_the_same_folder_is_refused(folder: Path) -> None:
    with EmbeddedStack(folder, kafka=False) as first:
        with pytest.raises(StackError, match=f"in use by process {os.getpid()}"):
            EmbeddedStack(folder, kafka=False).start()
        assert first.dead() == []
        assert first.postgres_dsn("still_up")


def test_a_stop_during_the_start_leaves_nothing(folder: Path, kafka_servers: str) -> None:
    stack = EmbeddedStack(folder, durable=False)
    outcome: list[str] = []

    def start() -> None:
        try:
            stack.start()
        except StackError as error:
            outcome.append(str(error))

    starting = threading.Thread(target=start)
    starting.start()
    assert eventually((folder / "stack.lock").exists)
    stack.stop()
    starting.join(20)
    assert outcome == ["The start was given up because a stop was asked for."] or not outcome
    assert stack.children == {}
    with EmbeddedStack(folder, kafka=False, durable=False) as again:
        assert again.dead() == []


@pytest.mark.parametrize("name", ["postgres", "kafka"])
def test_a_child_that_died_is_reported_and_can_be_restarted(folder: Path, name: str) -> None:
    with EmbeddedStack(folder, durable=False) as stack:
        dsn, kafka = stack.postgres_dsn("kept"), stack.kafka_servers
        asyncio.run(write_row_and_message(dsn, kafka))
        killed = stack.children[name]
        stack.kill(name)
        (dead,) = stack.dead()
        assert (dead.name, dead.pid, dead.exit_code) == (name, killed, -9)
        stack.restart(name)
        assert stack.dead() == []
        assert stack.kafka_servers == kafka
        assert asyncio.run(read_row_and_message(dsn, kafka)) == (42, b"42")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must drop its rights for Postgres")
def test_root_may_keep_data_and_programs_where_only_root_can_walk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    wheel = postgres_programs._wheel()
    for name in (wheel.name, postgres_programs.LIBRARIES):
        shutil.copytree(wheel.with_name(name), closed / name, ignore=shutil.ignore_patterns("pginstall"))
    monkeypatch.setattr(postgres_programs, "_wheel", lambda: closed / wheel.name)
    monkeypatch.setattr(postgres_programs, "OPEN_CACHE", folder / "cache")
    monkeypatch.setenv("HOLDFAST_CACHE", str(closed / "cache"))
    folder.chmod(0o755)
    postgres_programs.postgres_programs.cache_clear()
    try:
        with EmbeddedStack(closed / "data", kafka=False, durable=False) as stack:
            server = psutil.Process(stack.children["postgres"])
            assert server.uids().real == NOBODY
            assert server.exe().startswith(str(folder / "cache"))
            assert stack.postgres_dsn("reachable")
    finally:
        postgres_programs.postgres_programs.cache_clear()


def python_for_everyone() -> str | None:
    """A Python of this version that an unprivileged user may run, with our packages."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            version = subprocess.run(
                [candidate, "-c", "import sys; print(sys.version_info[:2])"],
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                capture_output=True,
                text=True,
                check=True,
            )
            if version.stdout.strip() == str(sys.version_info[:2]):
                return candidate
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="the whole suite runs as an ordinary user already")
def test_an_ordinary_user_can_run_it(folder: Path, kafka_servers: str) -> None:
    python = python_for_everyone()
    if python is None:
        pytest.skip("no Python of this version that other users may run")
    folder.chmod(0o755)
    home = folder / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    cache = folder / "cache"  # root's, so this also shows that reading the cache is enough
    shutil.copytree(kafka_folder() / "jars", cache / kafka_folder().name / "jars")
    ours = [path for path in sys.path if path and not path.startswith(sys.base_prefix)]
    environment = {"PYTHONPATH": ":".join(ours), "HOME": str(home), "PATH": os.environ["PATH"]}
    with launched(
        home / "data",
        [python],
        env={**environment, "HOLDFAST_CACHE": str(cache)},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    ) as launcher:
        assert "error" not in launcher.facts, launcher.facts
        assert {psutil.Process(pid).uids().real for pid in launcher.pids} == {NOBODY}
        asyncio.run(write_row_and_message(launcher.facts["dsn"], launcher.facts["kafka"]))
