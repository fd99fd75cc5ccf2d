"""B3: API calls, as the org counted them: per million records, per run without changes, per day with 1 % changed."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

from data import SMALL, change_one_percent, npsp_objects, rows_of
from environments import Missing
from installation import Holdfast, up
from options import Options
from peers import PEERS, PeerFailed, fields_of, read_org
from report import Report

from holdfast.launcher.demo.data import demo_data
from holdfast.orgsim.testing import RunningOrg, start_org

WHAT = ("baseline", "run without changes", "day with 1 % changed")
SLOW = {"dlt", "tap-salesforce"}  # read by REST: their calls of a baseline follow from the rows


def measure(report: Report, options: Options) -> None:
    """Holdfast and every peer on the same org of 14 objects."""
    loads = [demo_data() / "npsp-1k", demo_data() / "dotgov"]
    with (
        start_org(load=loads, multiply=1 if options.quick else SMALL) as org,
        up(options.folder / "b3") as holdfast,
    ):
        objects = [*npsp_objects(org), "Domain__c"]
        rows = rows_of(org, objects)
        report.section(f"B3 API calls: {len(objects)} objects, {rows:,} records", "b3-calls")
        counted = {"**Holdfast**": _ours(holdfast, org, objects, rows)}
        counted |= _theirs(report, org, objects, options)
        for who, calls in counted.items():
            per_million = f"{calls[0]} for the baseline, {calls[0] * 1e6 / rows:,.0f} per million records"
            report.add(who, f"{per_million}; {calls[1]} without changes; {calls[2]} on a day with 1 % changed")
        for number, what in enumerate(WHAT):
            ours = counted["**Holdfast**"][number]
            others = {who: calls[number] for who, calls in counted.items() if who != "**Holdfast**"}
            least = min(others, key=lambda who: others[who]) if others else ""
            report.aim(
                "B3", f"fewer calls than every peer: {what}",
                f"{ours} against {others[least]} of {least}" if least else f"{ours}, no peer here",
                ours < others[least] if least else None,
            )  # fmt: skip
        report.remark(
            "Salesforce charges a composite request as one call, and every result page and every look at a Bulk job as "
            "one. Holdfast asks the org for its objects, their fields and their counts, and that is counted. Peers are "
            f"handed objects and fields (by themselves they ask {len(objects)} times more, a describe an object) and "
            "are told since when to ask; none of them counts, or finds hard deletions."
        )
    _plans(report, options)


def _plans(report: Report, options: Options) -> None:
    """What `holdfast job plan` says just before a run, and what the run then uses; an org that nobody asked before."""
    with (
        start_org(
            load=[demo_data() / "npsp-1k", demo_data() / "dotgov"], multiply=1 if options.quick else SMALL
        ) as org,
        up(options.folder / "b3-plans") as holdfast,
    ):
        objects = [*npsp_objects(org), "Domain__c"]
        rows = rows_of(org, objects)
        report.section(f"B3 Plan and run: {len(objects)} objects, {rows:,} records", "b3-plans")
        job = holdfast.job(org, "plans", objects)
        for what in WHAT:
            if what == WHAT[1]:
                holdfast.run(job)  # the next one finds describes known
            if what == WHAT[2]:
                change_one_percent(org, rows, "Changed")
            plan, before = holdfast.plan(job), org.calls()["total"]
            used = holdfast.run(job)["progress"]["seconds_elapsed"]
            calls, said = org.calls()["total"] - before, plan["api_calls"]
            report.add(what, f"said {said} calls, {plan['seconds']:.1f} s; used {calls} calls, {used:.1f} s")
            met = 0.8 * calls <= said <= 1.2 * calls
            report.aim("B3", f"calls said within 20 % of those used: {what}", f"{said} against {calls}", met)
            met = 0.8 * used <= plan["seconds"] <= 1.2 * used
            report.aim(
                "B3",
                f"time said within 20 % of that used: {what}",
                f"{plan['seconds']:.1f} s against {used:.1f} s",
                met,
            )
        report.remark(
            "The making of the plan is part of both. The time is that of the run, from request to its end. Before an "
            "object was ever read its time is what is usual of Salesforce, which takes seconds to begin a Bulk job, "
            "where the local org takes none. After that it is the object's last time."
        )


def _ours(holdfast: Holdfast, org: RunningOrg, objects: list[str], rows: int) -> tuple[int, int, int]:
    job = holdfast.job(org, "calls", objects)
    baseline = _calls(holdfast, org, job)
    _calls(holdfast, org, job)  # the next one finds describes known
    unchanged = _calls(holdfast, org, job)
    change_one_percent(org, rows, "Changed")
    return baseline, unchanged, _calls(holdfast, org, job)


def _calls(holdfast: Holdfast, org: RunningOrg, job: str) -> int:
    before = org.calls()["total"]
    holdfast.run(job)
    return int(org.calls()["total"] - before)


def _theirs(report: Report, org: RunningOrg, objects: list[str], options: Options) -> dict[str, tuple[int, int, int]]:
    """By REST a page holds 2,000 rows, so the slow ones need not read all to be counted."""
    fields, counted = fields_of(org, objects), {}
    now = datetime.fromisoformat(org.now().replace("Z", "+00:00")).astimezone(UTC)
    soon = f"SystemModstamp >= {now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    lately = f"SystemModstamp >= {now - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    for number, peer in enumerate(PEERS):
        try:
            out = options.folder / f"b3-{number}"
            read = lambda where, out=out: read_org(peer, org, fields, out, where).calls  # noqa: B023, E731 - in this turn
            each = []
            for where in ("", soon, lately):
                if not where and peer.package in SLOW:
                    held = org.objects()
                    each.append(sum(max(1, -(-held[name]["rows"] // 2000)) for name in objects))
                else:
                    each.append(read(where))
                shutil.rmtree(out, ignore_errors=True)
            counted[peer.title] = (each[0], each[1], each[2])
        except (Missing, PeerFailed) as error:
            report.add(peer.name, f"left out: {' '.join(str(error).split())[-200:]}")
    return counted
