"""Text inside XML: escaped, without the characters that XML 1.0 cannot hold."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAKS = {"\r": "&#xD;"}  # a parser would turn a bare CR into LF


def text(value: object) -> str:
    """`value` as character data. Illegal characters (NUL among them) are left out."""
    return escape(_ILLEGAL.sub("", str(value)), _BREAKS)
