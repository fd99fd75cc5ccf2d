"""From lark's tree to `ast`, bottom up. Clauses become (name, value) pairs that `query` collects."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from lark import Token, Transformer, v_args

from holdfast.orgsim.soql import ast

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
MAX_DIGITS = 9


def unescape(quoted: str) -> str:
    r"""The value of a quoted string. `\_` and `\%` keep their backslash: LIKE needs to see it."""
    return re.sub(
        r"\\(.)",
        lambda m: m.group(0) if m.group(1) in "_%" else _ESCAPES.get(m.group(1).lower(), m.group(1)),
        quoted[1:-1],
        flags=re.DOTALL,
    )


@dataclass(frozen=True)
class _Sets:
    """What stands in ROLLUP or CUBE."""

    kind: str
    operands: tuple[ast.Operand, ...]


class NotWholeError(ValueError):
    """A LIMIT or OFFSET that is no whole number; the token is its argument."""


def _whole(token: Token) -> int:
    if not token.isdigit() or len(token) > MAX_DIGITS:
        raise NotWholeError(token)
    return int(token)


def _at(token: object) -> int | None:
    return token.start_pos if isinstance(token, Token) else getattr(token, "at", None)


class Build(Transformer[Token, Any]):
    """One method per rule of the grammar; every query it makes carries the whole text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def query(self, children: list[Any]) -> ast.Query:
        items, source, *clauses = children
        values = dict(c for c in clauses if c[0] != "withs")
        values["withs"] = tuple(c[1] for c in clauses if c[0] == "withs")
        if "group_by" in values:
            values["grouping"], values["group_by"] = values["group_by"]
        made: ast.Query = replace(source, items=items, **values)
        return made

    def from_clause(self, children: list[Any]) -> ast.Query:
        path, *rest = children
        alias = next((c[1] for c in rest if c[0] == "alias"), None)
        aliases = tuple(c[1] for c in rest if c[0] == "joined")
        return ast.Query((), str(path), alias, aliases, at=path.at, text=self._text)

    def joined(self, children: list[Any]) -> tuple[str, tuple[str, ast.Path]]:
        return "joined", (children[1][1], children[0])

    def select_list(self, children: list[Any]) -> tuple[ast.Item, ...]:
        return tuple(children)

    def field_item(self, children: list[Any]) -> ast.FieldItem:
        return ast.FieldItem(children[0], children[1][1] if len(children) > 1 else None)

    def call_item(self, children: list[Any]) -> ast.CallItem:
        return ast.CallItem(children[0], children[1][1] if len(children) > 1 else None)

    def fields_item(self, children: list[Any]) -> ast.FieldsItem:
        return ast.FieldsItem(str(children[1]).upper())

    def subquery(self, children: list[Any]) -> ast.SubqueryItem:
        return ast.SubqueryItem(children[0])

    def typeof(self, children: list[Any]) -> ast.TypeofItem:
        cases = tuple(c[1] for c in children[2:] if c[0] == "when")
        otherwise = next((c[1] for c in children[2:] if c[0] == "else"), ())
        return ast.TypeofItem(str(children[1]), cases, otherwise, _at(children[0]))

    def when(self, children: list[Any]) -> tuple[str, Any]:
        return "when", (str(children[0]), children[1])

    def otherwise(self, children: list[Any]) -> tuple[str, Any]:
        return "else", children[0]

    def path(self, children: list[Token]) -> ast.Path:
        return ast.Path((str(c) for c in children), _at(children[0]))

    def path_list(self, children: list[Any]) -> tuple[ast.Path, ...]:
        return tuple(children)

    def call(self, children: list[Any]) -> ast.Call:
        return ast.Call(str(children[0]).lower(), tuple(children[1:]), _at(children[0]))

    def alias(self, children: list[Token]) -> tuple[str, str]:
        return "alias", str(children[0])

    def scope(self, children: list[Token]) -> tuple[str, str]:
        return "scope", str(children[0])

    def with_(self, children: list[Any]) -> tuple[str, str]:
        return "withs", str(children[0]).upper()

    def category(self, _children: list[Any]) -> str:
        return "DATA CATEGORY"

    def with_value(self, _children: list[Any]) -> None:
        return None

    def where(self, children: list[Any]) -> tuple[str, ast.Condition]:
        return "where", children[0]

    def having(self, children: list[Any]) -> tuple[str, ast.Condition]:
        return "having", children[0]

    def group(self, children: list[Any]) -> tuple[str, tuple[str, tuple[ast.Operand, ...]]]:
        sets = children[0]
        return "group_by", (sets.kind, sets.operands) if isinstance(sets, _Sets) else ("plain", tuple(children))

    def rollup(self, children: list[Any]) -> _Sets:
        return _Sets("rollup", tuple(children))

    def cube(self, children: list[Any]) -> _Sets:
        return _Sets("cube", tuple(children))

    def order(self, children: list[Any]) -> tuple[str, tuple[ast.Ordering, ...]]:
        return "order_by", tuple(children)

    def order_item(self, children: list[Any]) -> ast.Ordering:
        words = [str(c).lower() for c in children[1:]]
        return ast.Ordering(children[0], "desc" in words, "last" in words)

    def limit(self, children: list[Token]) -> tuple[str, int]:
        return "limit", _whole(children[0])

    def offset(self, children: list[Token]) -> tuple[str, int]:
        return "offset", _whole(children[0])

    def trailer(self, children: list[Token]) -> tuple[str, bool]:
        return "all_rows", children[0].type == "ALL"

    def conjunction(self, children: list[Any]) -> ast.Junction:
        return ast.Junction("and", tuple(children))

    def disjunction(self, children: list[Any]) -> ast.Junction:
        return ast.Junction("or", tuple(children))

    def negation(self, children: list[Any]) -> ast.Negation:
        return ast.Negation(children[0])

    @v_args(inline=True)
    def comparison(self, operand: ast.Operand, operator: Token, literal: ast.Literal) -> ast.Comparison:
        text = str(operator).lower()
        return ast.Comparison(operand, "!=" if text == "<>" else text, literal)

    def membership(self, children: list[Any]) -> ast.Membership:
        operand, operator, *values = children
        name = " ".join(str(operator).lower().split())
        if values and isinstance(values[0], ast.Query):
            return ast.Membership(operand, name, (), values[0])
        return ast.Membership(operand, name, tuple(values))

    @v_args(inline=True)
    def literal(self, token: Token) -> ast.Literal:
        kind = token.type.lower()
        return ast.Literal(kind, unescape(token) if kind == "string" else str(token), _at(token))

    literal_argument = literal


setattr(Build, "with", Build.with_)  # the rule's name is a Python keyword
