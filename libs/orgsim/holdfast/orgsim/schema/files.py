"""The objects that hold files, with the fields that the object reference lists for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.orgsim.schema.lines import read_field

if TYPE_CHECKING:
    from holdfast.orgsim.schema.objects import Schema, SObject

# Objects whose contents count as file storage, with the field that holds the size.
STORED_AS_FILES = {"ContentVersion": "ContentSize", "Attachment": "BodyLength", "Document": "BodyLength",
                   "StaticResource": "BodyLength"}  # fmt: skip
ATTACHABLE = ("Account", "Asset", "Campaign", "Case", "Contact", "Contract", "Event", "Lead", "Opportunity", "Order",
              "Product2", "Solution", "Task")  # fmt: skip
LINKABLE = (*ATTACHABLE, "User", "Organization", "CollaborationGroup")

# Fields in the form of `lines`; a lookup points at `*` whatever files can be linked to, or at `@` whatever attachments
# can be attached to.
_GROUPS = {"*": LINKABLE, "@": ATTACHABLE}
_CONTENT_VERSION = """
ContentDocumentId reference c >ContentDocument
IsLatest boolean d
ContentUrl url cung :1300
ContentBodyId reference cn >ContentBody
VersionNumber string n :20
Title string cui :255
Description textarea cung :1000
ReasonForChange string cung :1000
SharingOption picklist cud =A,R
SharingPrivacy picklist cud =N,P
PathOnClient string cng :500
RatingCount int n
ContentModifiedDate datetime cng
ContentModifiedById reference n >User
PositiveRatingCount int n
NegativeRatingCount int n
FeaturedContentBoost int n
FeaturedContentDate date n
OwnerId reference cud >User
TagCsv textarea cunfg :2000
FileType string :20
PublishStatus picklist d =P,R,U
VersionData base64 cunfgs
ContentSize int n
FileExtension string n :40
FirstPublishLocationId reference cn >*
Origin picklist cd =C,H
ContentLocation picklist cd =S,E,L
TextPreview string n :255
ExternalDocumentInfo1 string cung :1000
ExternalDocumentInfo2 string cung :1000
ExternalDataSourceId reference cun >ExternalDataSource
Checksum string n :50
IsMajorVersion boolean cd
IsAssetEnabled boolean cd
VersionDataUrl url n :255
"""
_CONTENT_DOCUMENT = """
IsArchived boolean du
ArchivedById reference n >User
ArchivedDate date n
OwnerId reference u >User
Title string ui :255
PublishStatus picklist d =P,R,U
LatestPublishedVersionId reference n >ContentVersion
ParentId reference un >ContentWorkspace
LastViewedDate datetime ng
LastReferencedDate datetime ng
Description textarea ung :1000
ContentSize int n
FileType string n :20
FileExtension string n :40
ContentModifiedDate datetime ng
ContentAssetId reference un >ContentAsset
SharingOption picklist dun =A,R
SharingPrivacy picklist dun =N,P
"""
_CONTENT_NOTE = """
Title string cui :255
Content base64 cunfgs
ContentSize int n
FileType string n :20
FileExtension string n :40
TextPreview string n :255
LatestPublishedVersionId reference n >ContentVersion
LatestContentId reference n >ContentBody
OwnerId reference d >User
IsReadOnly boolean d
LastViewedDate datetime ng
ContentModifiedDate datetime ng
SharingPrivacy picklist cud =N,P
"""
_CONTENT_DOCUMENT_LINK = """
LinkedEntityId reference c >*
ContentDocumentId reference c >ContentDocument
ShareType picklist cun =V,C,I
Visibility picklist cun ~AllUsers,InternalUsers,SharedUsers
"""
_ATTACHMENT = """
ParentId reference c >@
Name string cui :255
IsPrivate boolean cud
ContentType string cun :120
BodyLength int n
Body base64 cufgs
OwnerId reference cud >User
Description textarea cung :500
IsPartnerShared boolean du
IsEncrypted boolean d
"""
_DOCUMENT = """
FolderId reference cu >Folder,User
Name string cui :255
DeveloperName string cud :80
NamespacePrefix string n :15
ContentType string cun :120
Type string cun :40
IsPublic boolean cud
BodyLength int
Body base64 cunfgs
Url string cun :1000
Description textarea cun :255
Keywords string cun :255
IsInternalUseOnly boolean cud
AuthorId reference cud >User
IsBodySearchable boolean d
LastViewedDate datetime ng
LastReferencedDate datetime ng
"""
_FOLDER = """
Name string cu :80
DeveloperName string cun :80
ParentId reference cun >Folder
AccessType picklist cu =Hidden,Public,PublicInternal,Shared
IsReadonly boolean cud
Type picklist cu =Document,Dashboard,Report,Email,EmailTemplate,QuickText
NamespacePrefix string n :15
"""
_STATIC_RESOURCE = """
NamespacePrefix string n :15
Name string cui :80
ContentType string cu :120
BodyLength int
Body base64 cunfgs
Description textarea cun :255
CacheControl picklist cud =Private,Public
"""
_EVENT_LOG_FILE = """
EventType string :255
LogDate datetime g
LogFileLength double g
LogFileContentType string :120
ApiVersion double g
Sequence int
Interval picklist n =Daily,Hourly
LogFileFieldNames textarea nfgs :32000
LogFileFieldTypes textarea nfgs :32000
LogFile base64 fgs
"""
_AUDITED = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById")
# Name: (key prefix, label, plural, fields, what the object can do, whether it has audit fields).
_OBJECTS: dict[str, tuple[str, str, str, str, str, bool]] = {
    "ContentVersion": ("068", "Content Version", "Content Versions", _CONTENT_VERSION, "create update search", True),
    "ContentDocument": ("069", "Content Document", "Content Documents", _CONTENT_DOCUMENT,
                        "update delete undelete search", True),
    "ContentNote": ("069", "Content Note", "Content Notes", _CONTENT_NOTE, "create update delete search", True),
    "ContentDocumentLink": ("06A", "Content Document Link", "Content Document Link", _CONTENT_DOCUMENT_LINK,
                            "create update delete", False),
    "Attachment": ("00P", "Attachment", "Attachments", _ATTACHMENT, "create update delete undelete replicate", True),
    "Document": ("015", "Document", "Documents", _DOCUMENT, "create update delete undelete replicate search", True),
    "Folder": ("00l", "Folder", "Folders", _FOLDER, "create update delete replicate", True),
    "StaticResource": ("081", "Static Resource", "Static Resources", _STATIC_RESOURCE,
                       "create update delete replicate", True),
    "EventLogFile": ("0AT", "Event Log File", "Event Log Files", _EVENT_LOG_FILE, "", True),
}  # fmt: skip


_CHILDREN = (("Attachment", "ParentId", "Attachments", True),
             ("ContentDocumentLink", "LinkedEntityId", "ContentDocumentLinks", True),
             ("ContentVersion", "FirstPublishLocationId", None, False))  # fmt: skip
_OF_DOCUMENT = (("ContentVersion", "ContentDocumentId", "ContentVersions", True),
                ("ContentDocumentLink", "ContentDocumentId", "ContentDocumentLinks", True))  # fmt: skip


def install_files(schema: Schema) -> None:
    """Add the objects that hold files to a schema."""
    for name, (prefix, label, plural, fields, does, audited) in _OBJECTS.items():
        obj = schema.define(name, prefix=prefix, label=label)
        able = set(does.split())
        obj.describe.update(
            labelPlural=plural, layoutable=name in ("ContentVersion", "ContentNote"), mergeable=False,
            createable="create" in able, updateable="update" in able, deletable="delete" in able,
            undeletable="undelete" in able, replicateable="replicate" in able, searchable="search" in able,
            triggerable="create" in able, retrieveable=True, queryable=True,
        )  # fmt: skip
        for field_name in ("Name", "OwnerId", *(() if audited else _AUDITED)):
            obj.fields.pop(field_name, None)
        for line in fields.strip().splitlines():
            obj.add(read_field(line, _GROUPS))
    schema.objects["ContentDocument"].child_relationships += [_child(*entry) for entry in _OF_DOCUMENT]


def accept_files(schema: Schema, obj: SObject) -> None:
    """Let files be attached and linked to records of an object that is being defined."""
    if not (obj.name.endswith("__c") or obj.name in LINKABLE):
        return
    for name, lookup, relationship, cascades in _CHILDREN:
        parents = schema.objects[name].fields[lookup]["referenceTo"]
        if obj.name.endswith("__c"):
            parents.append(obj.name)
        if obj.name in parents:
            obj.child_relationships.append(_child(name, lookup, relationship, cascades))


def _child(name: str, lookup: str, relationship: str | None, cascades: bool) -> dict[str, Any]:
    return {"cascadeDelete": cascades, "childSObject": name, "deprecatedAndHidden": False, "field": lookup,
            "junctionIdListNames": [], "junctionReferenceTo": [], "relationshipName": relationship,
            "restrictedDelete": False}  # fmt: skip
