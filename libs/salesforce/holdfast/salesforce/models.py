"""What the org answers, checked and typed. Unknown keys are ignored: every release adds some."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Body = bytes | bytearray


@dataclass(frozen=True)
class Access:
    """A token and where to use it. The token stays out of `repr`."""

    instance_url: str
    access_token: str
    organization_id: str

    def __repr__(self) -> str:
        return f"Access(instance_url={self.instance_url!r}, organization_id={self.organization_id!r})"


class AccessProvider(Protocol):
    """Where tokens come from."""

    async def access(self, refused: str | None = None) -> Access:
        """A token to call the org with.

        Args:
            refused: A token that the org just refused. Many callers may name the same one at the same
                time; the provider signs in once and gives all of them the new token.
        """


class Reply(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Version(Reply):
    """An API version that the org offers."""

    label: str = ""
    url: str
    version: str


class Limit(Reply):
    """One of the org's limits."""

    max: int = Field(alias="Max")
    remaining: int = Field(alias="Remaining")


class Organization(NamedTuple):
    """An org. `developer`: a developer or trial org, which takes fewer long requests at once."""

    name: str
    developer: bool


class ObjectSummary(Reply):
    """An object as the global describe lists it."""

    name: str
    label: str = ""
    key_prefix: str | None = None
    queryable: bool = False
    retrieveable: bool = False
    replicateable: bool = False
    custom: bool = False
    custom_setting: bool = False
    deprecated_and_hidden: bool = False
    is_interface: bool = False
    associate_entity_type: str | None = None
    associate_parent_entity: str | None = None


class PicklistValue(Reply):
    """A value that a picklist offers, or offered."""

    value: str
    active: bool = True


class FieldDescribe(Reply):
    """A field of an object."""

    name: str
    type: str
    label: str = ""
    soap_type: str = ""
    length: int = 0
    precision: int = 0
    scale: int = 0
    digits: int = 0
    custom: bool = False
    calculated: bool = False
    auto_number: bool = False
    nillable: bool = True
    filterable: bool = False
    sortable: bool = False
    createable: bool = False
    updateable: bool = False
    compound_field_name: str | None = None
    extra_type_info: str | None = None
    relationship_name: str | None = None
    reference_to: tuple[str, ...] = ()
    picklist_values: tuple[PicklistValue, ...] = ()


class Describe(Reply):
    """An object and its fields, as far as the connected user may see them.

    Attributes:
        etag: Hand it to the next describe call; the org answers with `NotModified` if nothing changed.
    """

    name: str
    label: str = ""
    key_prefix: str | None = None
    queryable: bool = False
    retrieveable: bool = False
    replicateable: bool = False
    fields: tuple[FieldDescribe, ...]
    etag: str | None = None


class NotModified(NamedTuple):
    """The describe is the one that carried this tag."""

    etag: str


class JobInfo(Reply):
    """A Bulk 2.0 query job. `state` is UploadComplete, InProgress, JobComplete, Failed or Aborted."""

    id: str
    operation: str = ""
    object: str = ""
    state: str
    created_date: datetime | None = None
    number_records_processed: int = 0
    retries: int = 0
    total_processing_time: int = 0
    error_message: str | None = None


class DeletedRecord(Reply):
    """A record in the delete log."""

    id: str
    deleted_date: datetime


class Deleted(Reply):
    """Records deleted in a span of time, and how far the delete log reaches."""

    deleted_records: tuple[DeletedRecord, ...]
    earliest_date_available: datetime
    latest_date_covered: datetime


class Updated(Reply):
    """Ids of records changed in a span of time."""

    ids: tuple[str, ...]
    latest_date_covered: datetime


class UserInfo(Reply):
    """Who the token belongs to."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    user_id: str
    organization_id: str
    preferred_username: str = ""
    name: str = ""


@dataclass(frozen=True)
class Permissions:
    """What the user is allowed to do; None where the org does not tell."""

    modify_all_data: bool | None = None
    query_all_files: bool | None = None
    view_all_data: bool | None = None
    view_setup: bool | None = None


@dataclass(frozen=True)
class RestPage:
    """One page of a REST query.

    Attributes:
        table: String columns only, in the order asked for. Numbers are the tokens of the JSON text,
            booleans `true`/`false`, null and empty text null, parents' fields `Owner.Name`.
        total_size: Rows of the whole query.
        next_url: Hand it to `query_more`; None on the last page.
    """

    table: pa.Table
    total_size: int
    next_url: str | None


@dataclass(frozen=True)
class BulkPage:
    """One page of a Bulk result, not yet parsed.

    Attributes:
        body: The CSV with its header row, unpacked.
        rows_promised: What the org says the page holds; `rows.parse_csv` checks it.
        next_locator: Hand it to the next `download_page`; None on the last page.
    """

    body: Body
    rows_promised: int
    next_locator: str | None


@dataclass(frozen=True)
class ResultPages:
    """Pages of a Bulk result that may be fetched side by side, in order.

    Attributes:
        pages: Addresses for `download_from`, at most five.
        following: Hand it to the next `result_pages`; None if these are the last.
    """

    pages: tuple[str, ...]
    following: str | None
