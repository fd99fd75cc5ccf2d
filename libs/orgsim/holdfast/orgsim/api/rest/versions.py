"""The API versions of the org and the resources of one version."""

from __future__ import annotations

from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply

router = Router()
RELEASES = {v: f"{'Winter' if v % 3 == 2 else 'Spring' if v % 3 == 0 else 'Summer'} '{15 + (v - 32) // 3:02d}"
            for v in range(31, 69)}  # fmt: skip
RESOURCES = ("tooling", "metadata", "folders", "prechatForms", "chatter", "tabs", "appMenu", "quickActions", "queryAll",
             "analytics", "search", "parameterizedSearch", "composite", "theme", "recent", "connect", "licensing",
             "limits", "process", "query", "jobs", "compactLayouts", "sobjects", "actions", "support",
             "ui-api")  # fmt: skip


@router.add("GET", "/services/data", authenticated=False, counted=False)
async def versions(call: Call) -> Reply:
    """The API versions, oldest first. Needs no session and costs no API request."""
    offered = {v: label for v, label in RELEASES.items() if v >= call.org.oldest_version}
    listed = [{"label": label, "url": f"/services/data/v{v}.0", "version": f"{v}.0"} for v, label in offered.items()]
    return json_reply(listed)


@router.add("GET", DATA)
async def resources(call: Call) -> Reply:
    """Where each resource of a version is."""
    links = {name: f"/services/data/v{call.version}/{name}" for name in RESOURCES}
    links["identity"] = f"{call.instance_url}/id/{call.org.id}/{call.user.id}"
    return json_reply(links)
