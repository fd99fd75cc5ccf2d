"""Bulk API 2.0 queries: jobs, and the pages of their results."""

from __future__ import annotations

import json
from urllib.parse import quote, urlsplit

from holdfast.common.errors import Kind
from holdfast.salesforce.calls import Call, Calls
from holdfast.salesforce.errors import Retry, SalesforceError, outside_api
from holdfast.salesforce.models import BulkPage, JobInfo, ResultPages
from holdfast.salesforce.replies import JobList, ResultPagesReply
from holdfast.salesforce.transport import Answer

# A page of a Bulk result is as large as the server likes; more than this is an error, not a page.
MAX_PAGE_BYTES = 1 << 30


class BulkQueries:
    """What `SalesforceClient` does with query jobs.

    Attributes:
        _calls: Sends what these methods ask for.
        _data: Where the API in use begins.
    """

    _calls: Calls
    _data: str

    async def create_query_job(self, soql: str, *, all_rows: bool) -> JobInfo:
        """Start a query job.

        Not knowing whether a first try reached Salesforce, this tries again: the job that nobody knows of
        then costs one of 10,000 jobs a day, reads nothing further, and is dropped after seven days.
        """
        content = json.dumps({"operation": "queryAll" if all_rows else "query", "query": soql}).encode()
        headers = (("Content-Type", "application/json"),)
        call = Call("POST", "jobs/query", f"{self._data}/jobs/query", headers, content)
        return await self._calls.json(call, JobInfo)

    async def get_query_job(self, job_id: str) -> JobInfo:
        """How the job is doing."""
        return await self._calls.json(self._get("jobs/query/{id}", self._job(job_id)), JobInfo)

    async def abort_query_job(self, job_id: str) -> JobInfo:
        """Stop the job."""
        headers = (("Content-Type", "application/json"),)
        path = self._data + self._job(job_id)
        call = Call("PATCH", "jobs/query/{id}", path, headers, b'{"state":"Aborted"}')
        return await self._calls.json(call, JobInfo)

    async def delete_query_job(self, job_id: str) -> None:
        """Drop the job and its results. A job that is gone already is fine."""
        try:
            call = Call("DELETE", "jobs/query/{id}", self._data + self._job(job_id))
            await self._calls.read(call, lambda answer: None)
        except SalesforceError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise

    async def list_query_jobs(self) -> list[JobInfo]:
        """Every query job of the org, of both Bulk APIs. One request per thousand jobs."""
        jobs: list[JobInfo] = []
        path: str | None = f"{self._data}/jobs/query?jobType=V2Query"
        while path is not None:
            page = await self._calls.json(Call("GET", "jobs/query", path), JobList)
            jobs += page.records
            path = page.next_records_url
        return jobs

    async def download_page(self, job_id: str, locator: str | None = None, max_records: int | None = None) -> BulkPage:
        """One page of a finished job's result; the same locator always names the same page.

        Args:
            job_id: A job in state JobComplete.
            locator: `next_locator` of the page before; None for the first page.
            max_records: At most so many rows; without it Salesforce chooses.

        Raises:
            SalesforceError: NOT_FOUND when the result is gone; UNAVAILABLE for an answer that is not a page.
        """
        asked = {"locator": locator, "maxRecords": max_records}
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in asked.items() if value)
        return await self._download(f"{self._data}{self._job(job_id)}/results" + (f"?{query}" if query else ""))

    async def result_pages(self, job_id: str, listing: str | None = None) -> ResultPages:
        """Where the next pages of a finished job's result are, up to five, to be fetched side by side.

        Args:
            job_id: A job in state JobComplete.
            listing: `following` of the call before; None for the first pages.

        Raises:
            SalesforceError: NOT_FOUND or INVALID where the org does not offer this (before API version 58).
        """
        path = listing or f"{self._data}{self._job(job_id)}/resultPages"
        call = Call("GET", "jobs/query/{id}/resultPages", self._within(job_id, path))
        reply = await self._calls.json(call, ResultPagesReply)
        addresses = tuple(self._within(job_id, link.address) for link in reply.result_pages)
        following = None if reply.done or not reply.following else self._within(job_id, reply.following)
        if following is None and not reply.done:
            raise outside_api("does not say where the next pages are")
        return ResultPages(addresses, following)

    async def download_from(self, job_id: str, address: str) -> BulkPage:
        """The page at an address that `result_pages` gave."""
        return await self._download(self._within(job_id, address))

    async def _download(self, path: str) -> BulkPage:
        headers = (("Accept", "text/csv"),)
        call = Call("GET", "jobs/query/{id}/results", path, headers, csv=True, max_bytes=MAX_PAGE_BYTES)
        return await self._calls.read(call, _bulk_page)

    def _within(self, job_id: str, address: str) -> str:
        """The path of an address of the job's; its host, if it names one, is not what the token is for."""
        url = urlsplit(address)
        version, _, rest = url.path.removeprefix("/services/data/v").partition("/")
        here = f"{self._job(job_id)}/".removeprefix("/")
        # The version is that of when the address was given, which the org may have retired since.
        known = url.path.startswith("/services/data/v") and not version.strip("0123456789.")
        if not known or not rest.startswith(here) or ".." in rest:
            raise outside_api("names a page outside the job")
        return f"{self._data}/{rest}" + (f"?{url.query}" if url.query else "")

    def _get(self, route: str, path: str) -> Call:
        return Call("GET", route, self._data + path)

    def _job(self, job_id: str) -> str:
        return f"/jobs/query/{quote(job_id, safe='')}"


def _bulk_page(answer: Answer) -> BulkPage:
    rows, following = answer.headers.get("Sforce-NumberOfRecords", ""), answer.headers.get("Sforce-Locator")
    if not rows.isdecimal() or not following:
        raise SalesforceError(
            Kind.UNAVAILABLE,
            "Salesforce sent a page without saying what it holds.",
            code="answer-unreadable",
            retry=Retry.TWICE,
        )
    return BulkPage(answer.body, int(rows), None if following == "null" else following)
