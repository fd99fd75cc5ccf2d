"""Runs ingest jobs: reads the upload, saves it in slices between which the org answers others, writes the results."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator

import polars as pl

from holdfast.orgsim.api.bulk2.jobs import Job
from holdfast.orgsim.api.bulk2.results import ResultFiles
from holdfast.orgsim.api.bulk2.uploads import Upload, UploadError, read_upload
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org
from holdfast.orgsim.saving.given import Given, given_text
from holdfast.orgsim.saving.outcomes import Outcomes
from holdfast.orgsim.saving.saver import Saver
from holdfast.orgsim.schema.objects import SObject

AT_ONCE_BYTES = 1_000_000  # smaller uploads are done before the job's closing is answered
SLICE_ROWS = 10_000  # an internal batch of the platform
STRANGE = "INVALID_CSV_LINE:The number of columns in the row differs from the header: --"
RETRIED = "InternalServerError : Retried more than fifteen times"
BULK_API = "Bulk2"
logger = logging.getLogger(__name__)


def start(org: Org, user: User, job: Job) -> None:
    """Process a job whose upload is complete: a small one now, a large one beside what the org answers meanwhile."""
    job.state = "InProgress"
    if len(job.input or b"") > AT_ONCE_BYTES:
        job.task = asyncio.get_running_loop().create_task(_run(org, user, job))
        return
    try:
        upload = _read(job)
        processor = Processor(org, user, job, upload)
        for _ in processor.slices():
            pass
        _end(job, _files(job, upload).render(*processor.outcomes()))
    except UploadError as error:
        job.state, job.error = "Failed", str(error)
    except Exception:
        _broken(job)


async def _run(org: Org, user: User, job: Job) -> None:
    try:
        upload = await asyncio.to_thread(_read, job)
        processor = Processor(org, user, job, upload)
        for _ in processor.slices():
            await asyncio.sleep(0)
        _end(job, await asyncio.to_thread(_files(job, upload).render, *processor.outcomes()))
    except UploadError as error:
        job.state, job.error = "Failed", str(error)
    except Exception:
        _broken(job)


def _broken(job: Job) -> None:
    logger.exception("job %s", job.id)
    job.state, job.error = "Failed", "InternalServerError : the job could not be processed"


def _read(job: Job) -> Upload:
    return read_upload(job.input or b"", job.separator, job.newline)


def _files(job: Job, upload: Upload) -> ResultFiles:
    return ResultFiles(upload, job.separator, job.newline)


def _end(job: Job, results: dict[str, bytes]) -> None:
    job.results, job.input = results, None
    if job.state == "InProgress":
        job.state = "JobComplete"


class Processor:
    """Saves the rows of an upload."""

    def __init__(self, org: Org, user: User, job: Job, upload: Upload) -> None:
        self._job = job
        self._upload = upload
        self._org = org
        self._user = user
        self._obj = org.readable(job.object, user)
        self._writer = Saver(org, user, BULK_API)
        self._done: list[pl.DataFrame] = []

    def slices(self) -> Iterator[None]:
        """Save slice by slice. Nothing of a slice is saved before the one before it.

        Raises:
            UploadError: the header names a column that the object has not, lacks the key, or a quota is used up.
        """
        names = {name.lower(): number for number, name in enumerate(self._upload.header)}
        columns = {self._upload.header[number]: str(number) for number in names.values()}
        self._admit(names)
        most = self._upload.height if self._job.fail_after is None else self._job.fail_after
        for start in range(0, max(min(self._upload.rows.height, most), 1), SLICE_ROWS):
            if self._job.state != "InProgress":
                return
            rows = self._upload.rows.slice(start, min(SLICE_ROWS, most - start))
            outcomes = self._save({name: rows[number] for name, number in columns.items()}, rows.height)
            sent = next((number for name, number in columns.items() if name.lower() == "id"), None)
            self._done.append(_lines(outcomes, None if sent is None else rows[sent]))
            self._job.processed += rows.height
            self._job.failed += outcomes.failed
            yield
        if most < self._upload.height:
            self._job.state, self._job.error = "Failed", self._job.fail_message or RETRIED
        if self._job.state == "InProgress":
            self._job.processed += len(self._upload.strange)
            self._job.failed += len(self._upload.strange)

    def _admit(self, names: Collection[str]) -> None:
        key = {"insert": None, "upsert": self._job.external_id_field}.get(self._job.operation, "Id")
        if names and key is not None and key.lower() not in names:
            raise UploadError(f"InvalidBatch : Field name not found : {key}")
        batches = max(1, -(-self._upload.height // SLICE_ROWS))
        try:
            self._org.accounting.charge_batches(batches, self._org.clock.now())
        except ApiError as error:
            raise UploadError(f"ExceededQuota : {error.message}") from error

    def outcomes(self) -> tuple[pl.DataFrame, dict[int, str]]:
        """For the result files: one line per row that was looked at, and why rows that do not fit failed."""
        schema = {"id": pl.String, "created": pl.Boolean, "error": pl.String}
        lines = pl.concat([pl.DataFrame(schema=schema), *self._done])
        ended = self._job.state == "InProgress"
        return lines, dict.fromkeys(self._upload.strange, STRANGE) if ended else {}

    def _save(self, columns: dict[str, pl.Series], height: int) -> Outcomes:
        operation, writer, obj = self._job.operation, self._writer, self._obj
        record_ids = _take(columns, "Id")
        if record_ids is None:
            record_ids = pl.Series([""]).new_from_index(0, height)
        if operation == "delete":
            return writer.delete_many(record_ids, obj)
        if operation == "hardDelete":
            return writer.hard_delete_many(record_ids, obj)
        keys = record_ids
        if operation == "upsert" and (self._job.external_id_field or "Id").lower() != "id":
            found = _take(columns, self._job.external_id_field or "")
            keys = pl.Series([""]).new_from_index(0, height) if found is None else found
        given = given_text(self._org, self._user, obj, columns, height, failed=_failed)
        if operation == "insert":
            return writer.insert_many(obj, given)
        if operation == "update":
            return writer.update_many(obj, record_ids, given)
        return self._upsert(obj, keys, given)

    def _upsert(self, obj: SObject, keys: pl.Series, given: Given) -> Outcomes:
        try:
            return self._writer.upsert_many(obj, self._job.external_id_field or "Id", keys, given)
        except ApiError as error:
            raise UploadError(f"InvalidBatch : {error.message}") from error


def _take(columns: dict[str, pl.Series], name: str) -> pl.Series | None:
    """A column by its name, whatever its case, taken out of the columns."""
    found = next((header for header in columns if header.lower() == name.lower()), None)
    return None if found is None else columns.pop(found)


def _failed(sentence: str) -> UploadError:
    return UploadError(f"InvalidBatch : {sentence}")


def _lines(outcomes: Outcomes, sent: pl.Series | None) -> pl.DataFrame:
    """Outcomes as the result files tell them: a refused row is named by the id that was sent."""
    frame = outcomes.frame
    names = pl.col("fields").fill_null("")
    error = pl.concat_str("code", pl.lit(":"), "message", pl.lit(":"), names, pl.lit(" --"))
    own = pl.lit("") if sent is None else sent.alias("sent")
    return frame.select(
        pl.when(pl.col("code").is_null()).then("id").otherwise(own).alias("id"),
        "created",
        pl.when(pl.col("code").is_not_null()).then(error).alias("error"),
    )
