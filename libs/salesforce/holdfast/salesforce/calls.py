"""Calls in the name of a connection: the token, new sessions, retries, the budget hook."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.retry import retrying
from holdfast.salesforce.bodies import FileBody, body_of, refused
from holdfast.salesforce.errors import Retry, SalesforceError, refusal
from holdfast.salesforce.hosts import salesforce_origin
from holdfast.salesforce.models import Access, AccessProvider, Body
from holdfast.salesforce.transport import Answer, exchange, streamed
from holdfast.salesforce.usage import LIMIT_HEADER, CallGate, CallObserver, OpenGate, parse_usage

T = TypeVar("T")

# A describe of 900 fields with picklists takes some megabytes, a query page of wide rows some tens.
MAX_JSON_BYTES = 128 << 20
NEW_SESSIONS = 3
_VERSION = re.compile(r"/services/data/v[0-9.]+/")


@dataclass(frozen=True)
class Retries:
    """How often and how long to try again. The pauses are those the platform's own clients use."""

    attempts: int = 6
    base: timedelta = timedelta(seconds=1)
    cap: timedelta = timedelta(seconds=60)
    hiccups: int = 2  # repeats of an error that may be a defect behind this very request


@dataclass(frozen=True)
class Call:
    """One request, relative to the org.

    Attributes:
        route: For the budget hook: the path with ids replaced.
        path: Path and query, from the root of the org.
        unchanged: Also accept 304.
    """

    method: str
    route: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    csv: bool = False
    unchanged: bool = False
    max_bytes: int = MAX_JSON_BYTES

    def in_version(self, api_version: str) -> Call:
        """The same request in another version of the API, with the requests that it carries."""
        before = _VERSION.match(self.path)
        if before is None:
            return self
        after = f"/services/data/v{api_version}/"
        # A request within a composite one begins with the address as a text of its own.
        content = self.content and self.content.replace(f'"{before[0]}'.encode(), f'"{after}'.encode())
        return replace(self, path=after + self.path[before.end() :], content=content)


class Calls:
    """Sends calls. All of them are safe to repeat; a call that is not has no place here.

    A call that the org refuses because it no longer offers the version of its API is made once more, in the one that
    `newer` names.
    """

    def __init__(
        self,
        access: AccessProvider,
        *,
        observer: CallObserver,
        clock: Clock,
        http: httpx.AsyncClient,
        concurrency: int,
        retries: Retries,
        allow_insecure: bool,
        gate: CallGate | None = None,
        newer: Callable[[Call], Awaitable[str]],
    ) -> None:
        self._newer = newer
        self._gate = gate or OpenGate()
        self._access = access
        self._observer = observer
        self._clock = clock
        self._http = http
        self._slots = asyncio.Semaphore(concurrency)
        self._retries = retries
        self._allow_insecure = allow_insecure
        self.answered_at: datetime | None = None
        self._heard_at = clock.now()

    def org_now(self) -> datetime | None:
        """The org's present time: that of its newest answer and what has passed since."""
        return None if self.answered_at is None else self.answered_at + (self._clock.now() - self._heard_at)

    def _hear(self, answer: Answer) -> None:
        told = _date(answer)
        if told is not None:
            self.answered_at, self._heard_at = told, self._clock.now()

    async def read(self, call: Call, reader: Callable[[Answer], T]) -> T:
        """What `reader` makes of the answer to `call`, after as many tries as its errors deserve.

        An answer that was cut off may look complete until it is read, so reading is part of a try.

        Raises:
            SalesforceError: What Salesforce, the way to it, or `reader` said last.
            HoldfastError: What the access provider said.
        """
        try:
            return await self._patiently(call, reader)
        except SalesforceError as error:
            restated = await self._restated(call, error)
        return await self._patiently(restated, reader)

    async def _restated(self, call: Call, error: SalesforceError) -> Call:
        """The call in a version that the org offers; raises `error` if the version is not what is wrong."""
        if not is_refusal_of(error, "UNSUPPORTED_API_VERSION"):
            raise error
        restated = call.in_version(await self._newer(call))
        if restated == call:
            raise error
        return restated

    async def _patiently(self, call: Call, reader: Callable[[Answer], T]) -> T:
        hiccups = 0

        def worth_it(error: BaseException) -> bool:
            nonlocal hiccups
            if not isinstance(error, SalesforceError):
                return False
            if error.retry is Retry.TWICE:
                hiccups += 1
                return hiccups <= self._retries.hiccups
            return error.retry is Retry.BACKOFF

        async def one_try() -> T:
            return reader(await self._signed_in(lambda access: self._attempt(call, access)))

        return await retrying(
            one_try,
            attempts=self._retries.attempts,
            base=self._retries.base,
            cap=self._retries.cap,
            retry_on=worth_it,
            clock=self._clock,
        )

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[FileBody]:
        """The body of the answer to `call`, piece by piece; repeated are a refused token and a refused version only.

        Raises:
            SalesforceError: Salesforce's refusal; UNAVAILABLE, also inside the block, for a body that was cut off.
        """
        async with AsyncExitStack() as stack:
            try:
                body = await self._body(stack, call)
            except SalesforceError as error:
                body = await self._body(stack, await self._restated(call, error))
            yield body

    async def _body(self, stack: AsyncExitStack, call: Call) -> FileBody:
        """The body of an answer that stays open as long as `stack`, and has its slot so long."""
        async with AsyncExitStack() as opening:
            await opening.enter_async_context(self._slots)
            body = body_of(await self._signed_in(lambda access: self._opened(opening, call, access)))
            stack.push_async_exit(opening.pop_all())
            return body

    async def _opened(self, stack: AsyncExitStack, call: Call, access: Access) -> httpx.Response:
        origin = salesforce_origin(access.instance_url, allow_insecure=self._allow_insecure)
        headers = {"Authorization": f"Bearer {access.access_token}", **dict(call.headers)}
        usage = None
        try:
            await stack.enter_async_context(self._gate.admission(call.method, call.route))
            response = await stack.enter_async_context(streamed(self._http, origin + call.path, headers))
            usage = parse_usage(response.headers.get(LIMIT_HEADER))
        finally:
            self._observer.called(call.method, call.route, usage)
        if response.status_code not in (200, 206):
            accepted(await refused(response))
        return response

    async def json(self, call: Call, model: type[T]) -> T:
        """The answer to `call`, checked against `model`."""

        def checked(answer: Answer) -> T:
            found: T = read_json(answer.body, model)
            return found

        return await self.read(call, checked)

    async def _signed_in(self, attempt: Callable[[Access], Awaitable[T]]) -> T:
        """What `attempt` brings with the present token, or with a new one where Salesforce ended the session.

        A new session may be ended before its first call arrives, by whatever ended the one before.
        """
        access = await self._access.access()
        for _ in range(NEW_SESSIONS):
            try:
                return await attempt(access)
            except SalesforceError as error:
                if error.retry is not Retry.REFRESH:
                    raise
            access = await self._access.access(refused=access.access_token)
        return await attempt(access)

    async def _attempt(self, call: Call, access: Access) -> Answer:
        origin = salesforce_origin(access.instance_url, allow_insecure=self._allow_insecure)
        usage = None
        async with self._slots, self._gate.admission(call.method, call.route):
            try:
                answer = await exchange(
                    self._http,
                    call.method,
                    origin + call.path,
                    headers={"Authorization": f"Bearer {access.access_token}", **dict(call.headers)},
                    content=call.content,
                    max_bytes=call.max_bytes,
                )
                usage = parse_usage(answer.headers.get(LIMIT_HEADER))
                self._hear(answer)
            finally:
                self._observer.called(call.method, call.route, usage)
            return accepted(answer, csv=call.csv, unchanged=call.unchanged)


def _date(answer: Answer) -> datetime | None:
    """The time at which the org sent an answer, by its own clock; None if it did not say."""
    try:
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def accepted(answer: Answer, *, csv: bool = False, unchanged: bool = False) -> Answer:
    """`answer`, if it says yes and is of the kind asked for.

    Raises:
        SalesforceError: Salesforce's refusal; UNAVAILABLE for a page in place of data (a maintenance
            page comes with status 200) and for a redirect.
    """
    if answer.status == 304 and unchanged:
        return answer
    if 300 <= answer.status < 400:
        raise SalesforceError(
            Kind.UNAVAILABLE,
            "Salesforce answered with a redirect, which Holdfast does not follow. Check the address.",
            code="redirect-refused",
            status=answer.status,
        )
    if answer.status >= 400:
        raise refusal(answer.status, *_complaint(answer))
    expected = answer.is_csv() if csv else answer.is_json()
    if not expected and answer.status != 204:
        raise SalesforceError(
            Kind.UNAVAILABLE,
            "Salesforce answered with a page instead of data; it may be under maintenance.",
            code="answer-not-data",
            status=answer.status,
            retry=Retry.BACKOFF,
            detail=answer.headers.get("content-type", "")[:100],
        )
    return answer


def _complaint(answer: Answer) -> tuple[str, str]:
    """Code and words of a refusal; empty where the body is not of Salesforce's shape."""
    if not answer.is_json():
        # The identity service answers a bad token with this bare text.
        text = bytes(answer.body[:40]).decode("ascii", "replace").strip()
        return ("Bad_OAuth_Token", "") if text == "Bad_OAuth_Token" else ("", "")
    try:
        complaint = json.loads(bytes(answer.body))
    except ValueError:
        return "", ""
    if isinstance(complaint, list):
        complaint = complaint[0] if complaint else {}
    if not isinstance(complaint, dict):
        return "", ""
    code = complaint.get("errorCode") or complaint.get("error") or ""
    message = complaint.get("message") or complaint.get("error_description") or ""
    return str(code), str(message)


def read_json(body: Body, model: Any) -> Any:
    """The body as `model`, a pydantic model or any type that pydantic knows.

    Raises:
        SalesforceError: UNAVAILABLE if the body is of another shape.
    """
    try:
        return TypeAdapter(model).validate_json(bytes(body))
    except ValidationError as error:
        places = ", ".join(".".join(map(str, item["loc"])) for item in error.errors()[:3])
        raise SalesforceError(
            Kind.UNAVAILABLE,
            "Salesforce's answer is not of the expected form.",
            code="answer-unreadable",
            retry=Retry.TWICE,
            detail=f"at {places}",
        ) from None


def is_refusal_of(error: HoldfastError, *codes: str) -> bool:
    """Whether `error` is Salesforce's answer with one of `codes`."""
    return isinstance(error, SalesforceError) and error.error_code in codes
