"""From query text to `ast.Query`, with the platform's errors."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources

from lark import Tree, UnexpectedInput
from lark.exceptions import UnexpectedEOF, UnexpectedToken, VisitError

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.build import Build, NotWholeError, unescape
from holdfast.orgsim.soql.compiled import parser_of
from holdfast.orgsim.soql.messages import malformed, unexpected_token

__all__ = ["MAX_CHARACTERS", "parse", "unescape"]

MAX_CHARACTERS = 100_000
MAX_DEPTH = 50  # parentheses inside each other; far beyond what the platform finds too complicated
_NESTING = re.compile(r"'(?:[^'\\]|\\.)*'|[()]|\b(?:not\s+)+", re.IGNORECASE | re.DOTALL)

_PARSER = parser_of((resources.files("holdfast.orgsim.soql") / "grammar.lark").read_text("utf-8"))


@lru_cache(maxsize=512)
def parse(text: str) -> ast.Query:
    """Parse one query.

    Raises:
        ApiError: 400 MALFORMED_QUERY or QUERY_TOO_COMPLICATED, in the platform's words.
    """
    if len(text) > MAX_CHARACTERS:
        raise malformed("SOQL statements cannot be longer than 100000 characters.")
    if not text.strip():
        raise malformed("SOQL statements cannot be empty or null")
    if _depth(text) > MAX_DEPTH:
        raise too_complicated()
    try:
        tree = _PARSER.parse(text)
        assert isinstance(tree, Tree)
        query = Build(text).transform(tree).children[0]
    except UnexpectedInput as error:
        raise _unexpected(text, error) from error
    except VisitError as error:
        if isinstance(error.orig_exc, NotWholeError):
            token = error.orig_exc.args[0]
            raise unexpected_token(text, token.start_pos, str(token)) from error
        raise
    assert isinstance(query, ast.Query)
    return query


def too_complicated() -> ApiError:
    """400 for a query that the platform would not plan."""
    message = "Query is either selecting too many fields or the filter conditions are too complicated."
    return ApiError(400, "QUERY_TOO_COMPLICATED", message)


def _depth(text: str) -> int:
    """How deep brackets lie inside each other; a run of NOTs counts as its length."""
    depth = deepest = 0
    for word in _NESTING.findall(text):
        if word == ")":
            depth -= 1
        elif word == "(":
            depth += 1
            deepest = max(deepest, depth)
        elif word[0] != "'":
            deepest = max(deepest, depth + len(word.split()))
    return deepest


def _unexpected(text: str, error: UnexpectedInput) -> ApiError:
    at = error.pos_in_stream
    if isinstance(error, UnexpectedEOF) or (isinstance(error, UnexpectedToken) and error.token.type == "$END"):
        return unexpected_token(text, len(text), "<EOF>")
    if isinstance(error, UnexpectedToken):
        return unexpected_token(text, error.token.start_pos or 0, str(error.token))
    word = re.compile(r"\w+|.", re.DOTALL).match(text, at or 0)
    return unexpected_token(text, at or 0, word.group(0) if word else "")
