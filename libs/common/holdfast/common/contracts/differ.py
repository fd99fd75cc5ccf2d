"""Events of the `differ` service: what changed, and the record feed."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from holdfast.common.contracts.base import PublicEvent, Value

Operation = Literal["captured", "created", "updated", "touched", "deleted", "undeleted"]


class ChangeCounts(Value):
    """Events by operation. `touched` (only the stamp moved) is never counted as a change.

    `unseen` counts records that a full scan did not return without evidence that they were deleted.
    """

    captured: int = 0
    created: int = 0
    updated: int = 0
    touched: int = 0
    deleted: int = 0
    undeleted: int = 0
    unseen: int = 0


class ChangesCommitted(PublicEvent):
    """One page's events are in the table: `version` is the Delta version to read them at."""

    TYPE: ClassVar[str] = "holdfast.differ.changes.committed.v1"
    job_id: UUID
    run_id: UUID
    run: int
    object: str
    table: str
    commit_seq: int
    version: int
    page_id: str
    counts: ChangeCounts
    chain_head: str

    def key(self) -> str:
        return f"{self.job_id}/{self.object}"


class Proof(Value):
    """Whether the vault holds what the org holds of an object, after this run.

    `proven`: counts agree (`checked` "count"), or the ids of all living records do ("ids"; "ids and stamps" where
    their stamps were compared as well). `not proven`: `reason` says why it is not known. `mismatch`: `reason` says
    what differs; the ids are named, up to 100 of each, and the next run reads the object whole.
    """

    state: Literal["proven", "not proven", "mismatch"]
    checked: Literal["", "count", "ids", "ids and stamps"] = ""
    reason: str = ""
    org_records: int | None = None
    vault_records: int
    passes: int
    at: datetime
    missing: int = 0  # living in the org, not in the vault
    missing_ids: list[str] = Field(default_factory=list)
    outdated: int = 0  # older in the vault than in the org
    outdated_ids: list[str] = Field(default_factory=list)
    unseen: int = 0  # living in the vault, not in the org, and nothing shows that they were deleted
    unseen_ids: list[str] = Field(default_factory=list)


class ObjectDoubted(PublicEvent):
    """The object's count did not match: one more pass over it is needed before its outcome is known.

    The extractor answers with an `object.extracted` of the next `pass_number`, or gives the object up.
    """

    TYPE: ClassVar[str] = "holdfast.differ.object.doubted.v1"
    job_id: UUID
    run_id: UUID
    run: int
    object: str
    pass_number: int  # the pass that raised the doubt
    wanted: Literal["delta", "census"]
    reason: str

    def key(self) -> str:
        return f"{self.job_id}/{self.object}"


class ObjectDiffed(PublicEvent):
    """Every page of the object's manifest is committed: the object is complete for this run.

    `proof` is null only in events of installations that did not prove yet.
    """

    TYPE: ClassVar[str] = "holdfast.differ.object.diffed.v1"
    job_id: UUID
    run_id: UUID
    run: int
    object: str
    table: str
    version: int
    chain_head: str
    rows_read: int
    bytes_written: int
    counts: ChangeCounts
    gaps: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    proof: Proof | None = None

    def key(self) -> str:
        return f"{self.job_id}/{self.object}"


class ObjectGivenUp(PublicEvent):
    """The object cannot be brought whole into the vault in this run; what is committed of it stays.

    `reason` names the page or file. The next run reads the object whole again.
    """

    TYPE: ClassVar[str] = "holdfast.differ.object.failed.v1"
    job_id: UUID
    run_id: UUID
    run: int
    object: str
    reason: str
    code: str

    def key(self) -> str:
        return f"{self.job_id}/{self.object}"


class BodiesGivenUp(PublicEvent):
    """A page of files' bodies cannot be brought into the vault: its file is damaged or gone. Nothing else is given up.

    `reason` names page and file. The extractor lists the page's files as missing and attaches or fetches them again.
    """

    TYPE: ClassVar[str] = "holdfast.differ.bodies.failed.v1"
    job_id: UUID
    run_id: UUID
    run: int
    object: str
    page_id: str
    reason: str
    code: str

    def key(self) -> str:
        return f"{self.job_id}/{self.object}"


class RecordChanged(PublicEvent):
    """The record feed: one message per changed record; never for a baseline, never with values.

    Ordered within `key`; a repeat carries the same `event_id`.
    """

    TYPE: ClassVar[str] = "holdfast.differ.record.changed.v1"
    organization_id: str
    job_id: UUID
    run: int
    object: str
    record_id: str
    operation: Operation
    changed_fields: list[str]
    modified_at: datetime | None
    event_id: str
    table: str
    version: int

    def key(self) -> str:
        return f"{self.organization_id}/{self.record_id}"
