"""The CLI's client of the HTTP API: finds it, signs in, and turns problems into sentences."""

from __future__ import annotations

import hashlib
import ipaddress
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from holdfast.launcher.commands.failure import CommandError, ExitCode, UnreachableError

ADDRESS_FILE = "api-address"
TOKEN_FILE = "admin-token"  # noqa: S105 - a file's name
_PAGE_SIZE = 200
# Adding a connection waits for Salesforce; the API itself gives up after 90 s.
_TIMEOUT = httpx.Timeout(100.0, connect=5.0)
_NO_ACCESS = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class Api:
    """Speaks to one API with one token.

    Raises:
        CommandError: NO_ACCESS when nobody answers or the token is not good; REFUSED when the API says no.
    """

    def __init__(self, address: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self.address = address
        self._http = httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=not _is_loopback(address),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, at: str, **params: Any) -> Any:
        """One resource. Parameters that are None are left out."""
        return self._ask("GET", at, params={name: value for name, value in params.items() if value is not None})

    def download(self, at: str, out: Path, **params: Any) -> int:
        """A body into a file that must not be there yet; its length. Nothing is left of one that came incomplete.

        Raises:
            CommandError: What the API says; REFUSED if the bytes are not those that were announced.
        """
        partial = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
        digest, size = hashlib.sha256(), 0
        try:
            with self._http.stream("GET", at, params=params) as answer, partial.open("xb") as file:
                if not answer.is_success:
                    answer.read()
                    raise self._failure(answer)
                for piece in answer.iter_bytes():
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
            if answer.headers.get("etag", "").strip('"') != digest.hexdigest():
                raise CommandError("The file came otherwise than it was stored; nothing was written.", ExitCode.REFUSED)
            partial.replace(out)
        except httpx.TransportError as error:
            sentence = (
                f"The file broke off ({error}); nothing was written. 'holdfast verify' tells whether it is damaged."
            )
            raise CommandError(sentence, ExitCode.REFUSED) from None
        finally:
            partial.unlink(missing_ok=True)
        return size

    def post(self, at: str, body: dict[str, Any] | None = None) -> Any:
        """A command. It carries an idempotency key, so that it is repeated once if its answer got lost."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        try:
            return self._ask("POST", at, json=body or {}, headers=headers)
        except UnreachableError:
            return self._ask("POST", at, json=body or {}, headers=headers)

    def patch(self, at: str, body: dict[str, Any]) -> Any:
        """Other values of a resource; safe to repeat."""
        return self._ask("PATCH", at, json=body)

    def items(self, at: str, limit: int | None = None, **params: Any) -> Iterator[dict[str, Any]]:
        """The items of a listing, page by page, up to `limit`."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = _PAGE_SIZE if left is None else min(left, _PAGE_SIZE)
            page = self.get(at, page_size=size, cursor=cursor, **params)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _ask(self, method: str, at: str, **request: Any) -> Any:
        try:
            answer = self._http.request(method, at, **request)
        except httpx.TimeoutException:
            raise UnreachableError(f"{self.address} takes too long to answer; try again in a moment.") from None
        except httpx.TransportError as error:
            raise UnreachableError(
                f"Nobody answers at {self.address} ({error}). Is Holdfast running? Start it with 'holdfast up'."
            ) from None
        if answer.is_success:
            return self._json(answer)
        raise self._failure(answer)

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise CommandError(f"What answers at {self.address} is not Holdfast.", ExitCode.NO_ACCESS) from None

    def _failure(self, answer: httpx.Response) -> CommandError:
        if not answer.headers.get("content-type", "").startswith("application/problem+json"):
            sentence = f"What answers at {self.address} is not Holdfast (HTTP {answer.status_code})."
            return CommandError(sentence, ExitCode.NO_ACCESS)
        detail = str(self._json(answer).get("detail", answer.reason_phrase))
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            advice = f"Set HOLDFAST_TOKEN, or name the data folder with the file {TOKEN_FILE} by --data."
            return CommandError(f"{detail} {advice}", ExitCode.NO_ACCESS)
        if answer.status_code in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT):
            return UnreachableError(detail)
        return CommandError(detail, ExitCode.NO_ACCESS if answer.status_code in _NO_ACCESS else ExitCode.REFUSED)


def connect(address: str, token: str, data: Path) -> Api:
    """The API named by `address` and `token`, or the one that the data folder tells of.

    The token of the data folder is sent to the API of the data folder only.

    Raises:
        CommandError: NO_ACCESS: neither says where the API is, or there is no token for it.
    """
    known = _read(data / ADDRESS_FILE)
    address = (address or known).rstrip("/").removesuffix("/v1")
    if not address:
        raise CommandError(
            f"Holdfast does not run here: there is no {data / ADDRESS_FILE}. Start it with 'holdfast up', "
            "or name the API with --api or HOLDFAST_API.",
            ExitCode.NO_ACCESS,
        )
    if urlsplit(address).scheme not in ("http", "https"):
        raise CommandError(f"'{address}' is not an address such as http://127.0.0.1:8080.", ExitCode.USAGE)
    if not token and address == known.rstrip("/"):
        token = _read(data / TOKEN_FILE)
    if not token:
        raise CommandError(f"There is no token for {address}. Set HOLDFAST_TOKEN.", ExitCode.NO_ACCESS)
    if not token.isascii():
        raise CommandError("HOLDFAST_TOKEN does not hold a token.", ExitCode.NO_ACCESS)
    return Api(address, token)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        raise CommandError(f"{file} cannot be read. Did another user start Holdfast?", ExitCode.NO_ACCESS) from None


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
