"""One scripted fault: which requests or saves it meets, and when."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from holdfast.orgsim.accounting import client_name
from holdfast.orgsim.api.web import Call
from holdfast.orgsim.faults.effects import ON_SAVES, ScriptError, check_effect, moment, seconds

ANY_PATH = ".*"


@dataclass
class Fault:
    """A fault and how often it has met something.

    Attributes:
        effect: What happens; see `effects.EFFECTS`.
        name: What the script calls it.
        method: HTTP method; None for every one.
        path: Regular expression, searched in path and query string.
        client: Regular expression, searched in the client's name.
        skip: So many matches pass before it strikes.
        count: It strikes so often; None for ever.
        rate: The share of matches that it strikes.
        since: From when on, on the org's clock; ISO text.
        until: Until when; ISO text.
        met: Matches so far.
        applied: Strikes so far.
    """

    effect: dict[str, Any]
    name: str = ""
    method: str | None = None
    path: str = ANY_PATH
    client: str = ".*"
    skip: int = 0
    count: int | None = 1
    rate: float = 1.0
    since: str | None = None
    until: str | None = None
    met: int = 0
    applied: int = 0

    @property
    def on_saves(self) -> bool:
        """Whether it concerns rows that are saved, not requests."""
        return bool(ON_SAVES & self.effect.keys())

    @property
    def on_crowds(self) -> bool:
        """Whether it concerns requests that run at once, and is asked besides the others."""
        return "concurrent_requests" in self.effect

    def fits(self, call: Call) -> bool:
        """Whether it is about requests like this one."""
        if self.method is not None and self.method != call.method:
            return False
        target = call.path + ("?" + call.query_string if call.query_string else "")
        return (
            re.search(self.path, target) is not None and re.search(self.client, client_name(call.headers)) is not None
        )

    def strikes(self, now: datetime, chance: random.Random, *, free: bool = True) -> bool:
        """Count a match; whether it is struck, and counted as such. Not `free`: something else struck it already."""
        if not self.in_force(now):
            return False
        self.met += 1
        if self.met <= self.skip or (self.count is not None and self.applied >= self.count):
            return False
        if not free or chance.random() >= self.rate:
            return False
        self.applied += 1
        return True

    def in_force(self, now: datetime) -> bool:
        """Whether its time has come and not passed."""
        begun = self.since is None or now >= datetime.fromisoformat(self.since)
        return begun and (self.until is None or now < datetime.fromisoformat(self.until))


_KEYS = frozenset(f.name for f in fields(Fault)) | {"for_s", "after_s"}


def read_fault(definition: Any, now: datetime) -> Fault:
    """A fault from JSON. `for_s` and `after_s` give its span from now on.

    Raises:
        ScriptError: naming the key that is wrong.
    """
    if not isinstance(definition, dict):
        raise ScriptError("a fault must be an object")
    for key in definition:
        if key not in _KEYS:
            raise ScriptError(f"{key} is unknown; known are {', '.join(sorted(_KEYS - {'met', 'applied'}))}")
    given = {k: v for k, v in definition.items() if k not in ("met", "applied")}
    check_effect(given.get("effect"))
    _check_span(given)
    for key, name in (("after_s", "since"), ("for_s", "until")):
        if key in given:
            begin = datetime.fromisoformat(given["since"]) if key == "for_s" and given.get("since") else now
            given[name] = (begin + timedelta(seconds=given.pop(key))).isoformat()
    if "count" not in given and ("read_only" in given["effect"] or "concurrent_requests" in given["effect"]):
        given["count"] = None
    return Fault(**given)


def _check_span(given: dict[str, Any]) -> None:
    for key, check in (("since", moment), ("until", moment), ("for_s", seconds), ("after_s", seconds)):
        wrong = check(given[key]) if given.get(key) is not None else None
        if wrong is not None:
            raise ScriptError(f"{key} {wrong}")
    for key in ("path", "client"):
        try:
            re.compile(given.get(key, ""))
        except (re.error, TypeError) as error:
            raise ScriptError(f"{key} is no regular expression: {error}") from error
    for key, least in (("skip", 0), ("count", 1)):
        value = given.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise ScriptError(f"{key} must be a whole number from {least}")
    rate = given.get("rate", 1.0)
    if not isinstance(rate, int | float) or not 0 < rate <= 1:
        raise ScriptError("rate must be a share above 0 and at most 1")
    if not isinstance(given.get("method", ""), str) or not isinstance(given.get("name", ""), str):
        raise ScriptError("method and name must be text")
