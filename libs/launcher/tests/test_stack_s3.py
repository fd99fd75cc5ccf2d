"""The S3 server keeps the promises that the vault's commits rest on."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import obstore
import pytest
from minio.error import S3Error
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from holdfast.launcher.stack import S3Server
from holdfast.launcher.stack.buckets import client, ensure_bucket

pytestmark = pytest.mark.integration


def store(s3: S3Server) -> S3Store:
    return S3Store(
        s3.bucket,
        endpoint=s3.endpoint,
        access_key_id=s3.access_key,
        secret_access_key=s3.secret_key,
        region=s3.region,
        client_options={"allow_http": True},
    )


async def test_of_two_racing_creates_exactly_one_wins(s3: S3Server) -> None:
    key = f"race/{uuid.uuid4()}"
    bucket = store(s3)

    async def create(content: bytes) -> bytes | None:
        try:
            await obstore.put_async(bucket, key, content, mode="create")
        except AlreadyExistsError:
            return None
        return content

    winners = [content for content in await asyncio.gather(create(b"one"), create(b"two")) if content]
    assert len(winners) == 1
    stored = await obstore.get_async(bucket, key)
    assert bytes(await stored.bytes_async()) == winners[0]


def test_a_wrong_secret_is_refused(s3: S3Server) -> None:
    wrong = S3Server(s3.endpoint, s3.access_key, "wrong-secret", s3.bucket)
    with pytest.raises(S3Error) as refused:
        client(wrong).make_bucket("never-made")
    assert refused.value.code in {"SignatureDoesNotMatch", "AccessDenied"}


def test_bucket_set_up_may_be_repeated_and_holds(s3: S3Server) -> None:
    name = f"setup-{uuid.uuid4().hex[:12]}"
    for _ in range(2):
        ensure_bucket(s3, name, versioning=True, abandon_uploads_after=timedelta(days=2))
    minio = client(s3)
    assert minio.get_bucket_versioning(name).status == "Enabled"
    rules = minio.get_bucket_lifecycle(name)
    assert rules is not None
    assert rules.rules[0].abort_incomplete_multipart_upload.days_after_initiation == 2


def test_a_locked_object_cannot_be_deleted(s3: S3Server, tmp_path) -> None:
    name = f"locked-{uuid.uuid4().hex[:12]}"
    ensure_bucket(s3, name, lock=timedelta(days=1))
    minio = client(s3)
    content = tmp_path / "content"
    content.write_bytes(b"kept")
    version = minio.fput_object(name, "page", str(content)).version_id
    with pytest.raises(S3Error) as refused:
        minio.remove_object(name, "page", version_id=version)
    assert refused.value.code == "AccessDenied"
