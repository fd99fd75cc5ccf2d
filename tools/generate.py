"""Regenerates every committed generated file, or checks that none is stale.

``python tools/generate.py`` writes into the tree; ``--check`` writes into a temporary folder,
compares, and fails with the names of the files that differ. Adding a generator is one line in
:data:`GENERATORS`: a command, with ``{out}`` where it wants the folder to write below, and the
files or folders it owns there.
"""

from __future__ import annotations

import filecmp
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Generator:
    """A command that writes ``owns`` below the folder that stands for ``{out}``."""

    command: tuple[str, ...]
    owns: tuple[str, ...]

    def run(self, out: Path) -> None:
        """Write below ``out``; its failure ends the program."""
        for owned in self.owns:
            (out / owned).parent.mkdir(parents=True, exist_ok=True)
        command = [argument.format(out=out) for argument in self.command]
        if subprocess.run([sys.executable, *command], check=False, cwd=ROOT).returncode != 0:
            sys.exit(f"generator failed: {' '.join(command)}")


OPENAPI = "docs/reference/openapi.json"

GENERATORS = (
    Generator(("tools/protos.py", "{out}"), owns=("libs/common/holdfast/common/rpc",)),
    Generator(("-m", "holdfast.gateway.openapi", "--out", f"{{out}}/{OPENAPI}"), owns=(OPENAPI,)),
)


def stale_files(generator: Generator, fresh: Path) -> list[str]:
    """Names of owned files that differ between the tree and ``fresh``, or exist in one only."""
    names: set[Path] = set()
    for base in (ROOT, fresh):
        for owned in generator.owns:
            names |= {path.relative_to(base) for path in _files(base / owned)}
    return sorted(str(name) for name in names if not _same(ROOT / name, fresh / name))


def _files(owned: Path) -> list[Path]:
    if owned.is_file():
        return [owned]
    return [path for path in owned.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def check() -> int:
    """Report stale files; returns the exit code."""
    stale: list[str] = []
    for generator in GENERATORS:
        with tempfile.TemporaryDirectory() as fresh:
            generator.run(Path(fresh))
            stale += stale_files(generator, Path(fresh))
    for name in stale:
        sys.stderr.write(f"stale: {name}\n")
    if stale:
        sys.stderr.write("Generated files are stale: run `make gen` and commit the result.\n")
    return 1 if stale else 0


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(check())
    for each in GENERATORS:
        each.run(ROOT)
