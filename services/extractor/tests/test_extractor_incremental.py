"""What an incremental run brings besides plain changes: merges and undeletes, and the count beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg

pytestmark = pytest.mark.integration
Make = Callable[..., Any]


def session(org: RunningOrg) -> OrgSession:
    return OrgSession(org.url, org.client_id, org.client_secret)


async def rows(one: Any, name: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A run of one object: what is said of it, and the rows of its pages by record."""
    events = await one.run(name)
    pages = [body for kind, body in events if kind == "page.staged"]
    found = [row for page in pages for row in pq.read_table(one.objects._root / page["path"]).to_pylist()]
    (said,) = [body for kind, body in events if kind == "object.extracted"]
    return said, {row["_record_id"]: row for row in found}


async def test_the_loser_of_a_merge_says_who_won(org: RunningOrg, harness: Make) -> None:
    with session(org) as api:
        winner, loser = api.insert("Account", [{"Name": "Winner"}, {"Name": "Loser"}])
        one = harness()
        await rows(one, "Account")
        api.merge("Account", winner, loser)
    _, changed = await rows(one, "Account")
    assert (changed[loser]["_op"], changed[loser]["_merged_into"]) == ("deleted", winner)
    assert changed[winner]["_op"] == "captured"


async def test_an_undeleted_record_comes_back(org: RunningOrg, harness: Make, thing: str) -> None:
    (record,) = org.define(thing, [], [{"Name": "x"}])
    one = harness()
    await rows(one, thing)
    with session(org) as api:
        api.delete([record])
        said, gone = await rows(one, thing)
        assert (gone[record]["_op"], said["count"]["records"]) == ("deleted", 0)
        api.undelete([record])
    said, back = await rows(one, thing)
    assert (back[record]["_op"], said["count"]["records"]) == ("captured", 1)
