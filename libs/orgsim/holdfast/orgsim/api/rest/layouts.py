"""Layouts of an object: page, compact, approval and named layouts, quick actions. Made from the object's fields."""

from __future__ import annotations

from typing import Any

from holdfast.orgsim.api.rest.describe import cached
from holdfast.orgsim.api.rest.records import known_object, listed
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError, not_found
from holdfast.orgsim.ids import make_id
from holdfast.orgsim.schema.objects import SObject

router = Router(DATA)
MASTER_RECORD_TYPE = "012000000000000AAA"
MOST_COMPACT = 100
NO_COMPACT_LAYOUT = "0AH000000000000GAA"


@router.add("GET", "/sobjects/{object}/describe/layouts")
async def layouts(call: Call) -> Reply:
    """The page layout of an object; with several record types only their mapping, and the layouts below each."""
    obj = _laid_out(call)
    kinds = _record_types(obj)
    several = len(kinds) > 1
    body = {
        "layouts": [None] if several else [_layout(call, obj)],
        "recordTypeMappings": [_mapping(call, obj, kind) for kind in kinds],
        "recordTypeSelectorRequired": [several],
    }
    return cached(call, body)


@router.add("GET", "/sobjects/{object}/describe/layouts/{record_type}")
async def layout_of_record_type(call: Call) -> Reply:
    """The page layout of one record type."""
    obj = _laid_out(call)
    wanted = call.params["record_type"]
    if not any(kind["recordTypeId"].startswith(wanted) for kind in _record_types(obj)):
        raise not_found()
    return cached(call, _layout(call, obj))


@router.add("GET", "/sobjects/{object}/describe/namedLayouts/{layout}")
async def named_layout(call: Call) -> Reply:
    """A named layout, such as User's UserAlt."""
    obj = _laid_out(call)
    if not any(info["name"] == call.params["layout"] for info in obj.describe["namedLayoutInfos"]):
        raise not_found()
    return cached(call, {"layouts": [_layout(call, obj)], "recordTypeMappings": [], "recordTypeSelectorRequired": []})


@router.add("GET", "/sobjects/{object}/describe/compactLayouts")
async def compact_layouts(call: Call) -> Reply:
    """The compact layouts of an object: the system's own, nobody has made another."""
    obj = _laid_out(call)
    base = f"{_base(call, obj)}/compactLayouts"
    mappings = [
        {"available": True, "compactLayoutId": None, "compactLayoutName": "SYSTEM",
         "recordTypeId": kind["recordTypeId"], "recordTypeName": kind["name"],
         "urls": {"compactLayout": f"{base}/{kind['recordTypeId']}"}}
        for kind in _record_types(obj)
    ]  # fmt: skip
    body = {
        "compactLayouts": [],
        "defaultCompactLayoutId": NO_COMPACT_LAYOUT,
        "recordTypeCompactLayoutMappings": mappings,
        "urls": {"primary": f"{base}/primary"},
    }
    return cached(call, body)


@router.add("GET", "/sobjects/{object}/describe/compactLayouts/{record_type}")
async def primary_compact_layout(call: Call) -> Reply:
    """The compact layout that a record type, or the object as a whole (`primary`), uses."""
    return cached(call, _compact(_laid_out(call)))


@router.add("GET", "/sobjects/{object}/describe/approvalLayouts")
async def approval_layouts(call: Call) -> Reply:
    """No object has an approval process."""
    _laid_out(call)
    return cached(call, {"approvalLayouts": []})


@router.add("GET", "/compactLayouts")
async def compact_layouts_of_many(call: Call) -> Reply:
    """The primary compact layouts of the objects in `?q=A,B`."""
    names = listed(call, "q")
    if not 0 < len(names) <= MOST_COMPACT:
        raise ApiError(400, "INVALID_QUERY", f"q must name 1 to {MOST_COMPACT} objects")
    return json_reply({obj.name: _compact(obj) for obj in (known_object(call, name) for name in names)})


@router.add("GET", "/sobjects/{object}/quickActions")
async def quick_actions(call: Call) -> Reply:
    """The quick actions of an object: none beyond the global ones."""
    _laid_out(call)
    return json_reply([])


def _laid_out(call: Call) -> SObject:
    obj = known_object(call, call.params["object"])
    if not obj.describe["layoutable"]:
        raise not_found()
    return obj


def _base(call: Call, obj: SObject) -> str:
    return f"/services/data/v{call.version}/sobjects/{obj.name}/describe"


def _record_types(obj: SObject) -> list[dict[str, Any]]:
    master = {"active": True, "available": True, "defaultRecordTypeMapping": True, "developerName": "Master",
              "master": True, "name": "Master", "recordTypeId": MASTER_RECORD_TYPE}  # fmt: skip
    return obj.describe["recordTypeInfos"] or [master]


def _mapping(call: Call, obj: SObject, kind: dict[str, Any]) -> dict[str, Any]:
    link = {"layout": f"{_base(call, obj)}/layouts/{kind['recordTypeId']}"}
    return {**kind, "layoutId": _layout_id(call, obj), "picklistsForRecordType": [], "urls": link}


def _layout_id(call: Call, obj: SObject) -> str:
    return make_id("00h", list(call.org.schema.names()).index(obj.name) + 1)


def _layout(call: Call, obj: SObject) -> dict[str, Any]:
    layout_id = _layout_id(call, obj)
    shown = [f for name, f in obj.fields.items() if f["type"] != "id" and call.user.reads_field(obj.name, name)]
    section = {
        "collapsed": False, "columns": 1, "heading": "Information", "layoutRows": [_row(f) for f in shown],
        "layoutSectionId": make_id("01B", 1), "parentLayoutId": layout_id, "rows": len(shown),
        "tabOrder": "TopToBottom", "useCollapsibleSection": False, "useHeading": False,
    }  # fmt: skip
    return {
        "buttonLayoutSection": {"detailButtons": []}, "detailLayoutSections": [section],
        "editLayoutSections": [section], "feedView": None, "highlightsPanelLayoutSection": None, "id": layout_id,
        "multirowEditLayoutSections": [], "offlineLinks": [], "quickActionList": {"quickActionListItems": []},
        "relatedContent": None, "relatedLists": [], "saveOptions": [],
    }  # fmt: skip


def _row(field: dict[str, Any]) -> dict[str, Any]:
    return {"layoutItems": [_item(field)], "numItems": 1}


def _item(field: dict[str, Any]) -> dict[str, Any]:
    component = {"details": field, "displayLines": 1, "tabOrder": 1, "type": "Field", "value": field["name"]}
    return {
        "editableForNew": field["createable"], "editableForUpdate": field["updateable"], "label": field["label"],
        "layoutComponents": [component], "placeholder": False,
        "required": not field["nillable"] and not field["defaultedOnCreate"],
    }  # fmt: skip


def _compact(obj: SObject) -> dict[str, Any]:
    shown = [f for f in obj.fields.values() if f["nameField"]]
    return {"actions": [], "fieldItems": [_item(f) for f in shown], "id": None, "imageItems": [], "label": "SYSTEM",
            "name": "SYSTEM", "objectType": obj.name}  # fmt: skip
