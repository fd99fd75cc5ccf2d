"""What single objects do not let a query do: not queryable at all, only with a certain filter, without an order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError, unsupported_object
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql import ast, bigobjects
from holdfast.orgsim.soql.columns import Columns
from holdfast.orgsim.soql.functions import is_aggregate
from holdfast.orgsim.soql.messages import located, malformed

QUERY_ALL_FILES_FROM = Decimal(59)
MAX_ACTIVITY_RELATIONS = 100_000

NOT_QUERYABLE = frozenset({
    "ActivityHistory", "AggregateResult", "AttachedContentDocument", "AttachedContentNote", "CombinedAttachment",
    "ContentBody", "ContentReference", "DataType", "EmailStatus", "FeedLike", "FeedSignal", "FeedTrackedChange",
    "FolderedContentDocument",
    "LookedUpFromActivity", "Name", "NoteAndAttachment", "OpenActivity", "OwnedContentDocument",
    "ProcessInstanceHistory", "QuoteTemplateRichTextData",
})  # fmt: skip
_STREAMS = ("ChangeEvent", "EventStream")

REIFIED = {
    "ColorDefinition": "TabDefinitionId,DurableId",
    "EntityParticle": "EntityDefinitionId,FieldDefinitionId,DurableId",
    "FieldDefinition": "EntityDefinitionId,DurableId",
    "FlowVersionView": "FlowDefinitionViewId,DurableId",
    "IconDefinition": "TabDefinitionId,DurableId",
    "OwnerChangeOptionInfo": "EntityDefinitionId,DurableId",
    "PicklistValueInfo": "EntityParticleId,DurableId",
    "RelationshipDomain": "FieldId,ChildSobjectId,ParentSobjectId,RelationshipInfoId,DurableId",
    "RelationshipInfo": "ChildSobjectId,FieldId,DurableId",
    "SearchLayout": "EntityDefinitionId,DurableId",
    "SiteDetail": "DurableId",
    "StandardValueSet": "MasterLabel,DurableId",
    "UserEntityAccess": "UserId,DurableId",
    "UserFieldAccess": "DurableId",
}


@dataclass(frozen=True)
class Filter:
    """One of `fields` must be compared by `operators`, or the query is refused with `message`."""

    fields: frozenset[str]
    message: str
    operators: frozenset[str] = frozenset({"=", "in"})
    code: str = "MALFORMED_QUERY"


def _any(*fields: str) -> frozenset[str]:
    return frozenset(f.lower() for f in fields)


_KNOWLEDGE = Filter(
    _any("PublishStatus", "Id", "KnowledgeArticleId"),
    "Implementation restriction: When querying or searching the {0} object, you must filter using the following "
    "syntax: Id = [single ID], Id IN [list of ID's], or PublishStatus = [single status].",
)
FILTERS: dict[str, Filter] = {
    "ContentDocumentLink": Filter(
        _any("ContentDocumentId", "LinkedEntityId"),
        "Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId or "
        "LinkedEntityId using the equals operator or multiple Id's using the IN operator.",
    ),
    "ContentFolderItem": Filter(
        _any("Id", "ParentContentFolderId"),
        "Implementation restriction: ContentFolderItem requires a filter by Id or ParentContentFolderId using the "
        "equals or 'IN' operator",
    ),
    "ContentFolderMember": Filter(
        _any("Id", "ChildRecordId", "ParentContentFolderId"),
        "Implementation restriction: ContentFolderMember requires a filter by a single Id, ChildRecordId or "
        "ParentContentFolderId using the equals operator",
        frozenset({"="}),
    ),
    "IdeaComment": Filter(
        _any("CommunityId", "Id", "IdeaId"),
        "Implementation restriction. When querying the Idea Comment object, you must filter using the following "
        "syntax: CommunityId = [single ID], Id = [single ID], IdeaId = [single ID], Id IN [list of IDs], or IdeaId IN "
        "[list of IDs].",
    ),
    "Vote": Filter(
        _any("ParentId", "Parent.Type", "Id"),
        "Implementation restriction: When querying the Vote object, you must filter using the following syntax: "
        "ParentId = [single ID], Parent.Type = [single Type], Id = [single ID], or Id IN [list of ID's].",
    ),
    "Announcement": Filter(
        _any("Id", "FeedItemId", "ParentId"),
        "Implementation restriction: Announcement requires a filter by an ID, FeedItemId or ParentId using the equals "
        "operator.",
        frozenset({"="}),
    ),
    "CollaborationGroupRecord": Filter(
        _any("Id", "CollaborationGroupId", "RecordId"),
        "Implementation restriction: CollaborationGroupRecord requires a filter by a single Id, CollaborationGroupId "
        "or RecordId using the equals operator",
        frozenset({"="}),
    ),
    "DataStatistics": Filter(
        _any("StatType"), "Where clauses should contain StatType", code="EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION"
    ),
    "FlexQueueItem": Filter(
        _any("JobType"),
        "The WHERE clause must contain a JobType field expression.",
        code="EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION",
    ),
    "KnowledgeArticleVersion": _KNOWLEDGE,
    **{name: Filter(_any(*columns.split(",")), "{0}: a filter on a reified column is required [" + columns + "]")
       for name, columns in REIFIED.items()},
}  # fmt: skip

UNORDERED = frozenset({
    "ActivityFieldHistory", "ApiEvent", "BackgroundOperationResult", "BulkApiResultEventStore", "EmbeddedServiceDetail",
    "EmbeddedServiceLabel", "FormulaFunction", "FormulaFunctionAllowedType", "FormulaFunctionCategory",
    "IdentityProviderEventStore", "IdentityVerificationEvent", "LightningUriEvent", "ListViewEvent", "LoginAsEvent",
    "LoginEvent", "LogoutEvent", "PendingOrderSummary", "ReportEvent", "TabDefinition", "UriEvent",
})  # fmt: skip


def queried(org: Org, user: User, query: ast.Query) -> SObject:
    """The object in the query's FROM.

    Raises:
        ApiError: 400 INVALID_TYPE for one that is not there for this user, INVALID_TYPE_FOR_OPERATION for one that
            no query can read.
    """
    name = query.object
    if name in NOT_QUERYABLE or name.endswith(_STREAMS):
        raise ApiError(400, "INVALID_TYPE_FOR_OPERATION", f"entity type {name} does not support query")
    obj = org.schema.find(name)
    if obj is None or not user.reads(obj.name) or not obj.describe["queryable"]:
        raise located(unsupported_object(name), query.text, query.at)
    return obj


def check(query: ast.Query, columns: Columns, version: str) -> None:
    """Refuse what the queried object does not allow.

    Raises:
        ApiError: 400.
    """
    name = columns.obj.name
    if name.endswith("__b"):
        bigobjects.check(query, columns)
    wanted = FILTERS.get(name) or (_KNOWLEDGE if name.endswith("__kav") else None)
    if wanted is not None and not _unrestricted(name, columns.user, version) and not _filtered(query.where, wanted):
        raise ApiError(400, wanted.code, wanted.message.format(name))
    if name in UNORDERED and query.order_by:
        field = query.order_by[0].operand
        raise located(malformed(f"field '{field}' can not be sorted in a query call"), query.text, field.at)
    if name in ("Task", "Event"):
        _check_activities(query, columns)


def _unrestricted(name: str, user: User, version: str) -> bool:
    return name == "ContentDocumentLink" and Decimal(version) >= QUERY_ALL_FILES_FROM and user.may("QueryAllFiles")


def _filtered(where: ast.Condition | None, wanted: Filter) -> bool:
    return any(_meets(part, wanted) for part in ast.conjuncts(where))


def _meets(part: ast.Condition, wanted: Filter) -> bool:
    if isinstance(part, ast.Comparison | ast.Membership) and part.operator in wanted.operators:
        path = part.operand if isinstance(part.operand, ast.Path) else ()
        return any(form in wanted.fields for form in _forms(path))
    return False


def _forms(path: Iterable[str]) -> tuple[str, ...]:
    """A path as the filters name it: `EntityDefinition.QualifiedApiName` stands for `EntityDefinitionId`."""
    steps = [step.lower() for step in path]
    return ".".join(steps), steps[-1] if steps else "", f"{steps[0]}id" if len(steps) > 1 else ""


def _check_activities(query: ast.Query, columns: Columns) -> None:
    """Without View All Data a query over too many activities of too many people and things is refused."""
    table = columns.org.table(columns.obj)
    if columns.user.may("ViewAllData") or len(table) <= MAX_ACTIVITY_RELATIONS:
        return
    if any(isinstance(i, ast.CallItem) and is_aggregate(i.call) for i in query.items):
        return
    names = [n for n in ("WhoId", "WhatId") if n in table.columns]
    distinct = table.scan().select(pl.col(names).n_unique()).collect().row(0)
    if max(distinct, default=0) > MAX_ACTIVITY_RELATIONS:
        raise ApiError(400, "OPERATION_TOO_LARGE", "exceeded 100000 distinct who/what's")
