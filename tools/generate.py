"""Regenerates every committed generated file, or checks that none is stale.

``python tools/generate.py`` brings the tree up to date; ``--check`` changes nothing and fails
with the names of the files that differ. Adding a generator is one entry in :data:`GENERATORS`.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = "libs/common/holdfast/common/contracts/golden"


@dataclass(frozen=True, slots=True)
class Generator:
    """A command that writes files or folders into an empty folder.

    Attributes:
        command: Arguments for Python; ``{out}`` stands for the empty folder.
        owns: Where in the tree each thing it writes belongs (name in the tree: name in ``{out}``).
            Nothing else may lie in a folder of the tree that it owns.
        keeps: Names in the tree, below ``owns``, whose present files it is shown first, because it
            writes only what is missing there.
    """

    command: tuple[str, ...]
    owns: Mapping[str, str]
    keeps: Mapping[str, str] = field(default_factory=dict)

    def run(self, out: Path) -> None:
        """Write into ``out``; its failure ends the program."""
        for tree_name, out_name in self.keeps.items():
            if (ROOT / tree_name).is_dir():
                shutil.copytree(ROOT / tree_name, out / out_name)
        command = [argument.format(out=out) for argument in self.command]
        if subprocess.run([sys.executable, *command], check=False, cwd=ROOT).returncode != 0:
            sys.exit(f"generator failed: {' '.join(command)}")


GENERATORS = (
    Generator(("tools/protos.py", "{out}/rpc"), owns={"libs/common/holdfast/common/rpc": "rpc"}),
    Generator(
        ("-m", "holdfast.gateway.openapi", "--out", "{out}/openapi.json"),
        owns={"docs/reference/openapi.json": "openapi.json"},
    ),
    Generator(
        ("-m", "holdfast.common.contracts.generate", "--out", "{out}"),
        owns={CONTRACTS: "golden", "docs/reference/asyncapi.yaml": "asyncapi.yaml"},
        keeps={f"{CONTRACTS}/samples": "golden/samples"},
    ),
)


def stale_files(generator: Generator, out: Path) -> dict[Path, Path]:
    """Owned files that differ between the tree and ``out``, or exist in one only: tree path to path in ``out``."""
    pairs: dict[Path, Path] = {}
    for tree_name, out_name in generator.owns.items():
        tree, fresh = ROOT / tree_name, out / out_name
        for relative in _files(tree) | _files(fresh):
            pairs[tree / relative] = fresh / relative
    return {ours: fresh for ours, fresh in sorted(pairs.items()) if not _same(ours, fresh)}


def _files(owned: Path) -> set[Path]:
    if owned.is_file():
        return {Path()}
    found = {path for path in owned.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    return {path.relative_to(owned) for path in found}


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def _update(ours: Path, fresh: Path) -> None:
    if fresh.is_file():
        ours.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(fresh, ours)
    else:
        ours.unlink()


def main(check: bool) -> int:
    """Run every generator; returns the exit code."""
    failed = False
    for generator in GENERATORS:
        with tempfile.TemporaryDirectory() as out:
            generator.run(Path(out))
            for ours, fresh in stale_files(generator, Path(out)).items():
                print(f"{'stale' if check else 'wrote' if fresh.is_file() else 'removed'}: {ours.relative_to(ROOT)}")
                if check:
                    failed = True
                else:
                    _update(ours, fresh)
    if failed:
        print("Generated files are stale: run `make gen` and commit the result.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
