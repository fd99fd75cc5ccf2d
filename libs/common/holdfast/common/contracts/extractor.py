"""Events of the `extractor` service: what is read, page by durable page."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from holdfast.common.contracts.base import PublicEvent, Value

Mode = Literal["baseline", "incremental", "full"]
# What a page holds: observations, read in one of three modes; ids of records that the org says were deleted; the ids of
# all living records, to hold the table against; bodies of files of records that are in the table.
PageMode = Literal["baseline", "incremental", "full", "deletions", "census", "bodies"]
# A later pass over an object whose count did not match: what changed meanwhile, or the ids of all living records.
Pass = Literal["reading", "delta", "census"]


class PlannedObject(Value):
    """How one object will be read. `estimated_*` come from Salesforce's own cached counts."""

    object: str
    mode: Mode
    strategy: Literal["rest", "bulk2"]
    estimated_rows: int
    estimated_calls: int


class ExtractionPlanned(PublicEvent):
    """The run's objects are known; each of them will end in `object.extracted` or `object.failed`.

    `notes` says, in sentences, what happened to objects that are not among them: the org no longer has them. A plan of
    many objects comes as several events, `page` 1 to `pages`, each with a part of both: it is whole once all are here.
    """

    TYPE: ClassVar[str] = "holdfast.extractor.extraction.planned.v1"
    run_id: UUID
    job_id: UUID
    run: int
    objects: list[PlannedObject]
    notes: list[str] = Field(default_factory=list)
    page: int = Field(default=1, ge=1)
    pages: int = Field(default=1, ge=1)

    def key(self) -> str:
        return str(self.run_id)


class ExtractionRefused(PublicEvent):
    """The run cannot be planned at all: the org is unreachable, the selection is empty, and so on."""

    TYPE: ClassVar[str] = "holdfast.extractor.extraction.refused.v1"
    run_id: UUID
    job_id: UUID
    run: int
    reason: str

    def key(self) -> str:
        return str(self.run_id)


class PageStaged(PublicEvent):
    """A page of records is durable in the object store, in the vault's page format.

    `seq` orders the pages of one object within one run; pages may be announced in any order, and again.
    """

    TYPE: ClassVar[str] = "holdfast.extractor.page.staged.v1"
    page_id: str
    run_id: UUID
    job_id: UUID
    run: int
    object: str
    mode: PageMode
    seq: int
    path: str  # key in the object store
    rows: int
    bytes: int
    sha256: str
    schema_id: str

    def key(self) -> str:
        return f"{self.job_id}/{self.object}"


class OrgCount(Value):
    """How many living records the org counts, asked after the last page came. `at` is the org's time."""

    records: int
    at: datetime


class View(Value):
    """Who looked, and whether what they do not see can be taken for gone.

    `unchanged`: same organization, user and rights as when the job last read the object whole; `reason` says in a
    sentence why absence is no evidence, and is empty if it is.
    """

    organization_id: str
    user_id: str
    sees_all: bool
    unchanged: bool
    reason: str = ""


class Census(Value):
    """Sums over all living records as the org lists them, in any order.

    `ids` = sum modulo 2^64 of XXH3-64 (seed 0) of each 18-character id, as 16 hex digits; `stamps` the same of
    `<id>|<SystemModstamp in canonical text>`, empty for an object without the stamp.
    """

    records: int
    ids: str
    stamps: str = ""


class ObjectExtracted(PublicEvent):
    """Every page of the object is staged. `manifest` lets the differ prove that it has them all.

    `manifest` = SHA-256 over the lines `<page_id> <rows> <sha256>\\n` of all pages in order of `seq`.
    `gaps` says, in sentences, what of the object could not be read though an earlier run could. `notes` says what
    else happened to it (fields added, renamed, retyped), which makes nothing missing.
    `pass_number` counts from 1; a later pass covers the pages of the earlier ones as well and takes their place.
    Without `count`, `not_counted` says why.
    """

    TYPE: ClassVar[str] = "holdfast.extractor.object.extracted.v1"
    run_id: UUID
    job_id: UUID
    run: int
    object: str
    mode: Mode
    pages: int
    rows: int
    manifest: str
    api_calls: int
    watermark: datetime | None
    gaps: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    pass_number: int = 1
    purpose: Pass = "reading"
    count: OrgCount | None = None
    not_counted: str = ""
    view: View | None = None
    census: Census | None = None
    closed_at: datetime | None = None  # when the pass was over, by the extractor's clock

    def key(self) -> str:
        return f"{self.job_id}/{self.object}"


class ObjectFailed(PublicEvent):
    """The object could not be read whole in this run; pages already staged stay staged."""

    TYPE: ClassVar[str] = "holdfast.extractor.object.failed.v1"
    run_id: UUID
    job_id: UUID
    run: int
    object: str
    reason: str
    code: str

    def key(self) -> str:
        return f"{self.job_id}/{self.object}"


class FilesQueued(PublicEvent):
    """The run's records name files that are to be fetched in the background. `files`: how many so far."""

    TYPE: ClassVar[str] = "holdfast.extractor.files.queued.v1"
    run_id: UUID
    job_id: UUID
    run: int
    files: int

    def key(self) -> str:
        return str(self.run_id)


class FilesSettled(PublicEvent):
    """No file of the run is left to fetch. A later retry of what failed says so again, with other figures.

    `missing` says in sentences which files could not be read and why; `doubted` which are stored though they are not
    as Salesforce states them. `bytes` counts a content as often as records hold it.
    """

    TYPE: ClassVar[str] = "holdfast.extractor.files.settled.v1"
    run_id: UUID
    job_id: UUID
    run: int
    files: int
    stored: int
    failed: int
    bytes: int
    missing: list[str] = Field(default_factory=list)
    doubted: list[str] = Field(default_factory=list)

    def key(self) -> str:
        return str(self.run_id)
