"""`/services/oauth2/token`: every grant."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from holdfast.orgsim.api.web import Call, Reply, Router, json_reply
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.apps import ConnectedApp
from holdfast.orgsim.auth.grants import POLL_INTERVAL_S, Code, DeviceRequest, DeviceState
from holdfast.orgsim.auth.oauth import (
    OAuthError,
    admit,
    audience_is_ours,
    client_of,
    form_of,
    note_login,
    on_login_host,
    refusal,
    token_answer,
)
from holdfast.orgsim.auth.passwords import LoginRefusedError, Refusal
from holdfast.orgsim.auth.signed import claimed, expired, verified

router = Router()
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
REMOTE_ACCESS = "Remote Access 2.0"  # what the login history calls a login by OAuth
Form = Mapping[str, str]


@router.add("GET", "/services/oauth2/token", authenticated=False, counted=False)
async def read_token(_call: Call) -> Reply:
    """Tokens are asked for by POST."""
    return OAuthError("invalid_request", "must use HTTP POST").reply()


@router.add("POST", "/services/oauth2/token", authenticated=False, counted=False)
async def token(call: Call) -> Reply:
    """Exchange a grant for an access token."""
    form = form_of(call)
    try:
        if form.get("response_type") == "device_code":
            return json_reply(_ask_for_device(call, form))
        grant = _GRANTS.get(form.get("grant_type", ""))
        if grant is None:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        return json_reply(grant(call, form), headers={"Cache-Control": "no-store"})
    except OAuthError as error:
        return error.reply()


def _client_credentials(call: Call, form: Form) -> dict[str, str]:
    if on_login_host(call):
        raise OAuthError("invalid_grant", "request not supported on this domain")
    app = client_of(call, form, needs_secret=True)
    user = call.org.users.get(app.run_as or "")
    if user is None or "client_credentials" not in app.flows:
        raise OAuthError("invalid_grant", "no client credentials user enabled")
    scopes = _scopes(app, form) - {"refresh_token", "offline_access", "openid"}
    admit(call, user, app, REMOTE_ACCESS)
    return token_answer(call, user, app, scopes)


def _jwt_bearer(call: Call, form: Form) -> dict[str, str]:
    app, user = _asserted(call, form.get("assertion", ""))
    scopes = _scopes(app, form) - {"refresh_token", "offline_access", "openid"}
    admit(call, user, app, REMOTE_ACCESS)
    return token_answer(call, user, app, scopes, signed=False)


def _asserted(call: Call, assertion: str) -> tuple[ConnectedApp, User]:
    """App and user of a signed assertion. The key is the issuer's, so the issuer is looked up unverified first."""
    issuer, subject = _named(assertion)
    app = call.org.sign_in.apps.find(issuer)
    if app is None:
        raise OAuthError("invalid_client_id", "client identifier invalid") if issuer else _bad_assertion()
    claims = None if app.public_key_pem is None else verified(assertion, app.public_key_pem)
    if claims is None:
        raise _bad_assertion()
    if not audience_is_ours(call, claims.get("aud")):
        raise OAuthError("invalid_grant", "audience is invalid")
    if expired(claims):
        raise OAuthError("invalid_grant", "expired authorization code")
    user = call.org.users.get(subject)
    approved = app.preauthorized or subject in app.approved
    if user is None or "jwt" not in app.flows or not approved:
        raise OAuthError("invalid_grant", "user hasn't approved this consumer")
    return app, user


def _named(assertion: str) -> tuple[str, str]:
    claims = claimed(assertion)
    return str(claims.get("iss") or ""), str(claims.get("sub") or claims.get("prn") or "")


def _bad_assertion() -> OAuthError:
    return OAuthError("invalid_grant", "invalid assertion")


def _password(call: Call, form: Form) -> dict[str, str]:
    app = client_of(call, form, needs_secret=True)
    desk, username = call.org.sign_in, form.get("username", "")
    try:
        if not desk.policy.password_flow or "password" not in app.flows:
            raise LoginRefusedError(Refusal.OFF)
        user = desk.passwords.check(
            username, form.get("password", ""), ip=call.client_ip, now=call.org.clock.now(), with_token=True
        )
    except LoginRefusedError as refused:
        note_login(call, username, app, REMOTE_ACCESS, refused.why.value)
        raise refusal(refused) from refused
    note_login(call, username, app, REMOTE_ACCESS, "Success")
    return token_answer(call, user, app, _scopes(app, form) - {"refresh_token", "offline_access"})


def _refresh(call: Call, form: Form) -> dict[str, str]:
    desk, now = call.org.sign_in, call.org.clock.now()
    app = client_of(call, form, needs_secret=False)
    _check_secret(call, form, app)
    known = desk.grants.refresh(form.get("refresh_token", ""))
    if known is None or known.app.client_id != app.client_id or known.expired(now) or "refresh" not in app.flows:
        raise OAuthError("invalid_grant", "expired access/refresh token")
    asked = frozenset(form.get("scope", "").split())
    if not asked <= known.scopes:
        raise OAuthError("invalid_scope", "the requested scope is not allowed")
    admit(call, known.user, app, REMOTE_ACCESS)
    if app.rotates_refresh_tokens:
        desk.grants.revoke_refresh(known.value)
        known = desk.grants.issue_refresh(app, known.user, known.scopes, now)
    return token_answer(
        call, known.user, app, asked or known.scopes, refresh_token=known.value,
        shows_refresh=app.rotates_refresh_tokens,
    )  # fmt: skip


def _authorization_code(call: Call, form: Form) -> dict[str, str]:
    app = client_of(call, form, needs_secret=False)
    code = call.org.sign_in.grants.redeem(form.get("code", ""), call.org.clock.now())
    if code is None or code.app.client_id != app.client_id:
        raise OAuthError("invalid_grant", "expired authorization code")
    if form.get("redirect_uri", "") != code.redirect_uri:
        raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
    _check_verifier(code, form.get("code_verifier"))
    _check_secret(call, form, app)
    admit(call, code.user, app, REMOTE_ACCESS)
    return _with_refresh(call, code.user, app, code.scopes, code.nonce)


def _check_verifier(code: Code, verifier: str | None) -> None:
    if code.challenge is None:
        return  # some clients send a verifier though they gave no challenge
    if verifier is None:
        raise OAuthError("invalid_request", "missing required code verifier")
    if not code.answers(verifier):
        raise OAuthError("invalid_grant", "invalid code verifier")


def _check_secret(call: Call, form: Form, app: ConnectedApp) -> None:
    if app.requires_secret:
        client_of(call, form, needs_secret="client_assertion" not in form)


def _with_refresh(
    call: Call, user: User, app: ConnectedApp, scopes: frozenset[str], nonce: str | None = None
) -> dict[str, str]:
    """A token with a refresh token, if that was asked for."""
    refresh = None
    if scopes & {"refresh_token", "offline_access"}:
        refresh = call.org.sign_in.grants.issue_refresh(app, user, scopes, call.org.clock.now()).value
    return token_answer(call, user, app, scopes, refresh_token=refresh, shows_refresh=True, nonce=nonce)


def _ask_for_device(call: Call, form: Form) -> dict[str, object]:
    app = client_of(call, form, needs_secret=False)
    if "device" not in app.flows:
        raise OAuthError("invalid_request", "device flow not enabled for this app")
    device = call.org.sign_in.grants.ask_for_device(app, _scopes(app, form), call.org.clock.now())
    return {
        "device_code": device.code,
        "user_code": device.user_code,
        "verification_uri": f"{call.origin}/setup/connect",
        "interval": POLL_INTERVAL_S,
    }


def _device(call: Call, form: Form) -> dict[str, str]:
    app = client_of(call, form, needs_secret=False)
    grants = call.org.sign_in.grants
    device = grants.device(form.get("code", ""))
    if device is None or device.app.client_id != app.client_id or device.expires <= call.org.clock.now():
        raise OAuthError("invalid_grant", "invalid device code")
    if device.state is DeviceState.PENDING:
        raise _not_yet(device)
    grants.drop_device(device.code)
    if device.state is DeviceState.DENIED or device.user is None:
        raise OAuthError("access_denied", "end-user denied authorization")
    admit(call, device.user, app, REMOTE_ACCESS)
    return _with_refresh(call, device.user, app, device.scopes)


def _not_yet(device: DeviceRequest) -> OAuthError:
    now = time.monotonic()
    hurried = device.polled is not None and now - device.polled < POLL_INTERVAL_S - 1
    device.polled = now
    if hurried:
        return OAuthError("slow_down", "polling too frequently")
    return OAuthError("authorization_pending", "authorization is pending")


def _scopes(app: ConnectedApp, form: Form) -> frozenset[str]:
    scopes = app.grantable(form.get("scope", ""))
    if scopes is None:
        raise OAuthError("invalid_scope", "the requested scope is not allowed")
    return scopes


_GRANTS: dict[str, Callable[[Call, Form], dict[str, str]]] = {
    "client_credentials": _client_credentials,
    JWT_BEARER: _jwt_bearer,
    "password": _password,
    "refresh_token": _refresh,
    "authorization_code": _authorization_code,
    "device": _device,
}
