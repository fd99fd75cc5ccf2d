"""Writes the vaults that later releases have to read. Run it once per format version, into an empty folder."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from vault_pages import JOB, KEY, OBJECT, Backup, record, schema_of

from holdfast.vault.verify import verify_table


def whole(folder: Path) -> None:
    """Three runs with an update, a deletion, a hidden field and texts that are easily lost."""
    both, name = schema_of("Name", "City"), schema_of("Name")
    with tempfile.TemporaryDirectory() as scratch:
        backup = Backup.in_folder(folder, Path(scratch))
        table = backup.open()
        texts = ["NA", "null", "00123", "1e3", 'say "hi"', "a\nb", "🌍", "\x00"]
        first = [record(n, 1, Name=text, City="x") for n, text in enumerate(texts)]
        backup.add(table, backup.stage(first, both, run=1, mode="baseline"))
        backup.add(table, backup.stage([record(0, 2, Name="b"), record(1, 2, deleted=True)], name, run=2))
        backup.add(table, backup.stage([record(1, 3, Name="c"), record(99, 3, Name="new")], both, run=3))
        table.save_index()
        shutil.rmtree(folder / JOB / "staging")
        facts = {"head": table.head.head, "commit_seq": 3, "records": [8, 7, 9], "damage": []}
        (folder / "facts.json").write_text(json.dumps(facts))


def damaged(source: Path, target: Path, kind: str) -> None:
    shutil.copytree(source, target)
    table = target / JOB / "records" / OBJECT
    if kind == "flipped-bit":
        path = next((table / "1").iterdir())
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        path.write_bytes(data)
    else:
        max(table.glob("_delta_log/*.json")).unlink()
        shutil.rmtree(target / JOB / "index")
    facts = json.loads((target / "facts.json").read_text())
    report = verify_table(Backup.in_folder(target, target).root, JOB, OBJECT, key=KEY.public_key(), expected=None)
    found = [d.reason for d in report.damage] or [f"commit 3 with head {facts['head']} is missing"]
    (target / "facts.json").write_text(json.dumps(facts | {"damage": found}))


if __name__ == "__main__":
    top, version = Path(sys.argv[1]), sys.argv[2]
    whole(top / version)
    for fault in ("flipped-bit", "lost-commit"):
        damaged(top / version, top / f"{version}-{fault}", fault)
