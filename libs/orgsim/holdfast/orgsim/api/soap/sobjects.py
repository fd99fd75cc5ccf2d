"""Records in SOAP: partner sObjects with `sf:type`, enterprise ones with an `xsi:type` of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from holdfast.orgsim import ids
from holdfast.orgsim.api.soap.envelope import NIL
from holdfast.orgsim.api.xmltext import XSI, is_nil, local_name, text
from holdfast.orgsim.errors import unsupported_object
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.objects import SObject

Values = dict[str, Any]


def read(org: Org, element: Element) -> tuple[SObject, str, Values]:
    """Object, id (empty if absent) and field values of a record; `fieldsToNull` and `xsi:nil` give None.

    Raises:
        ApiError: INVALID_TYPE.
    """
    kind, record_id, values = "", "", Values()
    for child in element:
        name = local_name(child)
        if name == "type":
            kind = (child.text or "").strip()
        elif name == "fieldsToNull":
            if child.text:
                values[child.text.strip()] = None
        elif name == "Id":
            record_id = (child.text or "").strip()
        else:
            values[name] = _value(child)
    kind = kind or element.get(f"{{{XSI}}}type", "").rpartition(":")[2]
    obj = org.schema.find(kind)
    if obj is None:
        raise unsupported_object(kind)
    return obj, ids.normalise(record_id) or record_id, values


def _value(element: Element) -> Any:
    if is_nil(element):
        return None
    if len(element):  # a parent by external id: <Owner><type>User</type><Username>…</Username></Owner>
        return {local_name(c): c.text or "" for c in element if local_name(c) != "type"}
    return element.text or ""


class Writer:
    """Writes records as REST renders them (JSON values, numbers as text) in one family's XML."""

    def __init__(self, org: Org, family: str) -> None:
        self._org = org
        self._partner = family == "partner"
        self._kinds: dict[tuple[str, str], str] = {}

    def record(self, tag: str, record: Mapping[str, Any]) -> str:
        """One record as element `tag`. A partner record says its id first, and again if the query asked for it."""
        kind = record["attributes"]["type"]
        values = {name: value for name, value in record.items() if name != "attributes"}
        inner = "".join(self._field(kind, name, value) for name, value in values.items())
        if not self._partner:
            return f'<{tag} xsi:type="sf:{kind}">{inner}</{tag}>'
        first = f"<sf:Id>{values['Id']}</sf:Id>" if values.get("Id") else f"<sf:Id{NIL}/>"
        return f'<{tag} xsi:type="sf:sObject"><sf:type>{kind}</sf:type>{first}{inner}</{tag}>'

    def result(self, page: Mapping[str, Any]) -> str:
        """The inside of a QueryResult."""
        locator = str(page.get("nextRecordsUrl") or "").rpartition("/")[2]
        shown = f"<queryLocator>{locator}</queryLocator>" if locator else f"<queryLocator{NIL}/>"
        records = "".join(self.record("records", record) for record in page["records"])
        done = "true" if page["done"] else "false"
        return f"<done>{done}</done>{shown}{records}<size>{page['totalSize']}</size>"

    def _field(self, kind: str, name: str, value: Any) -> str:
        tag = f"sf:{name}"
        if value is None:
            return f"<{tag}{NIL}/>"
        if isinstance(value, bool):
            return f"<{tag}>{'true' if value else 'false'}</{tag}>"
        if isinstance(value, Mapping):
            return self._nested(tag, value)
        if self._kind(kind, name) == "datetime":
            value = str(value).replace("+0000", "Z")
        return f"<{tag}>{text(value)}</{tag}>"

    def _nested(self, tag: str, value: Mapping[str, Any]) -> str:
        if "attributes" in value:
            return self.record(tag, value)
        if "records" in value:
            return f'<{tag} xsi:type="QueryResult">{self.result(value)}</{tag}>'
        parts = "".join(f"<{k}{NIL}/>" if v is None else f"<{k}>{text(v)}</{k}>" for k, v in value.items())
        return (
            f'<{tag} xsi:type="{"location" if set(value) == {"latitude", "longitude"} else "address"}">{parts}</{tag}>'
        )

    def _kind(self, object_name: str, name: str) -> str:
        known = self._kinds.get((object_name, name))
        if known is None:
            obj = self._org.schema.find(object_name)
            field = None if obj is None else obj.find(name)
            known = self._kinds[(object_name, name)] = "string" if field is None else str(field["type"])
        return known
