"""One HTTP exchange with Salesforce: send, read all of it, refuse what is no answer of Salesforce's.

No redirects (a token must not follow one), a cap on the size of every body, connections reused.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpcore
import httpx

from holdfast.common.errors import Kind
from holdfast.salesforce.errors import Retry, SalesforceError
from holdfast.salesforce.hosts import is_loopback
from holdfast.salesforce.models import Body

# A page of a Bulk result is some tens of megabytes; one read from the socket should be a good part of it.
# httpcore reads 64 KB at a time, which costs a third of the throughput.
_READ_BYTES = 1 << 20

# Salesforce stops a query after two minutes and may send nothing until then.
_TIMEOUT = httpx.Timeout(10.0, read=150.0)
_LOCAL = ("all://127.0.0.1", "all://localhost", "all://[::1]")


@dataclass(frozen=True)
class Answer:
    """A complete answer."""

    status: int
    headers: httpx.Headers
    body: Body

    @property
    def media_type(self) -> str:
        """What the body claims to be, such as `application/json`."""
        return str(self.headers.get("content-type", "")).split(";", maxsplit=1)[0].strip().lower()

    def is_json(self) -> bool:
        """Whether the body claims to be JSON."""
        return self.media_type == "application/json"

    def is_csv(self) -> bool:
        """Whether the body claims to be CSV."""
        return self.media_type == "text/csv"


def open_http(*, connections: int = 8) -> httpx.AsyncClient:
    """A connection pool for Salesforce. Proxies come from the environment, except to this machine."""
    httpcore._async.http11.AsyncHTTP11Connection.READ_NUM_BYTES = _READ_BYTES
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=60)
    return httpx.AsyncClient(
        timeout=_TIMEOUT,
        limits=limits,
        follow_redirects=False,
        headers={"User-Agent": "holdfast"},
        mounts={pattern: httpx.AsyncHTTPTransport(limits=limits) for pattern in _LOCAL},
    )


async def exchange(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    max_bytes: int,
    timeout: timedelta | None = None,
) -> Answer:
    """Send one request and read the whole answer, whatever its status.

    Raises:
        SalesforceError: UNAVAILABLE or TIMEOUT for every way in which no complete answer arrived,
            TOO_LARGE for a body over `max_bytes` (counted unpacked).
    """
    request = http.build_request(
        method,
        url,
        headers={**_encoding(url), **(headers or {})},
        content=content,
        timeout=_TIMEOUT if timeout is None else timeout.total_seconds(),
    )
    try:
        response = await http.send(request, stream=True, follow_redirects=False)
        try:
            return Answer(response.status_code, response.headers, await _read(response, max_bytes))
        finally:
            await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
        raise _no_answer(error, httpx.URL(url).host) from error


@asynccontextmanager
async def streamed(http: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
    """Send a GET and hand over the answer before its body is read, as it was sent: not packed.

    Raises:
        SalesforceError: As `exchange`, also for what goes wrong while the body is read inside the block.
    """
    request = http.build_request("GET", url, headers={**headers, "Accept-Encoding": "identity"}, timeout=_TIMEOUT)
    try:
        response = await http.send(request, stream=True, follow_redirects=False)
        try:
            yield response
        finally:
            await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
        raise _no_answer(error, httpx.URL(url).host) from error


def _encoding(url: str) -> dict[str, str]:
    # Packing saves time on a long line and costs it within one machine.
    return {"Accept-Encoding": "identity" if is_loopback(httpx.URL(url).host) else "gzip"}


async def _read(response: httpx.Response, max_bytes: int) -> Body:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        if len(body) + len(chunk) > max_bytes:
            raise SalesforceError(
                Kind.TOO_LARGE,
                f"Salesforce sent more than {max_bytes} bytes in one answer.",
                code="answer-too-large",
                status=response.status_code,
            )
        body += chunk
    return body


def _no_answer(error: Exception, host: str) -> SalesforceError:
    """Say in words why there is no answer; only what was never sent is sure to have done nothing."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return _failure(error, "host-not-found", f"The name “{host}” cannot be found. Check the address.")
        if isinstance(cause, ssl.SSLCertVerificationError):
            sentence = f"The certificate of {host} cannot be verified, so nothing was sent to it."
            return _failure(error, "certificate-refused", sentence, retry=Retry.NEVER)
        if isinstance(cause, ConnectionRefusedError):
            return _failure(error, "connection-refused", f"{host} refuses connections. Check the address and its port.")
    return _broken_exchange(error, host)


def _broken_exchange(error: Exception, host: str) -> SalesforceError:
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return _failure(
                error,
                "connect-timeout",
                f"{host} does not answer. Check the address, and that a firewall lets it through.",
                kind=Kind.TIMEOUT,
            )
        case httpx.ConnectError():
            return _failure(error, "connect-failed", f"{host} cannot be reached. Check the address and the network.")
        case httpx.TimeoutException():
            sentence = f"{host} did not answer in time. Try again; if it lasts, check the address."
            return _failure(error, "answer-timeout", sentence, kind=Kind.TIMEOUT, sent=True)
        case _:
            return _failure(error, "answer-cut", f"{host} broke off the answer.", sent=True)


def _failure(
    error: Exception,
    code: str,
    sentence: str,
    *,
    kind: Kind = Kind.UNAVAILABLE,
    retry: Retry = Retry.BACKOFF,
    sent: bool = False,
) -> SalesforceError:
    return SalesforceError(
        kind,
        sentence,
        code=code,
        retry=retry,
        may_have_happened=sent,
        detail=f"{type(error).__name__}: {error}",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and everything it was raised from, groups opened."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _causes(part)
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from _causes(cause)
