"""What the sweep tells of an object that is doubted: a record is gone for good, and only the count gives it away."""

from __future__ import annotations

from typing import Protocol

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg

from .harness import Installation, assert_agree

OBJECTS = ["Other__c", "Thing__c"]


class World(Protocol):
    """What this story plays with."""

    holdfast: Installation
    org: RunningOrg
    tag: str
    edited: bool


def vanished(world: World) -> None:
    """No query returns the record any more: the object is doubted, listed whole, and the record is deleted."""
    holdfast, tag = world.holdfast, world.tag
    job = holdfast.create_job(holdfast.connect(world.org, tag), OBJECTS, name=tag)
    _completed(world, job, "1")
    if not world.edited:
        world.edited = True
        with OrgSession(world.org.url, world.org.client_id, world.org.client_secret) as session:
            (gone,) = session.insert("Other__c", [{"Name": tag}])
            _completed(world, job, "2")
            session.delete([gone])
            session.empty_recycle_bin([gone])
    _completed(world, job, "3")
    assert_agree(holdfast.vault, job, world.org, OBJECTS)


def _completed(world: World, job: str, number: str) -> None:
    run = world.holdfast.wait_run(world.holdfast.request_run(job, key=f"{world.tag}.{number}"), 45)
    assert run["state"] == "completed", run
