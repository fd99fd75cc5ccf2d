"""`/composite/graph`: sets of linked requests on records, each set saved whole or not at all."""

from __future__ import annotations

import re
from typing import Any

from holdfast.orgsim.api.rest.composite import run_together
from holdfast.orgsim.api.rest.subrequests import Part, named, parts_of, rolled_back
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError, not_found

router = Router(DATA + "/composite/graph")
FIRST_VERSION = 50.0
MOST_GRAPHS = 75
MOST_NODES = 500
MOST_KINDS = 15
MOST_DEPTH = 15
MOST_FAILURES = 14
_ROW = re.compile(r"/services/data/(v\d\d\.0)/sobjects/(\w+)(?:/([^/?]+)(?:/([^/?]+))?)?/?(?:\?.*)?")


@router.add("POST", "")
async def graphs(call: Call) -> Reply:
    """Run each graph; after too many failures the rest is not run."""
    if float(call.version) < FIRST_VERSION:
        raise not_found()
    body = call.json_object().get("graphs")
    if not isinstance(body, list) or not body:
        raise _invalid("graphs must be a list of graphs")
    if len(body) > MOST_GRAPHS:
        raise _limit(f"A request can hold at most {MOST_GRAPHS} graphs")
    plans = [(_name(graph), _checked(graph)) for graph in body]
    _check_all(plans)
    answers: list[dict[str, Any]] = []
    failures = 0
    for name, parts in plans:
        if failures > MOST_FAILURES:
            succeeded, results = False, [rolled_back(part) for part in parts]
        else:
            succeeded, results = await run_together(call, _ordered(parts))
            failures += not succeeded
        response = {"compositeResponse": _in_order_of(parts, results)}
        answers.append({"graphId": name, "graphResponse": response, "isSuccessful": succeeded})
    return json_reply({"graphs": answers})


def _name(graph: Any) -> str:
    name = graph.get("graphId") if isinstance(graph, dict) else None
    if not isinstance(name, str) or re.fullmatch(r"[A-Za-z0-9][^.]{0,39}", name) is None:
        raise _invalid("Each graph needs a graphId of at most 40 characters that begins with a letter or a number")
    return name


def _checked(graph: Any) -> list[Part]:
    parts = parts_of(graph, "compositeRequest", ("method", "url", "referenceId"), MOST_NODES)
    for part in parts:
        match = _ROW.fullmatch(part["url"])
        allowed = match is not None and part["method"].upper() in _methods(match)
        if not allowed:
            raise _invalid(f"{part['method']} {part['url']} is not supported in a graph")
    return parts


def _methods(match: re.Match[str]) -> tuple[str, ...]:
    if match[3] is None:
        return ("POST",)
    return ("GET", "PATCH", "DELETE") if match[4] is None else ("GET", "PATCH", "DELETE", "POST")


def _check_all(plans: list[tuple[str, list[Part]]]) -> None:
    names = [name for name, _ in plans]
    parts = [part for _, found in plans for part in found]
    if len(set(names)) < len(names):
        raise _invalid("Each graphId must be unique in the request")
    if len(parts) > MOST_NODES:
        raise _limit(f"A request can hold at most {MOST_NODES} nodes")
    matches = [(part["method"].upper(), _ROW.fullmatch(part["url"])) for part in parts]
    if len({(method, m[1], m[2].lower()) for method, m in matches if m is not None}) > MOST_KINDS:
        raise _limit(f"A request can hold at most {MOST_KINDS} different nodes")
    for _, found in plans:
        if max(_depths(found).values()) > MOST_DEPTH:
            raise _limit(f"A graph can be at most {MOST_DEPTH} nodes deep")


def _depths(parts: list[Part]) -> dict[str, int]:
    """How many nodes lie on the longest chain that ends in each node; a circle has no end.

    Raises:
        ApiError: 400 for a circle.
    """
    needs = {part["referenceId"]: named(part) for part in parts}
    depths: dict[str, int] = {}
    while len(depths) < len(needs):
        ready = [n for n, refs in needs.items() if n not in depths and not (refs & needs.keys()) - depths.keys()]
        if not ready:
            raise _invalid("The references of a graph form a circle")
        for name in ready:
            depths[name] = 1 + max((depths[r] for r in needs[name] if r in depths), default=0)
    return depths


def _ordered(parts: list[Part]) -> list[Part]:
    """The nodes so that each comes after those it refers to."""
    depths = _depths(parts)
    return sorted(parts, key=lambda part: depths[part["referenceId"]])


def _in_order_of(parts: list[Part], results: list[Part]) -> list[Part]:
    by_name = {result["referenceId"]: result for result in results}
    return [by_name[part["referenceId"]] for part in parts]


def _invalid(message: str) -> ApiError:
    return ApiError(400, "INVALID_INPUT", message)


def _limit(message: str) -> ApiError:
    return ApiError(400, "LIMIT_EXCEEDED", message)
