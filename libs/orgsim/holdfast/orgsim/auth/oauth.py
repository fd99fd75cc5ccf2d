"""What the OAuth endpoints share: their errors, the client that asks, the answer with a token."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl

from holdfast.orgsim.api.web import Call, Reply, json_reply
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.apps import ConnectedApp, in_order
from holdfast.orgsim.auth.passwords import LoginEntry, LoginRefusedError, Refusal
from holdfast.orgsim.auth.signed import access_token_claims, id_token_claims, sign, verified
from holdfast.orgsim.listeners.hosts import LOGIN_HOSTS, is_ours, split_host

CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class OAuthError(Exception):
    """An OAuth error answer: an object with `error` and `error_description`, HTTP 400."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description

    def reply(self) -> Reply:
        """The answer."""
        return json_reply({"error": self.error, "error_description": self.description}, 400)


def form_of(call: Call) -> dict[str, str]:
    """The parameters of a request: the form in its body, else its query string."""
    form = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
    return {**call.query, **form}


def on_login_host(call: Call) -> bool:
    """Whether the client came by login. or test.salesforce.com."""
    parts = split_host(call.headers.get("host", ""))
    return parts is not None and parts[0] in LOGIN_HOSTS


def client_of(call: Call, form: Mapping[str, str], *, needs_secret: bool) -> ConnectedApp:
    """The app that asks, by Basic authentication or by the form.

    Raises:
        OAuthError: an unknown client, a wrong secret, or none where one is needed.
    """
    client_id, secret = _credentials(call, form)
    app = call.org.sign_in.apps.find(client_id)
    if app is None:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if form.get("client_assertion_type") == CLIENT_ASSERTION:
        _check_client_assertion(call, app, form.get("client_assertion", ""))
    elif secret or needs_secret:
        right = bool(app.client_secret) and secrets.compare_digest(secret.encode(), app.client_secret.encode())
        if not right and (app.client_secret or needs_secret):
            raise OAuthError("invalid_client", "invalid client credentials")
    return app


def _credentials(call: Call, form: Mapping[str, str]) -> tuple[str, str]:
    kind, _, encoded = call.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError("invalid_client", "invalid client credentials") from error
    return client_id, secret


def _check_client_assertion(call: Call, app: ConnectedApp, assertion: str) -> None:
    claims = None if app.public_key_pem is None else verified(assertion, app.public_key_pem)
    if claims is None or claims.get("sub") != app.client_id or not audience_is_ours(call, claims.get("aud")):
        raise OAuthError("invalid_client", "invalid client credentials")


def audience_is_ours(call: Call, audience: object) -> bool:
    """Whether an assertion is meant for this org: a login host, a My Domain, or the address it was sent to."""
    texts = audience if isinstance(audience, list) else [audience]
    for text in map(str, texts):
        scheme, _, rest = text.partition("://")
        parts = split_host(rest.split("/")[0])
        if scheme in ("http", "https") and parts is not None:
            own = split_host(call.headers.get("host", ""))
            if is_ours(parts[0]) or (own is not None and parts[0] == own[0]):
                return True
    return False


def admit(call: Call, user: User, app: ConnectedApp | None, login_type: str) -> None:
    """Let an authenticated user in.

    Raises:
        OAuthError: the user is inactive, or the address is outside the login ranges.
    """
    try:
        if not user.active:
            raise LoginRefusedError(Refusal.INACTIVE)
        if not call.org.sign_in.policy.admits(call.client_ip):
            raise LoginRefusedError(Refusal.IP)
    except LoginRefusedError as refused:
        note_login(call, user.username, app, login_type, refused.why.value)
        raise refusal(refused) from refused
    note_login(call, user.username, app, login_type, "Success")


def refusal(refused: LoginRefusedError) -> OAuthError:
    """What OAuth says of a refused login; it tells no stranger which part was wrong."""
    if refused.why is Refusal.INACTIVE:
        return OAuthError("invalid_grant", "inactive user")
    if refused.why is Refusal.IP:
        return OAuthError("invalid_grant", "ip restricted")
    return OAuthError("invalid_grant", "authentication failure")


def note_login(call: Call, username: str, app: ConnectedApp | None, login_type: str, status: str) -> None:
    """Write an attempt to the login history."""
    name, now = app.name if app else "N/A", call.org.clock.now()
    host = call.headers.get("host", "")
    call.org.sign_in.history.add(LoginEntry(now, username, login_type, call.client_ip, status, name, host))


def token_answer(
    call: Call, user: User, app: ConnectedApp, scopes: frozenset[str], *,
    signed: bool = True, refresh_token: str | None = None, shows_refresh: bool = False, nonce: str | None = None,
) -> dict[str, str]:  # fmt: skip
    """Open a session and tell about it. `signed`: with signature and issue time; `shows_refresh`: with its token."""
    org, now = call.org, call.org.clock.now()
    given = None
    if app.jwt_access_tokens:
        given = sign(org.sign_in.signing_key, access_token_claims(call, user, app, scopes))
    session = org.sessions.open(
        user, now, scopes=scopes, client_id=app.client_id, refresh_token=refresh_token, token=given
    )
    identity = identity_url(call, user)
    issued = str(int(now.timestamp() * 1000))
    answer = {"access_token": session.token}
    if shows_refresh and refresh_token is not None:
        answer["refresh_token"] = refresh_token
    if signed:
        answer["signature"] = signature(app, identity, issued)
    answer["scope"] = in_order(scopes)
    if "openid" in scopes and signed:
        answer["id_token"] = sign(org.sign_in.signing_key, id_token_claims(call, user, app, session.token, nonce))
    answer.update(instance_url=call.instance_url, id=identity, token_type="Bearer")  # noqa: S106 - its kind
    if signed:
        answer["issued_at"] = issued
    return answer


def identity_url(call: Call, user: User) -> str:
    """Where the user's identity is told."""
    return f"{call.origin}/id/{call.org.id}/{user.id}"


def signature(app: ConnectedApp, identity: str, issued: str) -> str:
    """By which a client sees that the identity URL was not changed on the way."""
    digest = hmac.new(app.client_secret.encode(), (identity + issued).encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
