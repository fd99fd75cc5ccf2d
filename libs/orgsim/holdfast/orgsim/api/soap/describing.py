"""describeGlobal, describeSObject(s), describeLayout: the REST describes in XML."""

from __future__ import annotations

import json
from typing import Any

from holdfast.orgsim.api.rest import describe as rest
from holdfast.orgsim.api.soap.envelope import SoapCall, elements
from holdfast.orgsim.api.web import Call
from holdfast.orgsim.errors import unsupported_object
from holdfast.orgsim.schema.objects import SObject

REST_ONLY = frozenset({"urls"})


async def describe_global(soap: SoapCall) -> str:
    """Every object the user may read."""
    call = Call(soap.org, "GET", "/soap/describeGlobal", "", {}, b"", {"version": soap.version}, soap.call.session)
    answer: dict[str, Any] = json.loads((await rest.describe_global(call)).body)
    objects = [_without_urls(entry) for entry in answer.pop("sobjects")]
    return f"<result>{elements({**answer, 'sobjects': objects})}</result>"


async def describe_sobject(soap: SoapCall) -> str:
    """One object."""
    return _described(soap, soap.argument("sObjectType"))


async def describe_sobjects(soap: SoapCall) -> str:
    """Several objects, in the order asked for."""
    return "".join(_described(soap, name) for name in soap.arguments("sObjectType"))


async def describe_layout(soap: SoapCall) -> str:
    """The record types of an object and which layout each has; layouts themselves are empty."""
    infos = _object(soap, soap.argument("sObjectType")).describe["recordTypeInfos"]
    keys = ("available", "defaultRecordTypeMapping", "master", "name", "recordTypeId")
    mappings = [{key: info[key] for key in keys} for info in infos]
    return f"<result>{elements({'recordTypeMappings': mappings, 'recordTypeSelectorRequired': False})}</result>"


def _described(soap: SoapCall, name: str) -> str:
    described = rest.described(soap.org, _object(soap, name), soap.user, soap.version)
    return f"<result>{elements(_without_urls(described))}</result>"


def _object(soap: SoapCall, name: str) -> SObject:
    obj = soap.org.schema.find(name)
    if obj is None or not soap.user.reads(obj.name):
        raise unsupported_object(name)
    return obj


def _without_urls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_urls(item) for key, item in value.items() if key not in REST_ONLY}
    if isinstance(value, list):
        return [_without_urls(item) for item in value]
    return value
