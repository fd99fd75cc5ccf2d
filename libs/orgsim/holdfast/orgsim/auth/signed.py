"""Signed statements: the assertions that clients send, and the tokens that the org signs itself."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from holdfast.orgsim.api.web import Call
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.apps import ConnectedApp, in_order

ID_TOKEN_LIFETIME = timedelta(minutes=2)
LEEWAY = timedelta(minutes=5)
LARGEST_SECONDS = 100_000_000_000  # the year 5138; some clients send milliseconds


def verified(assertion: str, public_key_pem: str) -> dict[str, Any] | None:
    """The claims of an assertion signed with RS256; None if it is none or the signature is not the key's."""
    try:
        signed = jws.deserialize_compact(assertion, RSAKey.import_key(public_key_pem), algorithms=["RS256"])
        claims = orjson.loads(signed.payload)
    except (JoseError, ValueError):
        return None
    return claims if isinstance(claims, dict) else None


def claimed(assertion: str) -> dict[str, Any]:
    """What an assertion says, unverified; empty if it says nothing. Good only to find who can verify it."""
    parts = assertion.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def expired(claims: dict[str, Any]) -> bool:
    """Whether `exp` has passed, read leniently: clients send text, milliseconds, or the present second.

    Measured on the machine's clock, not the org's: that is the one the client signs by.
    """
    try:
        seconds = float(claims.get("exp", "inf"))
    except (TypeError, ValueError):
        return True
    if seconds > LARGEST_SECONDS:
        seconds /= 1000
    return seconds < (datetime.now(UTC) - LEEWAY).timestamp()


def sign(key: RSAKey, claims: dict[str, Any]) -> str:
    """A JWT of the org."""
    return jwt.encode({"alg": "RS256", "kid": key.kid, "typ": "JWT"}, claims, key, algorithms=["RS256"])


def access_token_claims(call: Call, user: User, app: ConnectedApp, scopes: frozenset[str]) -> dict[str, Any]:
    """What an access token in JWT format says."""
    now = call.org.clock.now()
    return {
        "iss": call.instance_url,
        "sub": f"uid:{user.id}",
        "aud": [call.instance_url],
        "client_id": app.client_id,
        "scp": in_order(scopes),
        "iat": int(now.timestamp()),
        "nbf": int(now.timestamp()),
        "exp": int((now + call.org.sessions.lifetime).timestamp()),
        "jti": hashlib.sha256(f"{user.id}{now.timestamp()}".encode()).hexdigest()[:32],
        "sfi": call.org.id,
    }


def id_token_claims(
    call: Call, user: User, app: ConnectedApp, access_token: str, nonce: str | None = None
) -> dict[str, Any]:
    """What an id token says: who signed in, for which app, with which access token."""
    now = int(call.org.clock.now().timestamp())
    half = hashlib.sha256(access_token.encode()).digest()[:16]
    claims = {
        "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
        "sub": f"{call.origin}/id/{call.org.id}/{user.id}",
        "aud": app.client_id,
        "iss": call.origin,
        "exp": now + int(ID_TOKEN_LIFETIME.total_seconds()),
        "iat": now,
    }
    return claims if nonce is None else {**claims, "nonce": nonce}
