"""Reads the vault for history's answers. The vault blocks: every read runs in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.objectstore import ObjectStore
from holdfast.common.paging import decode_cursor, encode_cursor, page_size
from holdfast.common.rpc.history.v1 import history_pb2 as pb
from holdfast.history.messages import file_head, record_version
from holdfast.history.store import Run
from holdfast.vault import reading
from holdfast.vault.blobs import BlobRef, read_blob
from holdfast.vault.bodies import body_at, image_of, images_field
from holdfast.vault.columns import OPERATIONS

PAGE_DEFAULT = 100
PAGE_MAX = reading.MAX_PAGE_ROWS
# A gRPC message has at most 16 MiB; records of many long texts make a page shorter than asked.
ANSWER_MAX_BYTES = 12 * 1024 * 1024
# Counted per run, but no events: nothing shows what became of an unseen record.
_WITHOUT_EVENTS = frozenset({"unseen"})


FILE_PIECE_BYTES = 1 << 20


class Past:
    """What a job's vault says of its records."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def changes(self, run: Run, request: pb.ListChangesRequest) -> pb.ListChangesResponse:
        """A page of the records of one object that a run saw change.

        Raises:
            HoldfastError: INVALID for an operation, page size or cursor that is none; DAMAGED.
        """
        operations = _operations(request.operations)
        listing = "/".join(["changes", str(run.run_id), request.object, *operations])
        cursor = decode_cursor(listing, request.page_token, 1)[0] if request.page_token else None
        limit = page_size(request.page_size, default=PAGE_DEFAULT, most=PAGE_MAX)
        if not operations:
            return pb.ListChangesResponse()
        while True:
            page = await asyncio.to_thread(
                reading.changes_of,
                self._store,
                str(run.job_id),
                request.object,
                run.number,
                operations,
                limit=limit,
                cursor=cursor,
            )
            answer = pb.ListChangesResponse(
                records=[record_version(version) for version in page.versions],
                next_page_token=encode_cursor(listing, [page.cursor]) if page.cursor else "",
            )
            if answer.ByteSize() <= ANSWER_MAX_BYTES or limit == 1:
                return answer
            limit = max(1, limit // 2)

    async def history(self, job_id: UUID, object_name: str, record_id: str) -> pb.GetRecordHistoryResponse:
        """Every version of one record, oldest first.

        Raises:
            HoldfastError: INVALID for what is no record id; NOT_FOUND for a record that was never seen.
        """
        versions = await asyncio.to_thread(reading.record_history, self._store, str(job_id), object_name, record_id)
        if not versions:
            raise HoldfastError(
                Kind.NOT_FOUND,
                f"No run of this job has seen a record {record_id!r} of {object_name}.",
                code="unknown-record",
            )
        return pb.GetRecordHistoryResponse(versions=[record_version(version) for version in versions])

    async def file(self, job_id: UUID, request: pb.ReadFileRequest) -> AsyncIterator[pb.ReadFileResponse]:
        """What a file is, then its bytes.

        Raises:
            HoldfastError: NOT_FOUND if no body of it is stored; INVALID; DAMAGED, before the last bytes are out.
        """
        job, field = str(job_id), images_field(request.field) if request.image else request.field
        cell, stamp = await asyncio.to_thread(
            body_at, self._store, job, request.object, request.record_id, field, request.run or None
        )
        ref = image_of(cell, request.image) if request.image else BlobRef.of(cell)
        yield file_head(ref.sha256, ref.bytes, stamp)
        pieces = read_blob(self._store, job, ref)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            for at in range(0, len(piece), FILE_PIECE_BYTES):
                yield pb.ReadFileResponse(data=piece[at : at + FILE_PIECE_BYTES])


def _operations(asked: Sequence[str]) -> list[str]:
    """The operations to list, in a fixed order; by default all but `touched`."""
    unknown = sorted(set(asked) - set(OPERATIONS) - _WITHOUT_EVENTS)
    if unknown:
        raise HoldfastError(
            Kind.INVALID,
            f"{unknown[0]!r} is not an operation. There are {', '.join(OPERATIONS)}.",
            code="bad-operation",
            field="operations",
        )
    return [name for name in OPERATIONS if (name in asked if asked else name != "touched")]
