"""Who the token's user is: userinfo, the identity URL, and what OpenID Connect publishes about the org."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.orgsim.api.web import Call, Reply, Router, json_reply
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.apps import SCOPES
from holdfast.orgsim.auth.oauth import identity_url
from holdfast.orgsim.store.table import Row

router = Router()
PLAIN = "text/html;charset=UTF-8"


@router.add("GET", "/services/oauth2/userinfo", authenticated=False, counted=False)
@router.add("POST", "/services/oauth2/userinfo", authenticated=False, counted=False)
async def userinfo(call: Call) -> Reply:
    """Who the token's user is."""
    return _with_user(call, _userinfo)


@router.add("GET", "/id/{org_id}/{user_id}", authenticated=False, counted=False)
@router.add("POST", "/id/{org_id}/{user_id}", authenticated=False, counted=False)
async def identity(call: Call) -> Reply:
    """The identity URL of a token answer."""
    return _with_user(call, _identity)


def _with_user(call: Call, render: Callable[[Call, User], dict[str, Any]]) -> Reply:
    kind, _, value = call.headers.get("authorization", "").partition(" ")
    value = value.strip() if kind.lower() in ("bearer", "oauth") else call.query.get("oauth_token", "")
    if not value:
        return Reply(403, b"Missing_OAuth_Token", PLAIN)
    session = call.org.sessions.look(value, call.org.clock.now())
    if session is None:
        return Reply(403, b"Bad_OAuth_Token", PLAIN)
    if "org_id" in call.params and call.params["org_id"][:15] != call.org.id[:15]:
        return Reply(404, b"Bad_Id", PLAIN)
    if "user_id" in call.params and call.params["user_id"][:15] != session.user.id[:15]:
        return Reply(403, b"Bad_Id", PLAIN)
    session.expires = call.org.clock.now() + call.org.sessions.lifetime
    return json_reply(render(call, session.user))


def _urls(call: Call, user: User) -> dict[str, str]:
    base = call.instance_url
    soap, rest = base + "/services/Soap/{api}/{version}/" + call.org.id, base + "/services/data/v{version}"
    return {
        "enterprise": soap.replace("{api}", "c"),
        "metadata": soap.replace("{api}", "m"),
        "partner": soap.replace("{api}", "u"),
        "rest": rest + "/",
        "sobjects": rest + "/sobjects/",
        "search": rest + "/search/",
        "query": rest + "/query/",
        "recent": rest + "/recent/",
        "tooling_soap": soap.replace("{api}", "T"),
        "tooling_rest": rest + "/tooling/",
        "profile": f"{base}/{user.id}",
        "feeds": rest + "/chatter/feeds",
        "groups": rest + "/chatter/groups",
        "users": rest + "/chatter/users",
        "feed_items": rest + "/chatter/feed-items",
        "feed_elements": rest + "/chatter/feed-elements",
        "custom_domain": base,
    }


def _photos(call: Call) -> dict[str, str]:
    base = call.instance_url
    return {"picture": f"{base}/profilephoto/005/F", "thumbnail": f"{base}/profilephoto/005/T"}


def _address(row: Row) -> dict[str, str]:
    """The address of a User row in OpenID's words, without what is empty."""
    parts = {"street_address": "Street", "locality": "City", "region": "State", "postal_code": "PostalCode",
             "country": "Country"}  # fmt: skip
    found = {name: row.get(column) for name, column in parts.items()}
    return {name: text for name, text in found.items() if text}


def _userinfo(call: Call, user: User) -> dict[str, Any]:
    row = call.org.user_row(user)
    return {
        "sub": identity_url(call, user),
        "user_id": user.id,
        "organization_id": call.org.id,
        "preferred_username": user.username,
        "nickname": user.username.split("@")[0],
        "name": user.name,
        "email": row.get("Email") or user.username,
        "email_verified": True,
        "given_name": row.get("FirstName"),
        "family_name": row.get("LastName"),
        "zoneinfo": row.get("TimeZoneSidKey") or "GMT",
        "photos": _photos(call),
        "profile": f"{call.instance_url}/{user.id}",
        "picture": _photos(call)["picture"],
        "address": _address(row),
        "urls": _urls(call, user),
        "active": user.active,
        "user_type": "STANDARD",
        "language": row.get("LanguageLocaleKey") or "en_US",
        "locale": row.get("LocaleSidKey") or "en_US",
        "utcOffset": 0,
        "updated_at": row.get("LastModifiedDate"),
        "is_salesforce_integration_user": False,
    }


def _identity(call: Call, user: User) -> dict[str, Any]:
    row = call.org.user_row(user)
    address = {"addr_street": "Street", "addr_city": "City", "addr_state": "State", "addr_country": "Country",
               "addr_zip": "PostalCode"}  # fmt: skip
    return {
        "id": identity_url(call, user),
        "asserted_user": True,
        "user_id": user.id,
        "organization_id": call.org.id,
        "username": user.username,
        "nick_name": user.username.split("@")[0],
        "display_name": user.name,
        "email": row.get("Email") or user.username,
        "email_verified": True,
        "first_name": row.get("FirstName"),
        "last_name": row.get("LastName"),
        "timezone": row.get("TimeZoneSidKey") or "GMT",
        "photos": _photos(call),
        **{name: row.get(column) for name, column in address.items()},
        "mobile_phone": row.get("MobilePhone"),
        "mobile_phone_verified": False,
        "is_lightning_login_user": False,
        "status": {"created_date": None, "body": None},
        "urls": _urls(call, user),
        "active": user.active,
        "user_type": "STANDARD",
        "language": row.get("LanguageLocaleKey") or "en_US",
        "locale": row.get("LocaleSidKey") or "en_US",
        "utcOffset": 0,
        "last_modified_date": row.get("LastModifiedDate"),
        "is_app_installed": True,
    }


@router.add("GET", "/.well-known/openid-configuration", authenticated=False, counted=False)
async def openid_configuration(call: Call) -> Reply:
    """Where everything is, for OpenID Connect clients."""
    base, oauth = call.origin, call.origin + "/services/oauth2"
    return json_reply({
        "issuer": base,
        "authorization_endpoint": oauth + "/authorize",
        "token_endpoint": oauth + "/token",
        "revocation_endpoint": oauth + "/revoke",
        "userinfo_endpoint": oauth + "/userinfo",
        "introspection_endpoint": oauth + "/introspect",
        "jwks_uri": base + "/id/keys",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code", "token"],
        "grant_types_supported": ["authorization_code", "refresh_token", "password", "client_credentials",
                                  "urn:ietf:params:oauth:grant-type:jwt-bearer", "device"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "display_values_supported": ["page", "popup", "touch"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "private_key_jwt"],
        "claims_supported": ["active", "address", "email", "email_verified", "family_name", "given_name", "language",
                             "locale", "name", "nickname", "organization_id", "photos", "picture",
                             "preferred_username", "profile", "sub", "updated_at", "urls", "user_id", "user_type",
                             "utcOffset", "zoneinfo"],
    })  # fmt: skip


@router.add("GET", "/id/keys", authenticated=False, counted=False)
async def keys(call: Call) -> Reply:
    """The public keys that id tokens are verified with."""
    return json_reply({"keys": [call.org.sign_in.signing_key.as_dict(private=False)]})
