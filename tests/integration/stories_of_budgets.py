"""What the sweep tells of an org whose calls are used up in the middle of a run."""

from __future__ import annotations

from typing import Any, Protocol

from holdfast.orgsim.testing import RunningOrg

from .harness import Installation, assert_agree

# Longer than a wait that a call itself sits out, so that the wait is in the database.
ENV = {"HOLDFAST_CONNECTIONS_BUDGET_RECHECK": "PT6S"}
OBJECTS = ["Other__c", "Thing__c"]
LIMIT = 100_000


class World(Protocol):
    """What this story plays with."""

    holdfast: Installation
    org: RunningOrg
    tag: str


MOST_RUNS_UNTIL_SPENT = 8


def spent(world: World) -> None:
    """The run waits and says why; when the org has calls again, it goes on by itself and lacks nothing."""
    holdfast, org, tag = world.holdfast, world.org, world.tag
    job = holdfast.create_job(holdfast.connect(org, tag), OBJECTS, name=tag)
    org.limits(maximum=LIMIT, used=LIMIT * 81 // 100)
    run: dict[str, Any] = {}

    def waits_or_ended() -> bool:
        run.clear()
        run.update(holdfast.get(f"/runs/{run_id}"))
        return run["state"] == "completed" or bool((run["progress"] or {}).get("waiting"))

    try:
        # The calls that the process holds from before the limit was reached last for a run or two.
        for number in range(1, MOST_RUNS_UNTIL_SPENT + 1):
            run_id = holdfast.request_run(job, key=f"{tag}.{number}")
            world.holdfast.until(waits_or_ended, 45, lambda: run)
            if run["state"] != "completed":
                assert "the job stops at 80 %" in run["progress"]["waiting"]["reason"], run
                break
    finally:
        org.limits(maximum=LIMIT, used=0)
    ended = holdfast.wait_run(run_id, 60)
    assert ended["state"] == "completed", ended
    assert_agree(holdfast.vault, job, org, OBJECTS)
