"""Kafka's jars: downloaded once through jgo, checked against committed hashes at every start."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import warnings
from functools import cache
from pathlib import Path

from holdfast.launcher.stack.cache import cache_folder, only_one
from holdfast.launcher.stack.errors import StackError
from holdfast.launcher.stack.progress import Progress

KAFKA_VERSION = "4.3.1"
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
HASHES = Path(__file__).with_name("kafka_jars.sha256")
PROGRESS_EVERY_S = 2.0


@cache
def pinned_jars() -> dict[str, str]:
    """File name to SHA-256 of every jar of the broker, as committed beside this module."""
    pairs = (line.split() for line in HASHES.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def kafka_folder() -> Path:
    """The cache folder of this Kafka version."""
    return cache_folder() / f"kafka-{KAFKA_VERSION}"


def ensure_jars(progress: Progress) -> list[Path]:
    """Return the checked jars in class path order, downloading them if they are missing.

    Raises:
        StackError: The network refuses, or a jar is not the one that was pinned.
    """
    folder = kafka_folder() / "jars"
    if not _complete(folder):
        with only_one(kafka_folder()):
            if not _complete(folder):
                _download(folder, progress)
    _verify(folder, f"Delete the folder {folder} and start again to download it afresh.")
    return [folder / name for name in sorted(pinned_jars())]


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in pinned_jars())


def _download(folder: Path, progress: Progress) -> None:
    work = kafka_folder() / "download"
    progress(f"Downloading Kafka {KAFKA_VERSION} ({len(pinned_jars())} jars, 44 MB)")
    finished = threading.Event()
    reporter = threading.Thread(target=_report, args=(work, finished, progress), daemon=True)
    reporter.start()
    try:
        _resolve(work)
    except Exception as error:  # jgo lets requests', its own and parser errors through
        raise StackError(
            f"Kafka's jars could not be downloaded from Maven Central ({_short(error)}). Check the "
            f"network or proxy settings, or copy the folder {kafka_folder()} from a machine that has it."
        ) from error
    finally:
        finished.set()
        reporter.join()
    _collect(work, folder)
    shutil.rmtree(work, ignore_errors=True)


def _resolve(work: Path) -> None:
    with warnings.catch_warnings():  # its settings look for desktop folders that a server lacks
        warnings.simplefilter("ignore")
        import jgo  # noqa: PLC0415 - slow, and needed on the first start only

        jgo.build(COORDINATES, cache_dir=work)


def _collect(work: Path, folder: Path) -> None:
    """Move the jars into place in one rename, so that an interrupted download leaves no half."""
    found = {path.name: path for path in work.rglob("*.jar")}
    fresh = folder.with_name(f"jars.new.{os.getpid()}")
    fresh.mkdir()
    for name in pinned_jars():
        if name not in found:
            raise StackError(f"Maven Central answered without {name}, which Kafka {KAFKA_VERSION} needs.")
        shutil.copyfile(found[name], fresh / name)
    try:
        _verify(fresh, "It came from Maven's local repository or the network; remove it there and start again.")
    except StackError:
        shutil.rmtree(fresh)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _verify(folder: Path, remedy: str) -> None:
    for name, expected in pinned_jars().items():
        actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if actual != expected:
            raise StackError(
                f"{folder / name} is not the jar that was pinned (SHA-256 {actual[:16]}…, "
                f"expected {expected[:16]}…); Kafka was not started. {remedy}"
            )


def _report(work: Path, finished: threading.Event, progress: Progress) -> None:
    while not finished.wait(PROGRESS_EVERY_S):
        progress(f"Downloading Kafka: {len(list(work.rglob('*.jar')))} of {len(pinned_jars())} jars")


def _short(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
