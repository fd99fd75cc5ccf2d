"""`/sobjects/User/{id}/password`: whether a password has expired, setting it, resetting it."""

from __future__ import annotations

import secrets
import string

from holdfast.orgsim.api.rest.records import existing, known_object
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError

router = Router(DATA + "/sobjects/User/{id}/password")
SHORTEST = 8


@router.add("GET", "")
async def expired(call: Call) -> Reply:
    """Whether the user has to choose a new password."""
    _user(call)
    return json_reply({"isExpired": False})


@router.add("POST", "")
async def choose(call: Call) -> Reply:
    """`{"NewPassword"}`."""
    _user(call)
    password = str(call.json_object().get("NewPassword", ""))
    if len(password) < SHORTEST:
        message = f"Your password must be at least {SHORTEST} characters long."
        raise ApiError(400, "INVALID_NEW_PASSWORD", message)
    return Reply(204)


@router.add("DELETE", "")
async def reset(call: Call) -> Reply:
    """A new password, made by the platform."""
    _user(call)
    letters = string.ascii_letters + string.digits
    return json_reply({"NewPassword": "".join(secrets.choice(letters) for _ in range(12))})


def _user(call: Call) -> None:
    existing(call, known_object(call, "User"), call.params["id"])
