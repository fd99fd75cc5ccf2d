"""Which orgs to serve, and how each is made: from `--org` arguments or from a TOML file.

```toml
[[org]]
name = "acme"                       # its My Domain: acme.my.salesforce.com
load = ["demo/data/npsp-1k"]

[[org]]
name = "acme--uat"                  # acme--uat.sandbox.my.salesforce.com
kind = "sandbox"
number = 7                          # its organization id is made of it; its place in this file unless given
api_limit = 5_000_000
client_secret_file = "uat.secret"
```
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from holdfast.orgsim.org import KINDS, OrgSettings
from holdfast.orgsim.schema.document import Document, SchemaError, read_document

_PLAIN = (
    *("kind", "number", "client_id", "username"),
    *("api_limit", "bulk_page_bytes", "compress", "bulk_job_s", "bulk_batches"),
)
_HOST_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@dataclass
class OrgPlan:
    """An org that is to be made, and what is loaded into it."""

    settings: OrgSettings
    load: list[Path] = field(default_factory=list)
    multiply: int = 1


class PlanError(ValueError):
    """The arguments or the file do not say what to serve; the message tells why."""


def from_arguments(orgs: Sequence[str], base: OrgSettings) -> list[OrgPlan]:
    """One org per `NAME` or `NAME=kind`; one called as in `base` if there are none.

    A sandbox named without `--` belongs to the first org: `acme`, `uat=sandbox` is `acme--uat`.

    Raises:
        PlanError: an unknown kind or a name twice.
    """
    entries: list[dict[str, Any]] = []
    for text in orgs or [base.my_domain]:
        name, _, kind = text.partition("=")
        kind = kind or ("sandbox" if "--" in name else "production")
        if kind == "sandbox" and "--" not in name and entries:
            name = f"{entries[0]['name']}--{name}"
        entries.append({"name": name, "kind": kind})
    return _plans(entries, base, Path())


def from_file(path: Path, base: OrgSettings) -> list[OrgPlan]:
    """The orgs of a TOML file; paths in it are relative to it.

    Raises:
        PlanError: the file is no TOML, holds no org, or has a key that means nothing.
    """
    try:
        entries = tomllib.loads(path.read_text()).get("org", [])
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PlanError(f"{path}: {error}") from error
    if not entries:
        raise PlanError(f"{path}: no [[org]]")
    return _plans(entries, base, path.parent)


def _plans(entries: list[dict[str, Any]], base: OrgSettings, folder: Path) -> list[OrgPlan]:
    plans = [_plan(dict(entry), base, number, folder) for number, entry in enumerate(entries, 1)]
    names = [plan.settings.my_domain for plan in plans]
    if len(set(names)) != len(names):
        raise PlanError(f"an org's name must be its own: {', '.join(names)}")
    return plans


def _plan(entry: dict[str, Any], base: OrgSettings, number: int, folder: Path) -> OrgPlan:
    name = str(entry.pop("name", base.my_domain))
    load = [folder / path for path in entry.pop("load", [])]
    multiply = int(entry.pop("multiply", 1))
    changes: dict[str, Any] = {"my_domain": name, "number": number}
    if number > 1:
        changes.update(_own(name, base))
    if "session_s" in entry:
        changes["session_lifetime"] = timedelta(seconds=float(entry.pop("session_s")))
    if "client_secret_file" in entry:
        changes["client_secret"] = (folder / entry.pop("client_secret_file")).read_text().strip()
    if "jwt_public_key" in entry:
        changes["public_key_pem"] = (folder / entry.pop("jwt_public_key")).read_text()
    if "schema" in entry:
        changes["document"] = _document(folder / entry.pop("schema"))
    unknown = set(entry) - set(_PLAIN)
    if unknown:
        raise PlanError(f"org {name}: unknown keys {', '.join(sorted(unknown))}")
    settings = replace(base, **changes | entry)
    if settings.kind not in KINDS:
        raise PlanError(f"org {name}: a kind is one of {', '.join(KINDS)}")
    if not _HOST_LABEL.fullmatch(name):
        raise PlanError(f"org {name!r}: a name is part of a host name: letters, digits and hyphens between them")
    return OrgPlan(settings, load, multiply)


def _document(path: Path) -> Document:
    try:
        return read_document(path)
    except SchemaError as error:
        raise PlanError(str(error)) from error


def _own(name: str, base: OrgSettings) -> dict[str, Any]:
    """What a further org does not share with the first: as in a sandbox, users carry its name as a suffix."""
    fresh = OrgSettings()
    return {
        "name": name,
        "client_id": f"{base.client_id}.{name}",
        "client_secret": fresh.client_secret,
        "username": f"{base.username}.{name.rpartition('--')[2]}",
        "ledger_folder": None if base.ledger_folder is None else base.ledger_folder / name,
    }
