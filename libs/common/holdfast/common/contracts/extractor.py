"""Events of the `extractor` service: what is read, page by durable page."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from holdfast.common.contracts.base import PublicEvent, Value

Mode = Literal["baseline", "incremental", "full"]


class PlannedObject(Value):
    """How one object will be read. `estimated_*` come from Salesforce's own cached counts."""

    object: str
    mode: Mode
    strategy: Literal["rest", "bulk2"]
    estimated_rows: int
    estimated_calls: int


class ExtractionPlanned(PublicEvent):
    """The run's objects are known; each of them will end in `object.extracted` or `object.failed`."""

    TYPE: ClassVar[str] = "holdfast.extractor.extraction.planned.v1"
    run_id: UUID
    job_id: UUID
    run: int
    objects: list[PlannedObject]

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
    mode: Mode
    seq: int
    path: str  # key in the object store
    rows: int
    bytes: int
    sha256: str
    schema_id: str

    def key(self) -> str:
        return f"{self.job_id}/{self.object}"


class ObjectExtracted(PublicEvent):
    """Every page of the object is staged. `manifest` lets the differ prove that it has them all.

    `manifest` = SHA-256 over the lines `<page_id> <rows> <sha256>\\n` of all pages in order of `seq`.
    `gaps` says, in sentences, what of the object could not be read though an earlier run could.
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
