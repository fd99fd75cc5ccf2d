"""B1: records of an org, from request to completed and proven, beside floors and other people's tools."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import floors
from data import LARGE, SMALL, WIDE, npsp_objects, one_object_org, rows_of
from environments import Missing
from installation import Holdfast, up
from options import Options
from peers import PEERS, Peer, PeerFailed, fields_of, read_org
from report import Report, Runs

from holdfast.launcher.demo.data import demo_data
from holdfast.orgsim.testing import RunningOrg, start_org

ROUNDS = 5


@dataclass
class Measured:
    """Seconds of each round, all taken in turn, so that a slow spell of the machine hits everyone."""

    rows: int
    curls: list[float] = field(default_factory=list)
    one_curl: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)
    proofs: dict[str, int] = field(default_factory=dict)


def measure(report: Report, options: Options) -> None:
    """The default size, the wide object, and with `--large` 1.2 million records."""
    copies = 1 if options.quick else SMALL
    with start_org(load=[demo_data() / "npsp-1k"], multiply=copies) as org, up(options.folder / "b1") as holdfast:
        objects = npsp_objects(org)
        rows = rows_of(org, objects)
        report.section(f"B1 Baseline: {rows:,} records of {len(objects)} objects", "b1-1-npsp")
        measured = side_by_side(holdfast, org, objects, ROUNDS)
        ours = tell(report, measured)
        read_by_peers(report, org, objects, PEERS, options, ours, rows)
    if options.large:
        with start_org(load=[demo_data() / "npsp-1k"], multiply=LARGE) as org, up(options.folder / "b1l") as holdfast:
            objects = npsp_objects(org)
            rows = rows_of(org, objects)
            report.section(f"B1 Baseline: {rows:,} records of {len(objects)} objects", "b1-2-large")
            ours = tell(report, side_by_side(holdfast, org, objects, 3))
            fast = [peer for peer in PEERS if peer.package == "aiosalesforce"]
            read_by_peers(report, org, objects, fast, options, ours, rows)
    wide(report, options)


def wide(report: Report, options: Options) -> None:
    """One object of 60 columns."""
    rows = 20_000 if options.quick else 1_000_000 if options.large else 250_000
    with (
        one_object_org(options.folder / "wide", WIDE, rows) as org,
        up(options.folder / "b1w") as holdfast,
    ):
        report.section(f"B1 Baseline: {rows:,} records of 60 columns", "b1-3-wide")
        tell(report, side_by_side(holdfast, org, [WIDE], 3))


def side_by_side(holdfast: Holdfast, org: RunningOrg, objects: list[str], rounds: int) -> Measured:
    """Floors and Holdfast in turn. A run before the first round makes everybody's pages warm."""
    token = org.token()
    pages = asyncio.run(floors.complete_jobs(org.url, token, objects))
    measured = Measured(sum(page.rows for page in pages))
    holdfast.run(holdfast.job(org, "warm", objects))
    for number in range(rounds):
        measured.curls.append(floors.curl_seconds(org.url, token, pages))
        measured.one_curl.append(floors.one_curl_seconds(org.url, token, pages))
        measured.bare.append(asyncio.run(floors.bare_pipeline_seconds(org.url, token, pages)))
        run = holdfast.run(holdfast.job(org, f"baseline {number}", objects))
        measured.runs.append(run["progress"]["seconds_elapsed"])
        measured.proofs = proofs_of(run)
    return measured


def proofs_of(run: dict[str, Any]) -> dict[str, int]:
    """How many objects of a run have which outcome of the proof; empty where it says nothing of proofs."""
    outcomes: dict[str, int] = {}
    for each in run["objects"]:
        proof = each.get("proof")
        outcome = proof.get("state") if isinstance(proof, dict) else proof
        if outcome:
            outcomes[str(outcome)] = outcomes.get(str(outcome), 0) + 1
    return outcomes


def tell(report: Report, measured: Measured) -> float:
    """The floors, Holdfast and the aim; Holdfast's median."""
    ours, bare, curls = Runs(measured.runs), Runs(measured.bare), Runs(measured.curls)
    one = Runs(measured.one_curl)
    report.add("floor: curl, a process per page, 4 at a time", f"{curls.median:.2f} s", str(curls))
    report.add("floor: one curl for all pages, 4 at a time", f"{one.median:.2f} s", str(one))
    report.add("floor: bare pipeline (fetch, parse, fingerprint, Parquet)", f"{bare.median:.2f} s", str(bare))
    rate = f"{measured.rows / ours.median:,.0f} rows/s"
    report.add("**Holdfast**, request to completed", f"**{ours.median:.2f} s**, {rate}", str(ours))
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(measured.proofs.items()))
    report.add("Holdfast, outcome of the proof per object", said or "the run said nothing of proofs")
    report.add("against curl per page; one curl; bare pipeline", _times(ours, curls, one, bare))
    allowed, proven = 1.4 * bare.median + 0.7, set(measured.proofs) == {"proven"}
    report.aim(
        "B1", f"≤ 1.4 × the bare pipeline + 0.7 s at {measured.rows:,} records",
        f"{ours.median:.2f} s of {allowed:.2f} s" + ("" if proven else ", but not all objects proven"),
        ours.median <= allowed and proven,
    )  # fmt: skip
    return ours.median


def _times(ours: Runs, *floors: Runs) -> str:
    return "; ".join(f"{ours.median / floor.median:.1f} ×" for floor in floors)


def read_by_peers(
    report: Report, org: RunningOrg, objects: list[str], peers: Sequence[Peer], options: Options, ours: float, rows: int
) -> None:
    """Every peer that is installed, its best run against ours."""
    fields = fields_of(org, objects)
    speeds: dict[str, tuple[Peer, float]] = {}
    for peer in peers:
        try:
            speeds[peer.name] = (peer, _by_peer(report, peer, org, fields, options))
        except (Missing, PeerFailed) as error:
            report.add(peer.name, f"left out: {' '.join(str(error).split())[-200:]}")
    storing = [speed for peer, speed in speeds.values() if peer.stores]
    if storing:
        times = rows / ours / max(storing)
        report.aim("B1", "≥ 5 × faster than the fastest peer that stores", f"{times:.1f} ×", times >= 5)
    copying = [speed for peer, speed in speeds.values() if peer.package == "aiosalesforce"]
    if copying and options.large:
        times = rows / ours / copying[0]
        at = f"at {rows:,} records"
        report.aim("B1", f"faster than aiosalesforce, which only copies, {at}", f"{times:.1f} ×", times > 1)


def _by_peer(report: Report, peer: Peer, org: RunningOrg, fields: dict[str, list[str]], options: Options) -> float:
    """Rows per second. The slow ones read only the objects that fit into the time."""
    title = peer.title
    some = _a_part(org, fields) if peer.stores else fields
    count = rows_of(org, list(some))
    values: list[float] = []
    spent = 0.0
    while len(values) < 3 and spent + (spent / len(values) if values else 0) <= options.peer_s:
        out = options.folder / f"peer-{peer.package}-{len(values)}"
        values.append(read_org(peer, org, some, out).seconds)
        spent += values[-1]
        shutil.rmtree(out)
    runs = Runs(values)
    kind = "stores" if peer.stores else "copies"
    part = f" of {count:,} records" if peer.stores else ""
    report.add(f"{title}, {kind}", f"{runs.median:.2f} s{part}, {count / runs.median:,.0f} rows/s", str(runs))
    return count / runs.median


def _a_part(org: RunningOrg, fields: dict[str, list[str]]) -> dict[str, list[str]]:
    """The smaller objects, up to about a tenth of the records: what stores takes minutes for all."""
    held = org.objects()
    limit, taken = sum(held[name]["rows"] for name in fields) // 8, {}
    for name in sorted(fields, key=lambda each: held[each]["rows"]):
        limit -= held[name]["rows"]
        if limit >= 0 or not taken:
            taken[name] = fields[name]
    return taken
