"""Sessions: the access tokens in use, and what each may be used for."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError, session_invalid

_TOKEN_ALPHABET = string.ascii_letters + string.digits + "._"
API_SCOPES = frozenset({"api", "full"})
EVERYTHING = frozenset({"full"})


@dataclass
class Session:
    """An access token in use. Each use moves the expiry.

    `client_id` is the connected app it was given to, None for a login by password at the SOAP API or in the browser.
    `refresh_token` is the one it came from: revoking that ends it.
    """

    token: str
    user: User
    opened: datetime
    expires: datetime
    scopes: frozenset[str] = EVERYTHING
    client_id: str | None = None
    refresh_token: str | None = None


class Sessions:
    """The live tokens."""

    def __init__(self, org_id15: str, lifetime: timedelta) -> None:
        self._org_id15 = org_id15
        self.lifetime = lifetime
        self._by_token: dict[str, Session] = {}

    def open(
        self,
        user: User,
        now: datetime,
        *,
        scopes: frozenset[str] = EVERYTHING,
        client_id: str | None = None,
        refresh_token: str | None = None,
        token: str | None = None,
    ) -> Session:
        """A new session for `user`; its token is opaque unless one is given."""
        token = token or self._org_id15 + "!" + "".join(secrets.choice(_TOKEN_ALPHABET) for _ in range(96))
        session = Session(token, user, now, now + self.lifetime, scopes, client_id, refresh_token)
        self._by_token[token] = session
        return session

    def use(self, token: str, now: datetime) -> Session:
        """The session of `token`, its expiry renewed.

        Raises:
            ApiError: 401 INVALID_SESSION_ID; 403 API_DISABLED_FOR_ORG for a user without API Enabled.
        """
        session = self.look(token, now)
        if session is None:
            raise session_invalid()
        if not session.user.may("ApiEnabled"):
            raise ApiError(403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.")
        session.expires = now + self.lifetime
        return session

    def use_for_api(self, token: str, now: datetime) -> Session:
        """As `use`, for calls to the data APIs.

        Raises:
            ApiError: 401 INVALID_SESSION_ID, also for a token that was not given for the API.
        """
        session = self.use(token, now)
        if not session.scopes & API_SCOPES:
            raise ApiError(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API")
        return session

    def use_for_soap(self, token: str, now: datetime) -> Session:
        """As `use`; SOAP takes no token in JWT format.

        Raises:
            ApiError: 401 INVALID_SESSION_ID.
        """
        if is_jwt(token):
            raise session_invalid()
        return self.use(token, now)

    def look(self, token: str, now: datetime) -> Session | None:
        """The live session of `token`, its expiry left as it is."""
        session = self._by_token.get(token)
        if session is None or session.expires <= now or not session.user.active:
            self._by_token.pop(token, None)
            return None
        return session

    def holds(self, token: str | None) -> bool:
        """Whether the token is one of this org's."""
        return token in self._by_token

    def revoke(self, token: str) -> bool:
        """End one session; False if there was none."""
        return self._by_token.pop(token, None) is not None

    def revoke_from(self, refresh_token: str) -> None:
        """End the sessions that came from a refresh token."""
        ended = [token for token, session in self._by_token.items() if session.refresh_token == refresh_token]
        for token in ended:
            del self._by_token[token]

    def live(self, now: datetime) -> list[Session]:
        """The sessions that can still be used."""
        return [session for session in self._by_token.values() if session.expires > now]

    def expire_all(self) -> int:
        """End every session; how many there were."""
        count = len(self._by_token)
        self._by_token.clear()
        return count


def is_jwt(token: str) -> bool:
    """Whether a token has the form of a JWT."""
    return token.startswith("ey") and token.count(".") == 2
