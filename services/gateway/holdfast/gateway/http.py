"""The HTTP application."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from holdfast.gateway import problems
from holdfast.gateway.authentication import OPEN_PATHS, Authentication
from holdfast.gateway.body_limit import BodyLimit
from holdfast.gateway.context import Context
from holdfast.gateway.routes import changes, connections, files, health, jobs, runs, verifications

_DESCRIPTION = """\
Backs up Salesforce orgs and shows exactly what changed.

Every request but `/v1/health` and `/v1/openapi.json` needs the header `Authorization: Bearer <token>`. The
first start writes an admin token into the data folder (`admin-token`).

Errors are problem details (RFC 9457); `type` is stable. Lists come in pages: ask again with `next_cursor` as
`cursor`. Commands take an `Idempotency-Key`: a repeat with the same key and body happens once.
"""
_SECURITY = "bearer"


def create_app(context: Context) -> FastAPI:
    """The public HTTP API over the services in `context`."""
    app = FastAPI(
        title="Holdfast",
        version="1.0.0",
        description=_DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    for room in (connections, jobs, runs, changes, files, verifications, health):
        app.include_router(room.router)
    # The one added last stands outermost: unexpected errors, authentication, body limit, routes.
    app.add_middleware(BodyLimit, max_bytes=context.settings.max_body_bytes)
    app.add_middleware(Authentication, context=context)
    problems.install(app)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Say in the OpenAPI document what the middleware does: tokens and problems."""
    generate = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _add_problems(document)
            _add_security(document)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _add_problems(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operation in _operations(document):
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = {"description": "A problem (RFC 9457).", "content": content}


def _add_security(document: dict[str, Any]) -> None:
    scheme = {"type": "http", "scheme": "bearer", "description": "A token such as `hf_…`."}
    document["components"]["securitySchemes"] = {_SECURITY: scheme}
    document["security"] = [{_SECURITY: []}]
    for path in OPEN_PATHS & document["paths"].keys():
        document["paths"][path]["get"]["security"] = []


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]
