"""A single Kafka broker in KRaft mode."""

from __future__ import annotations

import shutil
import uuid
from base64 import urlsafe_b64encode
from datetime import timedelta
from pathlib import Path

from holdfast.launcher.stack.java import Java, find_java
from holdfast.launcher.stack.kafka_archive import archive_flags, ensure_archive
from holdfast.launcher.stack.kafka_broker import broker_answers, java_arguments, write_settings
from holdfast.launcher.stack.kafka_jars import ensure_jars
from holdfast.launcher.stack.process import Child, Command, Spawner, wait_until
from holdfast.launcher.stack.progress import Progress, silent

START_TIMEOUT = timedelta(seconds=60)


class Kafka:
    """One broker that is its own controller.

    Args:
        folder: Holds the log segments, the settings and the printed log.
        port: Loopback port for clients.
        controller_port: Loopback port of the controller, for the broker itself.
        progress: Told about the one-time download and archive.
    """

    name = "kafka"

    def __init__(self, folder: Path, port: int, controller_port: int, *, progress: Progress = silent) -> None:
        self.folder = folder
        self.servers = f"127.0.0.1:{port}"
        self._port = port
        self._controller_port = controller_port
        self._progress = progress
        self._log = folder / "kafka.log"
        self._data = folder / "data"
        self._java: Java | None = None
        self._jars: list[Path] = []

    def prepare(self) -> None:
        """Get Java, the jars and their archive; format the data folder on its first use."""
        self._java = find_java(self._progress)
        self._jars = ensure_jars(self._progress)
        ensure_archive(self._java, self._jars, self._progress)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_settings(self.folder, self._data, self._port, self._controller_port)
        if not (self._data / "meta.properties").exists():
            self._format()

    def launch(self, spawner: Spawner) -> Child:
        """Start the broker."""
        return spawner.spawn(self.name, self._command("kafka.Kafka", "server.properties"))

    def wait_ready(self, child: Child) -> None:
        """Wait until the broker lists itself as alive, so that a produce will be accepted."""
        wait_until(child, lambda: broker_answers(self._port), START_TIMEOUT)

    def _format(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)  # half made by an interrupted start
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        arguments = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", "server.properties"]
        spawner = Spawner()
        try:
            spawner.run(self._command(*arguments))
        finally:
            spawner.close()

    def _command(self, *main: str) -> Command:
        if self._java is None:
            raise RuntimeError("prepare() comes before launch()")
        arguments = java_arguments(self._java, self._jars, archive_flags(self._java, self._jars), *main)
        return Command(arguments=arguments, log=self._log, folder=self.folder)
