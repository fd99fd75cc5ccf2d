"""`/tooling/query`: the org's own objects, and those that only the Tooling API knows.

Of the latter only the indexes of big objects have rows here.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from holdfast.orgsim.api.rest.query import more, start
from holdfast.orgsim.api.web import DATA, Call, Reply, Router
from holdfast.orgsim.errors import ApiError, unsupported_object
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.setup import indexes
from holdfast.orgsim.setup.views import VIEWS
from holdfast.orgsim.soql.messages import located
from holdfast.orgsim.soql.parse import parse

router = Router(DATA + "/tooling")
PREFIX = "tooling/"

# Objects of the Tooling API with the fields that published clients ask for; lookups end in Id.
_TOOLING_ONLY = {
    "CustomField": "DeveloperName TableEnumOrId NamespacePrefix FullName Metadata EntityDefinitionId",
    "CustomObject": "DeveloperName NamespacePrefix ExternalName Language SharingModel Description",
    "FlowDefinition": "DeveloperName MasterLabel NamespacePrefix ActiveVersionId LatestVersionId",
    "Flow": "MasterLabel Status ProcessType VersionNumber DefinitionId FullName Metadata",
    "InstalledSubscriberPackage": "SubscriberPackageId SubscriberPackageVersionId MinPackageVersionId",
    "SubscriberPackage": "Name NamespacePrefix Description",
    "SubscriberPackageVersion": "Name MajorVersion MinorVersion PatchVersion BuildNumber IsBeta",
    "ValidationRule": "ValidationName Active Description EntityDefinitionId ErrorDisplayField ErrorMessage FullName "
    "NamespacePrefix Metadata",
    "WorkflowRule": "Name TableEnumOrId NamespacePrefix FullName Metadata",
    "Layout": "Name TableEnumOrId EntityDefinitionId LayoutType NamespacePrefix FullName Metadata",
    "RemoteProxy": "SiteName EndpointUrl IsActive NamespacePrefix",
    "CompactLayout": "DeveloperName MasterLabel SobjectType NamespacePrefix",
    "FlowDefinitionView": "ApiName Label DurableId IsActive NamespacePrefix ProcessType",
    **indexes.OBJECTS,
}


_KINDS = {"Ordinal": "int"}


@router.add("GET", "/query")
async def query(call: Call) -> Reply:
    """Run a tooling query. Definitions are shown to those who may see the setup, hidden ones included."""
    _check_setup(call)
    return start(_among_tooling_objects(call), include_deleted=False, prefix=PREFIX)


@router.add("GET", "/query/{locator}")
async def query_more(call: Call) -> Reply:
    """The next page of a tooling query."""
    return await more(call)


def _check_setup(call: Call) -> None:
    try:
        query = parse(call.query.get("q") or call.query.get("explain") or "")
    except ApiError:
        return  # refused where every query is
    if (query.object in VIEWS or query.object in indexes.OBJECTS) and not call.user.may("ViewSetup"):
        raise located(unsupported_object(query.object), query.text, query.at)


def _among_tooling_objects(call: Call) -> Call:
    """The same call to an org of tooling objects if it asks for one that the org itself does not have."""
    try:
        name = parse(call.query.get("q") or call.query.get("explain") or "").object
    except ApiError:
        return call  # refused where every query is
    if call.org.schema.find(name) is None and tooling_org().schema.find(name) is not None:
        org = tooling_org()
        if name in indexes.OBJECTS:
            indexes.show(call.org.schema, name, org.table(org.schema.objects[name]))
        return replace(call, org=org)
    return call


@cache
def tooling_org() -> Org:
    """An org that has the tooling objects; it holds no rows but those of the indexes that were asked for last."""
    org = Org()
    for name, fields in _TOOLING_ONLY.items():
        obj = org.schema.define(name)
        for field in fields.split():
            parent = field.removesuffix("Id")
            lookup = field.endswith("Id") and parent in (*_TOOLING_ONLY, "EntityDefinition")
            parents = [parent] if lookup else []
            kind = "reference" if lookup else _KINDS.get(field, "string")
            obj.add(make_field(field, kind, referenceTo=parents))
    return org
