"""The plan of a job's next run, as tables."""

from __future__ import annotations

from typing import Any

from holdfast.launcher.commands import output


def print_plan(plan: dict[str, Any]) -> None:
    """How each object would be read, what several ask together, what cannot be read, and what all of it costs."""
    rows = [
        [each["object"], each["mode"], each["strategy"], _rows(each), each["api_calls"], f"{each['seconds']:,.1f}"]
        for each in plan["objects"]
    ]
    if rows:
        rows += [["(together)", "", each["what"], "", each["api_calls"], ""] for each in plan["shared"]]
        rows.append(["Total", "", "", f"{plan['rows']:,}", f"{plan['api_calls']:,}", f"{plan['seconds']:,.1f}"])
        columns = ["Object", "Mode", "How", "Rows", "Calls", "Seconds"]
        output.print_table(columns, rows, right=["Rows", "Calls", "Seconds"])
    for each in plan["unreadable"]:
        output.say(output.visible(f"Not read: {each['object']}. {each['reason']}"))
    for note in plan["notes"]:
        output.say(output.visible(f"Note: {note}"))
    output.say(_budget(plan))


def _rows(each: dict[str, Any]) -> str:
    """Of what changed a page costs no more than nothing, so it is not counted beforehand."""
    return "few" if each["mode"] == "incremental" and not each["rows"] else f"{each['rows']:,}"


def _budget(plan: dict[str, Any]) -> str:
    cost = f"This plan cost {plan['plan_calls']:,} calls."
    if plan["calls_left"] is None:
        return f"{cost} What the org's budget leaves is not known yet."
    left, limit = plan["calls_left"], plan["calls_limit"]
    leaves = f"The job may make {left:,} calls now, of the org's {limit:,} in 24 hours."
    short = plan["api_calls"] - left
    return f"{cost} {leaves}" + (f" The run will wait: {short:,} calls are missing." if short > 0 else "")
