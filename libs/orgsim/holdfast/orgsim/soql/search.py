"""Text search over records: SOSL's FIND, and the same asked with parameters.

Words match whole words of a field whatever their case; `*` and `?` stand for letters, quotes keep words together,
OR, AND and AND NOT combine them. Records come object by object, as each object's own clauses order them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.sharing import seen
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.evaluate import run
from holdfast.orgsim.soql.parse import parse
from holdfast.orgsim.soql.restrictions import queried
from holdfast.orgsim.soql.result import Result

MAX_ROWS = 2_000
SCOPES = {
    "ALL": frozenset({"string", "textarea", "email", "phone", "url", "combobox"}),
    "NAME": frozenset({"string"}),
    "EMAIL": frozenset({"email"}),
    "PHONE": frozenset({"phone"}),
    "SIDEBAR": frozenset({"string", "email", "phone"}),
}
_FIND = re.compile(
    r"\s*FIND\s*(?:\{(?P<braced>(?:[^{}\\]|\\.)*)\}|'(?P<quoted>(?:[^'\\]|\\.)*)')"
    r"(?:\s+IN\s+(?P<scope>\w+)\s+FIELDS)?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_TAIL = re.compile(
    r"(?:\s*WITH\s+\w+(?:\s*=\s*'?\w+'?)?)*(?:\s*LIMIT\s+(?P<limit>\d+))?(?:\s*UPDATE\s+.*)?\s*", re.IGNORECASE
)
_WORDS = re.compile(r'"[^"]*"|\S+')


@dataclass(frozen=True)
class Target:
    """An object to search, the fields wanted, and its further clauses as SOQL."""

    object: str
    fields: str = "Id"
    clauses: str = ""


@dataclass(frozen=True)
class Search:
    """What is looked for, in which kind of fields, of which objects; without targets all are searched."""

    text: str
    scope: str = "ALL"
    targets: Sequence[Target] = ()
    limit: int = MAX_ROWS


def read_sosl(text: str) -> Search:
    """A SOSL statement.

    Raises:
        ApiError: 400 MALFORMED_SEARCH.
    """
    found = _FIND.fullmatch(text)
    if found is None:
        raise _malformed("No search term found. The search term must be enclosed in braces.")
    wanted = re.sub(r"\\(.)", r"\1", found["braced"] if found["braced"] is not None else found["quoted"])
    scope = (found["scope"] or "ALL").upper()
    if scope not in SCOPES:
        raise _malformed(f"unexpected token: {found['scope']}")
    targets, rest = _returning(found["rest"])
    tail = _TAIL.fullmatch(rest)
    if tail is None:
        raise _malformed(f"unexpected token: {rest.strip()}")
    return Search(wanted, scope, targets, min(int(tail["limit"] or MAX_ROWS), MAX_ROWS))


def find(org: Org, search: Search, user: User, version: str) -> Iterator[Result]:
    """The records that a search finds, one result per object, at most `search.limit` rows in all.

    Raises:
        ApiError: 400.
    """
    words = _WORDS.findall(search.text)
    if len(search.text.strip().strip('*?"')) < 2:
        raise _malformed(f"search term must be longer than one character: {search.text}")
    left = search.limit
    for target in search.targets or _everything(org, user):
        query = parse(f"SELECT {target.fields} FROM {target.object} {target.clauses}")  # noqa: S608 - SOQL, parsed here
        obj = queried(org, user, query)
        ids = _matching(org, obj, user, search.scope, words)
        named = ast.Membership(ast.Path(("Id",)), "in", tuple(ast.Literal("string", i) for i in ids))
        where = named if query.where is None else ast.Junction("and", (named, query.where))
        limit = left if query.limit is None else min(left, query.limit)
        result = run(org, replace(query, where=where, limit=limit), user, version=version)
        left -= result.height
        if result.height:
            yield result


def _everything(org: Org, user: User) -> list[Target]:
    objects = [org.schema.objects[name] for name in sorted(org.tables)]
    return [Target(o.name) for o in objects if o.describe["searchable"] and user.reads(o.name) and len(org.table(o))]


def _matching(org: Org, obj: SObject, user: User, scope: str, words: Sequence[str]) -> list[str]:
    kinds = SCOPES[scope]
    names = [
        name
        for name, field in obj.fields.items()
        if field["type"] in kinds and user.reads_field(obj.name, name) and (scope != "NAME" or _is_name(name, field))
    ]
    if not names:
        return []
    table = seen(org, obj, user)
    text = pl.concat_str([pl.col(n).fill_null("") for n in names if n in table.columns], separator="\n")
    found = table.scan().filter(_matches(text, words)).select("Id").head(MAX_ROWS).collect()
    return list(found["Id"])


def _is_name(name: str, field: dict[str, object]) -> bool:
    return bool(field["nameField"]) or name in ("FirstName", "LastName")


def _matches(text: pl.Expr, words: Sequence[str]) -> pl.Expr:
    """Alternatives between ORs; within each all words must match, and those after NOT must not."""
    alternatives: list[list[pl.Expr]] = [[]]
    negated = False
    for word in words:
        if word.upper() == "OR":
            alternatives.append([])
        elif word.upper() == "NOT":
            negated = True
        elif word.upper() != "AND":
            hit = text.str.contains(_pattern(word))
            alternatives[-1].append(~hit if negated else hit)
            negated = False
    parts = [reduce(lambda a, b: a & b, some) for some in alternatives if some]
    return reduce(lambda a, b: a | b, parts) if parts else pl.lit(False)


def _pattern(word: str) -> str:
    letters = {"*": r"\w*", "?": r"\w", " ": r"\s+"}
    body = "".join(letters.get(c) or (c if c.isalnum() else f"\\x{{{ord(c):x}}}") for c in word.strip('"'))
    return rf"(?i)(?:^|\W){body}(?:\W|$)"


def _returning(rest: str) -> tuple[list[Target], str]:
    start = re.match(r"\s*RETURNING\s+", rest, re.IGNORECASE)
    if start is None:
        return [], rest
    targets, at = [], start.end()
    while (name := re.compile(r"\s*(\w+)\s*").match(rest, at)) is not None:
        at, inside = name.end(), ""
        if rest[at : at + 1] == "(":
            end = _closing(rest, at)
            inside, at = rest[at + 1 : end], end + 1
        targets.append(_target(name[1], inside))
        comma = re.compile(r"\s*,").match(rest, at)
        if comma is None:
            break
        at = comma.end()
    return targets, rest[at:]


def _closing(text: str, start: int) -> int:
    depth = 0
    for found in re.compile(r"'(?:[^'\\]|\\.)*'|[()]", re.DOTALL).finditer(text, start):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    raise _malformed("unexpected token: <EOF>")


def _target(name: str, inside: str) -> Target:
    clauses = re.search(r"\b(USING|WHERE|ORDER\s+BY|LIMIT|OFFSET)\b", inside, re.IGNORECASE)
    fields = inside if clauses is None else inside[: clauses.start()]
    return Target(name, fields.strip() or "Id", "" if clauses is None else inside[clauses.start() :])


def _malformed(message: str) -> ApiError:
    return ApiError(400, "MALFORMED_SEARCH", message)
