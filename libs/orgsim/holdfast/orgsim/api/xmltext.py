"""XML as the SOAP API and Bulk 1.0 read and write it."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

XSI = "http://www.w3.org/2001/XMLSchema-instance"
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAKS = {"\r": "&#xD;"}  # a parser would turn a bare CR into LF


def text(value: object) -> str:
    """`value` as character data. Characters that XML 1.0 cannot hold (NUL among them) are left out."""
    return escape(_ILLEGAL.sub("", str(value)), _BREAKS)


def local_name(element: Element) -> str:
    """The name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def is_nil(element: Element) -> bool:
    """Whether an element carries `xsi:nil="true"`."""
    return element.get(f"{{{XSI}}}nil", "").lower() in ("true", "1")
