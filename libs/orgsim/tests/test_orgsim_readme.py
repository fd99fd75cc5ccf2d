"""The README's map of the package and its list of admin calls name everything that is there, and nothing else."""

import re
from pathlib import Path

import pytest

from holdfast.orgsim.api.app import make_router

FOLDER = Path(__file__).parents[1]
PACKAGE = FOLDER / "holdfast" / "orgsim"
README = (FOLDER / "README.md").read_text()
ROOMS = README.partition("## Rooms")[2].partition("\n## ")[0]
NAMED = set(re.findall(r"^\| (.+?) \|", ROOMS, re.MULTILINE))
MAP = {name.rstrip("/") for cell in NAMED for name in re.findall(r"`([^`]+)`", cell)}


def rooms(folder: Path) -> set[str]:
    """Folders and modules, as the map writes them."""
    found = {path for path in folder.iterdir() if path.suffix in ("", ".py") and not path.name.startswith("__")}
    return {str(path.relative_to(PACKAGE)) for path in found}


def test_the_map_names_every_room_and_no_other() -> None:
    split = {path.name for path in PACKAGE.iterdir() if any(name.startswith(path.name + "/") for name in MAP)}
    wanted = {name for name in rooms(PACKAGE) if name not in split}.union(*(rooms(PACKAGE / name) for name in split))
    assert wanted - {"api/status_page"} == MAP


ADMIN = [r for r in make_router().routes if r.template.startswith("/_org/") and not r.template.startswith("/_org/page")]


@pytest.mark.parametrize("route", ADMIN, ids=lambda route: f"{route.method} {route.template}")
def test_every_admin_call_is_named(route) -> None:
    call = route.template.removeprefix("/_org/").partition("/{")[0]
    assert re.search(rf"`[^`\n]*\b{route.method}\b[^`\n]*[ /]{re.escape(call)}\b", README)
