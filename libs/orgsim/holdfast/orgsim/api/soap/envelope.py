"""SOAP envelopes: what a request says, and answers and faults in the form that clients match literally.

Envelope and Body carry the prefix `soapenv:`, the payload none; fields of records and fault details carry `sf:`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from holdfast.orgsim.api.web import Call, Reply
from holdfast.orgsim.api.xmltext import XSI, local_name, text
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org

XML_TYPE = "text/xml;charset=UTF-8"
FAMILIES = {"u": "partner", "c": "enterprise"}
NIL = ' xsi:nil="true"'
_FAULTS = {
    "INVALID_SESSION_ID": "UnexpectedErrorFault", "INVALID_LOGIN": "LoginFault", "INACTIVE_USER": "LoginFault",
    "PASSWORD_EXPIRED": "LoginFault", "LOGIN_MUST_USE_SECURITY_TOKEN": "LoginFault", "USER_LOCKED": "LoginFault",
    "LOGIN_DURING_RESTRICTED_DOMAIN": "LoginFault",
    "INVALID_FIELD": "InvalidFieldFault", "MALFORMED_QUERY": "MalformedQueryFault",
    "INVALID_TYPE": "InvalidSObjectFault", "INVALID_QUERY_LOCATOR": "InvalidQueryLocatorFault",
    "MALFORMED_ID": "InvalidIdFault", "UNKNOWN_EXCEPTION": "UnexpectedErrorFault",
    "REQUEST_LIMIT_EXCEEDED": "UnexpectedErrorFault", "UNSUPPORTED_API_VERSION": "UnexpectedErrorFault",
}  # fmt: skip
_PLACED = frozenset({"InvalidFieldFault", "MalformedQueryFault", "InvalidSObjectFault"})


@dataclass
class SoapCall:
    """One request: its operation's element, its header blocks, and who asks."""

    call: Call
    operation: str
    element: Element
    header: Element | None
    family: str
    version: str

    @property
    def org(self) -> Org:
        """The org."""
        return self.call.org

    @property
    def user(self) -> User:
        """The authenticated user."""
        return self.call.user

    def option(self, block: str, name: str) -> str | None:
        """The text of a header block's element, e.g. ("QueryOptions", "batchSize")."""
        for found in () if self.header is None else self.header:
            if local_name(found) == block:
                return value_of(found, name)
        return None

    def argument(self, name: str) -> str:
        """An argument of the operation; empty if it is absent."""
        return value_of(self.element, name) or ""

    def arguments(self, name: str) -> list[str]:
        """Every value of a repeated argument."""
        return [(child.text or "").strip() for child in children(self.element, name)]


def children(element: Element, name: str) -> Iterator[Element]:
    """Child elements with this name, whatever its case: clients differ in `ids` and `Ids`."""
    return (child for child in element if local_name(child).lower() == name.lower())


def value_of(element: Element, name: str) -> str | None:
    """The text of the first child with this name."""
    found = next(children(element, name), None)
    return None if found is None else (found.text or "").strip()


def read(call: Call) -> SoapCall:
    """The request behind an HTTP body.

    Raises:
        ApiError: UNKNOWN_EXCEPTION, it is no SOAP envelope with a body element.
    """
    try:
        envelope: Element = fromstring(call.body)
    except (ParseError, ValueError, DefusedXmlException) as error:
        raise ApiError(500, "UNKNOWN_EXCEPTION", f"not well-formed: {error}") from error
    body = next(children(envelope, "Body"), None)
    if body is None or not len(body):
        raise ApiError(500, "UNKNOWN_EXCEPTION", "no body element")
    family = FAMILIES.get(call.params["api"], call.params["api"])
    header = next(children(envelope, "Header"), None)
    return SoapCall(call, local_name(body[0]), body[0], header, family, call.params["api_version"])


def answer(family: str, operation: str, results: str, limits: tuple[int, int] | None) -> Reply:
    """A result, with the LimitInfoHeader block if `limits` (used, most) are given."""
    header = ""
    if limits is not None:
        info = f"<current>{limits[0]}</current><limit>{limits[1]}</limit><type>API REQUESTS</type>"
        header = f"<soapenv:Header><LimitInfoHeader><limitInfo>{info}</limitInfo></LimitInfoHeader></soapenv:Header>"
    body = f"<{operation}Response>{results}</{operation}Response>"
    return Reply(200, _envelope(family, f"sobject.{family}", header, body), XML_TYPE)


def fault(family: str, error: ApiError) -> Reply:
    """A fault: HTTP 500, the code behind `sf:`."""
    kind = _FAULTS.get(error.code, "ApiFault")
    message = error.message
    if error.code == "INVALID_SESSION_ID":
        message = "Invalid Session ID found in SessionHeader: Illegal Session. Session not found or expired"
    place = ""
    if kind in _PLACED:
        at = re.search(r"ERROR at Row:(\d+):Column:(\d+)", message)
        row, column = at.groups() if at else ("-1", "-1")
        place = f"<sf:row>{row}</sf:row><sf:column>{column}</sf:column>"
    code = f"<sf:exceptionCode>{error.code}</sf:exceptionCode>"
    detail = f"{code}<sf:exceptionMessage>{text(message)}</sf:exceptionMessage>{place}"
    body = (
        f"<soapenv:Fault><faultcode>sf:{error.code}</faultcode><faultstring>{error.code}: {text(message)}</faultstring>"
        f'<detail><sf:{kind} xsi:type="sf:{kind}">{detail}</sf:{kind}></detail></soapenv:Fault>'
    )
    return Reply(500, _envelope(family, f"fault.{family}", "", body), XML_TYPE)


def no_operation(family: str, operation: str) -> Reply:
    """The fault for an operation that does not exist here."""
    message = (
        f"No operation available for request {{urn:{family}.soap.sforce.com}}{operation}, "
        "please check the WSDL for the service."
    )
    code = "<faultcode>soapenv:Client</faultcode>"
    body = f"<soapenv:Fault>{code}<faultstring>{text(message)}</faultstring></soapenv:Fault>"
    return Reply(500, _envelope(family, f"fault.{family}", "", body), XML_TYPE)


def _envelope(family: str, sf: str, header: str, body: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
        f'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:{family}.soap.sforce.com" '
        f'xmlns:sf="urn:{sf}.soap.sforce.com" xmlns:xsi="{XSI}" xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
        f"{header}<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    ).encode()


def elements(values: Mapping[str, Any]) -> str:
    """JSON-like values as elements: lists repeat their name, mappings nest, None is left out."""
    return "".join(_element(name, value) for name, value in values.items())


def _element(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return "".join(_element(name, item) for item in value)
    if isinstance(value, Mapping):
        return f"<{name}>{elements(value)}</{name}>"
    if isinstance(value, bool):
        value = "true" if value else "false"
    return f"<{name}>{text(value)}</{name}>"
