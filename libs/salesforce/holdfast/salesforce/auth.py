"""Signing in: OAuth 2.0 client credentials and JWT bearer. Both work without person and password."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from pydantic import BaseModel

from holdfast.common.errors import HoldfastError, Kind
from holdfast.salesforce.calls import accepted, read_json
from holdfast.salesforce.errors import SalesforceError
from holdfast.salesforce.hosts import salesforce_origin
from holdfast.salesforce.transport import exchange

_MAX_TOKEN_ANSWER_BYTES = 1 << 20
_SIGN_IN_TIMEOUT = timedelta(seconds=20)

# Salesforce accepts an assertion for at most five minutes; three leave room for a clock that is off.
_ASSERTION_LIFE = timedelta(minutes=3)


@dataclass(frozen=True)
class ClientCredentials:
    """The app acts as its configured user. Works on the org's My Domain only."""

    login_url: str
    client_id: str
    client_secret: str = field(repr=False)

    def form(self, now: datetime) -> dict[str, str]:
        """Parameters of the token request."""
        return {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }


@dataclass(frozen=True)
class JwtBearer:
    """The app signs for a user who admitted it before.

    Attributes:
        audience: `https://login.salesforce.com`, or `https://test.salesforce.com` for a sandbox.
    """

    login_url: str
    client_id: str
    username: str
    private_key_pem: str = field(repr=False)
    audience: str

    def form(self, now: datetime) -> dict[str, str]:
        """Parameters of the token request.

        Raises:
            HoldfastError: INVALID if the key is not an RSA private key in PEM form.
        """
        claims = {
            "iss": self.client_id,
            "sub": self.username,
            "aud": self.audience,
            "exp": int((now + _ASSERTION_LIFE).timestamp()),
        }
        try:
            key = RSAKey.import_key(self.private_key_pem)
            assertion = jwt.encode({"alg": "RS256"}, claims, key)
        except (JoseError, ValueError, TypeError, AttributeError) as error:
            raise HoldfastError(
                Kind.INVALID,
                "The secret is not an RSA private key in PEM form.",
                code="private-key-invalid",
                field="secret",
                detail=type(error).__name__,
            ) from None
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}


Grant = ClientCredentials | JwtBearer


@dataclass(frozen=True)
class Token:
    """An access token. Salesforce does not say when it ends: two hours after its last use by default.

    Attributes:
        organization_id: 18 characters.
        issued_at: By Salesforce's clock where it says so, else ours.
    """

    access_token: str = field(repr=False)
    instance_url: str
    organization_id: str
    user_id: str
    issued_at: datetime


class _TokenReply(BaseModel):
    access_token: str
    instance_url: str
    id: str
    issued_at: str | None = None


async def sign_in(http: httpx.AsyncClient, grant: Grant, *, now: datetime, allow_insecure: bool = False) -> Token:
    """Ask for a token, once: wrong sign-ins lock a user out, so trying again is the caller's decision.

    Args:
        http: A connection pool (`transport.open_http`).
        grant: How to sign in.
        now: The present, for the assertion.
        allow_insecure: Let http to this machine pass.

    Raises:
        SalesforceError: INVALID if Salesforce refuses the credentials, or (`not-salesforce`) if something
            else answers there; UNAVAILABLE or TIMEOUT if nothing does.
        HoldfastError: INVALID for an address that is not Salesforce's, or an unusable key.
    """
    origin = salesforce_origin(grant.login_url, allow_insecure=allow_insecure, field="login_url")
    answer = await exchange(
        http,
        "POST",
        f"{origin}/services/oauth2/token",
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        content=urlencode(grant.form(now)).encode(),
        max_bytes=_MAX_TOKEN_ANSWER_BYTES,
        timeout=_SIGN_IN_TIMEOUT,
    )
    if not answer.is_json() and (answer.status < 400 or answer.status in (404, 405)):
        raise _not_salesforce(origin, answer.status)
    reply: _TokenReply = read_json(accepted(answer).body, _TokenReply)
    return _token(reply, now, allow_insecure)


def _token(reply: _TokenReply, now: datetime, allow_insecure: bool) -> Token:
    """Read the reply's parts; `id` is `https://login.salesforce.com/id/<org>/<user>`."""
    parts = reply.id.rstrip("/").split("/")
    if len(parts) < 3 or not parts[-2].startswith("00D"):
        raise SalesforceError(
            Kind.UNAVAILABLE, "Salesforce did not say which org the token is for.", code="answer-unreadable"
        )
    issued = reply.issued_at
    return Token(
        access_token=reply.access_token,
        instance_url=salesforce_origin(reply.instance_url, allow_insecure=allow_insecure),
        organization_id=parts[-2],
        user_id=parts[-1],
        issued_at=datetime.fromtimestamp(int(issued) / 1000, UTC) if issued and issued.isdecimal() else now,
    )


def _not_salesforce(origin: str, status: int) -> SalesforceError:
    return SalesforceError(
        Kind.INVALID,
        f"{origin} answers, but not as Salesforce does. Check the address.",
        code="not-salesforce",
        status=status,
    )
