"""`/services/oauth2/introspect`: what a token is good for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from holdfast.orgsim.api.web import Call, Reply, Router, json_reply
from holdfast.orgsim.auth.apps import in_order
from holdfast.orgsim.auth.oauth import OAuthError, client_of, form_of, identity_url

router = Router()


@router.add("POST", "/services/oauth2/introspect", authenticated=False, counted=False)
async def introspect(call: Call) -> Reply:
    """Whether a token of the asking app is good, and what for."""
    form = form_of(call)
    try:
        app = client_of(call, form, needs_secret=True)
    except OAuthError as error:
        return error.reply()
    token, now = form.get("token", ""), call.org.clock.now()
    session, refresh = call.org.sessions.look(token, now), call.org.sign_in.grants.refresh(token)
    if session is not None and session.client_id == app.client_id:
        user, scopes, issued, kind = session.user, session.scopes, session.opened, "access_token"
        expires: datetime | None = session.expires
    elif refresh is not None and refresh.app.client_id == app.client_id and not refresh.expired(now):
        user, scopes, issued, kind = refresh.user, refresh.scopes, refresh.issued, "refresh_token"
        expires = None if app.refresh_lifetime is None else issued + app.refresh_lifetime
    else:
        return json_reply({"active": False})
    answer: dict[str, Any] = {
        "active": True,
        "scope": in_order(scopes),
        "client_id": app.client_id,
        "username": user.username,
        "sub": identity_url(call, user),
        "token_type": kind,
    }
    if expires is not None:
        answer["exp"] = int(expires.timestamp())
    answer.update(iat=int(issued.timestamp()), nbf=int(issued.timestamp()))
    return json_reply(answer)
