"""The faults in force. A fault is JSON; `docs/faults.md` lists its keys and effects.

`{"method": "GET", "path": "<regex>", "skip": 0, "count": 1, "rate": 1.0, "effect": {…}}`: the first fault that a
request meets strikes it, so often, for that share of matches, within its span of the org's time.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import orjson

from holdfast.orgsim.accounting import client_name
from holdfast.orgsim.api.web import Call, Reply, json_reply
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.faults import org_effects, rows, transport
from holdfast.orgsim.faults.concurrency import LIMIT, LONG_S, Crowd
from holdfast.orgsim.faults.effects import ScriptError
from holdfast.orgsim.faults.fault import ANY_PATH, Fault, read_fault
from holdfast.orgsim.faults.scenarios import scenario, scenarios
from holdfast.orgsim.faults.wording import CONCURRENT, error_of, worded
from holdfast.orgsim.org import Org
from holdfast.orgsim.rules.batch import Batch


class Faults:
    """The faults of one org, in the order in which they were set."""

    def __init__(self, seed: int = 1) -> None:
        self.active: list[Fault] = []
        self.crowd = Crowd()
        self._chance = random.Random(seed)  # noqa: S311 - reproducible trouble, no secret

    def attach(self, org: Org) -> None:
        """Let faults on saves reach the rows of `org`."""
        org.row_troubles.append(self._strike_rows)

    def script(self, given: Any, org: Org) -> None:
        """Set one fault, a list of them, or `{"seed", "scenario", "faults": […]}`. All of it or, on an error, nothing.

        Raises:
            ApiError: 400 BAD_FAULT, naming the key.
        """
        definitions, seed = given if isinstance(given, list) else [given], None
        if isinstance(given, dict) and ("faults" in given or "scenario" in given):
            definitions, seed = _of_script(given)
        made = []
        for number, definition in enumerate(definitions):
            try:
                made.append(_read(definition, org))
            except ScriptError as error:
                where = f"faults[{number}]." if len(definitions) > 1 else ""
                raise ApiError(400, "BAD_FAULT", f"{where}{error}") from error
        if seed is not None:
            self._chance.seed(seed)
        self.active += made

    def take(self, call: Call) -> Fault | None:
        """The fault that strikes this request, if any; all that fit count it as a match."""
        struck = None
        for fault in self.active:
            if fault.on_saves or fault.on_crowds or not fault.fits(call):
                continue
            if fault.strikes(call.org.clock.now(), self._chance, free=struck is None):
                struck = fault
        return struck

    def of_part(self, call: Call) -> Reply | None:
        """The answer that stands in for a part of a composite request. Faults that name no path leave parts alone."""
        for fault in self.active:
            whole = fault.on_saves or fault.on_crowds or fault.path == ANY_PATH
            if whole or not {"error", "status"} & fault.effect.keys() or not fault.fits(call):
                continue
            if fault.strikes(call.org.clock.now(), self._chance):
                if "error" in fault.effect:
                    return worded(call, error_of(fault.effect["error"]))
                return transport.replacement(fault.effect)
        return None

    async def before(self, fault: Fault, call: Call, send: Any) -> bool:
        """What happens before the request is handled. True if it is then answered already."""
        effect = fault.effect
        if "latency_s" in effect:
            await asyncio.sleep(float(effect["latency_s"]))
        org_effects.act(effect, call.org)
        if "job" in effect and not org_effects.spoils_job(effect, call):
            org_effects.spoil_job(effect["job"], call)
        if effect.get("reset"):
            transport.abort(send)
            return True
        reply = worded(call, error_of(effect["error"])) if "error" in effect else transport.replacement(effect)
        if reply is not None:
            heard = call.org.accounting.heard
            name, now = client_name(call.headers), call.org.clock.now()
            heard(name, f"{call.method} {call.path}", reply.status, len(reply.body), now)
            await transport.send_all(send, reply, reply.body, len(reply.body))
        return reply is not None

    def crowded(self, call: Call) -> Reply | None:
        """The refusal of a request because too many others have been running for long."""
        now = call.org.clock.now()
        for fault in self.active:
            if fault.on_crowds and fault.fits(call):
                given = fault.effect["concurrent_requests"]
                long = self.crowd.long(now, given.get("longer_than_s", LONG_S))
                if long >= given.get("limit", LIMIT) and fault.strikes(now, self._chance):
                    return worded(call, CONCURRENT)
        return None

    def during(self, fault: Fault | None, org: Org) -> AbstractContextManager[None]:
        """What holds while the request is handled: its saves may commit late."""
        if fault is None or "commit_late_s" not in fault.effect:
            return nullcontext()
        return org.transactions.delayed(timedelta(seconds=fault.effect["commit_late_s"]))

    async def answer(self, fault: Fault, call: Call, reply: Reply, send: Any) -> None:
        """Send the real answer the way the fault wants it."""
        if org_effects.spoils_job(fault.effect, call):
            org_effects.spoil_job(fault.effect["job"], call)
        await transport.deliver(fault.effect, reply, send)

    def _strike_rows(self, batch: Batch) -> None:
        for fault in self.active:
            if fault.on_saves:
                rows.strike(fault, batch, self._chance)

    def admin(self, call: Call) -> Reply:
        """`/_org/faults`: GET lists, POST adds, DELETE clears all or the one of `?index=`. `?scenarios` lists those."""
        try:
            if call.method == "POST":
                self.script(_json(call), call.org)
            elif call.method == "DELETE":
                self._clear(call)
            elif "scenarios" in call.query:
                return json_reply(scenarios())
        except ApiError as error:
            return json_reply(error.body(), error.status)
        return json_reply([asdict(fault) for fault in self.active])

    def clear(self, org: Org) -> None:
        """Take all faults away, and what they keep up."""
        self.active.clear()
        org.accounting.requests.exhaust(None)

    def _clear(self, call: Call) -> None:
        if "index" not in call.query:
            self.clear(call.org)
            return
        index = call.query["index"]
        if not index.isdigit() or int(index) >= len(self.active):
            raise ApiError(404, "NOT_FOUND", f"there is no fault {index}")
        del self.active[int(index)]


def _read(definition: Any, org: Org) -> Fault:
    fault = read_fault(definition, org.clock.now())
    name = fault.effect.get("describe", {}).get("object")
    if name is not None and org.schema.find(name) is None:
        raise ScriptError(f"effect.describe.object: there is no object {name}")
    return fault


def _json(call: Call) -> Any:
    try:
        return orjson.loads(call.body)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "BAD_FAULT", f"the script is no JSON: {error}") from error


def _of_script(given: dict[str, Any]) -> tuple[list[Any], int | None]:
    for key in given:
        if key not in ("seed", "scenario", "faults", "comment"):
            raise ApiError(400, "BAD_FAULT", f"{key} is unknown; a script has seed, scenario, faults, comment")
    faults = given.get("faults", [])
    if not isinstance(faults, list):
        raise ApiError(400, "BAD_FAULT", "faults must be a list")
    seed = given.get("seed")
    if seed is not None and not isinstance(seed, int):
        raise ApiError(400, "BAD_FAULT", "seed must be a whole number")
    if "scenario" not in given:
        return faults, seed
    named, own_seed = _of_script(scenario(str(given["scenario"])))
    return named + faults, seed if seed is not None else own_seed
