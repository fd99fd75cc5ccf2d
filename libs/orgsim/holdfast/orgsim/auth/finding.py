"""Which of several orgs somebody means who signs in at a host that all of them share."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import orjson

from holdfast.orgsim.org import Org

CERTAIN, LIKELY, UNKNOWN = 2, 1, 0


def knows(org: Org, form: Mapping[str, str], token: str) -> int:
    """How sure it is that `org` is meant: it holds the user, session or code of the request, or only its client."""
    names = {form.get("username"), form.get("un"), *_subjects(form.get("assertion", ""))}
    if any(name in org.users for name in names) or org.sessions.holds(token) or org.sessions.holds(form.get("token")):
        return CERTAIN
    clients = {form.get("client_id"), _basic_user(token), *_subjects(form.get("assertion", ""))}
    return LIKELY if org.app.client_id in clients else UNKNOWN


def _subjects(assertion: str) -> list[str]:
    """User and client that a signed assertion names; unverified, for it only chooses who verifies it."""
    parts = assertion.split(".")
    if len(parts) != 3:
        return []
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return []
    return [str(claims.get(key)) for key in ("sub", "prn", "iss")] if isinstance(claims, dict) else []


def _basic_user(token: str) -> str | None:
    try:
        return base64.b64decode(token, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return None
