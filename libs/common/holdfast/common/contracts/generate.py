"""Write what others read of the contracts: JSON Schemas, sample payloads, the AsyncAPI document.

`python -m holdfast.common.contracts.generate` writes into the source tree; with `--out DIR`, into DIR, so that
a check can compare. A sample payload is written once and never again: it stands for the bytes in old topics.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import yaml

from holdfast.common.contracts.asyncapi import document
from holdfast.common.contracts.registry import all_events
from holdfast.common.contracts.samples import sample

PACKAGE = Path(__file__).parent
ROOT = PACKAGE.parents[4]


def write(golden: Path, asyncapi: Path) -> None:
    """Write all files; samples that exist stay as they are."""
    samples = golden / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    asyncapi.parent.mkdir(parents=True, exist_ok=True)
    for event in all_events():
        schema = event.model_json_schema(mode="serialization")
        (golden / f"{event.TYPE}.json").write_text(_json(schema))
        kept = samples / f"{event.TYPE}.json"
        if not kept.exists():
            kept.write_text(_json(json.loads(sample(event).model_dump_json())))
    asyncapi.write_text(yaml.safe_dump(document(), sort_keys=False, width=110, allow_unicode=True))


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Generate event schemas and the AsyncAPI document.")
    parser.add_argument("--out", type=Path, help="a folder to write to instead of the source tree")
    out = parser.parse_args().out
    if out is None:
        write(PACKAGE / "golden", ROOT / "docs" / "reference" / "asyncapi.yaml")
    else:
        write(out / "golden", out / "asyncapi.yaml")


if __name__ == "__main__":
    main()
