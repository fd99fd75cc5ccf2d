"""Bucket set-up on any S3 server: create, versioning, object lock, lifecycle.

Through the ``minio`` client, because object-store libraries that move data do not manage
buckets. Every step may be repeated.
"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from minio import Minio
from minio.commonconfig import COMPLIANCE, ENABLED, Filter
from minio.lifecycleconfig import AbortIncompleteMultipartUpload, LifecycleConfig, Rule
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.versioningconfig import VersioningConfig

from holdfast.launcher.stack.seaweedfs import S3Server


def client(server: S3Server) -> Minio:
    """A client with the server's administrator credentials."""
    url = urlsplit(server.endpoint)
    return Minio(
        url.netloc,
        access_key=server.access_key,
        secret_key=server.secret_key,
        secure=url.scheme == "https",
        region=server.region,
    )


def ensure_bucket(
    server: S3Server,
    bucket: str,
    *,
    versioning: bool = False,
    lock: timedelta | None = None,
    abandon_uploads_after: timedelta | None = None,
) -> None:
    """Create a bucket if it is missing and set what is asked for.

    Args:
        versioning: Keep earlier versions of overwritten objects.
        lock: New objects cannot be deleted before this age, by anyone (whole days). Only a new
            bucket can get it; it implies versioning.
        abandon_uploads_after: Remove multipart uploads nobody finished (whole days).

    Raises:
        minio.error.MinioException: The server refused.
    """
    minio = client(server)
    if not minio.bucket_exists(bucket):
        minio.make_bucket(bucket, object_lock=lock is not None)
    if versioning or lock is not None:
        minio.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    if lock is not None:
        minio.set_object_lock_config(bucket, ObjectLockConfig(COMPLIANCE, lock.days, DAYS))
    if abandon_uploads_after is not None:
        minio.set_bucket_lifecycle(bucket, _abandon_rule(abandon_uploads_after.days))


def _abandon_rule(days: int) -> LifecycleConfig:
    abort = AbortIncompleteMultipartUpload(days_after_initiation=days)
    rule = Rule(ENABLED, rule_filter=Filter(prefix=""), rule_id="abandon", abort_incomplete_multipart_upload=abort)
    return LifecycleConfig([rule])
