"""A parser whose tables are worked out once per machine: that takes as long as most of the rest of an org's start."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from pathlib import Path

import lark
from lark import Lark


def parser_of(grammar: str) -> Lark:
    """A parser of the grammar, from the user's cache folder if one is there; else it is made and kept there.

    A cache that cannot be written, or that holds something else, only costs time.
    """
    name = f"soql-{_fingerprint(grammar)}.tables"
    # Whatever is wrong with what is kept, it can be made anew.
    with contextlib.suppress(Exception), (_cache_folder() / name).open("rb") as tables:
        return Lark.load(tables)
    made = Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=False)
    with contextlib.suppress(OSError, RuntimeError):  # nowhere to write, or a user without a home
        _keep(made, _cache_folder() / name)
    return made


def _fingerprint(grammar: str) -> str:
    """What the tables depend on."""
    versions = f"{lark.__version__} {sys.version_info[:2]}"
    return hashlib.sha256(f"{versions}\n{grammar}".encode()).hexdigest()[:24]


def _cache_folder() -> Path:
    """`$HOLDFAST_CACHE`, else `holdfast` in the user's cache folder."""
    configured = os.environ.get("HOLDFAST_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(configured) if configured else (Path(base) if base else Path.home() / ".cache") / "holdfast"


def _keep(made: Lark, path: Path) -> None:
    """Write in one go: other orgs may be starting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            made.save(file)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
