"""Reading an org with other people's tools, as their users do."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import node_of, node_program, python_of, version_of

from holdfast.orgsim.testing import RunningOrg

PROGRAMS = Path(__file__).parent / "peers" / "programs"
TIMEOUT_S = 600
NOT_VALUES = {"address", "location", "base64"}


class PeerFailed(Exception):
    """A peer ended with an error; its last words."""


@dataclass(frozen=True)
class Reading:
    """What a peer did.

    Attributes:
        rows: Per object; None where the tool does not say.
        files: Per object, what it wrote.
        calls: API calls, as the org counted them.
    """

    seconds: float
    rows: dict[str, int | None]
    files: dict[str, list[Path]]
    calls: int


@dataclass(frozen=True)
class Peer:
    """A tool. `stores`: it keeps typed tables with a schema, not a copy of what came."""

    name: str
    package: str
    stores: bool
    run: Callable[[Path, dict[str, Any]], dict[str, Any]]

    @property
    def title(self) -> str:
        """Name and version.

        Raises:
            Missing: It is not installed.
        """
        return f"{self.name} {version_of(self.package)}"


def fields_of(org: RunningOrg, objects: Sequence[str]) -> dict[str, list[str]]:
    """The fields that a backup reads, by object."""
    import httpx  # noqa: PLC0415 - with its own client, not counted as anybody's call

    headers = {"Authorization": f"Bearer {org.token()}"}
    with httpx.Client(base_url=org.url, headers=headers, trust_env=False) as http:
        described = {name: http.get(f"/services/data/v62.0/sobjects/{name}/describe").json() for name in objects}
    return {
        name: [field["name"] for field in each["fields"] if field["type"] not in NOT_VALUES]
        for name, each in described.items()
    }


def read_org(peer: Peer, org: RunningOrg, fields: dict[str, list[str]], out: Path, where: str = "") -> Reading:
    """Let a peer read objects into a folder.

    Raises:
        Missing: It is not installed.
        PeerFailed: It did not come to its end.
    """
    out.mkdir(parents=True)
    work = {
        "url": org.url,
        "token": org.token(),
        "client_id": org.client_id,
        "client_secret": org.client_secret,
        "objects": fields,
        "where": where,
        "out": str(out),
    }
    path = out / "work.json"
    path.write_text(json.dumps(work))
    before = org.calls()["total"]
    said = peer.run(path, work)
    calls = org.calls()["total"] - before - said.get("calls_before", 0)
    files = {name: [Path(file) for file in each] for name, each in said["files"].items()}
    return Reading(said["seconds"], said["rows"], files, calls)


def _python(program: str) -> Callable[[Path, dict[str, Any]], dict[str, Any]]:
    package = {"simple_salesforce_bulk2.py": "simple-salesforce"}.get(program, program.split("_", maxsplit=1)[0])

    def run(path: Path, work: dict[str, Any]) -> dict[str, Any]:
        return _said([str(python_of(package)), str(PROGRAMS / program), str(path)])

    return run


def _jsforce(path: Path, work: dict[str, Any]) -> dict[str, Any]:
    return _said([node_program(), str(PROGRAMS / "jsforce_bulk2.mjs"), str(node_of("jsforce")), str(path)])


def _tap(path: Path, work: dict[str, Any]) -> dict[str, Any]:
    """The tap's messages piped into the target; what it finds out of the org beforehand is not counted."""
    tap = [str(python_of("tap-salesforce")), str(PROGRAMS / "tap_salesforce_rest.py"), str(path)]
    out = Path(work["out"])
    config = {
        "refresh_token": "-", "client_id": "-", "client_secret": "-", "api_type": "REST",
        "start_date": "1990-01-01T00:00:00Z", "select_fields_by_default": True,
    }  # fmt: skip
    if work["where"]:
        config["start_date"] = work["where"].split()[-1]
    (out / "config.json").write_text(json.dumps(config))
    (out / "target.json").write_text(json.dumps({"output_path": str(out), "file_naming_scheme": "{stream_name}.csv"}))
    given = ["--config", str(out / "config.json")]
    catalog = json.loads(_output([*tap, *given, "--discover"]))
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"] |= {"selected": True, "replication-key": "SystemModstamp"}
                entry["metadata"]["replication-method"] = "INCREMENTAL"
            elif entry["breadcrumb"][-1] not in work["objects"][stream["stream"]]:
                entry["metadata"] |= {"selected": False}
    (out / "catalog.json").write_text(json.dumps(catalog))
    target = [str(python_of("target-csv").with_name("target-csv")), "--config", str(out / "target.json")]
    started = time.perf_counter()
    with (out / "errors.txt").open("wb") as errors:
        tapping = subprocess.Popen(
            [*tap, *given, "--properties", str(out / "catalog.json")], stdout=subprocess.PIPE, stderr=errors
        )
        try:
            stored = subprocess.run(target, stdin=tapping.stdout, capture_output=True, check=False, timeout=TIMEOUT_S)
        finally:
            tapping.kill()
        if stored.returncode != 0:
            raise PeerFailed((stored.stderr or (out / "errors.txt").read_bytes()).decode()[-600:])
    seconds = time.perf_counter() - started
    names = work["objects"]
    calls_before = 1 + len(names) - 1  # the describes; the list of objects is handed in
    return {
        "seconds": seconds,
        "rows": dict.fromkeys(names),
        "files": {name: [str(out / f"{name}.csv")] for name in names if (out / f"{name}.csv").exists()},
        "calls_before": calls_before,
    }


def _said(command: list[str]) -> dict[str, Any]:
    return dict(json.loads(_output(command).splitlines()[-1]))


def _output(command: list[str]) -> str:
    drop = ("PROXY", "_CA_BUNDLE", "SSL_CERT", "NODE_", "PYTHON", "VIRTUAL_ENV")
    env = {key: value for key, value in os.environ.items() if not any(part in key.upper() for part in drop)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, env=env)
    if done.returncode != 0:
        raise PeerFailed(f"{Path(command[1]).stem}: {done.stderr.strip()[-600:]}")
    return done.stdout


PEERS = [
    Peer("simple-salesforce (Bulk 2)", "simple-salesforce", False, _python("simple_salesforce_bulk2.py")),
    Peer("aiosalesforce (REST, 4 at once)", "aiosalesforce", False, _python("aiosalesforce_rest.py")),
    Peer("jsforce (Bulk 2, 4 at once)", "jsforce", False, _jsforce),
    Peer("dlt to Parquet", "dlt", True, _python("dlt_salesforce.py")),
    Peer("tap-salesforce (REST) into target-csv", "tap-salesforce", True, _tap),
]  # fmt: skip
