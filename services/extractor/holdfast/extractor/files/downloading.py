"""One body out of the org into a local file: streamed, hashed on the way, held against what Salesforce states."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.files.rows import FileClaim
from holdfast.salesforce.bodies import FileBody
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.errors import Retry, SalesforceError

# Hashing and writing less than this is not worth a thread.
_PIECE_BYTES = 1 << 20


class Paused(Exception):  # noqa: N818 - a decision, not an error
    """The org's records are being read: the file goes on afterwards."""


@dataclass(frozen=True)
class Body:
    """A complete body in a local file."""

    path: Path
    sha256: str
    md5: str
    bytes: int


@dataclass
class Partial:
    """The beginning of a body that is on this disk, with its hashes so far. It does not outlive the process: what
    a disk lost in a crash would go unnoticed where Salesforce states no checksum.

    Attributes:
        etag: What the server calls the body that this is the beginning of; empty if it does not say.
    """

    path: Path
    size: int = 0
    etag: str = ""
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    md5: hashlib._Hash = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))

    def add(self, out: BinaryIO, data: bytes) -> None:
        """Take the next bytes; blocks."""
        out.write(data)
        self.sha256.update(data)
        self.md5.update(data)
        self.size += len(data)

    def restart(self) -> None:
        """Forget what came; the next byte is the file's first."""
        self.path.unlink(missing_ok=True)
        self.size, self.sha256, self.md5 = 0, hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self.etag = ""

    def body(self) -> Body:
        """The whole body."""
        return Body(self.path, self.sha256.hexdigest(), self.md5.hexdigest(), self.size)


def opened(client: SalesforceClient, claim: FileClaim, partial: Partial) -> AbstractAsyncContextManager[FileBody]:
    """Ask the org for the file, from where the partial ends."""
    if claim.part:
        record = claim.kept_with or claim.record_id
        return client.rich_text_image(
            claim.object, record, claim.field, claim.part, start=partial.size, etag=partial.etag
        )
    return client.file_body(claim.object, claim.record_id, claim.field, start=partial.size, etag=partial.etag)


async def download(
    client: SalesforceClient, claim: FileClaim, partial: Partial, *, most_bytes: int, paused: Callable[[], bool]
) -> None:
    """Fetch what of a body is not on this disk yet.

    Whether both parts are of the same body tells its checksum in the end, or the server, which is asked to go on only
    if the body is still the same. Where neither can, the body is fetched from its beginning: another one of the same
    size, put in its place meanwhile, would make a file that never was.

    Args:
        partial: What is there; it grows, also when this fails, and holds all of the body in the end.
        most_bytes: More than this is refused.
        paused: Asked between pieces.

    Raises:
        Paused: `paused` said so; the partial holds what came.
        HoldfastError: What the org or the way to it said; TOO_LARGE.
    """
    if not claim.stated_md5 and not partial.etag:
        partial.restart()
    async with opened(client, claim, partial) as answer:
        if answer.start != partial.size:
            partial.restart()  # the server does not honour ranges
            if answer.start:
                message = "Salesforce sent another part of the file than was asked for."
                raise SalesforceError(Kind.UNAVAILABLE, message, code="wrong-range", retry=Retry.BACKOFF)
        partial.etag = partial.etag or answer.etag
        with partial.path.open("ab") as out:
            waiting = bytearray()
            async for piece in answer.pieces:
                # Asked while more is there: of a body that has come whole there is no rest to ask for later.
                if len(waiting) >= _PIECE_BYTES:
                    await _take(partial, out, waiting, most_bytes)
                    waiting = bytearray()
                    if paused():
                        raise Paused
                waiting += piece
            await _take(partial, out, waiting, most_bytes)


async def _take(partial: Partial, out: BinaryIO, data: bytearray, most_bytes: int) -> None:
    if partial.size + len(data) > most_bytes:
        message = f"The file is larger than {most_bytes} bytes, the most that the settings allow."
        raise HoldfastError(Kind.TOO_LARGE, message, code="file-too-large")
    await asyncio.to_thread(partial.add, out, bytes(data))


def fault_of(claim: FileClaim, body: Body) -> str:
    """What is wrong with a body, in words; empty if it is as Salesforce states.

    A body with the MD5 that is stated is the right one, whatever its stated size.
    """
    if claim.stated_md5:
        if body.md5 == claim.stated_md5:
            return ""
        return f"Salesforce states the MD5 {claim.stated_md5}, and sends {body.bytes} bytes with {body.md5}."
    if claim.stated_bytes is None or claim.stated_bytes == body.bytes:
        return ""
    return f"Salesforce states {claim.stated_bytes} bytes, and sends {body.bytes}."
