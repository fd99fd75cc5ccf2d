"""Runs the query of a job beside the event loop, on the rows of the moment at which the job was made."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from concurrent.futures import Executor

from holdfast.orgsim.api.bulk2 import restrictions
from holdfast.orgsim.api.bulk2.jobs import FINAL_STATES, Job
from holdfast.orgsim.api.bulk2.pages import Pages
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.ids import make_id
from holdfast.orgsim.org import Org
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.evaluate import run

PATIENCE_S = 1.0  # how long a call waits for a job that is still at work


async def begin(org: Org, job: Job, query: ast.Query, user: User) -> None:
    """Begin to answer `query`.

    Raises:
        ApiError: the query is refused, which is known at once.
    """
    obj = org.readable(query.object, user)
    restrictions.refuse_object(obj)
    restrictions.refuse_query(query)
    job.object = obj.name
    jobs, version, key = org.bulk_jobs, org.data_version(), _question(org, job, user)
    pages = jobs.same_result(version, key)
    if pages is None:
        file_id = make_id("0Ga", jobs.made)
        job.work = jobs.pool.submit(_answer, org.at_this_moment(), jobs.pool, job, query, user, file_id)
        await _wait(job)
        if job.work.done():
            pages = job.work.result()
            jobs.keep_result(version, key, pages)
    if pages is not None:
        _take(job, pages)


async def advance(job: Job) -> None:
    """Bring a query job's state up to date; waits a little for one that is about to end."""
    if job.state in FINAL_STATES:
        return
    await _wait(job)
    if job.work is not None and job.work.done():
        error = job.work.exception()
        if error is None:
            _take(job, job.work.result())
        else:
            job.state, job.work = "Failed", None
            job.error = f"{error.code} : {error.message}" if isinstance(error, ApiError) else "InternalServerError"
    elif job.work is not None:
        job.state = "InProgress"
    if job.pages is not None and not job.stuck and job.state not in FINAL_STATES:
        job.state = "JobComplete"


def _question(org: Org, job: Job, user: User) -> Hashable:
    """What two jobs must have in common to have the same result while no row changes."""
    schema_version = sum(obj.version for obj in org.schema.objects.values())
    return (job.query, job.operation, job.delimiter, job.line_ending, user.id, user.restrictions, schema_version,
            org.clock.now().date(), org.settings.bulk_page_bytes)  # fmt: skip


def _answer(org: Org, pool: Executor, job: Job, query: ast.Query, user: User, file_id: str) -> Pages:
    """Run the query and make the first page; the others follow in the background."""
    result = run(org, query, user, include_deleted=job.operation == "queryAll")
    restrictions.refuse_columns(result)
    pages = Pages(
        result.rows,
        [o.column.name for o in result.outputs],
        [o.written for o in result.outputs],
        separator=job.separator,
        newline=job.newline,
        page_bytes=org.settings.bulk_page_bytes,
        file_id=file_id,
    )
    pages.render_first()
    pages.render_rest(pool)
    return pages


async def _wait(job: Job) -> None:
    if job.work is not None:
        await asyncio.wait([asyncio.wrap_future(job.work)], timeout=PATIENCE_S)


def _take(job: Job, pages: Pages) -> None:
    job.pages, job.processed, job.work = pages, pages.rows, None
