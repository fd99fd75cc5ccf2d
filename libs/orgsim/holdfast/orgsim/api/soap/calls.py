"""SOAP partner calls: what REST has no word for (undelete, merge, emptyRecycleBin), delete and two probes."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml.ElementTree import fromstring

from holdfast.orgsim import ids
from holdfast.orgsim.api.web import Call, Reply, Router
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.clock import stamp
from holdfast.orgsim.errors import ApiError, session_invalid, unsupported_object
from holdfast.orgsim.saving.deleting import Deleter, purge

router = Router()
XML_TYPE = "text/xml;charset=UTF-8"
MOST_IDS = 200
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns="urn:{family}.soap.sforce.com" xmlns:sf="urn:fault.{family}.soap.sforce.com" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>'
)


@router.add("POST", "/services/Soap/{api}/{version}", authenticated=False, counted=False)
@router.add("POST", "/services/Soap/{api}/{version}/{rest*}", authenticated=False, counted=False)
async def dispatch(call: Call) -> Reply:
    """Answer by the body's element; the SOAPAction header is not looked at."""
    family = "enterprise" if call.params["api"] == "c" else "partner"
    try:
        name, element, token = _read(call.body)
        session = call.org.sessions.use(token, call.org.clock.now())
        call.org.accounting.charge(call.org.clock.now())
        handler = _CALLS.get(name)
        if handler is None:
            raise ApiError(500, "INVALID_OPERATION", f"No operation available for request {name}")
        body = handler(call, session.user, element)
    except ApiError as error:
        return Reply(500, _ENVELOPE.format(family=family, body=_fault(error)).encode(), XML_TYPE)
    wrapped = f"<{name}Response>{body}</{name}Response>"
    return Reply(200, _ENVELOPE.format(family=family, body=wrapped).encode(), XML_TYPE)


def _read(body: bytes) -> tuple[str, Element, str]:
    """Name and element of the call, and the session id of the header."""
    try:
        envelope: Element = fromstring(body)
    except (ParseError, ValueError) as error:
        raise ApiError(500, "UNKNOWN_EXCEPTION", f"not well-formed: {error}") from error
    soap_body = next((e for e in envelope if _local(e) == "Body"), None)
    if soap_body is None or not len(soap_body):
        raise ApiError(500, "UNKNOWN_EXCEPTION", "no body element")
    token = next((e.text for e in envelope.iter() if _local(e) == "sessionId"), None)
    if not token:
        raise session_invalid()
    return _local(soap_body[0]), soap_body[0], token.strip()


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _fault(error: ApiError) -> str:
    message = error.message
    if error.code == "INVALID_SESSION_ID":
        message = "Invalid Session ID found in SessionHeader: Illegal Session. Session not found or expired"
    return (
        f"<soapenv:Fault><faultcode>sf:{error.code}</faultcode><faultstring>{error.code}: {escape(message)}"
        f'</faultstring><detail><sf:ApiFault xsi:type="sf:ApiFault"><sf:exceptionCode>{error.code}'
        f"</sf:exceptionCode><sf:exceptionMessage>{escape(message)}</sf:exceptionMessage></sf:ApiFault></detail>"
        "</soapenv:Fault>"
    )


def _ids(element: Element, tag: str = "ids") -> list[str]:
    found = [(e.text or "").strip() for e in element if _local(e).lower() == tag.lower()]
    if len(found) > MOST_IDS:
        raise ApiError(500, "EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {MOST_IDS} records")
    return [ids.normalise(text) or text for text in found]


def _each(call: Call, user: User, element: Element, act: Callable[[Deleter, str], None]) -> str:
    writer = Deleter(call.org, user, "SOAP")
    return "".join(f"<result>{_one(writer, record_id, act)}</result>" for record_id in _ids(element))


def _one(writer: Deleter, record_id: str, act: Callable[[Deleter, str], None]) -> str:
    try:
        act(writer, record_id)
    except ApiError as error:
        return _failure(error)
    return f"<id>{record_id}</id><success>true</success>"


def _failure(error: ApiError) -> str:
    fields = "".join(f"<fields>{escape(f)}</fields>" for f in error.fields or [])
    return (
        f"<errors>{fields}<message>{escape(error.message)}</message><statusCode>{error.code}</statusCode></errors>"
        '<id xsi:nil="true"/><success>false</success>'
    )


def _undelete(call: Call, user: User, element: Element) -> str:
    return _each(call, user, element, lambda writer, record_id: writer.undelete(record_id))


def _delete(call: Call, user: User, element: Element) -> str:
    return _each(call, user, element, lambda writer, record_id: writer.delete(record_id))


def _empty_bin(call: Call, user: User, element: Element) -> str:
    return _each(call, user, element, lambda writer, record_id: purge(writer, record_id, "recycle bin emptied"))


def _merge(call: Call, user: User, element: Element) -> str:
    return "".join(f"<result>{_merge_one(call, user, e)}</result>" for e in element if _local(e) == "request")


def _merge_one(call: Call, user: User, request: Element) -> str:
    record = next((e for e in request if _local(e) == "masterRecord"), None)
    if record is None:
        raise ApiError(500, "MISSING_ARGUMENT", "masterRecord not specified")
    parts = {_local(e): (e.text or "").strip() or None for e in record}
    kind = (
        parts.pop("type", None) or record.get("{http://www.w3.org/2001/XMLSchema-instance}type", "").rpartition(":")[2]
    )
    winner = ids.normalise(parts.pop("Id", None) or "") or ""
    for cleared in (e.text for e in record if _local(e) == "fieldsToNull" and e.text):
        parts[cleared] = None
    parts.pop("fieldsToNull", None)
    try:
        obj = call.org.schema.find(kind)
        if obj is None:
            raise unsupported_object(kind)
        losers = _ids(request, "recordToMergeIds")
        moved = Deleter(call.org, user, "SOAP").merge(obj, winner, losers, parts)
    except ApiError as error:
        return _failure(error)
    merged = "".join(f"<mergedRecordIds>{i}</mergedRecordIds>" for i in losers)
    updated = "".join(f"<updatedRelatedIds>{i}</updatedRelatedIds>" for i in moved)
    return f"<id>{winner}</id>{merged}<success>true</success>{updated}"


def _timestamp(call: Call, _user: User, _element: Element) -> str:
    return f"<result><timestamp>{stamp(call.org.clock.now())}</timestamp></result>"


def _user_info(call: Call, user: User, _element: Element) -> str:
    values = {
        "accessibilityMode": "false", "chatterExternal": "false", "currencySymbol": "$",
        "orgAttachmentFileSizeLimit": "26214400", "orgDefaultCurrencyIsoCode": "USD",
        "orgDefaultCurrencyLocale": "en_US", "orgDisallowHtmlAttachments": "false", "orgHasPersonAccounts": "false",
        "organizationId": call.org.id, "organizationMultiCurrency": "false",
        "organizationName": call.org.settings.name, "profileId": call.org.profile_id, "roleId": "",
        "sessionSecondsValid": str(int(call.org.sessions.lifetime.total_seconds())), "userDefaultCurrencyIsoCode": "",
        "userEmail": user.username, "userFullName": user.name, "userId": user.id, "userLanguage": "en_US",
        "userLocale": "en_US", "userName": user.username, "userTimeZone": "GMT", "userType": "Standard",
        "userUiSkin": "Theme3",
    }  # fmt: skip
    return "<result>" + "".join(f"<{k}>{escape(v)}</{k}>" for k, v in values.items()) + "</result>"


_CALLS: dict[str, Callable[[Call, User, Element], str]] = {
    "undelete": _undelete,
    "delete": _delete,
    "merge": _merge,
    "emptyRecycleBin": _empty_bin,
    "getServerTimestamp": _timestamp,
    "getUserInfo": _user_info,
}
