"""/v1/jobs/{job}/records/{object}/{id}/files/{field}"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import StreamingResponse

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.rpc.history.v1 import history_pb2
from holdfast.gateway.context import Ctx
from holdfast.gateway.inputs import JobRef, ObjectRef, RecordRef

router = APIRouter(prefix="/v1", tags=["changes"])
FieldRef = Annotated[
    str, Path(pattern=r"^[A-Za-z][0-9A-Za-z_]{0,99}$", description="API name of a field, such as `VersionData`.")
]
Run = Annotated[int, Query(ge=0, le=2**62, description="As it was after this run of the job; 0 for the newest.")]
Image = Annotated[
    str, Query(pattern=r"^[0-9A-Za-z]{0,18}$", description="The `refid` of an image, where the field is a rich text.")
]
From = Annotated[str | None, Header(alias="Range", pattern=r"^bytes=\d{1,15}-$", description="`bytes=<from>-`")]


@router.get(
    "/jobs/{job}/records/{object_name}/{record_id}/files/{field}",
    operation_id="readFile",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}, 206: {"description": "From a byte on."}},
)
async def read_file(
    job: JobRef,
    object_name: ObjectRef,
    record_id: RecordRef,
    field: FieldRef,
    context: Ctx,
    *,
    run: Run = 0,
    image: Image = "",
    wanted: From = None,
) -> StreamingResponse:
    """The body of a file, byte for byte. It is checked on the way: a damaged one ends before its last bytes.

    `ETag` is the SHA-256 of the whole body; `Last-Modified-Record` the stamp of the record's version it belongs to.
    """
    found = await context.backends.job(job)
    request = history_pb2.ReadFileRequest(
        job_id=found.id, object=object_name, record_id=record_id, field=field, run=run, image=image
    )
    head, pieces = await context.backends.read_file(request)
    start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
    if start and start >= head.bytes:
        raise HoldfastError(Kind.INVALID, f"The file has {head.bytes} bytes.", code="range-beyond-end", field="Range")
    headers = {
        "ETag": f'"{head.sha256}"',
        "Content-Length": str(head.bytes - start),
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
    }
    if head.HasField("modified_at"):
        headers["Last-Modified-Record"] = head.modified_at.ToJsonString()
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{head.bytes - 1}/{head.bytes}"
    body = _after(pieces, start)
    return StreamingResponse(body, 206 if wanted else 200, headers, media_type="application/octet-stream")


async def _after(pieces: AsyncIterator[bytes], start: int) -> AsyncIterator[bytes]:
    """What comes from a byte on. All of it is read: only the whole body can be checked."""
    async for piece in pieces:
        if start < len(piece):
            yield piece[start:]
        start = max(0, start - len(piece))
