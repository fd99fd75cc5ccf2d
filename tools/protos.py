"""Generates the gRPC code of every service from ``proto/`` into ``holdfast.common.rpc``.

One place for all stubs, so that no service imports another to call it. Usage:
``python tools/protos.py OUT`` writes the contents of that package to ``OUT``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# protoc derives module names from file paths; only module names move, not the names on the wire
# ("/holdfast.scheduler.v1.SchedulerService/GetRun"), hence the look-ahead.
MODULE = re.compile(r"\bholdfast\.(\w+)\.(v\d+)(?=\.\w+_pb2|\s+import)")
ROOT_DOCSTRING = '"""gRPC messages, clients and servicers of all services, generated from proto/: do not edit."""\n'


def generate(out: Path) -> None:
    """Write the code for every proto file below ``out``."""
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as raw:
        _run_protoc(Path(raw), protos)
        for source in sorted((Path(raw) / "holdfast").rglob("*.py*")):
            _write(out / source.relative_to(Path(raw) / "holdfast"), source.read_text())
    packages = {parent for proto in protos for parent in Path(proto).parents if parent != Path()}
    for package in packages:
        folder = out / package.relative_to("holdfast")
        docstring = ROOT_DOCSTRING if package == Path("holdfast") else ""
        (folder / "__init__.py").write_text(docstring)


def _run_protoc(raw: Path, protos: list[str]) -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    plugins = [f"--plugin=protoc-gen-{name}={scripts / f'protoc-gen-{name}'}" for name in ("mypy", "mypy_grpc")]
    outputs = [f"--{kind}_out={raw}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *plugins, *outputs, *protos]
    subprocess.run(command, check=True, cwd=ROOT / "proto", stderr=subprocess.DEVNULL)


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(MODULE.sub(r"holdfast.common.rpc.\1.\2", text))


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
