"""The platform's words about a query: its errors, with the excerpt and the caret that point into the text.

The shape of the excerpt is inferred from answers that published projects have recorded: thirty characters on
either side of the caret, each end moved outwards to the next blank or comma, within one line.
"""

from __future__ import annotations

from holdfast.orgsim.errors import ApiError

_REACH = 30
_BREAKS = " ,\t"
_ERROR_AT = "\nERROR at Row:"


def malformed(message: str) -> ApiError:
    """400 MALFORMED_QUERY."""
    return ApiError(400, "MALFORMED_QUERY", message)


def invalid_field(message: str) -> ApiError:
    """400 INVALID_FIELD."""
    return ApiError(400, "INVALID_FIELD", message)


def located(error: ApiError, text: str, at: int | None) -> ApiError:
    """The same error, pointing at position `at` of the query. An error that already points somewhere stays."""
    if at is None or not text or _ERROR_AT in error.message:
        return error
    return ApiError(error.status, error.code, pointing(text, at) + error.message, error.fields)


def pointing(text: str, at: int) -> str:
    """Excerpt, caret and position, each on its line, before the message itself."""
    first = text.rfind("\n", 0, at) + 1
    line_end = text.find("\n", at)
    last = len(text) if line_end < 0 else line_end
    start = max(first, at - _REACH)
    while start > first and text[start - 1] not in _BREAKS:
        start -= 1
    end = min(last, at + _REACH)
    while end < last and text[end] not in _BREAKS:
        end += 1
    row = text.count("\n", 0, at) + 1
    caret = " " * (at - start) + "^"
    return f"\n{text[start:end]}\n{caret}{_ERROR_AT}{row}:Column:{at - first + 1}\n"


def unexpected_token(text: str, at: int, word: str) -> ApiError:
    """A word where the grammar allows none. The platform counts these columns from the character before."""
    line_start = text.rfind("\n", 0, at) + 1
    shown = at if word == "<EOF>" else max(at - 1, line_start)
    return malformed(f"{pointing(text, shown)}unexpected token: '{word}'")


def unknown_relationship(name: str, place: str) -> str:
    """The sentence for a relationship that does not exist; `place`: `field path` or `FROM part of query call`."""
    return (
        f"Didn't understand relationship '{name}' in {place}. If you are attempting to use a custom relationship, "
        "be sure to append the '__r' after the custom relationship name. Please reference your WSDL or the describe "
        "call for the appropriate names."
    )
