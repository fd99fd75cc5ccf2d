"""B5: bytes that a day adds, beside zstd of its changed rows and backups of CSV exports by restic and borg."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from data import SMALL, change_scattered, npsp_objects, rows_of
from environments import Missing, version_of
from installation import Holdfast, up
from options import Options
from peers import NOT_VALUES
from report import Report

from holdfast.launcher.demo.data import demo_data
from holdfast.launcher.demo.org_session import OrgSession
from holdfast.launcher.demo.story import DOMAIN_COLUMNS
from holdfast.orgsim.testing import RunningOrg, start_org

API = "/services/data/v62.0"
DOMAIN = "Domain__c"
DAY_S = 86_400
KIB = 1024
# Merged files take the place of small ones; those stay for seven days by default, which no benchmark waits for.
AT_REST = {"HOLDFAST_DIFFER_REPLACED_GRACE": "PT0S"}
STILL_S, REST_TIMEOUT_S = 5.0, 60.0
ENOUGH = 1_000  # changed rows of an object, from which on a day is judged without compaction


@dataclass
class Stores:
    """The repositories of the tools that are installed, and the bytes that each day added to them."""

    folder: Path
    added: dict[str, list[int]] = field(default_factory=dict)

    def back_up(self, exports: Path) -> None:
        """Back the exports up with each tool."""
        for name in ("restic", "borg"):
            try:
                version_of(name)
            except Missing:
                continue
            repository = self.folder / name
            if not repository.exists():
                _run(self.folder, _begin(name, repository))
            before = stored(repository)
            _run(self.folder, _day(name, repository, exports, len(self.added.get(name, []))))
            self.added.setdefault(name, []).append(stored(repository) - before)


def measure(report: Report, options: Options) -> None:
    """A scattered day of three objects, then the days of the .gov register."""
    version_of("zstd")
    _scattered(report, options)
    _register(report, options)


def _scattered(report: Report, options: Options) -> None:
    copies = 1 if options.quick else SMALL
    with (
        start_org(load=[demo_data() / "npsp-1k"], multiply=copies) as org,
        up(options.folder / "b5", AT_REST) as holdfast,
    ):
        objects = npsp_objects(org)
        rows = rows_of(org, objects)
        vault, exports, stores = _begun(holdfast, org, objects, options.folder / "b5-csv")
        report.section(f"B5 Bytes: days with scattered changes, {rows:,} records", "b5-1-scattered")
        report.add("baseline, log and index included", f"{stored(vault) / rows:.0f} B per record")
        for number, (what, each) in enumerate((("1 %", rows // 300), ("1,000 rows of each of 3 objects", ENOUGH))):
            before = at_rest(vault)
            ids = change_scattered(org, each, f"Changed {number}")
            org.advance(DAY_S)
            job = vault.name
            holdfast.run(job)
            added = at_rest(vault) - before
            rows_zstd = sum(zstd(_changed_rows(org, name, changed)) for name, changed in ids.items())
            _export(org, objects, exports)
            stores.back_up(exports)
            changed = sum(map(len, ids.values()))
            report.add(f"a day on which {what} changed ({changed:,} records): **Holdfast**", _kib(added))
            report.add("— floor: zstd of the changed rows as CSV", _kib(rows_zstd))
            for name, sizes in stores.added.items():
                report.add(f"— {name} {version_of(name)} on CSV exports", _kib(sizes[-1]))
            if each >= ENOUGH:
                times = added / rows_zstd
                report.aim("B5", "≤ 3 × zstd of the changed rows where ≥ 1,000 rows of an object change",
                           f"{times:.1f} ×", times <= 3)  # fmt: skip
                _against_restic(report, "that day", added, stores.added)
            org.advance(DAY_S)


def _register(report: Report, options: Options) -> None:
    wanted = 4 if options.quick else 214 if options.large else 30
    with start_org(load=[demo_data() / "dotgov"]) as org, up(options.folder / "b5-gov", AT_REST) as holdfast:
        vault, exports, stores = _begun(holdfast, org, [DOMAIN], options.folder / "b5-gov-csv")
        baseline, rows_zstd, changes, days = at_rest(vault), 0, 0, 0
        for day in replayed(org, wanted):
            days += 1
            org.advance(DAY_S)
            holdfast.run(vault.name)
            rows_zstd += zstd("\n".join(",".join(row) for row in day).encode())
            changes += len(day)
            _export(org, [DOMAIN], exports)
            stores.back_up(exports)
        added = at_rest(vault) - baseline
        report.section(f"B5 Bytes: {days} days of the .gov register, {changes:,} changes", "b5-2-register")
        report.add("**Holdfast**, a run a day, log, index and staged pages included", f"{_kib(added)}, "
                   f"{added / days / KIB:.1f} KiB a day")  # fmt: skip
        report.add("— of it the table's event files", _kib(_events(vault)))
        report.add("— floor: zstd of each day's changed rows as CSV", _kib(rows_zstd))
        for name, sizes in stores.added.items():
            report.add(f"— {name} {version_of(name)} on CSV exports, a backup a day", _kib(sum(sizes[1:])))
        report.remark("Small files are merged while a table rests; those that were replaced are removed at once here.")
        _against_restic(report, f"{days} days of the .gov register", added, stores.added, skip=1)


def _against_restic(report: Report, what: str, added: int, theirs: dict[str, list[int]], skip: int = -1) -> None:
    if "restic" not in theirs:
        report.aim("B5", f"≥ 30 × less than restic, {what}", "restic is not installed", None)
        return
    times = sum(theirs["restic"][skip:]) / added
    report.aim("B5", f"≥ 30 × less than restic, {what}", f"{times:.1f} ×", times >= 30)


def _begun(holdfast: Holdfast, org: RunningOrg, objects: list[str], folder: Path) -> tuple[Path, Path, Stores]:
    """A baseline everywhere: the job's folder in the vault, the folder of exports, the repositories."""
    job = holdfast.job(org, "bytes", objects)
    holdfast.run(job)
    exports, stores = folder / "exports", Stores(folder)
    exports.mkdir(parents=True)
    _export(org, objects, exports)
    stores.back_up(exports)
    org.advance(DAY_S)
    return holdfast.data / "vault" / job, exports, stores


def stored(folder: Path) -> int:
    """Bytes of all files."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # replaced meanwhile
            size += path.stat().st_size if path.is_file() else 0
    return size


def at_rest(folder: Path) -> int:
    """Bytes of all files, once nothing is merged any more."""
    deadline, size, since = time.monotonic() + REST_TIMEOUT_S, stored(folder), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < STILL_S:
        time.sleep(0.5)
        if (now := stored(folder)) != size:
            size, since = now, time.monotonic()
    return size


def _events(vault: Path) -> int:
    files = (path for path in (vault / "records").rglob("*.parquet") if path.parent.name != "1")
    return sum(path.stat().st_size for path in files)


def zstd(data: bytes) -> int:
    """Size after zstd at its default level."""
    return len(subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout)


def _kib(size: int) -> str:
    return f"{size / KIB:,.0f} KiB" if size >= 10 * KIB else f"{size / KIB:.1f} KiB"


def _export(org: RunningOrg, objects: list[str], folder: Path) -> None:
    """A CSV file per object, in order of ids, as an export tool writes them."""
    with _client(org) as http:
        for name in objects:
            soql = f"SELECT {','.join(_fields(http, name))} FROM {name} ORDER BY Id"
            (folder / f"{name}.csv").write_bytes(_bulk(http, soql))


def _changed_rows(org: RunningOrg, name: str, ids: list[str]) -> bytes:
    with _client(org) as http:
        everything = _bulk(http, f"SELECT {','.join(_fields(http, name))} FROM {name} ORDER BY Id")
    wanted = {f'"{each}"'.encode() for each in ids}
    lines = everything.split(b'\n"')
    return b"\n".join(line for line in lines if b'"' + line[: line.index(b'"') + 1] in wanted)


def _client(org: RunningOrg) -> httpx.Client:
    return httpx.Client(base_url=org.url, headers={"Authorization": f"Bearer {org.token()}"}, timeout=120)


def _fields(http: httpx.Client, name: str) -> list[str]:
    described: list[dict[str, Any]] = http.get(f"{API}/sobjects/{name}/describe").raise_for_status().json()["fields"]
    names = [each["name"] for each in described if each["type"] not in NOT_VALUES]
    return ["Id", *(each for each in names if each != "Id")]


def _bulk(http: httpx.Client, soql: str) -> bytes:
    body = {"operation": "query", "query": soql}
    job = http.post(f"{API}/jobs/query", json=body).raise_for_status().json()["id"]
    while http.get(f"{API}/jobs/query/{job}").json()["state"] != "JobComplete":
        pass
    parts, locator = [], ""
    while locator != "null":
        answer = http.get(f"{API}/jobs/query/{job}/results", params={"locator": locator} if locator else {})
        parts.append(answer.content if not parts else answer.content.split(b"\n", 1)[1])
        locator = answer.headers["Sforce-Locator"]
    return b"".join(parts)


def replayed(org: RunningOrg, days: int) -> Iterator[list[list[str]]]:
    """Replay the register's days in the org, one after the other; the rows that each changed."""
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        ids = {row["Name"]: row["Id"] for row in session.query(f"SELECT Id, Name FROM {DOMAIN}")}
    with gzip.open(demo_data() / "dotgov" / "changes.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in islice(lines, days):
            day = json.loads(line)
            # Signed in for each day: the org's clock moves on by one, and sessions end.
            with OrgSession(org.url, org.client_id, org.client_secret) as session:
                inserted = [_domain(row) for row in day["insert"] if row[0] not in ids]
                made = session.insert(DOMAIN, inserted)
                ids.update(zip((row["Name"] for row in inserted), made, strict=True))
                session.update(DOMAIN, [{"id": ids[row[0]], **_domain(row)} for row in day["update"] if row[0] in ids])
                session.delete([ids.pop(name) for name in day["delete"] if name in ids])
            yield [*day["insert"], *day["update"], *([name] for name in day["delete"])]


def _domain(row: list[str]) -> dict[str, Any]:
    return {column: value or None for column, value in zip(DOMAIN_COLUMNS, row, strict=True)}


def _begin(name: str, repository: Path) -> list[str]:
    if name == "restic":
        return ["restic", "-r", str(repository), "init", "--repository-version", "2"]
    return ["borg", "init", "-e", "none", str(repository)]


def _day(name: str, repository: Path, exports: Path, number: int) -> list[str]:
    if name == "restic":
        return ["restic", "-r", str(repository), "--no-cache", "backup", str(exports)]
    return ["borg", "create", "-C", "zstd,3", f"{repository}::{number}", str(exports)]


def _run(home: Path, command: list[str]) -> None:
    env = os.environ | {"RESTIC_PASSWORD": "bench", "BORG_BASE_DIR": str(home)}
    env |= {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-500:]}")
