"""Envelopes around what the client returns."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from holdfast.salesforce.models import JobInfo, ObjectSummary, Reply


class RecordCount(Reply):
    """About how many rows an object has."""

    name: str
    count: int


class RecordCounts(Reply):
    """Answer of `limits/recordCount`."""

    s_objects: list[RecordCount] = Field(alias="sObjects")


class DescribeGlobalReply(Reply):
    """Answer of `sobjects`."""

    sobjects: list[ObjectSummary]


class CountReply(Reply):
    """Answer of `query` to `SELECT COUNT()`."""

    total_size: int


class JobList(Reply):
    """Answer of `jobs/query`."""

    records: list[JobInfo]
    next_records_url: str | None = None


class ResultLink(Reply):
    """A page of a result. The guide calls the key `resultUrl`, Salesforce's own example collection `resultLink`."""

    address: str = Field(validation_alias=AliasChoices("resultUrl", "resultLink"))


class ResultPagesReply(Reply):
    """Answer of `jobs/query/{id}/resultPages`; the guide spells the key of what follows in two ways."""

    result_pages: list[ResultLink]
    following: str | None = Field(default=None, validation_alias=AliasChoices("nextRecordsUrl", "nextRecordUrl"))
    done: bool = True
