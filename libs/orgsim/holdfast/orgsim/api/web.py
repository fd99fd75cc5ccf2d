"""Requests, replies and routes as the endpoint modules see them; no endpoint touches ASGI."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from holdfast.orgsim.api.intake import check_json
from holdfast.orgsim.api.region import Region
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.sessions import Session
from holdfast.orgsim.errors import ApiError, not_found
from holdfast.orgsim.org import Org

JSON_TYPE = "application/json;charset=UTF-8"
ESCAPED_SLASH = "\ue000"  # stands in `Call.path` for %2F, which separates no segments


@dataclass
class Reply:
    """An answer: `body`, then `file` if there is one. Headers hold no content type."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    file: Region | None = None

    @property
    def size(self) -> int:
        """Bytes of the whole answer."""
        return len(self.body) + (0 if self.file is None else self.file.length)

    def gather(self) -> None:
        """Take the file into the body, for whoever must have the answer in one piece."""
        if self.file is not None:
            self.body, self.file = self.body + self.file.read(), None

    def start(self, length: int) -> dict[str, Any]:
        """The ASGI message that begins this answer, announcing `length` bytes."""
        headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in self.headers.items()]
        if self.content_type is not None:
            headers.append((b"content-type", self.content_type.encode()))
        if self.status not in (204, 304):
            headers.append((b"content-length", str(length).encode()))
        return {"type": "http.response.start", "status": self.status, "headers": headers}


def json_reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer in the platform's content type."""
    return Reply(status, dump(value), JSON_TYPE, dict(headers or {}))


def dump(value: object) -> bytes:
    """JSON text; Decimals print every digit."""
    return orjson.dumps(value, default=_exact)


def _whole(text: str) -> int | Decimal:
    """A JSON integer; one that `dump` could not write as an int is a Decimal."""
    value = int(text)
    return value if -(2**63) <= value < 2**64 else Decimal(text)


def _exact(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(value)


@dataclass
class Call:
    """One request: already authenticated if its route asks for it."""

    org: Org
    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes
    params: dict[str, str] = field(default_factory=dict)
    session: Session | None = None
    part: bool = False  # of a composite request, which costs one API request in all
    dispatch: Callable[[Call], Awaitable[Reply]] | None = None
    origin: str = ""  # scheme, host, port (and `/orgs/<name>`) by which the client came
    instance_url: str = ""  # where it comes back: there, or from a login host to the My Domain
    client_ip: str = ""
    client: str = ""  # who asks, if the body says so

    @cached_property
    def query(self) -> dict[str, str]:
        """Parameters of the query string; the last of a repeated name."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def version(self) -> str:
        """The API version of the path, e.g. `62.0`."""
        return self.params.get("version", "62.0")

    @property
    def user(self) -> User:
        """The authenticated user."""
        assert self.session is not None
        return self.session.user

    def json(self) -> Any:
        """The body as JSON. Numbers with a fraction or exponent are Decimals: no digit is lost.

        Raises:
            ApiError: 400 JSON_PARSER_ERROR; 415 for a body that calls itself something else.
        """
        if self.path.startswith("/services"):
            check_json(self.headers)
        return parse_json(self.body)

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object."""
        value = self.json()
        if not isinstance(value, dict):
            raise ApiError(400, "JSON_PARSER_ERROR", "The HTTP entity body must be a JSON object")
        return value


def path_of(raw: str) -> str:
    """The path of a URL with its doubled and trailing slashes forgiven and its escapes resolved."""
    plain = re.sub(r"/{2,}", "/", raw)
    return unquote(re.sub("%2f", ESCAPED_SLASH, plain, flags=re.IGNORECASE)).rstrip("/") or "/"


def parse_json(body: bytes) -> Any:
    """JSON whose numbers with a fraction or exponent are Decimals: no digit is lost.

    Raises:
        ApiError: 400 JSON_PARSER_ERROR.
    """
    if not body.strip():
        message = "The HTTP entity body is required, but this request has no entity body."
        raise ApiError(400, "JSON_PARSER_ERROR", message)
    try:
        value = orjson.loads(body)
        return json.loads(body, parse_float=Decimal, parse_int=_whole) if _holds_floats(value) else value
    except ValueError as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        message = f"{getattr(error, 'msg', 'unexpected input')} at [line:{line}, column:{column}]"
        raise ApiError(400, "JSON_PARSER_ERROR", message) from error


def _holds_floats(value: Any) -> bool:
    """Whether a number lost its exact form on the way through the fast parser."""
    if isinstance(value, dict):
        return any(_holds_floats(item) for item in value.values())
    if isinstance(value, list):
        return any(_holds_floats(item) for item in value)
    return isinstance(value, float)


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True)
class Route:
    """A method and a path template with its handler. `counted`: costs one API request."""

    method: str
    template: str
    pattern: re.Pattern[str]
    handler: Handler
    authenticated: bool
    counted: bool


class Router:
    """Routes in the order in which they were added; the first match wins."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self.routes: list[Route] = []

    def add(
        self, method: str, template: str, *, authenticated: bool = True, counted: bool = True
    ) -> Callable[[Handler], Handler]:
        """Register a handler. `{name}` matches one segment, `{name*}` the rest of the path."""
        full = self._prefix + template

        def register(handler: Handler) -> Handler:
            self.routes.append(Route(method, full, _pattern(full), handler, authenticated, counted))
            return handler

        return register

    def include(self, other: Router) -> None:
        """Take over another router's routes."""
        self.routes.extend(other.routes)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route for a request and its path parameters.

        Raises:
            ApiError: 404 without a route, 405 if only other methods have one.
        """
        allowed = []
        for route in self.routes:
            match = route.pattern.fullmatch(path)
            if match is not None and route.method == method:
                return route, {name: text.replace(ESCAPED_SLASH, "/") for name, text in match.groupdict().items()}
            if match is not None:
                allowed.append(route.method)
        if not allowed:
            raise not_found()
        message = f"HTTP Method '{method}' not allowed. Allowed are {','.join(dict.fromkeys(allowed))}"
        raise ApiError(405, "METHOD_NOT_ALLOWED", message)


def _pattern(template: str) -> re.Pattern[str]:
    text = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
    return re.compile(re.sub(r"\{(\w+)\*\}", r"(?P<\1>.*)", text))


DATA = "/services/data/v{version}"
