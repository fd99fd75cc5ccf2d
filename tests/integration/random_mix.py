"""A backup in a storm: an org that changes and misbehaves while its runs are killed, all drawn from one seed.

The seed fixes what is drawn: edits, faults, kills and their order. When exactly each of them meets the run is left to
the machine, so that a seed which failed may have to be told more than once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from holdfast.launcher.demo.org_session import OrgSession
from holdfast.orgsim.testing import RunningOrg

BULK, REST, MERGED = "Thing__c", "Small__c", "Account"
OBJECTS = [BULK, REST, MERGED]
ROWS = {BULK: 2_600, REST: 700, MERGED: 300}
RESULTS, CURSOR, QUERY = r"/jobs/query/[^/]+/results", r"/query(All)?/0r8", r"/query(All)?/?\?q="
OURS = "(?i)holdfast"
# What may go wrong between Holdfast and the org. Each meets the product's own calls only.
FAULTS: list[dict[str, Any]] = [
    {"path": RESULTS, "effect": {"status": 503}},
    {"path": CURSOR, "effect": {"status": 503}},
    {"path": QUERY, "effect": {"html": True}},
    {"path": RESULTS, "effect": {"html": True, "status": 200}},
    {"path": RESULTS, "effect": {"close_after": 9_000}},
    {"path": CURSOR, "effect": {"close_after": 4_000}},
    {"path": RESULTS, "effect": {"truncate": 15_000}},
    {"path": "/services/data/", "effect": {"reset": True}},
    {"path": RESULTS, "effect": {"expire_sessions": True}},
    {"path": CURSOR, "effect": {"expire_cursors": True}},
    {"method": "GET", "path": r"/jobs/query/[^/?]+$", "effect": {"job": "Failed"}},
    {"path": r"/composite/?$", "effect": {"status": 503}},
    {"path": r"/describe", "effect": {"status": 503}},
    {"path": RESULTS, "effect": {"latency_s": 0.5}},
    {"path": QUERY, "effect": {"latency_s": 0.5}},
]
LATE_S = (30, 120, 550)


@dataclass(frozen=True)
class Round:
    """One run: what the org suffers, and when (seconds after the request) the services are killed."""

    seed: int
    edits: int
    faults: tuple[dict[str, Any], ...]
    kills: tuple[float, ...]
    full: bool
    late_s: int | None
    aged_s: int


def rounds(seed: int) -> list[Round]:
    """What a seed stands for."""
    rng = random.Random(seed)
    return [_round(rng) for _ in range(rng.randint(2, 4))]


def _round(rng: random.Random) -> Round:
    chosen = rng.sample(FAULTS, rng.randint(0, 4))
    faults = tuple({**fault, "client": OURS, "skip": rng.randint(0, 4), "count": rng.randint(1, 2)} for fault in chosen)
    return Round(
        seed=rng.randrange(2**32),
        edits=rng.randint(3, 25),
        faults=faults,
        kills=tuple(sorted(rng.uniform(0.05, 2.5) for _ in range(rng.choice((0, 0, 1, 2))))),
        full=rng.random() < 0.2,
        late_s=rng.choice((None, *LATE_S)),
        aged_s=rng.choice((0, 60, 1_000, 90_000)),
    )


def populate(org: RunningOrg) -> None:
    """Give a fresh org its records."""
    fields = [{"name": "Note__c", "type": "string"}, {"name": "Amount__c", "type": "currency"}]
    for name in (BULK, REST):
        rows = [{"Name": f"{n}", "Note__c": f"00{n}", "Amount__c": n} for n in range(ROWS[name])]
        org.define(name, fields, rows)
    with OrgSession(org.url, org.client_id, org.client_secret) as session:
        session.insert(MERGED, [{"Name": f"account {n}", "Fax": f"0{n}"} for n in range(ROWS[MERGED])])


@dataclass
class Editor:
    """Changes the org as its users would: in small steps, some of them undone later.

    Attributes:
        done: Kinds of edits made, in order, for the report of a failure.
    """

    org: RunningOrg
    rng: random.Random
    done: list[str] = field(default_factory=list)

    def edit(self, times: int) -> None:
        """Make some edits; one that the org refuses (a record that an edit before it took away) is left out."""
        with OrgSession(self.org.url, self.org.client_id, self.org.client_secret) as session:
            for _ in range(times):
                kind = self.rng.choices(list(_EDITS), weights=[5, 4, 3, 2, 1, 1, 2])[0]
                try:
                    _EDITS[kind](self, session, self.rng.choice(OBJECTS))
                    self.done.append(kind)
                except (RuntimeError, httpx.HTTPStatusError):
                    self.done.append(f"{kind} refused")
                time.sleep(self.rng.uniform(0, 0.05))

    def _some(self, session: OrgSession, name: str, most: int) -> list[str]:
        # By name, not by id: an org hands out other ids each time.
        rows = sorted(session.query(f"SELECT Id, Name FROM {name}"), key=lambda row: str(row["Name"]))
        return [row["Id"] for row in self.rng.sample(rows, min(len(rows), self.rng.randint(1, most)))]

    def _text(self) -> str:
        return self.rng.choice(["NA", "null", "", "00123", "1e3", 'say "x", y', "line\nbreak", "ünï", "=1+1"])

    def _update(self, session: OrgSession, name: str) -> None:
        column = "Fax" if name == MERGED else "Note__c"
        session.update(name, [{"id": each, column: self._text()} for each in self._some(session, name, 40)])

    def _insert(self, session: OrgSession, name: str) -> None:
        session.insert(name, [{"Name": f"new {self.rng.random()}"} for _ in range(self.rng.randint(1, 30))])

    def _delete(self, session: OrgSession, name: str) -> None:
        session.delete(self._some(session, name, 15))

    def _undelete(self, session: OrgSession, name: str) -> None:
        binned = sorted(row["Id"] for row in self.org.state(name).values() if row["IsDeleted"] == "true")
        if binned:
            session.undelete(self.rng.sample(binned, min(len(binned), 5)))

    def _merge(self, session: OrgSession, name: str) -> None:
        pair = self._some(session, MERGED, 2)
        if len(pair) == 2:
            session.merge(MERGED, pair[0], pair[1])

    def _destroy(self, session: OrgSession, name: str) -> None:
        chosen = self._some(session, name, 5)
        session.delete(chosen)
        session.empty_recycle_bin(chosen)

    def _create_and_delete(self, session: OrgSession, name: str) -> None:
        session.delete(session.insert(name, [{"Name": "short-lived"}]))


_EDITS = {
    "update": Editor._update,
    "insert": Editor._insert,
    "delete": Editor._delete,
    "undelete": Editor._undelete,
    "merge": Editor._merge,
    "create and delete": Editor._create_and_delete,
    "destroy": Editor._destroy,
}


class Meanwhile:
    """Edits in a thread of their own while a block runs; what went wrong in it is raised at the block's end."""

    def __init__(self, editor: Editor, times: int) -> None:
        self._editor, self._times = editor, times
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="editor")

    def _run(self) -> None:
        try:
            self._editor.edit(self._times)
        except BaseException as error:
            self._errors.append(error)

    def __enter__(self) -> Meanwhile:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=60)
        assert not self._thread.is_alive(), "the edits did not end"
        if self._errors:
            raise self._errors[0]


def scripted(org: RunningOrg, faults: Sequence[dict[str, Any]], late_s: int | None) -> None:
    """Set the round's faults, and a transaction that commits late."""
    late = (
        []
        if late_s is None
        else [{"method": "PATCH", "path": "composite/sobjects", "effect": {"commit_late_s": late_s}}]
    )
    if faults or late:
        org.faults(*faults, *late)
