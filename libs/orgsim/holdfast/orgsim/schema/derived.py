"""Objects that the platform keeps beside another: its field history, its sharing rows, its feed."""

from __future__ import annotations

from typing import Any

from holdfast.orgsim.schema.fields import make_field

Field = dict[str, Any]
HISTORY, SHARE, FEED = "History", "Share", "Feed"

# Describe flags, as recorded describes of a whole org have them for each sort of object.
FLAGS: dict[str, dict[str, bool]] = {
    HISTORY: {"createable": False, "updateable": False, "deletable": False, "replicateable": True},
    SHARE: {"createable": True, "updateable": True, "deletable": True, "replicateable": False},
    FEED: {"createable": False, "updateable": False, "deletable": True, "replicateable": True},
}
NEVER = ("undeletable", "searchable", "triggerable", "layoutable", "mergeable", "mruEnabled", "feedEnabled",
         "compactLayoutable", "searchLayoutable", "customSetting", "activateable")  # fmt: skip
_FIXED: dict[str, Any] = dict.fromkeys(("createable", "updateable", "permissionable"), False)
_LEVELS = ("Read", "Edit", "All")
_CAUSES = ("Owner", "Manual", "Rule", "ImplicitChild", "ImplicitParent", "Team")
_FEED_TYPES = ("TrackedChange", "TextPost", "CreateRecordEvent", "ContentPost", "LinkPost")


def derived_name(parent: str, sort: str) -> str:
    """`AccountHistory`, `Gift__History`; opportunities call theirs OpportunityFieldHistory."""
    if parent.endswith("__c"):
        return f"{parent[:-3]}__{sort}"
    return f"{parent}FieldHistory" if (parent, sort) == ("Opportunity", HISTORY) else parent + sort


def parent_field(parent: str, sort: str) -> str:
    """The lookup to the parent: `AccountId`, or `ParentId` on custom objects and feeds."""
    return "ParentId" if parent.endswith("__c") or sort == FEED else f"{parent}Id"


def access_field(parent: str) -> str:
    """The column of a Share object that says how much is shared."""
    return "AccessLevel" if parent.endswith("__c") else f"{parent}AccessLevel"


def derived_fields(parent: str, sort: str) -> list[Field]:
    """The fields of a derived object."""
    own = make_field("Id", "id", **_FIXED, nillable=False, idLookup=True, defaultedOnCreate=True)
    deleted = make_field("IsDeleted", "boolean", **_FIXED, defaultedOnCreate=True)
    up = make_field(parent_field(parent, sort), "reference", referenceTo=[parent], nillable=False,
                    createable=sort == SHARE, updateable=False, permissionable=False,
                    relationshipName="Parent" if parent.endswith("__c") or sort == FEED else parent)  # fmt: skip
    if sort == HISTORY:
        return [own, deleted, up, *_stamps("Created"), _picklist("Field", ()), _picklist("DataType", ()),
                _value("OldValue"), _value("NewValue")]  # fmt: skip
    if sort == SHARE:
        who = make_field("UserOrGroupId", "reference", referenceTo=["Group", "User"], polymorphicForeignKey=True,
                         nillable=False, updateable=False, permissionable=False)  # fmt: skip
        level = _picklist(access_field(parent), _LEVELS, createable=True, updateable=True, nillable=False)
        return [own, up, who, level, _picklist("RowCause", _CAUSES, createable=True), *_stamps("LastModified"), deleted]
    texts = [make_field("Title", length=255, **_FIXED), make_field("Body", "textarea", length=10000, **_FIXED),
             make_field("LinkUrl", "url", length=1000, **_FIXED)]  # fmt: skip
    counts = [make_field(name, "int", **_FIXED, nillable=False) for name in ("CommentCount", "LikeCount")]
    changed = make_field("SystemModstamp", "datetime", **_FIXED, nillable=False)
    return [own, up, _picklist("Type", _FEED_TYPES), *_stamps("Created"), deleted,
            make_field("LastModifiedDate", "datetime", **_FIXED, nillable=False), changed, *counts, *texts,
            make_field("IsRichText", "boolean", **_FIXED),
            make_field("InsertedById", "reference", referenceTo=["User"], **_FIXED)]  # fmt: skip


def _stamps(what: str) -> list[Field]:
    return [
        make_field(f"{what}ById", "reference", **_FIXED, referenceTo=["User"], nillable=False),
        make_field(f"{what}Date", "datetime", **_FIXED, nillable=False),
    ]


def _picklist(name: str, values: tuple[str, ...], **changes: Any) -> Field:
    listed = [{"active": True, "defaultValue": False, "label": v, "validFor": None, "value": v} for v in values]
    return make_field(name, "picklist", **{**_FIXED, **changes}, picklistValues=listed, restrictedPicklist=bool(values))


def _value(name: str) -> Field:
    return make_field(name, "anyType", **_FIXED, length=255, filterable=False, sortable=False, groupable=False,
                      aggregatable=False)  # fmt: skip
