"""`/process/…` and `/actions/…`: approvals, rules and invocable actions, of which the org has none."""

from __future__ import annotations

from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply

router = Router(DATA)


@router.add("GET", "/process")
async def processes(call: Call) -> Reply:
    """The kinds of processes."""
    base = f"/services/data/v{call.version}/process"
    return json_reply({"approvals": f"{base}/approvals", "rules": f"{base}/rules"})


@router.add("GET", "/process/approvals")
async def approvals(_call: Call) -> Reply:
    """Approval processes by object."""
    return json_reply({"approvals": {}})


@router.add("GET", "/process/rules")
async def rules(_call: Call) -> Reply:
    """Workflow rules by object."""
    return json_reply({"rules": {}})


@router.add("GET", "/actions")
async def actions(call: Call) -> Reply:
    """The kinds of invocable actions."""
    base = f"/services/data/v{call.version}/actions"
    return json_reply({"standard": f"{base}/standard", "custom": f"{base}/custom"})


@router.add("GET", "/actions/standard")
async def standard_actions(_call: Call) -> Reply:
    """Standard invocable actions."""
    return json_reply({"actions": []})


@router.add("GET", "/actions/custom")
async def custom_actions(call: Call) -> Reply:
    """The kinds of custom invocable actions."""
    base = f"/services/data/v{call.version}/actions/custom"
    return json_reply({kind: f"{base}/{kind}" for kind in ("apex", "flow", "quickAction")})
