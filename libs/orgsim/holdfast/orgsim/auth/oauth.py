"""OAuth: the token endpoint (client credentials, JWT bearer), userinfo, the identity URL, revocation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import parse_qsl

import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from holdfast.orgsim.api.web import Call, Reply, Router, json_reply
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError

router = Router()
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class OAuthError(Exception):
    """An OAuth error answer: an object with `error` and `error_description`, HTTP 400."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description

    def reply(self) -> Reply:
        """The answer."""
        return json_reply({"error": self.error, "error_description": self.description}, 400)


@router.add("POST", "/services/oauth2/token", authenticated=False, counted=False)
async def token(call: Call) -> Reply:
    """Exchange a grant for an access token."""
    form = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)) or call.query
    try:
        grant = form.get("grant_type", "")
        if grant == "client_credentials":
            user = _client_credentials(call, form)
        elif grant == JWT_BEARER:
            user = _jwt_bearer(call, form)
        else:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        if not user.active:
            raise OAuthError("invalid_grant", "inactive user")
    except OAuthError as error:
        return error.reply()
    return json_reply(_token_body(call, user, signed=grant == "client_credentials"))


def _client_credentials(call: Call, form: dict[str, str]) -> User:
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    kind, _, encoded = call.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise OAuthError("invalid_client", "invalid client credentials") from error
    app = call.org.app
    if client_id != app.client_id:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if not secrets.compare_digest(secret.encode(), app.client_secret.encode()):
        raise OAuthError("invalid_client", "invalid client credentials")
    return call.org.users[app.run_as]


def _jwt_bearer(call: Call, form: dict[str, str]) -> User:
    app = call.org.app
    if app.public_key_pem is None:
        raise OAuthError("invalid_grant", "user hasn't approved this consumer")
    claims = _claims(form.get("assertion", ""), app.public_key_pem)
    if claims.get("iss") != app.client_id:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if not str(claims.get("aud", "")).startswith(("http://", "https://")):
        raise OAuthError("invalid_grant", "audience is invalid")
    user = call.org.users.get(str(claims.get("sub")))
    if user is None:
        raise OAuthError("invalid_grant", "user hasn't approved this consumer")
    return user


def _claims(assertion: str, public_key_pem: str) -> dict[str, Any]:
    """The claims of a signed assertion. `exp` is read leniently: clients send strings, milliseconds, or now."""
    try:
        signed = jws.deserialize_compact(assertion, RSAKey.import_key(public_key_pem), algorithms=["RS256"])
        claims = orjson.loads(signed.payload)
    except (JoseError, ValueError) as error:
        raise OAuthError("invalid_grant", "invalid assertion") from error
    if not isinstance(claims, dict):
        raise OAuthError("invalid_grant", "invalid assertion")
    return claims


def _token_body(call: Call, user: User, *, signed: bool) -> dict[str, str]:
    org = call.org
    session = org.sessions.open(user, org.clock.now())
    identity = f"{call.instance_url}/id/{org.id}/{user.id}"
    body = {
        "access_token": session.token,
        "scope": "api web",
        "instance_url": call.instance_url,
        "id": identity,
        "token_type": "Bearer",
    }
    if signed:
        issued = str(int(org.clock.now().timestamp() * 1000))
        digest = hmac.new(org.app.client_secret.encode(), (identity + issued).encode(), hashlib.sha256).digest()
        body.update(signature=base64.b64encode(digest).decode(), issued_at=issued)
    return body


@router.add("GET", "/services/oauth2/revoke", authenticated=False, counted=False)
@router.add("POST", "/services/oauth2/revoke", authenticated=False, counted=False)
async def revoke(call: Call) -> Reply:
    """End a session."""
    form = dict(parse_qsl(call.body.decode("utf-8", "replace")))
    if call.org.sessions.revoke(form.get("token") or call.query.get("token", "")):
        return Reply(200)
    return OAuthError("unsupported_token_type", "this token type is not supported").reply()


@router.add("GET", "/services/oauth2/userinfo", authenticated=False, counted=False)
async def userinfo(call: Call) -> Reply:
    """Who the token's user is."""
    return _with_user(call, _userinfo)


@router.add("GET", "/id/{org_id}/{user_id}", authenticated=False, counted=False)
async def identity(call: Call) -> Reply:
    """The identity URL of a token answer."""
    return _with_user(call, _identity)


def _with_user(call: Call, render: Any) -> Reply:
    kind, _, value = call.headers.get("authorization", "").partition(" ")
    value = value if kind.lower() in ("bearer", "oauth") else call.query.get("oauth_token", "")
    if not value:
        return Reply(403, b"Missing_OAuth_Token", "text/html;charset=UTF-8")
    try:
        session = call.org.sessions.use(value, call.org.clock.now())
    except ApiError:
        return Reply(403, b"Bad_OAuth_Token", "text/html;charset=UTF-8")
    return json_reply(render(call, session.user))


def _urls(call: Call) -> dict[str, str]:
    base = call.instance_url
    rest = base + "/services/data/v{version}"
    return {
        "enterprise": base + "/services/Soap/c/{version}/" + call.org.id,
        "metadata": base + "/services/Soap/m/{version}/" + call.org.id,
        "partner": base + "/services/Soap/u/{version}/" + call.org.id,
        "rest": rest + "/",
        "sobjects": rest + "/sobjects/",
        "search": rest + "/search/",
        "query": rest + "/query/",
        "recent": rest + "/recent/",
        "tooling_rest": rest + "/tooling/",
        "custom_domain": base,
    }


def _userinfo(call: Call, user: User) -> dict[str, Any]:
    base = call.instance_url
    return {
        "sub": f"{base}/id/{call.org.id}/{user.id}",
        "user_id": user.id,
        "organization_id": call.org.id,
        "preferred_username": user.username,
        "nickname": user.username.split("@")[0],
        "name": user.name,
        "email": user.username,
        "email_verified": True,
        "given_name": user.name.split(" ")[0],
        "family_name": user.name.split(" ")[-1],
        "zoneinfo": "GMT",
        "photos": {"picture": f"{base}/profilephoto/005/F", "thumbnail": f"{base}/profilephoto/005/T"},
        "profile": f"{base}/{user.id}",
        "picture": f"{base}/profilephoto/005/F",
        "address": {},
        "urls": _urls(call),
        "active": user.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
        "utcOffset": 0,
        "updated_at": call.org.clock.now().isoformat(),
        "is_salesforce_integration_user": False,
    }


def _identity(call: Call, user: User) -> dict[str, Any]:
    base = call.instance_url
    return {
        "id": f"{base}/id/{call.org.id}/{user.id}",
        "asserted_user": True,
        "user_id": user.id,
        "organization_id": call.org.id,
        "username": user.username,
        "nick_name": user.username.split("@")[0],
        "display_name": user.name,
        "email": user.username,
        "email_verified": True,
        "first_name": user.name.split(" ")[0],
        "last_name": user.name.split(" ")[-1],
        "timezone": "GMT",
        "photos": {"picture": f"{base}/profilephoto/005/F", "thumbnail": f"{base}/profilephoto/005/T"},
        "status": {"created_date": None, "body": None},
        "urls": _urls(call),
        "active": user.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
        "utcOffset": 0,
        "last_modified_date": call.org.clock.now().isoformat(),
        "is_app_installed": True,
    }
