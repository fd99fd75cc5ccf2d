"""Starts, watches and stops the embedded servers together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast.launcher.stack.buckets import ensure_bucket
from holdfast.launcher.stack.errors import StackError
from holdfast.launcher.stack.kafka import Kafka
from holdfast.launcher.stack.postgres import Postgres
from holdfast.launcher.stack.process import Child, DeadChild, Part, Spawner, free_ports
from holdfast.launcher.stack.progress import Progress, silent
from holdfast.launcher.stack.seaweedfs import PORT_FLAGS, S3Server, SeaweedFS
from holdfast.launcher.stack.state import StackFolder, end_leftovers

# Kafka and SeaweedFS take 1-4 s for a clean stop; all parts stop side by side.
STOP_PATIENCE = timedelta(seconds=8)


class EmbeddedStack:
    """Kafka, Postgres and, if asked for, S3, on loopback, with data kept between starts.

    No child outlives the launcher: on Linux the kernel ends them with it even on kill -9, and
    the next start ends what may be left elsewhere, then lets the servers recover. One stack at
    a time uses a folder. Methods block; call them from a thread in async code.

    Args:
        data_dir: Folder of all data. Made if it is missing.
        durable: ``False`` lets Postgres skip fsync: for tests only.
        progress: Told about steps that take noticeable time.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        postgres: bool = True,
        kafka: bool = True,
        s3: bool = False,
        durable: bool = True,
        progress: Progress = silent,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self._wanted = {"postgres": postgres, "kafka": kafka, "seaweedfs": s3}
        self._durable = durable
        self._progress = progress
        self._home = StackFolder(self.data_dir)
        self._spawner: Spawner | None = None
        self._ports: dict[str, list[int]] = {}
        self._parts: dict[str, Part] = {}
        self._children: dict[str, Child] = {}
        self._saving = threading.Lock()
        self._running = threading.RLock()
        self._giving_up = threading.Event()

    def start(self) -> None:
        """Start all parts side by side; returns when each answers.

        Raises:
            StackError: The folder is in use, a download was refused or altered, or a server
                did not start. Whatever had started is stopped again.
        """
        with self._running:
            self._start()

    def _start(self) -> None:
        self._home.acquire()
        self._spawner = Spawner()
        try:
            state = self._home.load()
            for name in end_leftovers(state):
                self._progress(f"Ended {name}, left over from a launcher that was killed")
            self._ports = self._choose_ports(state.ports)
            self._parts = self._make_parts()
            self._each(self._parts, self._start_part)
            if "seaweedfs" in self._parts:
                ensure_bucket(self.s3, self.s3.bucket)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every child cleanly (killing what takes over 8 s) and release the folder.

        May be called twice, after a failed start, and from another thread while ``start`` works:
        that then gives up before its next step.
        """
        self._giving_up.set()
        with self._running:
            self._stop()
            self._giving_up.clear()

    def _stop(self) -> None:
        self._each(list(self._children), lambda name: self._children[name].stop(STOP_PATIENCE))
        for part in self._parts.values():
            if isinstance(part, SeaweedFS):
                part.remove_sockets()
        self._children.clear()
        if self._spawner is not None:
            self._home.save(self._ports, [])
            self._spawner.close()
            self._spawner = None
        self._home.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def postgres(self) -> Postgres:
        """The Postgres server, for making and dropping databases."""
        part = self._parts.get("postgres")
        if not isinstance(part, Postgres):
            raise StackError("This stack runs no Postgres.")
        return part

    def postgres_dsn(self, database: str = "holdfast") -> str:
        """The connection string of a database, which is created if it is missing."""
        return self.postgres.ensure_database(database)

    @property
    def kafka_servers(self) -> str:
        """Bootstrap servers of the broker."""
        part = self._parts.get("kafka")
        if not isinstance(part, Kafka):
            raise StackError("This stack runs no Kafka.")
        return part.servers

    @property
    def s3(self) -> S3Server:
        """The S3 server with its credentials and the bucket ``holdfast``."""
        part = self._parts.get("seaweedfs")
        if not isinstance(part, SeaweedFS):
            raise StackError("This stack runs no S3 server.")
        return part.server

    @property
    def children(self) -> dict[str, int]:
        """Process numbers by name: ``postgres``, ``kafka``, ``seaweedfs``."""
        return {name: child.pid for name, child in self._children.items()}

    def dead(self) -> list[DeadChild]:
        """The children that ended unasked, with exit code and the end of what they printed."""
        return [dead for child in self._children.values() if (dead := child.dead()) is not None]

    def restart(self, name: str) -> None:
        """Start a dead (or running) child again on its own ports and data."""
        self._child(name).kill()
        self._start_part(name)

    def kill(self, name: str) -> None:
        """End a child as a crash would (SIGKILL), leaving its data as they are."""
        self._child(name).kill()

    def _child(self, name: str) -> Child:
        if name not in self._children:
            raise StackError(f"This stack runs no {name}; it has {', '.join(self._children) or 'nothing'}.")
        return self._children[name]

    def _choose_ports(self, last: dict[str, list[int]]) -> dict[str, list[int]]:
        counts = {"postgres": 1, "kafka": 2, "seaweedfs": len(PORT_FLAGS)}
        wanted = {name: count for name, count in counts.items() if self._wanted[name]}
        preferred = [port for name in wanted for port in last.get(name, [])]
        ports = iter(free_ports(preferred, sum(wanted.values())))
        return {**last, **{name: [next(ports) for _ in range(count)] for name, count in wanted.items()}}

    def _make_parts(self) -> dict[str, Part]:
        makers: dict[str, Callable[[list[int]], Part]] = {
            "postgres": lambda ports: Postgres(self.data_dir / "postgres", ports[0], durable=self._durable),
            "kafka": lambda ports: Kafka(self.data_dir / "kafka", *ports, progress=self._progress),
            "seaweedfs": lambda ports: SeaweedFS(self.data_dir / "seaweedfs", ports),
        }
        return {name: make(self._ports[name]) for name, make in makers.items() if self._wanted[name]}

    def _start_part(self, name: str) -> None:
        if self._spawner is None:
            raise StackError("The stack is not running.")
        part = self._parts[name]
        part.prepare()
        if self._giving_up.is_set():
            raise StackError("The start was given up because a stop was asked for.")
        child = part.launch(self._spawner)
        self._children[name] = child
        with self._saving:
            self._home.save(self._ports, list(self._children.values()))
        part.wait_ready(child)

    @staticmethod
    def _each(names: Iterable[str], act: Callable[[str], None]) -> None:
        """Do one thing to several parts side by side; all finish before the first error is raised."""
        with ThreadPoolExecutor(4) as pool:
            results = [pool.submit(act, name) for name in names]
        for result in results:
            result.result()
