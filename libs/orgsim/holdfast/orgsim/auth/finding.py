"""Which of several orgs somebody means who signs in at a host that all of them share."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from holdfast.orgsim.auth.signed import claimed
from holdfast.orgsim.org import Org

CERTAIN, LIKELY, UNKNOWN = 2, 1, 0
_HELD = ("token", "code", "refresh_token", "user_code", "access_token")


def knows(org: Org, form: Mapping[str, str], token: str) -> int:
    """How sure it is that `org` is meant: it holds the user, session or code of the request, or only its client."""
    claims = claimed(form.get("assertion", ""))
    names = (form.get("username"), form.get("un"), claims.get("sub"), claims.get("prn"))
    if any(name in org.users for name in names) or org.sessions.holds(token):
        return CERTAIN
    if any(org.sessions.holds(form.get(key)) or org.sign_in.grants.holds(form.get(key)) for key in _HELD):
        return CERTAIN
    clients = (form.get("client_id"), claims.get("iss"), _basic_user(token))
    return LIKELY if any(app.client_id in clients for app in org.sign_in.apps) else UNKNOWN


def _basic_user(token: str) -> str | None:
    try:
        return base64.b64decode(token, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return None
