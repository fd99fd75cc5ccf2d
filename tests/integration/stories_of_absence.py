"""What the sweep tells of a record that is absent from all that the org lists, its list of deletions included."""

from __future__ import annotations

from typing import Protocol

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg

from .harness import Installation, assert_agree

NAME = "Other__c"
# The org's list of deletions reaches back 15 days: this stands for an org that was not read for longer.
FORGOTTEN = {
    "path": rf"/sobjects/{NAME}/deleted",
    "count": None,
    "effect": {
        "status": 200,
        "body": {
            "deletedRecords": [],
            "earliestDateAvailable": "2026-01-01T00:00:00.000+0000",
            "latestDateCovered": "2026-01-01T00:00:00.000+0000",
        },
    },
}


class World(Protocol):
    """What this story plays with."""

    holdfast: Installation
    org: RunningOrg
    tag: str
    edited: bool


def forgotten(world: World) -> None:
    """The object is doubted and listed whole, and the differ itself stages the deletion of whoever is absent."""
    holdfast, tag, org = world.holdfast, world.tag, world.org
    job = holdfast.create_job(holdfast.connect(org, tag), [NAME], name=tag)
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        if not world.edited and not list(session.query(f"SELECT Id FROM {NAME} WHERE Name = '{tag}'")):
            session.insert(NAME, [{"Name": tag}])
    _completed(world, job, "1")
    org.faults(FORGOTTEN)
    try:
        if not world.edited:
            world.edited = True
            with OrgSession(org.url, org.client_id, org.client_secret) as session:
                (gone,) = [row["Id"] for row in session.query(f"SELECT Id FROM {NAME} WHERE Name = '{tag}'")]
                session.delete([gone])
                session.empty_recycle_bin([gone])
        _completed(world, job, "2")
    finally:
        org.clear_faults()
    assert_agree(holdfast.vault, job, org, [NAME])


def _completed(world: World, job: str, number: str) -> None:
    run = world.holdfast.wait_run(world.holdfast.request_run(job, key=f"{world.tag}.{number}"), 45)
    assert run["state"] == "completed", run
