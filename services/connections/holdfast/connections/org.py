"""What this service asks of Salesforce: a token, and at a first or tested sign-in who the org and the user are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError, Kind
from holdfast.connections.domain import Flow, Survey
from holdfast.salesforce.auth import ClientCredentials, Grant, JwtBearer, Token, sign_in
from holdfast.salesforce.calls import Retries
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.definitions import data_objects
from holdfast.salesforce.errors import SalesforceError
from holdfast.salesforce.hosts import is_loopback, salesforce_origin
from holdfast.salesforce.models import Access, AccessProvider, Limit, Permissions
from holdfast.salesforce.usage import Usage
from holdfast.salesforce.versions import NEWEST_API_VERSION, choose_api_version

# Someone is waiting for the answer.
_IMPATIENT = Retries(attempts=3, base=timedelta(milliseconds=500), cap=timedelta(seconds=2), hiccups=1)

# The name of the limit of Bulk 2.0 query jobs in 24 hours.
BULK_QUERY_JOBS = "DailyBulkV2QueryJobs"
# Requests that run long, at once: "API Request Limits and Allocations" of the Salesforce Developer Limits.
_LONG_REQUESTS, _LONG_REQUESTS_OF_DEVELOPERS = 25, 5

MAX_SECRET_CHARS = 16_384
_MOST_NAMES = 20

_FIELD_OF_REFUSAL = {
    "invalid_client": "secret",
    "invalid_client_id": "client_id",
    "unsupported_grant_type": "login_url",
    **dict.fromkeys(
        ("not-salesforce", "host-not-found", "connection-refused", "connect-timeout", "certificate-refused"),
        "login_url",
    ),
}


@dataclass(frozen=True)
class Credentials:
    """How to sign in to an org."""

    flow: Flow
    login_url: str
    client_id: str
    username: str
    secret: SecretStr

    def grant(self) -> Grant:
        """The OAuth grant."""
        secret = self.secret.get_secret_value()
        if self.flow == "client_credentials":
            return ClientCredentials(self.login_url, self.client_id, secret)
        return JwtBearer(self.login_url, self.client_id, self.username, secret, _audience(self.login_url))


@dataclass
class Tally:
    """Calls made during a survey, for the org's ledger. The hook of the client."""

    calls: int = 0
    usage: Usage | None = None

    def called(self, method: str, route: str, usage: Usage | None) -> None:
        """Count one request. Salesforce charges neither for the list of versions nor for `userinfo`."""
        if route not in ("versions", "userinfo"):
            self.calls += 1
        self.usage = usage or self.usage


@dataclass(frozen=True)
class Introduction:
    """What a first or tested sign-in brought. `long_requests`: how many the org takes at once."""

    access: Access
    survey: Survey
    tally: Tally
    long_requests: int = _LONG_REQUESTS


@dataclass(frozen=True)
class Orgs:
    """The way to Salesforce."""

    http: httpx.AsyncClient
    clock: Clock
    allow_insecure: bool = field(default=False)

    def check_address(self, login_url: str) -> str:
        """The login address as it is kept.

        Raises:
            HoldfastError: INVALID, field `login_url`, with what is wrong with it.
        """
        return salesforce_origin(login_url, allow_insecure=self.allow_insecure, field="login_url")

    async def sign_in(self, credentials: Credentials) -> Access:
        """A fresh token. Raises what `auth.sign_in` raises."""
        return _access(await self._token(credentials))

    async def introduce(self, credentials: Credentials) -> Introduction:
        """Sign in and ask who is there.

        Raises:
            HoldfastError: The sign-in or one of the questions was refused, or could not be asked.
        """
        token = await self._token(credentials)
        access, tally = _access(token), Tally()
        version = choose_api_version(await self._offered(access, tally))
        client = self._client(_Given(access), tally, version)
        user = await client.user_info()
        permissions = await client.permissions(user.user_id)
        hidden = await _hidden_objects(client)
        organization = await client.organization()
        survey = Survey(
            organization_name=organization.name,
            username=user.preferred_username,
            api_version=version,
            warnings=(*warnings(permissions), *_of_hidden(hidden)),
        )
        long_requests = _LONG_REQUESTS_OF_DEVELOPERS if organization.developer else _LONG_REQUESTS
        return Introduction(access, survey, tally, long_requests)

    async def limits(self, access: AccessProvider, version: str) -> tuple[dict[str, Limit], Tally]:
        """The org's limits by name, and what asking cost."""
        tally = Tally()
        return await self._client(access, tally, version).limits(), tally

    async def _offered(self, access: Access, tally: Tally) -> list[str]:
        versions = await self._client(_Given(access), tally, f"{NEWEST_API_VERSION}.0").versions()
        return [version.version for version in versions]

    async def _token(self, credentials: Credentials) -> Token:
        return await sign_in(self.http, credentials.grant(), now=self.clock.now(), allow_insecure=self.allow_insecure)

    def _client(self, access: AccessProvider, tally: Tally, version: str) -> SalesforceClient:
        return SalesforceClient(
            access,
            observer=tally,
            clock=self.clock,
            api_version=version,
            http=self.http,
            retries=_IMPATIENT,
            allow_insecure=self.allow_insecure,
        )


@dataclass(frozen=True)
class _Given:
    """One token, fresh from a sign-in: if it is refused, another one will be too."""

    token: Access

    async def access(self, refused: str | None = None) -> Access:
        if refused is None:
            return self.token
        raise HoldfastError(
            Kind.FORBIDDEN,
            "Salesforce gave a token and then refused it. Check that the user may use the API.",
            code="token-refused",
        )


def warnings(permissions: Permissions) -> list[str]:
    """What a backup as this user may miss."""
    found = []
    if permissions.modify_all_data is False:
        found.append(
            "The user lacks the permission Modify All Data: everything can be backed up, but a restore writes only "
            "what the user may change."
            if permissions.view_all_data
            else "The user lacks the permissions View All Data and Modify All Data: records that the user cannot see "
            "are not backed up."
        )
    if permissions.query_all_files is False:
        found.append("The user lacks the permission Query All Files: other users' private files are not backed up.")
    if permissions.modify_all_data is None:
        found.append(
            "The org does not tell whether the user has the permissions Modify All Data and Query All Files. "
            "Without them, records and files that the user cannot see are not backed up."
        )
    return found


async def _hidden_objects(client: SalesforceClient) -> list[str] | None:
    """Objects that people put data in and that the user does not see; None if the user may not know. Two calls."""
    defined = await data_objects(client)
    if defined is None:
        return None
    seen = {entry.name.lower() for entry in await client.describe_global()}
    return sorted(name for name in defined if name.lower() not in seen)


def _of_hidden(hidden: Sequence[str] | None) -> list[str]:
    if hidden is None:
        return [
            "Whether objects are hidden from the user could not be checked: that needs the permission View Setup and "
            "Configuration."
        ]
    if not hidden:
        return []
    shown = ", ".join(hidden[:_MOST_NAMES])
    more = f" and {len(hidden) - _MOST_NAMES} more" if len(hidden) > _MOST_NAMES else ""
    objects = "1 object" if len(hidden) == 1 else f"{len(hidden):,} objects"
    return [f"The user cannot see {objects} of the org, which will not be backed up: {shown}{more}."]


def is_refusal(error: HoldfastError) -> bool:
    """Whether the credentials will not work until someone changes something."""
    return error.kind in (Kind.INVALID, Kind.FORBIDDEN)


def blame(error: HoldfastError) -> None:
    """Note in `error` the input field that it is about, where Salesforce tells."""
    if isinstance(error, SalesforceError):
        error.field = error.field or _FIELD_OF_REFUSAL.get(error.error_code)


def _access(token: Token) -> Access:
    return Access(token.instance_url, token.access_token, token.organization_id)


def _audience(login_url: str) -> str:
    """Whom a JWT is for: the login host of the org's kind, whichever address the request goes to."""
    host = urlsplit(login_url).hostname or ""
    if is_loopback(host):
        return login_url
    sandbox = host == "test.salesforce.com" or ".sandbox." in host or ".scratch." in host
    return "https://test.salesforce.com" if sandbox else "https://login.salesforce.com"
