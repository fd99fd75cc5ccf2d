"""`/sobjects/User/{id}/password`: whether a password has expired, setting it, resetting it."""

from __future__ import annotations

import secrets
import string

from holdfast.orgsim.api.rest.records import existing, known_object
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.auth.passwords import Credentials
from holdfast.orgsim.errors import ApiError

router = Router(DATA + "/sobjects/User/{id}/password")
SHORTEST = 8


@router.add("GET", "")
async def expired(call: Call) -> Reply:
    """Whether the user has to choose a new password."""
    return json_reply({"isExpired": _credentials(call).expired})


@router.add("POST", "")
async def choose(call: Call) -> Reply:
    """`{"NewPassword"}`."""
    credentials = _credentials(call)
    password = str(call.json_object().get("NewPassword", ""))
    if len(password) < SHORTEST:
        message = f"Your password must be at least {SHORTEST} characters long."
        raise ApiError(400, "INVALID_NEW_PASSWORD", message)
    credentials.choose(password)
    return Reply(204)


@router.add("DELETE", "")
async def reset(call: Call) -> Reply:
    """A new password, made by the platform."""
    credentials, letters = _credentials(call), string.ascii_letters + string.digits
    credentials.choose("".join(secrets.choice(letters) for _ in range(12)), expired=True)
    return json_reply({"NewPassword": credentials.password})


def _credentials(call: Call) -> Credentials:
    row = existing(call, known_object(call, "User"), call.params["id"])
    return call.org.sign_in.passwords.of(str(row["Username"]))
