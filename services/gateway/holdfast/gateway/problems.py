"""Errors of the HTTP API: problem details (RFC 9457), one shape for everything that can go wrong.

`type` is `/problems/<code>`: a stable relative reference and part of the API; `title` and `detail` are for
people.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.common.errors import MAPPING, HoldfastError, Kind

MEDIA_TYPE = "application/problem+json"
_log = structlog.get_logger("holdfast.gateway")

_QUERY_FIELDS = {"page_token": "cursor", "page_size": "page_size"}
_FIELDS = {"connection_id": "connection"}
_CODE_OF_STATUS = {
    HTTPStatus.BAD_REQUEST: "malformed-json",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-large",
}


class FieldProblem(BaseModel):
    """One input that was refused."""

    model_config = ConfigDict(extra="forbid")

    location: str = Field(description="Where the input stands: body, query, path or header.", examples=["body"])
    field: str = Field(description="Path of the field, dots between its parts.", examples=["objects.0"])
    message: str = Field(description="What is wrong with it.", examples=["String should have at most 80 characters"])


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="Stable reference of this kind of problem.", examples=["/problems/not-found"])
    title: str = Field(description="The HTTP status in words.", examples=["Not Found"])
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(description="One sentence a person can act on.", examples=["There is no job 'Nightly'."])
    code: str = Field(description="The last part of `type`.", examples=["not-found"])
    errors: list[FieldProblem] | None = Field(default=None, description="Refused inputs, where inputs are at fault.")
    reference: str | None = Field(default=None, description="Names the entry in the service's log, for a 500.")


def problem_response(
    status: int,
    code: str,
    detail: str,
    *,
    errors: list[FieldProblem] | None = None,
    reference: str | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem as an HTTP response."""
    problem = Problem(
        type=f"/problems/{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        errors=errors,
        reference=reference,
    )
    body = problem.model_dump(exclude_none=True)
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def response_of(error: HoldfastError) -> JSONResponse:
    """The response that says what `error` says, and nothing of its internal detail."""
    if error.kind is Kind.INTERNAL:
        return _unexpected(error)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after.total_seconds())))
    if error.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    errors = None
    if error.field:
        location, field = _place(error.field)
        errors = [FieldProblem(location=location, field=field, message=error.message)]
    status = MAPPING[error.kind].http
    return problem_response(status, error.code, error.message, errors=errors, headers=headers)


def _place(field: str) -> tuple[str, str]:
    """Where a client finds a field that a service names: `objects[1]` is `objects.1` of the body here."""
    if field in _QUERY_FIELDS:
        return "query", _QUERY_FIELDS[field]
    return "body", _FIELDS.get(field, re.sub(r"\[(\d+)\]", r".\1", field))


def _unexpected(error: Exception) -> JSONResponse:
    reference = uuid4().hex[:12]
    detail = error.detail if isinstance(error, HoldfastError) else ""
    _log.error("request failed unexpectedly", reference=reference, detail=detail, exc_info=error)
    sentence = f"Something went wrong inside Holdfast. Reference {reference} names the entry in the gateway's log."
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", sentence, reference=reference)


def _field_problem(error: dict[str, Any]) -> FieldProblem:
    location, *path = error["loc"]
    return FieldProblem(location=str(location), field=".".join(str(part) for part in path), message=str(error["msg"]))


async def _on_holdfast_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HoldfastError)
    return response_of(error)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found: list[dict[str, Any]] = list(error.errors())
    if any(each["type"] == "json_invalid" for each in found):
        sentence = "The body is not valid JSON."
        return problem_response(HTTPStatus.BAD_REQUEST, "malformed-json", sentence)
    content_type = request.headers.get("content-type", "")
    if request.method == "POST" and any(each["loc"] == ("body",) for each in found) and "json" not in content_type:
        sentence = "Send a JSON object with the header 'Content-Type: application/json'."
        return problem_response(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", sentence)
    errors = [_field_problem(each) for each in found]
    first = errors[0]
    place = f"{first.location} field '{first.field}'" if first.field else first.location
    return problem_response(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"Invalid {place}: {first.message}.", errors=errors
    )


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    details = {
        HTTPStatus.BAD_REQUEST: "The body could not be read as JSON.",
        HTTPStatus.NOT_FOUND: f"There is nothing at {request.url.path}.",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{request.method} is not possible at {request.url.path}.",
    }
    code = _CODE_OF_STATUS.get(status, status.phrase.lower().replace(" ", "-"))
    headers = dict(error.headers) if error.headers else None
    return problem_response(status, code, details.get(status, str(error.detail)), headers=headers)


class UnexpectedErrors:
    """Turns an error nobody foresaw into a 500 with a reference; what happened goes to the log only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            response = _unexpected(error)
            if not started:
                await response(scope, receive, send)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(HoldfastError, _on_holdfast_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(UnexpectedErrors)
