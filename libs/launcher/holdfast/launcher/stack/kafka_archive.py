"""The class-data archive that halves Kafka's start-up time."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from holdfast.launcher.stack.cache import only_one
from holdfast.launcher.stack.errors import StackError
from holdfast.launcher.stack.java import AOT_SINCE, Java
from holdfast.launcher.stack.kafka_broker import broker_answers, java_arguments, write_settings
from holdfast.launcher.stack.kafka_jars import kafka_folder, pinned_jars
from holdfast.launcher.stack.process import Command, Spawner, free_ports, wait_until
from holdfast.launcher.stack.progress import Progress

TIMEOUT = timedelta(seconds=120)


def archive_path(java: Java, jars: list[Path]) -> Path:
    """Where the archive of this Java with these jars lies.

    A JVM ignores an archive of another version or class path, hence the key.
    """
    key = hashlib.sha256(f"{java.version}\n{sorted(pinned_jars().items())}\n{jars}".encode()).hexdigest()[:16]
    return kafka_folder() / f"classes-{java.release}-{key}.jsa"


def archive_flags(java: Java, jars: list[Path]) -> list[str]:
    """JVM flags that use the archive; none if it could not be made."""
    path = archive_path(java, jars)
    if not path.exists():
        return []
    if java.release >= AOT_SINCE:
        return [f"-XX:AOTCache={path}", "-Xlog:aot=off", "-Xlog:cds=off"]
    return [f"-XX:SharedArchiveFile={path}", "-Xlog:cds=off"]


def ensure_archive(java: Java, jars: list[Path], progress: Progress) -> None:
    """Make the archive once, by running a throw-away broker. Kafka starts without it, but slower."""
    path = archive_path(java, jars)
    if path.exists() or not os.access(kafka_folder(), os.W_OK):
        return
    with only_one(kafka_folder()):
        if path.exists():
            return
        progress("Preparing Kafka for quick starts (once, about 10 s)")
        try:
            _make(java, jars, path)
        except StackError as error:
            progress(f"Kafka will start slower than it could: {error}")


def _make(java: Java, jars: list[Path], path: Path) -> None:
    work = Path(tempfile.mkdtemp(prefix="archive-", dir=kafka_folder()))
    spawner = Spawner()
    try:
        fresh = work / "classes"
        classes = work / "classes.list"
        if java.release >= AOT_SINCE:
            _run_broker(java, jars, work, spawner, [f"-XX:AOTCacheOutput={fresh}"])
        else:
            _run_broker(java, jars, work, spawner, [f"-XX:DumpLoadedClassList={classes}"])
            dump = ["-Xshare:dump", f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={fresh}"]
            spawner.run(_command(java, jars, work, dump), TIMEOUT)
        if not fresh.exists():
            raise StackError("Java wrote no class-data archive.")
        fresh.rename(path)
    finally:
        spawner.close()
        shutil.rmtree(work, ignore_errors=True)


def _run_broker(java: Java, jars: list[Path], work: Path, spawner: Spawner, flags: list[str]) -> None:
    """Start a broker on an empty folder and stop it, so that the JVM records what it loads."""
    port, controller_port = free_ports([], 2)
    write_settings(work, work / "data", port, controller_port)
    cluster = ["kafka.tools.StorageTool", "format", "-t", "archive-archive-archiv", "-c", "server.properties"]
    spawner.run(_command(java, jars, work, [], *cluster), TIMEOUT)
    broker = spawner.spawn("kafka", _command(java, jars, work, flags, "kafka.Kafka", "server.properties"))
    try:
        wait_until(broker, lambda: broker_answers(port), TIMEOUT)
    finally:
        broker.stop(TIMEOUT)


def _command(java: Java, jars: list[Path], work: Path, flags: list[str], *main: str) -> Command:
    return Command(arguments=java_arguments(java, jars, flags, *main), log=work / "archive.log", folder=work)
