"""`/services/Soap/u|c/XX.X/…`: every operation of the partner and enterprise APIs, by the body's element."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from holdfast.orgsim.api.intake import is_supported
from holdfast.orgsim.api.soap import describing, querying, replication, saving, signing_in
from holdfast.orgsim.api.soap.envelope import FAMILIES, SoapCall, answer, fault, no_operation, read
from holdfast.orgsim.api.web import Call, Reply, Router
from holdfast.orgsim.errors import ApiError, unexpected

router = Router()
logger = logging.getLogger(__name__)

OPERATIONS: dict[str, Callable[[SoapCall], Awaitable[str]]] = {
    "query": querying.query,
    "queryAll": querying.query_all,
    "queryMore": querying.query_more,
    "retrieve": querying.retrieve,
    "search": querying.search,
    "create": saving.create,
    "update": saving.update,
    "upsert": saving.upsert,
    "delete": saving.delete,
    "deleteByExample": saving.delete_by_example,
    "undelete": saving.undelete,
    "merge": saving.merge,
    "emptyRecycleBin": saving.empty_recycle_bin,
    "describeGlobal": describing.describe_global,
    "describeSObject": describing.describe_sobject,
    "describeSObjects": describing.describe_sobjects,
    "describeLayout": describing.describe_layout,
    "getDeleted": replication.get_deleted,
    "getUpdated": replication.get_updated,
    "getServerTimestamp": replication.get_server_timestamp,
    "getUserInfo": signing_in.get_user_info,
    "logout": signing_in.logout,
}


@router.add("POST", "/services/Soap/{api}/{api_version}", authenticated=False, counted=False)
@router.add("POST", "/services/Soap/{api}/{api_version}/{rest*}", authenticated=False, counted=False)
async def dispatch(call: Call) -> Reply:
    """Answer by the body's element; the SOAPAction header and the rest of the path are not looked at."""
    family = FAMILIES.get(call.params["api"], "partner")
    try:
        _check_version(call.params["api_version"])
        soap = read(call)
        return await _authenticated(soap)
    except ApiError as error:
        return fault(family, error)
    except Exception:
        mistake = unexpected()
        logger.exception("SOAP: %s", mistake.message)
        return fault(family, mistake)


async def _authenticated(soap: SoapCall) -> Reply:
    org, now = soap.org, soap.org.clock.now()
    if soap.operation == "login" and soap.family in FAMILIES.values() and signing_in.has_login(soap.version):
        return answer(soap.family, "login", await signing_in.login(soap), None)
    soap.call.client = (soap.option("CallOptions", "client") or "")[:120]
    operation = OPERATIONS.get(soap.operation)
    if operation is None or soap.family not in FAMILIES.values():
        return no_operation(soap.family, soap.operation)
    soap.call.session = org.sessions.use_for_soap(soap.option("SessionHeader", "sessionId") or "", now)
    org.accounting.charge(now)
    results = await operation(soap)
    return answer(soap.family, soap.operation, results, (org.accounting.used(now), org.accounting.limit))


def _check_version(version: str) -> None:
    if not is_supported(version):
        raise ApiError(500, "UNSUPPORTED_API_VERSION", f"API version {version} is not supported")
