"""From query text to `ast.Query`, with the platform's errors."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.soql import ast

MAX_CHARACTERS = 100_000
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def unescape(quoted: str) -> str:
    r"""The value of a quoted string. `\_` and `\%` keep their backslash: LIKE needs to see it."""
    return re.sub(
        r"\\(.)",
        lambda m: m.group(0) if m.group(1) in "_%" else _ESCAPES.get(m.group(1), m.group(1)),
        quoted[1:-1],
        flags=re.DOTALL,
    )


class _Build(Transformer[Token, Any]):
    """Bottom-up from lark's tree to `ast`. Clauses become (name, value) pairs that `query` collects."""

    def query(self, children: list[Any]) -> ast.Query:
        items, name, *clauses = children
        return ast.Query(items=items, object=str(name), **dict(clauses))

    def select_list(self, children: list[Any]) -> tuple[ast.Item, ...]:
        return tuple(children)

    def field_item(self, children: list[Any]) -> ast.FieldItem:
        return ast.FieldItem(children[0], children[1][1] if len(children) > 1 else None)

    def call_item(self, children: list[Any]) -> ast.CallItem:
        alias = next((c[1] for c in children[1:] if isinstance(c, tuple) and c[:1] == ("alias",)), None)
        path = next((c for c in children[1:] if isinstance(c, _PathValue)), None)
        return ast.CallItem(str(children[0]).lower(), path, alias)

    def fields_item(self, children: list[Any]) -> ast.FieldsItem:
        return ast.FieldsItem(str(children[0]).upper())

    def subquery(self, children: list[Any]) -> ast.SubqueryItem:
        return ast.SubqueryItem(children[0])

    def typeof(self, children: list[Any]) -> ast.TypeofItem:
        cases = tuple(c[1] for c in children[1:] if c[0] == "when")
        otherwise = next((c[1] for c in children[1:] if c[0] == "else"), ())
        return ast.TypeofItem(str(children[0]), cases, otherwise)

    def when(self, children: list[Any]) -> tuple[str, Any]:
        return "when", (str(children[0]), children[1])

    def otherwise(self, children: list[Any]) -> tuple[str, Any]:
        return "else", children[0]

    def path(self, children: list[Token]) -> ast.Path:
        return _PathValue(str(c) for c in children)

    def path_list(self, children: list[Any]) -> tuple[ast.Path, ...]:
        return tuple(children)

    def alias(self, children: list[Token]) -> tuple[str, str]:
        return "alias", str(children[0])

    def scope(self, children: list[Token]) -> tuple[str, str]:
        return "scope", str(children[0])

    def with_(self, _children: list[Any]) -> tuple[str, bool]:
        return "all_rows", False

    def where(self, children: list[Any]) -> tuple[str, ast.Condition]:
        return "where", children[0]

    def having(self, children: list[Any]) -> tuple[str, ast.Condition]:
        return "having", children[0]

    def group(self, children: list[Any]) -> tuple[str, tuple[ast.Path, ...]]:
        return "group_by", children[0]

    def order(self, children: list[Any]) -> tuple[str, tuple[ast.Ordering, ...]]:
        return "order_by", tuple(children)

    def order_item(self, children: list[Any]) -> ast.Ordering:
        words = [str(c).lower() for c in children[1:]]
        return ast.Ordering(children[0], "desc" in words, "last" in words)

    def limit(self, children: list[Token]) -> tuple[str, int]:
        return "limit", int(children[0])

    def offset(self, children: list[Token]) -> tuple[str, int]:
        return "offset", int(children[0])

    def trailer(self, children: list[Any]) -> tuple[str, bool]:
        return "all_rows", not children

    def conjunction(self, children: list[Any]) -> ast.Junction:
        return ast.Junction("and", tuple(children))

    def disjunction(self, children: list[Any]) -> ast.Junction:
        return ast.Junction("or", tuple(children))

    def negation(self, children: list[Any]) -> ast.Negation:
        return ast.Negation(children[0])

    def operand(self, children: list[Any]) -> ast.Operand:
        function = next((str(c).lower() for c in children if isinstance(c, Token)), None)
        path = next((c for c in children if isinstance(c, _PathValue)), ())
        return ast.Operand(tuple(path), function)

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
        kind = "word" if token.type == "DATE_WORD" else token.type.lower()
        return ast.Literal(kind, unescape(token) if kind == "string" else str(token))


class _PathValue(tuple[str, ...]):
    """A dotted name; its own type so that the builder tells it from clause pairs."""

    __slots__ = ()


setattr(_Build, "with", _Build.with_)  # the rule's name is a Python keyword

_PARSER = Lark(
    (resources.files("holdfast.orgsim.soql") / "grammar.lark").read_text(),
    parser="lalr",
    lexer="contextual",
    maybe_placeholders=False,
)


@lru_cache(maxsize=512)
def parse(text: str) -> ast.Query:
    """Parse one query.

    Raises:
        ApiError: 400 MALFORMED_QUERY, in the platform's words.
    """
    if len(text) > MAX_CHARACTERS:
        raise ApiError(400, "MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters.")
    if not text.strip():
        raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
    try:
        query = _Build().transform(_PARSER.parse(text)).children[0]
    except UnexpectedInput as error:
        raise _malformed(text, error) from error
    assert isinstance(query, ast.Query)
    return query


def _malformed(text: str, error: UnexpectedInput) -> ApiError:
    if isinstance(error, UnexpectedEOF) or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        return ApiError(400, "MALFORMED_QUERY", "unexpected token: '<EOF>'")
    word = _word_at(text, error)
    start = max(0, (error.pos_in_stream or 0) - 20)
    shown = " ".join(text[start : start + 60].split("\n"))
    caret = " " * min(20, error.pos_in_stream or 0) + "^"
    return ApiError(
        400,
        "MALFORMED_QUERY",
        f"\n{shown}\n{caret}\nERROR at Row:{error.line}:Column:{error.column}\nunexpected token: '{word}'",
    )


def _word_at(text: str, error: UnexpectedInput) -> str:
    if isinstance(error, UnexpectedToken):
        return str(error.token)
    assert isinstance(error, UnexpectedCharacters)
    found = re.match(r"\w+|.", text[error.pos_in_stream or 0 :], re.DOTALL)
    return found.group(0) if found else ""
