"""`python -m holdfast.gateway.openapi [--out FILE]`: the OpenAPI document, the same on every machine."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, cast

from holdfast.gateway.context import Context
from holdfast.gateway.http import create_app


class _Described:
    """Enough of a context to describe the API: nothing is ever called."""

    class settings:  # noqa: N801 - stands for an attribute
        max_body_bytes = 1024 * 1024


def document() -> dict[str, Any]:
    """The OpenAPI document of the public API."""
    return create_app(cast(Context, _Described())).openapi()


def text() -> str:
    """The document as it is committed."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Print the document, or write it to `--out`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write here instead of to standard output")
    out: Path | None = parser.parse_args(arguments).out
    if out is None:
        sys.stdout.write(text())
    else:
        out.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
