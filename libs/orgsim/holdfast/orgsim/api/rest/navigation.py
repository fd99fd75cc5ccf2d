"""What a user interface asks for: recent records, tabs, theme, app menu, global quick actions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from holdfast.orgsim.api.rest.records import printed
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError, not_found
from holdfast.orgsim.schema.objects import SObject

router = Router(DATA)
MOST_RECENT = 200
COLOR = "5867E8"


@router.add("GET", "/recent")
async def recent(call: Call) -> Reply:
    """The records that the user has used last, the newest first."""
    try:
        limit = int(call.query.get("limit", MOST_RECENT))
    except ValueError as error:
        raise ApiError(400, "INVALID_QUERY", "limit must be a number") from error
    return json_reply(recent_items(call, limit))


def recent_items(call: Call, limit: int, object_name: str | None = None) -> list[dict[str, Any]]:
    """Recently used records that still live, of one object or of all."""
    items: list[dict[str, Any]] = []
    for record_id, name in reversed(call.org.recent.get(call.user.id, {}).items()):
        obj = call.org.schema.objects[name]
        if object_name in (None, name) and len(items) < limit:
            title = next((f["name"] for f in obj.fields.values() if f["nameField"]), "Id")
            items += printed(call, obj, [record_id], ["Id", title]).values()
    return items


@router.add("GET", "/tabs")
async def tabs(call: Call) -> Reply:
    """One tab for each object that has pages."""
    return json_reply([_tab(call, obj) for obj in _shown(call)])


@router.add("GET", "/theme")
async def theme(call: Call) -> Reply:
    """Colours and icons of the objects."""
    return json_reply({"themeItems": [{"name": obj.name, **_look(call, obj)} for obj in _shown(call)]})


@router.add("GET", "/appMenu")
async def app_menus(call: Call) -> Reply:
    """The app menus there are."""
    base = f"/services/data/v{call.version}/appMenu"
    return json_reply({name: f"{base}/{name}" for name in ("AppSwitcher", "NetworkTabs", "Salesforce1")})


@router.add("GET", "/appMenu/{menu}")
async def app_menu(call: Call) -> Reply:
    """The items of an app menu."""
    if call.params["menu"] not in ("AppSwitcher", "NetworkTabs", "Salesforce1"):
        raise not_found()
    return json_reply({"appMenuItems": []})


@router.add("GET", "/quickActions")
async def quick_actions(call: Call) -> Reply:
    """The global quick actions: make a record of a common object."""
    base = f"/services/data/v{call.version}/quickActions"
    made = [name for name in ("Account", "Case", "Contact", "Event", "Lead", "Opportunity") if call.user.reads(name)]
    return json_reply(
        [{"actionEnumOrId": f"New{name}", "label": f"New {name}", "name": f"Global.New{name}", "type": "Create",
          "urls": {"quickAction": f"{base}/New{name}", "describe": f"{base}/New{name}/describe",
                   "defaultValues": f"{base}/New{name}/defaultValues"}} for name in made]
    )  # fmt: skip


def _shown(call: Call) -> Iterable[SObject]:
    for name in sorted(call.org.schema.objects):
        obj = call.org.schema.objects[name]
        if obj.describe["layoutable"] and call.user.reads(name):
            yield obj


def _tab(call: Call, obj: SObject) -> dict[str, Any]:
    prefix = "" if obj.describe["custom"] else "standard-"
    look = _look(call, obj)
    return {
        **look, "custom": obj.describe["custom"], "iconUrl": look["icons"][0]["url"],
        "label": obj.describe["labelPlural"], "miniIconUrl": look["icons"][0]["url"], "name": prefix + obj.name,
        "sobjectName": obj.name, "url": f"{call.org.instance_url}/{obj.key_prefix}/o",
    }  # fmt: skip


def _look(call: Call, obj: SObject) -> dict[str, Any]:
    icon = f"{call.org.instance_url}/img/icon/t4v35/standard/{obj.name.lower()}_120.png"
    return {
        "colors": [{"color": COLOR, "context": "primary", "theme": "theme4"}],
        "icons": [{"contentType": "image/png", "height": 120, "theme": "theme4", "url": icon, "width": 120}],
    }
