"""`/services/oauth2/revoke`: the end of a session or a refresh token."""

from __future__ import annotations

from holdfast.orgsim.api.web import Call, Reply, Router
from holdfast.orgsim.auth.oauth import OAuthError, form_of

router = Router()


@router.add("GET", "/services/oauth2/revoke", authenticated=False, counted=False)
@router.add("POST", "/services/oauth2/revoke", authenticated=False, counted=False)
async def revoke(call: Call) -> Reply:
    """End a session, or a refresh token with all sessions that came from it."""
    token, desk, sessions = form_of(call).get("token", ""), call.org.sign_in, call.org.sessions
    session = sessions.look(token, call.org.clock.now())
    if session is not None:
        sessions.revoke(token)
        return Reply(200)
    if desk.grants.revoke_refresh(token):
        sessions.revoke_from(token)
        return Reply(200)
    return OAuthError("unsupported_token_type", "this token type is not supported").reply()
