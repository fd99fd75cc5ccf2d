"""Formula text to a tree: constants, references to fields, and calls (operators are calls too)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError


class FormulaError(ValueError):
    """A formula that is outside the subset, or wrong."""


@dataclass(frozen=True)
class Constant:
    """A number, a text, true, false or null."""

    value: float | str | bool | None


@dataclass(frozen=True)
class Reference:
    """A field of the record itself or, with several steps, of a parent."""

    path: tuple[str, ...]


@dataclass(frozen=True)
class Application:
    """A function or operator with its operands; function names are upper case."""

    name: str
    operands: tuple[Node, ...]


Node = Constant | Reference | Application
_WORDS = {"true": True, "false": False, "null": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse(text: str) -> Node:
    """The tree of a formula.

    Raises:
        FormulaError: it is not one that is understood.
    """
    try:
        tree = _parser().parse(text)
    except LarkError as error:
        raise FormulaError(f"not understood: {str(error).splitlines()[0]}") from error
    node: Node = _Builder().transform(tree)
    return node


@cache
def _parser() -> Lark:
    grammar = (resources.files("holdfast.orgsim.schema.formulas") / "grammar.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", maybe_placeholders=False)


class _Builder(Transformer[Token, Any]):
    def number(self, items: list[Token]) -> Node:
        return Constant(float(items[0]))

    def text(self, items: list[Token]) -> Node:
        return Constant(re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), items[0][1:-1]))

    def call(self, items: list[Any]) -> Node:
        return Application(str(items[0]).upper(), tuple(items[1:]))

    def reference(self, items: list[Token]) -> Node:
        path = tuple(str(item) for item in items)
        if len(path) == 1 and path[0].lower() in _WORDS:
            return Constant(_WORDS[path[0].lower()])
        return Reference(path)

    def any_of(self, items: list[Node]) -> Node:
        return Application("OR", tuple(items))

    def all_of(self, items: list[Node]) -> Node:
        return Application("AND", tuple(items))

    def concatenated(self, items: list[Node]) -> Node:
        return Application("&", tuple(items))

    def compared(self, items: list[Any]) -> Node:
        left, operator, right = items
        name = {"==": "=", "!=": "<>"}.get(str(operator), str(operator))
        return Application(name, (left, right))

    def chained(self, items: list[Any]) -> Node:
        node: Node = items[0]
        for operator, operand in zip(items[1::2], items[2::2], strict=True):
            node = Application(str(operator), (node, operand))
        return node

    def raised(self, items: list[Node]) -> Node:
        node = items[0]
        for operand in items[1:]:
            node = Application("^", (node, operand))
        return node

    def negated(self, items: list[Node]) -> Node:
        return Application("-", (Constant(0.0), items[0]))

    def denied(self, items: list[Node]) -> Node:
        return Application("NOT", (items[0],))
