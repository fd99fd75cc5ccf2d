"""The org's own OpenAPI document, made from its routes: `GET /_org/openapi.json`.

Paths, methods and parameters are the router's; what it cannot know, the bodies and query parameters that an endpoint
reads, stands in the tables here. Answers are described by status class only: their shapes are held to Salesforce's
documentation by the conformance table, not by this document.
"""

from __future__ import annotations

import re
from typing import Any

from holdfast.orgsim.api.web import DATA, Call, Reply, Route, Router, json_reply

Json = dict[str, Any]
TEXT: Json = {"type": "string"}
ANY_OBJECT: Json = {"type": "object", "additionalProperties": True}
RECORD: Json = {
    "type": "object",
    "properties": {"Name": TEXT, "LastName": TEXT, "attributes": {"type": "object", "properties": {"type": TEXT}}},
    "additionalProperties": True,
}
RECORDS: Json = {
    "type": "object",
    "properties": {"allOrNone": {"type": "boolean"}, "records": {"type": "array", "items": RECORD}},
    "required": ["records"],
}
SUBREQUEST: Json = {
    "type": "object",
    "properties": {
        "method": {"enum": ["GET", "POST", "PATCH", "DELETE"]},
        "url": {"type": "string", "examples": ["/services/data/v62.0/sobjects/Account"]},
        "referenceId": TEXT,
        "body": ANY_OBJECT,
    },
    "required": ["method", "url", "referenceId"],
}
SUBREQUESTS: Json = {"type": "array", "items": SUBREQUEST}
COMPOSITE: Json = {
    "type": "object",
    "properties": {"allOrNone": {"type": "boolean"}, "compositeRequest": SUBREQUESTS},
    "required": ["compositeRequest"],
}
GRAPHS: Json = {
    "type": "array",
    "items": {"type": "object", "properties": {"graphId": TEXT, "compositeRequest": SUBREQUESTS}},
}
BATCH: Json = {"type": "array", "items": {"type": "object", "properties": {"method": TEXT, "url": TEXT}}}
STATE: Json = {"type": "object", "properties": {"state": {"enum": ["UploadComplete", "Aborted", "Closed"]}}}
JOB: Json = {
    "type": "object",
    "properties": {
        "operation": {"enum": ["query", "queryAll", "insert", "update", "upsert", "delete", "hardDelete"]},
        "object": {"enum": ["Account", "Contact", "Nothing__c"]},
        "query": {"type": "string", "examples": ["SELECT Id FROM Account"]},
        "contentType": {"enum": ["CSV", "JSON", "XML"]},
        "columnDelimiter": {"enum": ["BACKQUOTE", "CARET", "COMMA", "PIPE", "SEMICOLON", "TAB"]},
        "lineEnding": {"enum": ["LF", "CRLF"]},
        "externalIdFieldName": TEXT,
    },
    "required": ["operation"],
}
TOKEN_FIELDS = (
    "grant_type", "client_id", "client_secret", "username", "password", "assertion", "refresh_token", "code",
    "redirect_uri", "code_verifier", "response_type", "scope", "token",
)  # fmt: skip
TOKEN: Json = {"type": "object", "properties": dict.fromkeys(TOKEN_FIELDS, TEXT)}
BODIES: dict[str, tuple[str, Json]] = {
    f"{DATA}/composite": ("application/json", COMPOSITE),
    f"{DATA}/composite/graph": ("application/json", {"type": "object", "properties": {"graphs": GRAPHS}}),
    f"{DATA}/composite/batch": ("application/json", {"type": "object", "properties": {"batchRequests": BATCH}}),
    f"{DATA}/composite/sobjects": ("application/json", RECORDS),
    f"{DATA}/composite/sobjects/{{object}}/{{field}}": ("application/json", RECORDS),
    f"{DATA}/composite/sobjects/{{object}}": (
        "application/json",
        {"type": "object", "properties": {"ids": {"type": "array", "items": TEXT}, "fields": {"type": "array"}}},
    ),
    f"{DATA}/composite/tree/{{object}}": ("application/json", RECORDS),
    f"{DATA}/jobs/query": ("application/json", JOB),
    f"{DATA}/jobs/ingest": ("application/json", JOB),
    f"{DATA}/jobs/query/{{id}}": ("application/json", STATE),
    f"{DATA}/jobs/ingest/{{id}}": ("application/json", STATE),
    f"{DATA}/jobs/ingest/{{id}}/batches": ("text/csv", TEXT),
    "/services/async/{api_version}/job": ("application/json", JOB),
    "/services/async/{api_version}/job/{job_id}": ("application/json", STATE),
    "/services/async/{api_version}/job/{job_id}/batch": ("text/csv", TEXT),
}
QUERY: dict[str, tuple[str, ...]] = {
    f"{DATA}/query": ("q", "explain"),
    f"{DATA}/queryAll": ("q",),
    f"{DATA}/tooling/query": ("q",),
    f"{DATA}/search": ("q",),
    f"{DATA}/parameterizedSearch": ("q", "sobject"),
    f"{DATA}/limits/recordCount": ("sObjects",),
    f"{DATA}/composite/sobjects": ("ids", "allOrNone"),
    f"{DATA}/composite/sobjects/{{object}}": ("ids", "fields"),
    f"{DATA}/sobjects/{{object}}/deleted": ("start", "end"),
    f"{DATA}/sobjects/{{object}}/updated": ("start", "end"),
    f"{DATA}/sobjects/{{object}}/{{id}}": ("fields",),
    f"{DATA}/jobs/query/{{id}}/results": ("locator", "maxRecords"),
    f"{DATA}/jobs/query/{{id}}/resultPages": ("locator",),
    f"{DATA}/jobs/query": ("jobType", "queryLocator", "isPkChunkingEnabled", "concurrencyMode"),
    f"{DATA}/jobs/ingest": ("jobType", "queryLocator", "isPkChunkingEnabled"),
    "/services/oauth2/authorize": ("response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge"),
}
PARAMETERS: dict[str, Json] = {
    "version": {"enum": ["62.0", "31.0", "68.0"]},
    "api_version": {"enum": ["62.0", "31.0"]},
    "api": {"enum": ["u", "c"]},
    "object": {"enum": ["Account", "Contact", "Nothing__c"]},
}


def document(router: Router) -> Json:
    """An OpenAPI 3.1 document of every route but those of the admin API."""
    paths: dict[str, Json] = {}
    for route in router.routes:
        if not route.template.startswith("/_org"):
            template = re.sub(r"\{(\w+)\*\}", r"{\1}", route.template)
            paths.setdefault(template, {})[route.method.lower()] = _operation(route, template)
    return {
        "openapi": "3.1.0",
        "info": {"title": "A local Salesforce org", "version": "62.0"},
        "paths": paths,
        "components": {"securitySchemes": {"session": {"type": "http", "scheme": "bearer"}}},
    }


def serve(router: Router) -> None:
    """Add the endpoint that answers with the document of `router`."""

    @router.add("GET", "/_org/openapi.json", authenticated=False, counted=False)
    async def openapi(call: Call) -> Reply:
        """The org's routes as OpenAPI."""
        return json_reply(document(router))


def _operation(route: Route, template: str) -> Json:
    path = [_parameter(name, "path") for name in re.findall(r"\{(\w+)\}", template)]
    query = [_parameter(name, "query") for name in QUERY.get(template, ()) if route.method in ("GET", "DELETE")]
    handler = route.handler
    operation: Json = {
        "operationId": f"{route.method} {template}",
        "summary": (handler.__doc__ or handler.__name__).strip().split("\n")[0],
        "parameters": path + query,
        "responses": {"default": {"description": "As Salesforce documents it"}},
    }
    if route.authenticated:
        operation["security"] = [{"session": []}]
    if route.method in ("POST", "PATCH", "PUT"):
        kind, schema = _body(template)
        operation["requestBody"] = {"content": {kind: {"schema": schema}}}
    return operation


def _parameter(name: str, where: str) -> Json:
    return {"name": name, "in": where, "required": where == "path", "schema": PARAMETERS.get(name, TEXT)}


def _body(template: str) -> tuple[str, Json]:
    if template in BODIES:
        return BODIES[template]
    if template.startswith("/services/Soap"):
        return "text/xml", TEXT
    if template.startswith(f"{DATA}/"):
        return "application/json", RECORD
    return "application/x-www-form-urlencoded", TOKEN
