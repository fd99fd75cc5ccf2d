"""Users, the connected app and sessions: who may ask, and what they may see."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from holdfast.orgsim.errors import session_invalid

_TOKEN_ALPHABET = string.ascii_letters + string.digits + "._"


@dataclass
class User:
    """A user of the org and the limits of their sight: objects and fields that they cannot read."""

    id: str
    username: str
    name: str
    active: bool = True
    hidden_objects: frozenset[str] = frozenset()
    hidden_fields: frozenset[tuple[str, str]] = frozenset()

    def reads(self, object_name: str) -> bool:
        """Whether the user can read the object at all."""
        return object_name not in self.hidden_objects

    def reads_field(self, object_name: str, field_name: str) -> bool:
        """Whether the user can read the field."""
        return (object_name, field_name) not in self.hidden_fields

    @property
    def restrictions(self) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
        """What a cached answer depends on."""
        return self.hidden_objects, self.hidden_fields


@dataclass
class ConnectedApp:
    """The app that clients authenticate as. `run_as` is the user of the client-credentials flow."""

    client_id: str
    client_secret: str
    run_as: str
    public_key_pem: str | None = None
    approved: set[str] = field(default_factory=set)


@dataclass
class Session:
    """An access token in use. Each use moves the expiry."""

    token: str
    user: User
    expires: datetime


class Sessions:
    """The live tokens."""

    def __init__(self, org_id15: str, lifetime: timedelta) -> None:
        self._org_id15 = org_id15
        self.lifetime = lifetime
        self._by_token: dict[str, Session] = {}

    def open(self, user: User, now: datetime) -> Session:
        """A new session for `user`."""
        token = self._org_id15 + "!" + "".join(secrets.choice(_TOKEN_ALPHABET) for _ in range(96))
        session = Session(token, user, now + self.lifetime)
        self._by_token[token] = session
        return session

    def use(self, token: str, now: datetime) -> Session:
        """The session of `token`, its expiry renewed.

        Raises:
            ApiError: 401 INVALID_SESSION_ID.
        """
        session = self._by_token.get(token)
        if session is None or session.expires <= now or not session.user.active:
            self._by_token.pop(token, None)
            raise session_invalid()
        session.expires = now + self.lifetime
        return session

    def holds(self, token: str | None) -> bool:
        """Whether the token is one of this org's."""
        return token in self._by_token

    def revoke(self, token: str) -> bool:
        """End one session; False if there was none."""
        return self._by_token.pop(token, None) is not None

    def expire_all(self) -> int:
        """End every session; how many there were."""
        count = len(self._by_token)
        self._by_token.clear()
        return count
